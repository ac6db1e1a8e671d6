"""The trigger of one instant.

Law: an aware datetime is that instant; ISO text without an offset is wall time in the zone, where a time that a gap
swallowed is the first instant after it, and of two the first is meant.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError
from rota.peer_words import ZONE_WORDS
from rota.spelling import corrects_names
from rota.triggers.base import SECOND, WALL_EPOCH, Micros, Trigger, from_micros, to_micros
from rota.triggers.wall_clock import FIXED, policy, wall_clock
from rota.triggers.words import moment
from rota.triggers.zones import UTC_KEY, instant_of, parse_iso, zone, zone_key

_NAME: Final = "the moment of Once"
_POLICY: Final = policy(FIXED, "run_after", "first")


class Once(Trigger):
    """One instant: an aware datetime, or ISO 8601 text, which without an offset is read in ``tz``.

    Raises ``ConfigurationError`` for a naive datetime and for text that is not ISO 8601.
    """

    __slots__ = ("_tick", "tz", "when")

    kind: ClassVar[str] = "once"
    positional: ClassVar[tuple[str, ...]] = ("when",)

    when: str
    tz: str | None
    _tick: Micros

    @corrects_names("Once", ZONE_WORDS)
    def __init__(self, when: datetime | str, tz: str | ZoneInfo | None = None) -> None:
        key = zone_key(tz)
        told = parse_iso(when, _NAME) if isinstance(when, str) else instant_of(when, _NAME)
        if told.utcoffset() is None:
            tick = _instant_of(told, key or UTC_KEY)
        else:
            told = instant_of(told, _NAME)
            tick = to_micros(told)
        object.__setattr__(self, "when", told.isoformat())
        object.__setattr__(self, "tz", key)
        object.__setattr__(self, "_tick", tick)

    @property
    def zone(self) -> ZoneInfo:
        """The zone its tick is shown in."""
        return zone(self.tz or UTC_KEY)

    def next_tick(self, after: Micros) -> Micros | None:
        """The tick, if it is strictly later than ``after``."""
        return self._tick if self._tick > after else None

    def previous_tick(self, before: Micros) -> Micros | None:
        """The tick, if it is strictly earlier than ``before``."""
        return self._tick if self._tick < before else None

    def in_zone(self, tz: ZoneInfo) -> Once:
        """This trigger in ``tz``; an instant stays what it is, and is shown there."""
        return Once(self.when, tz)

    def zones(self) -> frozenset[str]:
        """The zone, if one was named."""
        return frozenset() if self.tz is None else frozenset((self.tz,))

    def describe(self) -> str:
        """What it means, in one plain English sentence."""
        return f"Once, at {moment(from_micros(self._tick).astimezone(self.zone))}."

    def arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and keyword arguments that build an equal trigger."""
        return (self.when,), {} if self.tz is None else {"tz": self.tz}


class _OneWallTime:
    """The pattern of a single wall time, in seconds."""

    def __init__(self, wall: int) -> None:
        self.wall = wall

    def next_wall(self, wall: int) -> int | None:
        """The wall time, if strictly later."""
        return self.wall if self.wall > wall else None

    def previous_wall(self, wall: int) -> int | None:
        """The wall time, if strictly earlier."""
        return self.wall if self.wall < wall else None


def _instant_of(told: datetime, key: str) -> Micros:
    wall = (told - WALL_EPOCH) // timedelta(seconds=1)
    # Looked for from two days before, which is further than any clock is from UTC.
    tick = wall_clock(key).next_tick(_OneWallTime(wall), (wall - 172_800) * SECOND, _POLICY)
    if tick is None:
        raise ConfigurationError(f"{told.isoformat()} in {key} is outside the years 1 to 9999")
    return tick + told.microsecond
