"""English for months, lists, numbers, spans and moments, as the sentences of ``describe`` need it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
"""The first month is at 0."""

_UNITS: Final = (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


def listed(words: Sequence[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``4th`` …"""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def span(step: timedelta) -> str:
    """A length of time after "every": ``5 minutes``, ``hour``."""
    seconds = step.total_seconds()
    for unit, size in _UNITS:
        if seconds % size == 0 and (unit != "week" or seconds >= size):
            return every(int(seconds // size), unit)
    return f"{seconds:g} seconds"


def every(count: int, unit: str) -> str:
    """What follows "every": ``minute``, ``5 minutes``."""
    return unit if count == 1 else f"{count} {unit}s"


def moment(instant: datetime) -> str:
    """An aware datetime, to the minute where that says it all."""
    shown = instant.strftime("%Y-%m-%d %H:%M") if not (instant.second or instant.microsecond) else ""
    return f"{shown or instant.replace(tzinfo=None).isoformat(' ')} {instant.tzname()}"
