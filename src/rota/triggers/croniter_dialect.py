"""Expressions that come from croniter: rewritten to Rota's syntax, and compared with croniter's own reading.

Law: croniter is a second opinion here, never the authority for a tick. What the two read differently is refused, so
that no upgrade of a dependency moves an instant. Works with croniter 6 and 7.

croniter puts the second last and may add a year; it writes ``L5`` for the last Friday and ``W15`` beside ``15W``; and
it joins the two day fields by ``day_or`` alone, whatever their text starts with.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from rota.errors import ConfigurationError
from rota.triggers.base import Trigger
from rota.triggers.cron_syntax import DayMatch

_SECOND: Final = timedelta(seconds=1)


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


def check_against_croniter(trigger: Trigger, text: str, day_or: bool) -> None:
    """Compare with croniter's reading of ``text`` in UTC; ``ConfigurationError`` where they differ."""
    from croniter import croniter

    for start, count in _samples():
        try:
            theirs = croniter(text, start, ret_type=datetime, day_or=day_or)
            expected = [theirs.get_next(datetime) for _ in range(count)]
        except Exception as error:  # noqa: BLE001  # croniter raises many sorts for what it cannot read
            raise ConfigurationError(f"croniter cannot read {text[:100]!r}: {error}") from None
        found = start
        for instant in expected:
            ours = trigger.next_after(found)
            if ours is None or ours != instant:
                raise ConfigurationError(
                    f"croniter reads {text[:100]!r} otherwise: after {found.isoformat()} it runs at "
                    f"{instant.isoformat()}, and by Rota's rules at {ours.isoformat() if ours else 'no time'}"
                )
            found = ours


def _samples() -> Iterator[tuple[datetime, int]]:
    """From when, and how many in a row: a long run, every hour of a day, every month of two leap cycles."""
    yield datetime(2024, 1, 1, tzinfo=UTC) - _SECOND, 150
    for hour in range(24):
        yield datetime(2025, 6, 10, hour, (hour * 7) % 60, hour, tzinfo=UTC), 2
    for month in range(96):
        yield datetime(2024 + month // 12, month % 12 + 1, 1 + month % 28, tzinfo=UTC) - _SECOND, 2
