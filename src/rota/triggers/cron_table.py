"""A cron expression as integers: which wall times it names, and the next and the previous of them.

Law: naive wall time only; no zone, no class of job, no gap or fold. A table belongs to an expression and is shared by
all triggers of it, in whatever zone. The minutes of a day are the bits of one integer, so are the seconds of a minute
and the days of a year; the next one is a shift and the lowest bit that is left. What a table remembers (the masks of
years it has seen) changes no answer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rota.triggers.year_days import FIRST_DAY, LAST_DAY, SHAPES, Shape, year_after, year_of

DAY: Final = 86_400

Special = tuple[str, int, int]
"""A day rule that differs from month to month: its kind, number and nth; see ``year_days.SPECIAL``."""


Values = tuple[int, tuple[Special, ...]]
"""What a field says: its plain values as bits, and its special day rules."""

Times = tuple[int, int]
"""The seconds of a minute and the minutes of a day, as bits."""

_DAYS_OF_EVERY_MONTH: Final = (1 << 29) - 2
_ALL_MONTHS: Final = (1 << 13) - 2


class DayRule:
    """Which days: months as bits, and the two day fields (``None``: no restriction), joined by OR or by AND."""

    __slots__ = ("days", "either", "months", "weekdays")

    def __init__(
        self,
        months: int,
        days: Values | None,
        weekdays: Values | None,
        either: bool,
    ) -> None:
        self.months = months
        self.days = days
        self.weekdays = weekdays
        self.either = either

    @property
    def plainly_possible(self) -> bool:
        """Whether one look shows that there are such days; the masks tell where it does not."""
        every_month = self.days is None or bool(self.days[0] & _DAYS_OF_EVERY_MONTH)
        return every_month and (self.weekdays is None or self.either or (self.days is None and self.weekdays[0] > 0))

    def mask(self, shape: Shape) -> int:
        """The days of a year of this shape."""
        mask = shape.all_days
        if self.days is not None and self.weekdays is not None and self.either:
            mask &= _dates(shape, *self.days) | _weekdays(shape, *self.weekdays)
        else:
            if self.days is not None:
                mask &= _dates(shape, *self.days)
            if self.weekdays is not None:
                mask &= _weekdays(shape, *self.weekdays)
        if self.months != _ALL_MONTHS:
            mask &= sum(shape.month_masks[month - 1] for month in bits_of(self.months))
        return mask


def _dates(shape: Shape, days: int, special: tuple[Special, ...]) -> int:
    mask = 0
    for day in bits_of(days):
        mask |= shape.special("day", day)
    for rule in special:
        mask |= shape.special(*rule)
    return mask


def _weekdays(shape: Shape, weekdays: int, special: tuple[Special, ...]) -> int:
    mask = 0
    for weekday in bits_of(weekdays):
        mask |= shape.weekday(weekday)
    for rule in special:
        mask |= shape.special(*rule)
    return mask


def bits_of(mask: int) -> list[int]:
    """The numbers of the bits that are set, in order."""
    found = []
    while mask:
        lowest = mask & -mask
        found.append(lowest.bit_length() - 1)
        mask ^= lowest
    return found


@lru_cache(maxsize=1024)
def _starts(hours: int) -> int:
    """Where the hours begin, at sixty bits each: times the minutes of an hour, these are the minutes of the day."""
    return sum(1 << 60 * hour for hour in bits_of(hours))


class CronTable:
    """The wall times of one expression."""

    __slots__ = ("_first_minute", "_first_second", "_masks", "_minutes", "_recent", "_rule", "_seconds")

    def __init__(self, seconds: int, minutes: int, hours: int, rule: DayRule) -> None:
        self._seconds = seconds
        self._minutes = minutes * _starts(hours)
        self._rule = rule
        self._first_second = (seconds & -seconds).bit_length() - 1
        self._first_minute = (self._minutes & -self._minutes).bit_length() - 1
        self._masks: list[int | None] = [None] * len(SHAPES)
        # The year last looked at: its first day, the day after its last, its mask.
        self._recent = (0, 0, 0)

    @property
    def times(self) -> Times:
        """The times of each of its days."""
        return self._seconds, self._minutes

    @property
    def names_a_day(self) -> bool:
        """Whether there is any day at all, in any year."""
        return any(self._mask(shape) for shape in SHAPES)

    def next_wall(self, wall: int) -> int | None:
        """The first wall time strictly later, in seconds; ``None`` after the year 9999."""
        minute = wall // 60
        if self._seconds == 1:
            minute += 1
        else:
            later = self._seconds >> (wall % 60 + 1) << (wall % 60 + 1)
            if later and self._has_minute(minute):
                return minute * 60 + (later & -later).bit_length() - 1
            minute += 1
        day, of_day = divmod(minute, 1440)
        low, high, mask = self._recent
        if low <= day < high:
            days = mask >> (day - low)
            if days & 1:
                rest = self._minutes >> of_day
                if rest:
                    return (minute + (rest & -rest).bit_length() - 1) * 60 + self._first_second
                days -= 1
            if days:
                day += (days & -days).bit_length() - 1
                return day * DAY + self._first_minute * 60 + self._first_second
        elif self._has_day(day):
            rest = self._minutes >> of_day
            if rest:
                return (minute + (rest & -rest).bit_length() - 1) * 60 + self._first_second
        found = self._day_after(day)
        return None if found is None else found * DAY + self._first_minute * 60 + self._first_second

    def previous_wall(self, wall: int) -> int | None:
        """The last wall time strictly earlier, in seconds; ``None`` before the year 1."""
        minute, second = divmod(wall, 60)
        earlier = self._seconds & ((1 << second) - 1)
        if earlier and self._has_minute(minute):
            return minute * 60 + earlier.bit_length() - 1
        last_second = self._seconds.bit_length() - 1
        day, of_day = divmod(minute, 1440)
        if self._has_day(day):
            rest = self._minutes & ((1 << of_day) - 1)
            if rest:
                return day * DAY + (rest.bit_length() - 1) * 60 + last_second
        found = self._day_before(day)
        return None if found is None else found * DAY + (self._minutes.bit_length() - 1) * 60 + last_second

    def _has_minute(self, minute: int) -> bool:
        day, of_day = divmod(minute, 1440)
        return bool(self._minutes >> of_day & 1) and self._has_day(day)

    def _has_day(self, day: int) -> bool:
        low, high, mask = self._recent
        if low <= day < high:
            return bool(mask >> (day - low) & 1)
        year = year_of(day)
        if year is None:
            return False
        mask = self._mask(year.shape)
        self._recent = (year.start, year.end, mask)
        return bool(mask >> (day - year.start) & 1)

    def _day_after(self, day: int) -> int | None:
        day = max(day + 1, FIRST_DAY)
        year = year_of(day)
        while year is not None:
            mask = self._mask(year.shape)
            days = mask >> (day - year.start)
            if days:
                self._recent = (year.start, year.end, mask)
                return day + (days & -days).bit_length() - 1
            day, year = year.end, year_after(year)
        return None

    def _day_before(self, day: int) -> int | None:
        day = min(day - 1, LAST_DAY)
        while (year := year_of(day)) is not None:
            days = self._mask(year.shape) & ((2 << (day - year.start)) - 1)
            if days:
                return year.start + days.bit_length() - 1
            day = year.start - 1
        return None

    def _mask(self, shape: Shape) -> int:
        mask = self._masks[shape.index]
        if mask is None:
            mask = self._masks[shape.index] = self._rule.mask(shape)
        return mask
