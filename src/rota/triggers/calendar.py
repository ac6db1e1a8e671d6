"""The calendar trigger: every so many years, months, weeks or days, at a wall time.

Law: the n-th date is counted from the anchor, never from the date before it (31 January, 29 February, 31 March). There
is none before the anchor. Gaps and folds are those of a fixed job; ``wall_clock`` knows them.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import ClassVar, Final, Literal, get_args
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError
from rota.peer_words import ZONE_WORDS
from rota.spelling import corrects_names
from rota.triggers.base import Micros, Trigger
from rota.triggers.wall_clock import FIXED, Fold, Gap, Policy, WallClock, policy, wall_clock
from rota.triggers.words import every, listed, ordinal
from rota.triggers.year_days import EPOCH_ORDINAL, LAST_DAY
from rota.triggers.zones import UTC_KEY, zone_key

DAY: Final = 86_400
MonthEnd = Literal["clamp", "skip"]
MONTH_ENDS: Final[tuple[str, ...]] = get_args(MonthEnd)
_EPOCH_DATE: Final = date(1970, 1, 1)
_EPOCH_MONDAY: Final = date(1969, 12, 29)
_DAYS_IN_400_YEARS: Final = 146_097
_MONTHS_IN_400_YEARS: Final = 4800
_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Calendar(Trigger):
    """Every so many years, months, weeks and days, at the wall time ``at``, counted from the date ``anchor``.

    ``at`` is ``"HH:MM"``, ``"HH:MM:SS"`` or a ``datetime.time``. ``anchor`` is a date or its ISO text; left out,
    1970-01-01, and for weeks alone Monday 1969-12-29. ``month_end``: a date that a month lacks is its last day
    (``"clamp"``) or no date (``"skip"``). ``tz``, ``dst_gap``, ``dst_fold`` as for ``Cron``. Raises
    ``ConfigurationError``, ``UnknownTimeZoneError``.
    """

    __slots__ = (
        "_clock",
        "_dates",
        "_policy",
        "anchor",
        "at",
        "days",
        "dst_fold",
        "dst_gap",
        "month_end",
        "months",
        "tz",
        "weeks",
        "years",
    )

    kind: ClassVar[str] = "calendar"

    years: int
    months: int
    weeks: int
    days: int
    at: time
    anchor: date | None
    tz: str | None
    month_end: MonthEnd
    dst_gap: Gap | None
    dst_fold: Fold | None
    _dates: CalendarDates
    _policy: Policy
    _clock: WallClock

    @corrects_names("Calendar", ZONE_WORDS)
    def __init__(
        self,
        *,
        years: int = 0,
        months: int = 0,
        weeks: int = 0,
        days: int = 0,
        at: str | time = "00:00",
        anchor: date | str | None = None,
        tz: str | ZoneInfo | None = None,
        month_end: MonthEnd = "clamp",
        dst_gap: Gap | None = None,
        dst_fold: Fold | None = None,
    ) -> None:
        steps = {"years": years, "months": months, "weeks": weeks, "days": days}
        for name, value in steps.items():
            _set_count(self, name, value)
        if not any(steps.values()):
            raise ConfigurationError("a Calendar needs a step: years, months, weeks or days")
        if month_end not in MONTH_ENDS:
            raise ConfigurationError(f"month_end is 'clamp' or 'skip', not {month_end!r}")
        key = zone_key(tz)
        start = None if anchor is None else _date(anchor)
        wall = _time(at)
        default = _EPOCH_MONDAY if not (years or months or days) else _EPOCH_DATE
        dates = CalendarDates(
            start or default,
            years * 12 + months,
            weeks * 7 + days,
            wall.hour * 3600 + wall.minute * 60 + wall.second,
            month_end == "clamp",
        )
        fields: dict[str, object] = {"at": wall, "anchor": start, "tz": key, "month_end": month_end, "dst_gap": dst_gap}
        fields |= {"dst_fold": dst_fold, "_dates": dates, "_policy": policy(FIXED, dst_gap, dst_fold)}
        fields["_clock"] = wall_clock(key or UTC_KEY)
        for name, field in fields.items():
            object.__setattr__(self, name, field)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of ``at``."""
        return self._clock.zone

    def next_tick(self, after: Micros) -> Micros | None:
        """The first tick strictly later than ``after``; ``None`` if there is none."""
        return self._clock.next_tick(self._dates, after, self._policy)

    def previous_tick(self, before: Micros) -> Micros | None:
        """The last tick strictly earlier than ``before``; ``None`` if there is none."""
        return self._clock.previous_tick(self._dates, before, self._policy)

    def in_zone(self, tz: ZoneInfo) -> Calendar:
        """This trigger in ``tz``."""
        return Calendar(
            years=self.years,
            months=self.months,
            weeks=self.weeks,
            days=self.days,
            at=self.at,
            anchor=self.anchor,
            tz=tz,
            month_end=self.month_end,
            dst_gap=self.dst_gap,
            dst_fold=self.dst_fold,
        )

    def zones(self) -> frozenset[str]:
        """The zone, if one was named."""
        return frozenset() if self.tz is None else frozenset((self.tz,))

    def describe(self) -> str:
        """What it means, in one plain English sentence."""
        units = (("year", self.years), ("month", self.months), ("week", self.weeks), ("day", self.days))
        step = listed([every(count, unit) for unit, count in units if count])
        counted = f", counted from {self.anchor.isoformat()}" if self.anchor else ""
        return f"Every {step}{self._month_end_words()} at {_shown(self.at)}{counted}, {self._clock.key}."

    def _month_end_words(self) -> str:
        day = self.anchor.day if self.anchor else 1
        if day < 29 or not (self.years or self.months):
            return ""
        otherwise = "or the last day of a shorter month" if self.month_end == "clamp" else "in months that have it"
        return f" on the {ordinal(day)} ({otherwise})"

    def arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and keyword arguments that build an equal trigger."""
        options = {
            "years": self.years or None,
            "months": self.months or None,
            "weeks": self.weeks or None,
            "days": self.days or None,
            "at": _shown(self.at),
            "anchor": self.anchor.isoformat() if self.anchor else None,
            "tz": self.tz,
            "month_end": self.month_end if self.month_end != "clamp" else None,
            "dst_gap": self.dst_gap,
            "dst_fold": self.dst_fold,
        }
        return (), {name: value for name, value in options.items() if value is not None}


class CalendarDates:
    """The wall times of a calendar step: n times ``months``, then n times ``days``, after the ``anchor``.

    ``of_day`` is the second of the day. The n-th date grows with n, so that it is found by an estimate and a look at
    its neighbours.
    """

    __slots__ = ("anchor", "anchor_day", "clamp", "days", "months", "of_day")

    def __init__(self, anchor: date, months: int, days: int, of_day: int, clamp: bool) -> None:
        self.anchor = anchor
        self.anchor_day = anchor.toordinal() - EPOCH_ORDINAL
        self.months = months
        self.days = days
        self.of_day = of_day
        self.clamp = clamp

    def next_wall(self, wall: int) -> int | None:
        """The first wall time strictly later, in seconds; ``None`` after the year 9999."""
        number = self._number_before((wall - self.of_day) // DAY)
        while True:
            day, exists = self._day(number)
            if day > LAST_DAY:
                return None
            if exists and day * DAY + self.of_day > wall:
                return day * DAY + self.of_day
            number += 1

    def previous_wall(self, wall: int) -> int | None:
        """The last wall time strictly earlier, in seconds; ``None`` before the anchor."""
        number = self._number_before((wall - self.of_day) // DAY) + 3
        while number >= 0:
            day, exists = self._day(number)
            if exists and day * DAY + self.of_day < wall and day <= LAST_DAY:
                return day * DAY + self.of_day
            number -= 1
        return None

    def _number_before(self, day: int) -> int:
        """An n whose date is not after ``day``, near to it, and not negative."""
        # By the mean length of a step over 400 years; no date is a whole month off it.
        mean = self.months * _DAYS_IN_400_YEARS + self.days * _MONTHS_IN_400_YEARS
        return max(0, (day - self.anchor_day) * _MONTHS_IN_400_YEARS // mean - 1)

    def _day(self, number: int) -> tuple[int, bool]:
        """The n-th date in days since the epoch (where a month lacks it, its last day), and whether it exists."""
        if not self.months:
            return self.anchor_day + number * self.days, True
        year, month = divmod(self.anchor.year * 12 + self.anchor.month - 1 + number * self.months, 12)
        if year > 9999:
            return LAST_DAY + 1, False
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        length = _LENGTHS[month] + (leap and month == 1)
        day = date(year, month + 1, min(self.anchor.day, length)).toordinal() - EPOCH_ORDINAL
        return day + number * self.days, self.clamp or self.anchor.day <= length


def _set_count(trigger: Calendar, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{name} is a whole number, 0 or more, not {value!r}")
    object.__setattr__(trigger, name, value)


def _date(value: date | str) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ConfigurationError(f"anchor is not an ISO date: {value[:60]!r}") from None
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ConfigurationError(f"anchor is a date, not {type(value).__name__}; the time of day is `at`")
    return value


def _time(value: str | time) -> time:
    if isinstance(value, str):
        digits = value.replace(":", "")
        if len(value) not in (5, 8) or not (digits.isascii() and digits.isdigit()):
            raise ConfigurationError(f"at is 'HH:MM' or 'HH:MM:SS', not {value[:60]!r}")
        try:
            value = time.fromisoformat(value)
        except ValueError:
            raise ConfigurationError(f"at is 'HH:MM' or 'HH:MM:SS', not {value!r}") from None
    if not isinstance(value, time):
        raise ConfigurationError(f"at is 'HH:MM' or a time, not {type(value).__name__}")
    if value.tzinfo is not None or value.microsecond:
        raise ConfigurationError("at is a naive time in whole seconds; the zone is tz")
    return value


def _shown(at: time) -> str:
    return at.isoformat("seconds" if at.second else "minutes")
