"""Days of a year as bits of one integer, for the fourteen sorts of year there are.

Law: bit 0 is 1 January. A year's *shape* is its length and the weekday it begins on; whatever a cron day field means
depends on nothing else, so that a mask made once per shape holds for all years, and whatever repeats does so within
these fourteen. Weekdays are counted as in cron: Sunday is 0. Days are counted from 1970-01-01, a Thursday.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final, NamedTuple

EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
FIRST_DAY: Final = 1 - EPOCH_ORDINAL
LAST_DAY: Final = date.max.toordinal() - EPOCH_ORDINAL

_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WEEKLY: Final = sum(1 << day for day in range(0, 378, 7))
_MEMO_LIMIT: Final = 4096


class Shape:
    """One sort of year: ``length`` in days, ``first_weekday`` of 1 January, ``months`` as (first day, length)."""

    __slots__ = ("_memo", "all_days", "first_weekday", "index", "length", "month_masks", "months")

    def __init__(self, leap: bool, first_weekday: int) -> None:
        self.index = first_weekday + 7 * leap
        self.length = 365 + leap
        self.first_weekday = first_weekday
        self.all_days = (1 << self.length) - 1
        self.months: list[tuple[int, int]] = []
        start = 0
        for number, usual in enumerate(_LENGTHS):
            length = usual + (leap and number == 1)
            self.months.append((start, length))
            start += length
        self.month_masks = [((1 << length) - 1) << start for start, length in self.months]
        self._memo: dict[tuple[str, int, int], int] = {}

    def weekday(self, weekday: int) -> int:
        """All days of this weekday."""
        return (_WEEKLY << (weekday - self.first_weekday) % 7) & self.all_days

    def special(self, kind: str, number: int, nth: int = 0) -> int:
        """The days that ``kind`` picks, one or none in each month; see ``SPECIAL``."""
        key = (kind, number, nth)
        found = self._memo.get(key)
        if found is None:
            pick = SPECIAL[kind]
            found = 0
            for start, length in self.months:
                day = pick((self.first_weekday + start) % 7, length, number, nth)
                if day is not None:
                    found |= 1 << (start + day - 1)
            self._memo[key] = found
        return found


def _last_working_day(first_weekday: int, length: int) -> int:
    weekday = (first_weekday + length - 1) % 7
    return length - {0: 2, 6: 1}.get(weekday, 0)


def _nearest_working_day(first_weekday: int, length: int, day: int) -> int | None:
    """The Monday to Friday nearest to ``day``, without leaving the month."""
    if day > length:
        return None
    weekday = (first_weekday + day - 1) % 7
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < length else day - 2
    return day


def _nth_weekday(first_weekday: int, length: int, weekday: int, nth: int) -> int | None:
    day = 1 + (weekday - first_weekday) % 7 + 7 * (nth - 1)
    return day if day <= length else None


def _last_weekday(first_weekday: int, length: int, weekday: int) -> int:
    return length - (first_weekday + length - 1 - weekday) % 7


Pick = Callable[[int, int, int, int], int | None]

SPECIAL: Final[dict[str, Pick]] = {
    "day": lambda _first, length, day, _nth: day if day <= length else None,
    "L": lambda _first, length, _number, _nth: length,
    "LW": lambda first, length, _number, _nth: _last_working_day(first, length),
    "W": lambda first, length, day, _nth: _nearest_working_day(first, length, day),
    "#": _nth_weekday,
    "dL": lambda first, length, weekday, _nth: _last_weekday(first, length, weekday),
}
"""From (weekday of the 1st, length of the month, number, nth) to the day of the month, or ``None``."""

SHAPES: Final = tuple(Shape(leap, weekday) for leap in (False, True) for weekday in range(7))
"""All fourteen, at the place of their ``index``."""


class Year(NamedTuple):
    """A year as days since the epoch: ``start`` to ``end`` (exclusive)."""

    start: int
    end: int
    shape: Shape
    number: int


_years: dict[int, Year] = {}
_asked_last = Year(0, 0, SHAPES[0], 0)
"""Most days asked for are of one year."""


def year_of(day: int) -> Year | None:
    """The year that holds the day, counted from 1970-01-01; ``None`` outside the years 1 to 9999."""
    global _asked_last  # noqa: PLW0603  # a memo, replaced whole: safe in threads
    last = _asked_last
    if last[0] <= day < last[1]:
        return last
    if not FIRST_DAY <= day <= LAST_DAY:
        return None
    number = date.fromordinal(day + EPOCH_ORDINAL).year
    found = _years.get(number)
    if found is None:
        if len(_years) >= _MEMO_LIMIT:
            _years.clear()
        start = date(number, 1, 1).toordinal() - EPOCH_ORDINAL
        leap = number % 4 == 0 and (number % 100 != 0 or number % 400 == 0)
        found = _years[number] = Year(start, start + 365 + leap, SHAPES[(start + 4) % 7 + 7 * leap], number)
    _asked_last = found
    return found


def year_after(year: Year) -> Year | None:
    """The next one; ``None`` after the year 9999."""
    return _years.get(year.number + 1) or year_of(year.end)
