"""The text of a rule that was built with dateutil's classes.

Law: the text says what the object does, zones included; an object that no text can say is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError

if TYPE_CHECKING:
    from dateutil.rrule import rrule


def text_of(rule: object) -> str:
    """The RFC 5545 text of a ``dateutil.rrule.rrule`` or ``rruleset``."""
    from dateutil.rrule import rrule, rruleset

    if isinstance(rule, rrule):
        return "\n".join(_rule_lines(rule, "RRULE"))
    if not isinstance(rule, rruleset):
        raise ConfigurationError(f"RRule takes text or a dateutil rule, not {type(rule).__name__}")
    lines = [line for each in _rules(rule, "_rrule") for line in _rule_lines(each, "RRULE")]
    lines += [line for each in _rules(rule, "_exrule") for line in _rule_lines(each, "EXRULE")]
    starts = {line for line in lines if line.startswith("DTSTART")}
    if len(starts) > 1:
        raise ConfigurationError("the rules of the set begin at different times: make a trigger of each, joined with |")
    rest = [line for line in lines if not line.startswith("DTSTART")]
    rest += [f"RDATE:{_written(moment)}" for moment in _dates(rule, "_rdate")]
    rest += [f"EXDATE:{_written(moment)}" for moment in _dates(rule, "_exdate")]
    return "\n".join([*starts, *rest])


def _inner(rule: object, name: str) -> object:
    """An attribute that dateutil keeps to itself and offers no other way to."""
    found: object = getattr(rule, name)
    return found


def _rules(rules: object, name: str) -> list[object]:
    return cast("list[object]", _inner(rules, name))


def _dates(rules: object, name: str) -> list[datetime]:
    return cast("list[datetime]", _inner(rules, name))


def _rule_lines(rule: object, name: str) -> list[str]:
    """DTSTART and the rule; dateutil's own text leaves the zones out."""
    start = cast("datetime", _inner(rule, "_dtstart"))
    until = cast("datetime | None", _inner(rule, "_until"))
    naive = cast("rrule", rule).replace(dtstart=start.replace(tzinfo=None), until=None)
    text = str(naive).splitlines()[-1].partition(":")[2]
    if until is not None:
        text += f";UNTIL={_written(until)}"
    return [_start_line(start), f"{name}:{text}"]


def _start_line(start: datetime) -> str:
    if start.tzinfo is None or _is_utc(start):
        return f"DTSTART:{_written(start)}"
    if isinstance(start.tzinfo, ZoneInfo) and start.tzinfo.key is not None:
        return f"DTSTART;TZID={start.tzinfo.key}:{_written(start.replace(tzinfo=None))}"
    raise ConfigurationError(f"a rule in {start.tzinfo!r}: use a ZoneInfo with a key, or a naive rule and tz")


def _is_utc(moment: datetime) -> bool:
    return moment.tzinfo is UTC or moment.tzname() == "UTC"


def _written(moment: datetime) -> str:
    if moment.tzinfo is None:
        return moment.strftime("%Y%m%dT%H%M%S")
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
