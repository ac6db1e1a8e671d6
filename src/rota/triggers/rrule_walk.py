"""The occurrences of naive recurrence rules, near any time, without walking there from the beginning.

Theory. dateutil generates occurrences in order from DTSTART, which makes a daily rule of 1970 slow today. But a rule
without COUNT is periodic: once whatever it took from DTSTART is written out, DTSTART may be moved by whole periods
(INTERVAL times days, weeks, months, years …) to just before the time asked about, and the occurrences from there on
are the same. A rule with COUNT is finite in its walk; what was generated is kept, and generation goes on from there.

Law: the occurrences are those of dateutil from the true DTSTART; a memo changes no answer. Wall times are whole seconds
since 1970, as for every ``WallPattern``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from rota.errors import RRuleSyntaxError
from rota.triggers.base import WALL_EPOCH

BATCH: Final = 24
"""So many occurrences are generated and remembered at a time, but only the first if they lie far apart."""

FAR: Final = 400 * 86_400
MOST_COUNTED: Final = 100_000
"""The greatest COUNT: such a rule has to be walked from its beginning."""

EXCLUDED_IN_A_ROW: Final = 100_000
"""After so many occurrences in a row that are excluded, there is no further one."""

NEVER: Final = 1 << 62
"""Later than any wall time."""

_SECOND: Final = timedelta(seconds=1)
_WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY_PARTS: Final = ("BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY", "BYWEEKDAY", "BYEASTER")
_RANK: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
_LENGTHS: Final = (366 * 86_400, 31 * 86_400, 604_800, 86_400, 3600, 60, 1)
_RANGES: Final = {
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (1, 31),
    "BYYEARDAY": (1, 366),
    "BYWEEKNO": (1, 53),
    "BYSETPOS": (1, 366),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSECOND": (0, 59),
    "INTERVAL": (1, 100_000_000),
    "COUNT": (1, MOST_COUNTED),
}
_COUNTED_BACKWARDS: Final = ("BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS")
_DAYS_IN_MONTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class _Batch(NamedTuple):
    """All occurrences strictly later than ``low`` and up to ``high``, in order."""

    low: int
    high: int
    found: tuple[int, ...]


class Rule:
    """One rule, beginning at the naive ``start``."""

    __slots__ = ("_batch", "_counted", "_interval", "_parts", "_rank", "_start")

    def __init__(self, parts: dict[str, str], start: datetime) -> None:
        _check(parts)
        self._parts = _explicit(parts, start)
        self._start = start
        self._rank = _RANK.index(parts["FREQ"])
        self._interval = int(parts.get("INTERVAL", "1"))
        self._counted = "COUNT" in parts
        self._batch = _Batch(0, 0, ())
        self._from(start)

    def after(self, wall: int) -> int | None:
        """The first occurrence strictly later than ``wall``."""
        low, high, found = self._batch
        if wall < low or not (high == NEVER or (found and wall < found[-1])):
            batch = self._batch = self._walked(wall) if self._counted else self._ahead(wall)
            found = batch.found  # not `self._batch`, which another thread may have replaced
        index = bisect_right(found, wall)
        return found[index] if index < len(found) else None

    def before(self, wall: int) -> int | None:
        """The last occurrence strictly earlier than ``wall``."""
        _, high, found = self._batch
        if wall > high + 1 or not (found and found[0] < wall):
            batch = self._batch = self._walked(wall) if self._counted else self._behind(wall)
            found = batch.found
        index = bisect_left(found, wall)
        return found[index - 1] if index else None

    def _ahead(self, wall: int) -> _Batch:
        """A batch from ``wall`` on."""
        found: list[int] = []
        for occurrence in self._from(self._period_start(wall)):
            second = _seconds(occurrence)
            if second > wall:
                found.append(second)
                if len(found) >= BATCH or second > wall + FAR:
                    return _Batch(wall, second, tuple(found))
        return _Batch(wall, NEVER, tuple(found))

    def _behind(self, wall: int) -> _Batch:
        """A batch up to just before ``wall``, looking back further and further."""
        reach = 2 * self._interval * _LENGTHS[self._rank]
        first = _seconds(self._start)
        while True:
            low = wall - reach
            occurrences = takewhile(lambda second: second < wall, map(_seconds, self._from(self._period_start(low))))
            found = tuple(second for second in occurrences if second > low)
            if found or low < first:
                return _Batch(low, wall - 1, found)
            reach *= 4

    def _walked(self, wall: int) -> _Batch:
        """All occurrences from the beginning until past ``wall``."""
        size = max(BATCH, 2 * len(self._batch.found))
        while True:
            found = tuple(map(_seconds, islice(self._from(self._start), size)))
            if len(found) < size:
                return _Batch(-NEVER, NEVER, found)
            if found[-1] > wall:
                return _Batch(-NEVER, found[-1], found)
            size *= 2

    def _from(self, start: datetime) -> Iterable[datetime]:
        """The occurrences as dateutil generates them from ``start``."""
        from dateutil.rrule import rrulestr

        text = ";".join(f"{name}={value}" for name, value in self._parts.items())
        try:
            return rrulestr(f"RRULE:{text}", dtstart=start, tzids=ZoneInfo)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise RRuleSyntaxError(f"{text[:200]}: {error}") from None

    def _period_start(self, wall: int) -> datetime:
        """The beginning of the last period of the rule that begins at or before ``wall``; at least its own."""
        if wall < _seconds(self._start):
            return self._start
        frequency = _RANK[self._rank]
        if frequency in ("YEARLY", "MONTHLY"):
            number = self._month_start(WALL_EPOCH + min(wall, _LAST_WALL) * _SECOND, 12 if frequency == "YEARLY" else 1)
            return self._start if number is None else number
        length = self._interval * _LENGTHS[self._rank]
        origin = _seconds(self._first_period())
        count = (min(wall, _LAST_WALL) - origin) // length
        return self._start if count < 1 else WALL_EPOCH + (origin + count * length) * _SECOND

    def _month_start(self, moment: datetime, months: int) -> datetime | None:
        origin = self._start.year * 12 + (self._start.month - 1 if months == 1 else 0)
        step = self._interval * months
        count = (moment.year * 12 + moment.month - 1 - origin) // step
        if count < 1:
            return None
        year, month = divmod(origin + count * step, 12)
        return WALL_EPOCH.replace(year=year, month=month + 1)

    def _first_period(self) -> datetime:
        """Where the week, day, hour or minute begins that holds the start."""
        start = self._start
        frequency = _RANK[self._rank]
        if frequency == "WEEKLY":
            first = _WEEKDAYS.index(self._parts.get("WKST", "MO"))
            start -= timedelta(days=(start.weekday() - first) % 7)
        if frequency == "SECONDLY":
            return start
        if frequency == "MINUTELY":
            return start.replace(second=0)
        if frequency == "HOURLY":
            return start.replace(minute=0, second=0)
        return start.replace(hour=0, minute=0, second=0)


class RuleSet:
    """The occurrences of several rules and single dates, less those of others; a ``WallPattern``."""

    __slots__ = ("_dates", "_excluded", "_exclusions", "_rules")

    def __init__(
        self, rules: list[Rule], exclusions: list[Rule], dates: list[datetime], excluded: list[datetime]
    ) -> None:
        self._rules = rules
        self._exclusions = exclusions
        self._dates = sorted({_seconds(moment) for moment in dates})
        self._excluded = {_seconds(moment) for moment in excluded}

    def next_wall(self, wall: int) -> int | None:
        """The first occurrence strictly later than ``wall``; ``None`` if there is none."""
        for _ in range(EXCLUDED_IN_A_ROW):
            found = [second for rule in self._rules if (second := rule.after(wall)) is not None]
            index = bisect_right(self._dates, wall)
            found += self._dates[index : index + 1]
            if not found:
                return None
            wall = min(found)
            if not self._is_excluded(wall):
                return wall
        return None

    def previous_wall(self, wall: int) -> int | None:
        """The last occurrence strictly earlier than ``wall``; ``None`` if there is none."""
        for _ in range(EXCLUDED_IN_A_ROW):
            found = [second for rule in self._rules if (second := rule.before(wall)) is not None]
            index = bisect_left(self._dates, wall)
            found += self._dates[max(0, index - 1) : index]
            if not found:
                return None
            wall = max(found)
            if not self._is_excluded(wall):
                return wall
        return None

    def _is_excluded(self, wall: int) -> bool:
        return wall in self._excluded or any(rule.after(wall - 1) == wall for rule in self._exclusions)


_LAST_WALL: Final = 253_402_300_799


def _seconds(moment: datetime) -> int:
    return (moment - WALL_EPOCH) // _SECOND


def _check(parts: dict[str, str]) -> None:
    """Refuse numbers out of range, on which dateutil would loop or never match."""
    for name, (low, high) in _RANGES.items():
        for text in parts[name].split(",") if name in parts else ():
            digits = text.lstrip("+-") if name in _COUNTED_BACKWARDS else text
            if not (digits.isascii() and digits.isdigit() and len(digits) < 10 and low <= int(digits) <= high):
                signed = " (or counted from the end, with -)" if name in _COUNTED_BACKWARDS else ""
                raise RRuleSyntaxError(f"{name} is {low} to {high}{signed}, not {text[:20]!r}")
    if "BYMONTH" in parts and "BYMONTHDAY" in parts:
        longest = max(_DAYS_IN_MONTHS[int(month) - 1] for month in parts["BYMONTH"].split(","))
        if all(abs(int(day)) > longest for day in parts["BYMONTHDAY"].split(",")):
            raise RRuleSyntaxError(f"no such month has a day {parts['BYMONTHDAY'][:40]}")


def _explicit(parts: dict[str, str], start: datetime) -> dict[str, str]:
    """The parts, with what a rule takes from its beginning where it does not say it written out."""
    rank = _RANK.index(parts["FREQ"])
    said = dict(parts)
    if not any(name in parts for name in _DAY_PARTS):
        if parts["FREQ"] == "YEARLY":
            said.setdefault("BYMONTH", str(start.month))
        if parts["FREQ"] in ("YEARLY", "MONTHLY"):
            said["BYMONTHDAY"] = str(start.day)
        elif parts["FREQ"] == "WEEKLY":
            said["BYDAY"] = _WEEKDAYS[start.weekday()]
    for place, (name, value) in enumerate(
        (("BYHOUR", start.hour), ("BYMINUTE", start.minute), ("BYSECOND", start.second))
    ):
        if rank < 4 + place:
            said.setdefault(name, str(value))
    return said
