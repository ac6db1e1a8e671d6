"""The interval trigger: elapsed time on a fixed grid.

Law: tick n is ``anchor + n·step`` in UTC, for every whole n, by integer arithmetic: no drift, no loop, no zone. The
anchor is a phase, not a beginning: there are ticks before it too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Final, Never

from rota.errors import ConfigurationError
from rota.spelling import refuse_misspelt
from rota.triggers.base import FIRST_INSTANT, LAST_INSTANT, SECOND, Micros, Trigger, from_micros, to_micros
from rota.triggers.words import moment, span
from rota.triggers.zones import instant_of

SHORTEST: Final = 1000
"""A step is at least so many microseconds."""


class Interval(Trigger):
    """Every ``step`` of elapsed time, counted from ``anchor`` (an aware datetime or ISO text; else the Unix epoch).

    ``step`` is a timedelta of 1 ms or more; its parts may be given by name instead. So ``Interval(days=1)`` is midnight
    UTC; for a time of day in a zone take ``Cron`` or ``Calendar``. Raises ``ConfigurationError``.
    """

    __slots__ = ("_anchor", "_step")

    kind: ClassVar[str] = "interval"

    _step: int
    _anchor: Micros

    def __init__(
        self,
        step: timedelta | None = None,
        anchor: datetime | str | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        microseconds: int = 0,
        **unknown: Never,
    ) -> None:
        if unknown:
            refuse_misspelt(unknown, Interval.__init__, "Interval")
        parts = _sum_of(
            weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=microseconds
        )
        if step is None:
            step = parts
        elif not isinstance(step, timedelta):
            raise ConfigurationError(
                f"the step of an interval is a timedelta, or its parts by name, such as minutes=5, not {step!r}"
            )
        elif parts:
            raise ConfigurationError("the step of an interval is a timedelta or its parts by name, not both")
        micros = step // timedelta(microseconds=1)
        if micros < SHORTEST:
            example = "" if micros else ": give one, such as minutes=5"
            raise ConfigurationError(f"the step of an interval is at least 1 ms, not {step.total_seconds()} s{example}")
        object.__setattr__(self, "_step", micros)
        object.__setattr__(self, "_anchor", 0 if anchor is None else to_micros(instant_of(anchor, "anchor")))

    @property
    def step(self) -> timedelta:
        """The elapsed time from one tick to the next."""
        return timedelta(microseconds=self._step)

    @property
    def anchor(self) -> datetime:
        """The tick the others are counted from, in UTC."""
        return from_micros(self._anchor)

    def next_tick(self, after: Micros) -> Micros | None:
        """The first tick strictly later than ``after``; ``None`` if there is none."""
        tick = self._anchor + ((after - self._anchor) // self._step + 1) * self._step
        return tick if tick <= LAST_INSTANT else None

    def previous_tick(self, before: Micros) -> Micros | None:
        """The last tick strictly earlier than ``before``; ``None`` if there is none."""
        tick = self._anchor + (before - self._anchor - 1) // self._step * self._step
        return tick if tick >= FIRST_INSTANT else None

    def describe(self) -> str:
        """What it means, in one plain English sentence."""
        counted = f", counted from {moment(self.anchor)}" if self._anchor else ""
        return f"Every {span(self.step)}{counted}."

    def arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and keyword arguments that build an equal trigger."""
        whole, rest = divmod(self._step, SECOND)
        keyword: dict[str, object] = {"microseconds": self._step} if rest else {"seconds": whole}
        if self._anchor:
            keyword["anchor"] = self.anchor.isoformat()
        return (), keyword


def _sum_of(**parts: float) -> timedelta:
    for name, value in parts.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigurationError(f"the step of an interval: {name} is a number, not {value!r}")
    try:
        return timedelta(**parts)
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"the step of an interval cannot be told: {error}") from None
