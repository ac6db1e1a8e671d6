"""Triggers made of triggers: any of several, within bounds, less some dates.

Law: a combination is again a set of instants, strictly increasing. Binding goes down to the parts.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import date, datetime
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError
from rota.spelling import corrects_names
from rota.triggers.base import (
    FIRST_INSTANT,
    LAST_INSTANT,
    SECOND,
    Json,
    Micros,
    Trigger,
    from_micros,
    to_micros,
)
from rota.triggers.wall_clock import wall_clock
from rota.triggers.words import moment
from rota.triggers.year_days import EPOCH_ORDINAL
from rota.triggers.zones import instant_of, zone

DAY: Final = 86_400

EXCLUDED_IN_A_ROW: Final = 3660
"""After so many ticks or days in a row that an open container excludes, there is no further tick."""


class AnyOf(Trigger):
    """The ticks of any of several triggers, each instant once."""

    __slots__ = ("triggers",)

    kind: ClassVar[str] = "any_of"

    triggers: tuple[Trigger, ...]

    def __init__(self, *triggers: Trigger) -> None:
        found: dict[Trigger, None] = {}
        for trigger in triggers:
            _check_trigger("AnyOf", trigger)
            found.update(dict.fromkeys(trigger.triggers if isinstance(trigger, AnyOf) else (trigger,)))
        if not found:
            raise ConfigurationError("AnyOf needs a trigger")
        object.__setattr__(self, "triggers", tuple(found))

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its triggers if they have one in common, else UTC."""
        keys = {trigger.zone.key for trigger in self.triggers}
        return self.triggers[0].zone if len(keys) == 1 else zone("UTC")

    def next_tick(self, after: Micros) -> Micros | None:
        """The first tick strictly later than ``after``; ``None`` if there is none."""
        ticks = [trigger.next_tick(after) for trigger in self.triggers]
        return min((tick for tick in ticks if tick is not None), default=None)

    def previous_tick(self, before: Micros) -> Micros | None:
        """The last tick strictly earlier than ``before``; ``None`` if there is none."""
        ticks = [trigger.previous_tick(before) for trigger in self.triggers]
        return max((tick for tick in ticks if tick is not None), default=None)

    def bind(self, tz: ZoneInfo, seed: str) -> AnyOf:
        """This trigger with each of its triggers bound."""
        bound = [trigger.bind(tz, seed) for trigger in self.triggers]
        unchanged = all(new is old for new, old in zip(bound, self.triggers, strict=True))
        return self if unchanged else AnyOf(*bound)

    def zones(self) -> frozenset[str]:
        """The names of the zones its triggers name."""
        return frozenset().union(*(trigger.zones() for trigger in self.triggers))

    def describe(self) -> str:
        """What it means, in one plain English sentence."""
        return f"{'; or '.join(_clause(trigger, later=index > 0) for index, trigger in enumerate(self.triggers))}."

    def signature(self) -> str:
        """A short text of the definition, from those of its triggers."""
        return f"any_of({'|'.join(trigger.signature() for trigger in self.triggers)})"

    def arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and keyword arguments that build an equal trigger."""
        return self.triggers, {}

    def to_json(self) -> dict[str, Json]:
        """The definition as JSON values."""
        return {"type": self.kind, "triggers": [trigger.to_json() for trigger in self.triggers]}


class Within(Trigger):
    """The ticks of a trigger from ``start`` (inclusive) to ``end`` (exclusive): aware datetimes or ISO text."""

    __slots__ = ("_end", "_start", "trigger")

    kind: ClassVar[str] = "within"
    positional: ClassVar[tuple[str, ...]] = ("trigger",)

    trigger: Trigger
    _start: Micros | None
    _end: Micros | None

    @corrects_names("Within")
    def __init__(
        self, trigger: Trigger, start: datetime | str | None = None, end: datetime | str | None = None
    ) -> None:
        _check_trigger("Within", trigger)
        first = None if start is None else to_micros(instant_of(start, "start"))
        limit = None if end is None else to_micros(instant_of(end, "end"))
        if first is not None and limit is not None and first >= limit:
            raise ConfigurationError(f"start is not before end: {start} and {end}")
        object.__setattr__(self, "trigger", trigger)
        object.__setattr__(self, "_start", first)
        object.__setattr__(self, "_end", limit)

    @property
    def start(self) -> datetime | None:
        """The first instant that is within, in UTC; ``None``: no bound."""
        return None if self._start is None else from_micros(self._start)

    @property
    def end(self) -> datetime | None:
        """The first instant that no longer is, in UTC; ``None``: no bound."""
        return None if self._end is None else from_micros(self._end)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its trigger."""
        return self.trigger.zone

    def next_tick(self, after: Micros) -> Micros | None:
        """The first tick strictly later than ``after``; ``None`` if there is none."""
        if self._end is not None and after >= self._end:
            return None
        tick = self.trigger.next_tick(after if self._start is None else max(after, self._start - 1))
        return None if tick is None or (self._end is not None and tick >= self._end) else tick

    def previous_tick(self, before: Micros) -> Micros | None:
        """The last tick strictly earlier than ``before``; ``None`` if there is none."""
        if self._start is not None and before <= self._start:
            return None
        tick = self.trigger.previous_tick(before if self._end is None else min(before, self._end))
        return None if tick is None or (self._start is not None and tick < self._start) else tick

    def bind(self, tz: ZoneInfo, seed: str) -> Within:
        """This trigger with its inner one bound."""
        bound = self.trigger.bind(tz, seed)
        return self if bound is self.trigger else Within(bound, self.start, self.end)

    def zones(self) -> frozenset[str]:
        """The names of the zones its trigger names."""
        return self.trigger.zones()

    def describe(self) -> str:
        """What it means, in one plain English sentence."""
        start = "" if self.start is None else f", from {moment(self.start.astimezone(self.zone))}"
        end = "" if self.end is None else f", until {moment(self.end.astimezone(self.zone))}"
        return f"{_clause(self.trigger)}{start}{end}."

    def signature(self) -> str:
        """A short text of the definition, from that of its trigger."""
        return f"within({self.trigger.signature()},{self._start},{self._end})"

    def arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and keyword arguments that build an equal trigger."""
        bounds = {"start": self.start, "end": self.end}
        return (self.trigger,), {name: bound.isoformat() for name, bound in bounds.items() if bound is not None}


class Excluding(Trigger):
    """The ticks of a trigger, but for those on some dates in its zone.

    ``dates`` is a container of ``date``. A list, tuple or set is copied (ISO text will do for a date) and is part of
    the value. Any other container (the holidays package's, say) is asked whether it holds a date, must not change
    its answers, and is not in JSON; if it excludes ``EXCLUDED_IN_A_ROW`` days or ticks in a row, there is no further
    tick.
    """

    __slots__ = ("dates", "trigger")

    kind: ClassVar[str] = "excluding"
    positional: ClassVar[tuple[str, ...]] = ("trigger", "dates")

    trigger: Trigger
    dates: Container[date]

    @corrects_names("Excluding")
    def __init__(self, trigger: Trigger, dates: Container[date] | Iterable[date | str]) -> None:
        _check_trigger("Excluding", trigger)
        if isinstance(dates, (list, tuple, set, frozenset)):
            dates = frozenset(_date(value) for value in dates)
        elif isinstance(dates, str | bytes | bytearray) or not isinstance(dates, Container):
            raise ConfigurationError(f"Excluding takes a container of dates, not {type(dates).__name__}")
        object.__setattr__(self, "trigger", trigger)
        object.__setattr__(self, "dates", dates)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its trigger, in which the dates are counted."""
        return self.trigger.zone

    def next_tick(self, after: Micros) -> Micros | None:
        """The first tick strictly later than ``after``; ``None`` if there is none."""
        tick = self.trigger.next_tick(after)
        for _ in range(self._patience()):
            if tick is None or (day := self._excluded_day(tick)) is None:
                return tick
            # The rest of the date is passed over at once, however many ticks it has.
            tick = self.trigger.next_tick(max(tick, self._start_of(day + 1) - 1))
        return None

    def previous_tick(self, before: Micros) -> Micros | None:
        """The last tick strictly earlier than ``before``; ``None`` if there is none."""
        tick = self.trigger.previous_tick(before)
        for _ in range(self._patience()):
            if tick is None or (day := self._excluded_day(tick)) is None:
                return tick
            tick = self.trigger.previous_tick(min(tick, self._start_of(day)))
        return None

    def _patience(self) -> int:
        """How many excluded ticks to look at; a date has two starts at most, so a set of them is exhausted."""
        known = 3 * len(self.dates) + 1 if isinstance(self.dates, frozenset) else 0
        return max(known, EXCLUDED_IN_A_ROW)

    def _excluded_day(self, tick: Micros) -> int | None:
        """The local date of the tick, in days since the epoch, if it is excluded."""
        day = wall_clock(self.zone.key).wall_at(tick // SECOND) // DAY
        try:
            local = date.fromordinal(day + EPOCH_ORDINAL)
        except (ValueError, OverflowError):
            return None
        return day if local in self.dates else None

    def _start_of(self, day: int) -> Micros:
        """The first instant of a local date, or where the date does not exist, the first after it."""
        start = wall_clock(self.zone.key).first_instant_from(day * DAY)
        return min(max(start * SECOND, FIRST_INSTANT), LAST_INSTANT)

    def bind(self, tz: ZoneInfo, seed: str) -> Excluding:
        """This trigger with its inner one bound."""
        bound = self.trigger.bind(tz, seed)
        return self if bound is self.trigger else Excluding(bound, self.dates)

    def zones(self) -> frozenset[str]:
        """The names of the zones its trigger names."""
        return self.trigger.zones()

    def describe(self) -> str:
        """What it means, in one plain English sentence."""
        return f"{_clause(self.trigger)}, except on {self._dates_words()}."

    def _dates_words(self) -> str:
        if not isinstance(self.dates, frozenset):
            return "the dates excluded"
        days = sorted(self.dates)
        if not days:
            return "no date"
        return ", ".join(day.isoformat() for day in days) if len(days) <= 5 else f"{len(days)} dates"

    def signature(self) -> str:
        """A short text of the definition, from that of its trigger; the dates are no part of it."""
        return f"excluding({self.trigger.signature()})"

    def arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and keyword arguments that build an equal trigger."""
        if isinstance(self.dates, frozenset):
            return (self.trigger, [day.isoformat() for day in sorted(self.dates)]), {}
        return (self.trigger, self.dates), {}

    def __hash__(self) -> int:
        return hash((Excluding, self.trigger))

    def to_json(self) -> dict[str, Json]:
        """The definition as JSON values; ``ConfigurationError`` if its dates cannot be listed."""
        if not isinstance(self.dates, frozenset):
            raise ConfigurationError(
                f"the dates of a {type(self.dates).__name__} cannot be listed as JSON: give a set of dates"
            )
        days: list[Json] = [day.isoformat() for day in sorted(self.dates)]
        return {"type": self.kind, "trigger": self.trigger.to_json(), "dates": days}


def _check_trigger(name: str, trigger: object) -> None:
    if not isinstance(trigger, Trigger):
        raise ConfigurationError(f"{name} takes triggers, not {type(trigger).__name__}")


def _date(value: object) -> date:
    if isinstance(value, datetime):
        raise ConfigurationError("Excluding takes dates, not datetimes")
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ConfigurationError(f"not an ISO date: {value[:60]!r}") from None
    raise ConfigurationError(f"Excluding takes dates, not {type(value).__name__}")


def _clause(trigger: Trigger, later: bool = False) -> str:
    """The sentence of a trigger, to go on with."""
    text = trigger.describe().removesuffix(".")
    return text[:1].lower() + text[1:] if later else text
