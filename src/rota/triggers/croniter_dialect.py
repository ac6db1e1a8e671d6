"""Expressions that come from croniter: rewritten to Rota's syntax, and compared with croniter's own reading.

Law: croniter is a second opinion here, never the authority for a tick. What the two read differently is refused, so
that no upgrade of a dependency moves an instant. Works with croniter 6 and 7.

croniter puts the second last and may add a year; it writes ``L5`` for the last Friday and ``W15`` beside ``15W``; and
it joins the two day fields by ``day_or`` alone, whatever their text starts with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from rota.errors import ConfigurationError
from rota.triggers.base import Trigger
from rota.triggers.cron_syntax import DayMatch
from rota.triggers.cron_table import Times

IN_A_ROW: Final = 20
"""Instants that are compared whatever the text looks like; days and times are compared apart from each other."""

_SECOND: Final = timedelta(seconds=1)
_LAST_OF_DAY: Final = timedelta(days=1) - timedelta(microseconds=1)
_START: Final = datetime(2024, 1, 1, tzinfo=UTC) - _SECOND


def converted(text: str, day_or: bool) -> tuple[str, bool, DayMatch | None]:
    """The expression in Rota's syntax, whether it has seconds, and its ``day_match`` where the text does not say."""
    if not isinstance(text, str):
        raise ConfigurationError(f"a cron expression is text, not {type(text).__name__}")
    words = text.upper().split()
    if len(words) == 7 and words[6] == "*":
        words.pop()
    if len(words) == 7:
        raise ConfigurationError(f"{text[:100]!r} names a year: say it with Within(trigger, start, end)")
    if any(item[:1] in ("H", "R") for word in words for item in word.split(",")):
        raise ConfigurationError(
            f"{text[:100]!r} has a hashed or random field: Rota's H picks other values than croniter's"
        )
    seconds = len(words) == 6
    if seconds:
        words = [words[5], *words[:5]]
    elif len(words) != 5:
        return text, False, None
    words[-3] = ",".join(_day(item) for item in words[-3].split(","))
    words[-1] = ",".join(_weekday(item) for item in words[-1].split(","))
    return " ".join(words).lower(), seconds, _day_match(words[-3], words[-1], day_or)


def _day(item: str) -> str:
    return f"{item[1:]}W" if item[:1] == "W" and item[1:].isdigit() else item


def _weekday(item: str) -> str:
    return f"{item[1:]}L" if item[:1] == "L" and item[1:].isdigit() else item


def _day_match(days: str, weekdays: str, day_or: bool) -> DayMatch | None:
    """How the day fields combine, where it is not what Rota takes it to be."""
    if days in ("*", "?") or weekdays in ("*", "?"):
        return None
    by_text = not (days[0] == "*" or weekdays[0] == "*")
    return None if by_text == day_or else ("or" if day_or else "and")


def check_against_croniter(trigger: Trigger, times: Times, text: str, day_or: bool) -> None:
    """Compare with croniter's reading of ``text`` in UTC; ``ConfigurationError`` where they differ. ``times`` are those
    of the trigger."""
    from croniter import croniter

    day_text = _day_text(text)
    try:
        read = croniter.expand(text)[0]
        instants = _instants(text, _START, IN_A_ROW, day_or)
        days = [(start, _instants(day_text, start, count, day_or)) for start, count in _samples() if day_text]
    except Exception as error:  # noqa: BLE001  # croniter raises many sorts for what it cannot read
        raise ConfigurationError(f"croniter cannot read {text[:100]!r}: {error}") from None
    found = _START
    for instant in instants:
        ours = trigger.next_after(found)
        if ours is None or ours != instant:
            raise ConfigurationError(_differs(text, found, instant, ours))
        found = ours
    for start, midnights in days:
        found = start
        for midnight in midnights:
            ours = trigger.next_after(found)
            if ours is None or ours.date() != midnight.date():
                raise ConfigurationError(_differs(text, found, midnight, ours))
            found = midnight + _LAST_OF_DAY
    _check_times(times, _times(read), text)


def _day_text(text: str) -> str:
    """The expression for the midnights of its days; empty for a macro."""
    words = text.split()
    return " ".join(["0 0", *words[2:5]]) if len(words) >= 5 else ""


def _instants(text: str, start: datetime, count: int, day_or: bool) -> list[datetime]:
    from croniter import croniter

    theirs = croniter(text, start, day_or=day_or)
    return [theirs.get_next(datetime) for _ in range(count)]


def _differs(text: str, found: datetime, theirs: datetime, ours: datetime | None) -> str:
    return (
        f"croniter reads {text[:100]!r} otherwise: after {found.isoformat()} it runs at {theirs.isoformat()}, and by"
        f" Rota's rules at {ours.isoformat() if ours else 'no time'}"
    )


def _times(read: Sequence[Sequence[object]]) -> Times:
    """The times that croniter has read: its fields are minute, hour, three for the day, and perhaps second."""
    minutes, hours = _values(read[0], 60), _values(read[1], 24)
    seconds = _values(read[5], 60) if len(read) > 5 else [0]
    return sum(1 << second for second in seconds), sum(1 << 60 * hour + minute for hour in hours for minute in minutes)


def _values(field: Sequence[object], size: int) -> list[int]:
    return list(range(size)) if list(field) == ["*"] else [value for value in field if isinstance(value, int)]


def _check_times(ours: Times, theirs: Times, text: str) -> None:
    """All times of a day, however rare the days are."""
    for unit, one, other in zip(("second", "minute of the day"), ours, theirs, strict=True):
        if one != other:
            first = ((one ^ other) & -(one ^ other)).bit_length() - 1
            who, whose = ("Rota", "croniter's") if one >> first & 1 else ("croniter", "Rota's")
            raise ConfigurationError(
                f"croniter reads {text[:100]!r} otherwise: {unit} {first} is a time of it to {who}, and not by {whose}"
                " rules"
            )


def _samples() -> Iterator[tuple[datetime, int]]:
    """From when, and how many days in a row: a long run, every month of two leap cycles."""
    yield _START, 150
    for month in range(96):
        yield datetime(2024 + month // 12, month % 12 + 1, 1 + month % 28, tzinfo=UTC) - _SECOND, 2
