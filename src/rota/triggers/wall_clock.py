"""Gaps and folds: how wall time maps to instants in a zone. The only file that knows DST.

Theory. A zone is a row of *stretches*, each of them an interval of instants and, as the same cut seen from the clock,
an interval of wall times. Most are ``Plain``: one offset, every wall time once, so a conversion is an addition. Around
each change of the clock lies a ``Change``: as far before and after it as the clock moves, so that every wall time that
is missing, or told twice, or moved by a policy, belongs with all its instants to this one stretch. Changes that lie
nearer to one another than that share a stretch. Hence the stretches cut the wall times as cleanly as the instants, a
search may jump from wall time to wall time without visiting what lies between, and only inside a ``Change`` is there
anything to decide. What is decided there is a list of ``Piece``: wall times that keep their instant, or are shifted,
or collapse into one.

Law: the ticks of a pattern are a set of instants, and depend on nothing but pattern, policy and zone.

Changes are found by asking the zone (``zone_changes``), a year at a time and only for years that are asked about.
Seconds are whole seconds since the epoch; wall times are counted alike, as if the zone were UTC.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Final, Literal, NamedTuple, Protocol, get_args
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError
from rota.triggers.base import SECOND, Micros
from rota.triggers.zone_changes import FIRST_SECOND, LAST_SECOND, REACH, changes_between, offset_at
from rota.triggers.zones import UTC_KEY, zone

DAY: Final = 86_400

YEAR_BITS: Final = 25
YEAR: Final = 1 << YEAR_BITS
"""Zones are explored in steps of so many seconds, about 388 days."""

MARGIN: Final = 8 * DAY
"""How far beyond such a step changes are looked for, so that neighbours see the same stretch at their border."""

REMEMBERED_YEARS: Final = 256
"""So many steps are kept for a zone."""

CATCH_UP_LIMIT: Final = 3 * 3600
"""Debian's cron takes a longer jump of the clock for a correction, and catches nothing up."""

Gap = Literal["run_after", "shift", "skip"]
Fold = Literal["first", "second", "both"]
GAPS: Final[tuple[str, ...]] = get_args(Gap)
FOLDS: Final[tuple[str, ...]] = get_args(Fold)


class Policy(NamedTuple):
    """What happens to wall times that are missing (``gap``) or told twice (``fold``).

    Gap: ``run_after`` (once, at the first instant after it), ``shift`` (each keeps its distance), ``skip``.
    A gap longer than ``longest`` seconds is skipped. Fold: ``first``, ``second``, ``both``.
    """

    gap: Gap
    fold: Fold
    longest: int


FIXED: Final = Policy("run_after", "first", CATCH_UP_LIMIT)
"""Debian's rule for jobs at a time of day."""

WILDCARD: Final = Policy("skip", "both", 0)
"""Debian's rule for jobs that follow the clock."""

_policies: dict[tuple[Policy, Gap | None, Fold | None], Policy] = {}


def policy(default: Policy, gap: Gap | None, fold: Fold | None) -> Policy:
    """``default``, with what is given explicitly instead; an explicit gap rule holds for gaps of any length."""
    _check("dst_gap", gap, GAPS)
    _check("dst_fold", fold, FOLDS)
    found = _policies.get((default, gap, fold))
    if found is None:
        longest = default.longest if gap is None else REACH
        found = Policy(gap or default.gap, fold or default.fold, longest)
        _policies[default, gap, fold] = found
    return found


def _check(option: str, value: object, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise ConfigurationError(f"{option} is one of {', '.join(allowed)}, or None; not {value!r}")


class WallPattern(Protocol):
    """A set of wall times, in whole seconds."""

    def next_wall(self, wall: int) -> int | None:
        """The first of them strictly later than ``wall``."""

    def previous_wall(self, wall: int) -> int | None:
        """The last of them strictly earlier than ``wall``."""


class Piece(NamedTuple):
    """Wall times ``low`` to ``high`` (exclusive), ``offset`` seconds ahead of UTC; or all at the one instant ``at``."""

    low: int
    high: int
    offset: int
    at: int | None = None

    def next_in(self, pattern: WallPattern, after: int) -> int | None:
        """The first tick of ``pattern`` in this piece later than the second ``after``."""
        if self.at is None:
            wall = pattern.next_wall(max(self.low - 1, after + self.offset))
            return wall - self.offset if wall is not None and wall < self.high else None
        if self.at <= after:
            return None
        wall = pattern.next_wall(self.low - 1)
        return self.at if wall is not None and wall < self.high else None

    def last_in(self, pattern: WallPattern, before: int) -> int | None:
        """The last tick of ``pattern`` in this piece earlier than the second ``before``."""
        if self.at is None:
            wall = pattern.previous_wall(min(self.high, before + self.offset))
            return wall - self.offset if wall is not None and wall >= self.low else None
        if self.at >= before:
            return None
        wall = pattern.previous_wall(self.high)
        return self.at if wall is not None and wall >= self.low else None


class Plain(NamedTuple):
    """Instants ``low`` to ``high`` (exclusive) at one offset; every wall time in it is told once."""

    low: int
    high: int
    offset: int

    @property
    def low_wall(self) -> int:
        """The wall time at ``low``."""
        return self.low + self.offset


class Change:
    """One change of the clock, or several close ones, with the surroundings they touch.

    ``instants[i]`` is when the offset changes from ``offsets[i]`` to ``offsets[i + 1]``.
    """

    __slots__ = ("_pieces", "high", "instants", "low", "low_wall", "offsets")

    def __init__(self, instants: list[int], offsets: list[int]) -> None:
        pad = sum(abs(after - before) for before, after in pairwise(offsets))
        self.instants = instants
        self.offsets = offsets
        self.low = instants[0] - pad
        self.high = instants[-1] + pad
        self.low_wall = self.low + offsets[0]
        self._pieces: dict[Policy, list[Piece]] = {}

    def joined(self, later: Change) -> Change:
        """Both as one."""
        return Change(self.instants + later.instants, self.offsets + later.offsets[1:])

    def next_in(self, pattern: WallPattern, after: int, rule: Policy) -> int | None:
        """The first tick of ``pattern`` in here later than the second ``after``."""
        found = [piece.next_in(pattern, after) for piece in self.pieces(rule)]
        return min((tick for tick in found if tick is not None), default=None)

    def last_in(self, pattern: WallPattern, before: int, rule: Policy) -> int | None:
        """The last tick of ``pattern`` in here earlier than the second ``before``."""
        found = [piece.last_in(pattern, before) for piece in self.pieces(rule)]
        return max((tick for tick in found if tick is not None), default=None)

    def pieces(self, rule: Policy) -> list[Piece]:
        """What the wall times around this change mean under ``rule``."""
        found = self._pieces.get(rule)
        if found is None:
            found = self._pieces[rule] = self._told(rule.fold) + self._missing(rule)
        return found

    def segments(self) -> list[Plain]:
        """The instants in here, cut where the offset changes."""
        bounds = [self.low, *self.instants, self.high]
        return [Plain(*cut) for cut in zip(bounds, bounds[1:], self.offsets, strict=False)]

    def _told(self, fold: str) -> list[Piece]:
        """The wall times that exist, each with the pass it keeps."""
        segments = self.segments() if fold == "first" else self.segments()[::-1]
        told: list[tuple[int, int]] = []
        pieces = []
        for low, high, offset in segments:
            walls = (low + offset, high + offset)
            kept = [walls] if fold == "both" else _without(walls, told)
            told.append(walls)
            pieces += [Piece(start, end, offset) for start, end in kept]
        return pieces

    def _missing(self, rule: Policy) -> list[Piece]:
        """The wall times that do not exist, as far as they run all the same."""
        if rule.gap == "skip":
            return []
        told = [(low + offset, high + offset) for low, high, offset in self.segments()]
        pieces = []
        for at, before, after in zip(self.instants, self.offsets, self.offsets[1:], strict=False):
            if 0 < after - before <= rule.longest:
                for start, end in _without((at + before, at + after), told):
                    pieces.append(Piece(start, end, before, at if rule.gap == "run_after" else None))
        return pieces


def _without(interval: tuple[int, int], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """``interval`` less all ``others``, as intervals."""
    rest = [interval]
    for low, high in others:
        cut = [((start, min(end, low)), (max(start, high), end)) for start, end in rest]
        rest = [(start, end) for pair in cut for start, end in pair if start < end]
    return rest


class _Year(NamedTuple):
    """The stretches of one step of exploration, in order, and where they begin."""

    stretches: list[Plain | Change]
    lows: list[int]
    low_walls: list[int]


class WallClock:
    """The clock on the wall of one zone. Get it with ``wall_clock``; it is shared and remembers what it explored."""

    __slots__ = ("_recent", "_years", "key", "zone")

    def __init__(self, key: str) -> None:
        self.key = key
        self.forget()

    def forget(self) -> None:
        """Explore the zone anew, by the zone data now in force."""
        self.zone: ZoneInfo = zone(self.key)
        self._years: dict[int, _Year] = {}
        self._recent: Plain = Plain(FIRST_SECOND, LAST_SECOND + 1, 0) if self.key == UTC_KEY else Plain(0, 0, 0)

    def next_tick(self, pattern: WallPattern, after: Micros, rule: Policy) -> Micros | None:
        """The first instant of ``pattern`` under ``rule`` strictly later than ``after``, in microseconds."""
        second = after // SECOND
        low, high, offset = self._recent
        if low <= second < high:
            wall = pattern.next_wall(second + offset)
            if wall is None:
                return None
            if wall - offset < high:
                return (wall - offset) * SECOND
        tick = self._next(pattern, second, rule)
        return None if tick is None or tick > LAST_SECOND else tick * SECOND

    def previous_tick(self, pattern: WallPattern, before: Micros, rule: Policy) -> Micros | None:
        """The last instant of ``pattern`` under ``rule`` strictly earlier than ``before``, in microseconds."""
        tick = self._previous(pattern, -(-before // SECOND), rule)
        return None if tick is None or tick < FIRST_SECOND else tick * SECOND

    def wall_at(self, second: int) -> int:
        """The wall time at the instant ``second``."""
        low, high, offset = self._recent
        if not low <= second < high:
            stretch = self._at_instant(second)
            offset = stretch.offset if isinstance(stretch, Plain) else _offset_in(stretch, second)
        return second + offset

    def first_instant_from(self, wall: int) -> int:
        """The first instant at which the clock shows ``wall`` or, if it never does, a later time."""
        stretch = self._at_wall(wall)
        if isinstance(stretch, Plain):
            return wall - stretch.offset
        shown = (max(low, wall - offset) for low, high, offset in stretch.segments() if wall - offset < high)
        return min(shown)

    def latest_wall_by(self, second: int) -> int:
        """The latest wall time told up to the instant ``second``: in a second pass, the end of the first."""
        stretch = self._at_instant(second)
        if isinstance(stretch, Plain):
            return second + stretch.offset
        begun = [segment for segment in stretch.segments() if segment.low <= second]
        return max(min(second, segment.high - 1) + segment.offset for segment in begun)

    def _next(self, pattern: WallPattern, after: int, rule: Policy) -> int | None:
        stretch = self._at_instant(after)
        while True:
            if isinstance(stretch, Plain):
                if stretch.high <= LAST_SECOND:
                    self._recent = stretch
                wall = pattern.next_wall(after + stretch.offset)
                if wall is None:
                    return None
                if wall - stretch.offset >= stretch.high:
                    stretch = self._at_wall(wall)
                if isinstance(stretch, Plain):
                    return wall - stretch.offset
                after = stretch.low - 1
            else:
                tick = stretch.next_in(pattern, after, rule)
                if tick is not None:
                    return tick
                after = stretch.high - 1
                stretch = self._at_instant(stretch.high)

    def _previous(self, pattern: WallPattern, before: int, rule: Policy) -> int | None:
        stretch = self._at_instant(before - 1)
        while True:
            if isinstance(stretch, Plain):
                wall = pattern.previous_wall(before + stretch.offset)
                if wall is None:
                    return None
                if wall - stretch.offset < stretch.low:
                    stretch = self._at_wall(wall)
                if isinstance(stretch, Plain):
                    return wall - stretch.offset
                before = stretch.high
            else:
                tick = stretch.last_in(pattern, before, rule)
                if tick is not None:
                    return tick
                before = stretch.low
                stretch = self._at_instant(before - 1)

    def _at_instant(self, second: int) -> Plain | Change:
        year = self._year(second)
        return year.stretches[bisect_right(year.lows, second) - 1]

    def _at_wall(self, wall: int) -> Plain | Change:
        year = self._year(wall)
        return year.stretches[bisect_right(year.low_walls, wall) - 1]

    def _year(self, second: int) -> _Year:
        number = second >> YEAR_BITS
        year = self._years.get(number)
        if year is None:
            if len(self._years) >= REMEMBERED_YEARS:
                self._years.clear()
            year = self._years[number] = _explored(self.zone, number * YEAR - MARGIN, (number + 1) * YEAR + MARGIN)
        return year


def _offset_in(change: Change, second: int) -> int:
    return change.offsets[bisect_right(change.instants, second)]


_clocks: dict[str, WallClock] = {}


def wall_clock(key: str) -> WallClock:
    """The one clock of this zone in this process. An unknown zone raises ``UnknownTimeZoneError``."""
    found = _clocks.get(key)
    return found if found is not None else _clocks.setdefault(key, WallClock(key))


def forget_zones() -> None:
    """Forget what was learnt of the zones; for when the zone data changed (after ``ZoneInfo.clear_cache()``)."""
    for clock in list(_clocks.values()):
        clock.forget()


def _explored(tz: ZoneInfo, low: int, high: int) -> _Year:
    """The stretches from instant ``low`` to ``high``."""
    changes: list[Change] = []
    offset = offset_at(tz, low)
    for instant in changes_between(tz, low, high):
        before, offset = offset, offset_at(tz, instant)
        changes.append(Change([instant], [before, offset]))
        while len(changes) > 1 and changes[-2].high >= changes[-1].low:
            later = changes.pop()
            changes[-1] = changes[-1].joined(later)
    return _row(changes, low, high, offset_at(tz, low))


def _row(changes: list[Change], low: int, high: int, offset: int) -> _Year:
    stretches: list[Plain | Change] = []
    for change in changes:
        if low < change.low:
            stretches.append(Plain(low, change.low, offset))
        stretches.append(change)
        low, offset = change.high, change.offsets[-1]
    if low < high:
        stretches.append(Plain(low, high, offset))
    return _Year(stretches, [stretch.low for stretch in stretches], [stretch.low_wall for stretch in stretches])
