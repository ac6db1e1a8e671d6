"""Recurrence text to rules: zones and UNTIL settled, so that what is left for dateutil is naive.

Law: a rule is walked in one frame, the zone's wall time or (by the hour and finer) UTC, and every date that goes with
it (DTSTART, UNTIL, RDATE, EXDATE) is brought into that frame here. dateutil reads the rules; its time zones are never
used.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError, RRuleSyntaxError
from rota.triggers.base import WALL_EPOCH, to_micros
from rota.triggers.rrule_walk import Rule, RuleSet
from rota.triggers.wall_clock import wall_clock
from rota.triggers.zones import UTC_KEY, parse_iso, zone, zone_key

if TYPE_CHECKING:
    import dateutil.rrule

LONGEST: Final = 100_000
SUB_DAILY: Final = ("HOURLY", "MINUTELY", "SECONDLY")
FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", *SUB_DAILY)
_PROPERTIES: Final = ("DTSTART", "RRULE", "RDATE", "EXRULE", "EXDATE")


class Recurrence(RuleSet):
    """A set of rules with its frame: ``zone`` to walk in, ``shown_in``, and the zone the text names, if any."""

    __slots__ = ("named_zone", "shown_in", "start", "written", "zone")

    def __init__(self, frame: Frame, named_zone: str | None, lines: Lines) -> None:
        super().__init__(
            [_rule(value, frame) for value in lines.rules],
            [_rule(value, frame) for value in lines.exclusions],
            [frame.wall(moment) for moment in lines.dates],
            [frame.wall(moment) for moment in lines.excluded],
        )
        self.start = frame.start
        self.zone = frame.key
        self.shown_in = frame.written_key
        self.named_zone = named_zone
        self.written = lines


class Moment:
    """A date as written: its naive time, and the zone it names, if any."""

    __slots__ = ("key", "naive")

    def __init__(self, naive: datetime, key: str | None) -> None:
        self.naive = naive
        self.key = key


class Lines:
    """The properties of a recurrence, as written."""

    __slots__ = ("dates", "excluded", "exclusions", "rules", "start")

    def __init__(self) -> None:
        self.start: Moment | None = None
        self.rules: list[dict[str, str]] = []
        self.exclusions: list[dict[str, str]] = []
        self.dates: list[Moment] = []
        self.excluded: list[Moment] = []


class Frame:
    """Where a recurrence is walked (``key``), where naive dates are read (``written_key``), and its beginning."""

    __slots__ = ("key", "start", "written_key")

    def __init__(self, key: str, written_key: str, start: Moment) -> None:
        self.key = key
        self.written_key = written_key
        self.start = self.wall(start)

    def wall(self, moment: Moment) -> datetime:
        """A date as the naive time of this frame."""
        source = moment.key or self.written_key
        if source == self.key:
            return moment.naive
        return _wall_of(_instant_of(moment.naive, source), self.key)

    def until(self, moment: Moment) -> datetime:
        """The last wall time that is not after ``moment``, which in a fold may be told before it."""
        if (moment.key or self.written_key) == self.key:
            return moment.naive
        instant = _instant_of(moment.naive, moment.key or self.written_key)
        return WALL_EPOCH + timedelta(seconds=wall_clock(self.key).latest_wall_by(instant))


def read(text: str, start: str | None, tz: str | None) -> Recurrence:
    """The recurrence that ``text`` says, beginning at ``start``, in the zone ``tz``."""
    if len(text) > LONGEST:
        raise RRuleSyntaxError(f"{len(text)} characters are too many for a recurrence rule, {LONGEST} the most")
    lines = _lines(text)
    if start is not None:
        if lines.start is not None:
            raise ConfigurationError("the rule has a DTSTART already: leave start out")
        lines.start = _given(start)
    named = lines.start.key if lines.start is not None and start is None else None
    if tz is not None and named is not None and tz != named:
        raise ConfigurationError(f"the rule's DTSTART is in {named}, and tz is {tz}: name one zone")
    written = tz or named or UTC_KEY
    in_utc = [value["FREQ"] in SUB_DAILY for value in lines.rules + lines.exclusions]
    if any(in_utc) and not all(in_utc) and written != UTC_KEY:
        raise RRuleSyntaxError(
            "rules by the hour or finer are elapsed time; put the others into a trigger of their own"
        )
    frame = Frame(UTC_KEY if any(in_utc) else written, written, lines.start or Moment(WALL_EPOCH, None))
    return Recurrence(frame, named, lines)


def start_text(start: datetime | date | str) -> str:
    """A beginning as ISO text; aware ones in UTC."""
    if isinstance(start, str):
        start = parse_iso(start, "start")
    if not isinstance(start, date):
        raise ConfigurationError(f"start is a datetime, a date or ISO text, not {type(start).__name__}")
    if not isinstance(start, datetime):
        start = datetime.combine(start, time.min)
    if start.utcoffset() is None:
        return start.replace(microsecond=0, tzinfo=None).isoformat()
    return f"{_wall_of(to_micros(start) // 1_000_000, UTC_KEY).isoformat()}+00:00"


def rule_text(rule: dateutil.rrule.rrule | dateutil.rrule.rruleset) -> str:
    """The text of a dateutil object."""
    from rota.triggers.rrule_object import text_of

    return text_of(rule)


def _given(start: str) -> Moment:
    moment = datetime.fromisoformat(start)
    return Moment(moment.replace(tzinfo=None), None if moment.tzinfo is None else UTC_KEY)


def _lines(text: str) -> Lines:
    lines = Lines()
    for line in _unfolded(text):
        head, colon, value = line.rpartition(":") if line[:7].upper().startswith("DTSTART") else line.partition(":")
        if not colon:
            head, value = "RRULE", line
        name, *parameters = head.split(";")
        name = name.upper()
        if name == "RRULE":
            lines.rules.append(_parts(value))
        elif name == "EXRULE":
            lines.exclusions.append(_parts(value))
        elif name == "RDATE":
            lines.dates += _moments(value, parameters)
        elif name == "EXDATE":
            lines.excluded += _moments(value, parameters)
        elif name == "DTSTART":
            _set_start(lines, _moments(value, parameters))
        else:
            raise RRuleSyntaxError(f"unknown property {name[:20]!r}; there are {', '.join(_PROPERTIES)}")
    if not lines.rules and not lines.dates:
        raise RRuleSyntaxError("there is neither an RRULE nor an RDATE")
    return lines


def _set_start(lines: Lines, moments: list[Moment]) -> None:
    if lines.start is not None or len(moments) != 1:
        raise RRuleSyntaxError("a recurrence has one DTSTART")
    lines.start = moments[0]


def _unfolded(text: str) -> list[str]:
    """The lines, those continued by a leading blank joined."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if line[:1] in (" ", "\t") and lines and line.strip():
            lines[-1] += line.strip()
        elif line.strip():
            lines.append(line.strip())
    return lines


def _parts(value: str) -> dict[str, str]:
    """The parts of a rule in capitals, ``FREQ`` among them."""
    parts: dict[str, str] = {}
    for part in value.upper().rstrip(";").split(";"):
        name, equals, content = part.strip().partition("=")
        if not equals or not name or not content:
            raise RRuleSyntaxError(f"{part[:40]!r} is not NAME=VALUE")
        if name in parts:
            raise RRuleSyntaxError(f"{name[:20]} is there twice")
        parts[name] = content
    if parts.get("FREQ") not in FREQUENCIES:
        raise RRuleSyntaxError(f"FREQ is one of {', '.join(FREQUENCIES)}, not {parts.get('FREQ', 'nothing')[:20]}")
    if "COUNT" in parts and "UNTIL" in parts:
        raise RRuleSyntaxError("COUNT and UNTIL exclude each other")
    return parts


def _moments(value: str, parameters: list[str]) -> list[Moment]:
    key = None
    for parameter in parameters:
        name, _, content = parameter.partition("=")
        if name.upper() == "TZID":
            key = zone_key(content)
        elif name.upper() != "VALUE" or content.upper() not in ("DATE", "DATE-TIME"):
            raise RRuleSyntaxError(f"unknown parameter {parameter[:40]!r}")
    return [_moment(written.strip(), key) for written in value.split(",")]


def _moment(written: str, key: str | None) -> Moment:
    text = written.upper()
    in_utc = text.endswith("Z")
    if in_utc and key is not None:
        raise RRuleSyntaxError(f"{written[:40]!r} is in UTC, and TZID names {key}")
    try:
        naive = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        raise RRuleSyntaxError(f"{written[:40]!r} is not a date") from None
    if naive.tzinfo is not None:
        raise RRuleSyntaxError(f"{written[:40]!r}: RFC 5545 knows no offsets, but Z for UTC")
    return Moment(naive.replace(microsecond=0), UTC_KEY if in_utc else key)


def _rule(parts: dict[str, str], frame: Frame) -> Rule:
    settled = dict(parts)
    if "UNTIL" in parts:
        moment = _moment(parts["UNTIL"], None)
        # A date alone means its whole day.
        if "T" not in parts["UNTIL"]:
            moment = Moment(moment.naive.replace(hour=23, minute=59, second=59), None)
        settled["UNTIL"] = frame.until(moment).strftime("%Y%m%dT%H%M%S")
    return Rule(settled, frame.start)


def _instant_of(naive: datetime, key: str) -> int:
    """The instant of a wall time in whole seconds; of two the first, in a gap what the offset before it gives."""
    tz: ZoneInfo = zone(key)
    return to_micros(naive.replace(tzinfo=tz, fold=0)) // 1_000_000


def _wall_of(second: int, key: str) -> datetime:
    return WALL_EPOCH + timedelta(seconds=wall_clock(key).wall_at(second))
