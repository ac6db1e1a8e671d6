"""The recurrence-rule trigger: RFC 5545, read by dateutil.

Law: the rule names wall times in the zone, from its beginning on; gaps and folds are those of a fixed job. Only rules
by the hour, minute or second are elapsed time and are evaluated in UTC, as on a wall clock they would skip an hour.
The beginning is ``start`` or the text's DTSTART; without either it is 1970-01-01T00:00 in the zone, never "now": the
grid is absolute. ``rrule_text`` reads the text, ``rrule_walk`` finds the occurrences.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, ClassVar
from zoneinfo import ZoneInfo

from rota.peer_words import ZONE_WORDS
from rota.spelling import corrects_names
from rota.triggers.base import Micros, Trigger
from rota.triggers.rrule_text import Recurrence, read, rule_text, start_text
from rota.triggers.wall_clock import FIXED, WallClock, wall_clock
from rota.triggers.zones import zone_key

if TYPE_CHECKING:
    import dateutil.rrule


class RRule(Trigger):
    """A rule of RFC 5545: its text, or a ``dateutil.rrule.rrule`` or ``rruleset``.

    ``start``: DTSTART, if the text has none; naive or a date is read in ``tz``, aware is that instant. ``tz``: the
    zone, unless DTSTART names one (``TZID=``, or ``Z`` for UTC); left out, the job's, and alone UTC. Raises
    ``RRuleSyntaxError``, ``UnknownTimeZoneError``, ``ConfigurationError``.
    """

    __slots__ = ("_clock", "_recurrence", "start", "text", "tz")

    kind: ClassVar[str] = "rrule"
    positional: ClassVar[tuple[str, ...]] = ("text",)

    text: str
    start: str | None
    tz: str | None
    _recurrence: Recurrence
    _clock: WallClock

    @corrects_names("RRule", ZONE_WORDS)
    def __init__(
        self,
        text: str | dateutil.rrule.rrule | dateutil.rrule.rruleset,
        start: datetime | date | str | None = None,
        tz: str | ZoneInfo | None = None,
    ) -> None:
        written = text if isinstance(text, str) else rule_text(text)
        key = zone_key(tz)
        begin = None if start is None else start_text(start)
        recurrence = read(written, begin, key)
        object.__setattr__(self, "text", written.strip())
        object.__setattr__(self, "start", begin)
        object.__setattr__(self, "tz", key)
        object.__setattr__(self, "_recurrence", recurrence)
        object.__setattr__(self, "_clock", wall_clock(recurrence.zone))

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its wall times; a rule evaluated in UTC is still shown in it."""
        return wall_clock(self._recurrence.shown_in).zone

    def next_tick(self, after: Micros) -> Micros | None:
        """The first tick strictly later than ``after``; ``None`` if there is none."""
        return self._clock.next_tick(self._recurrence, after, FIXED)

    def previous_tick(self, before: Micros) -> Micros | None:
        """The last tick strictly earlier than ``before``; ``None`` if there is none."""
        return self._clock.previous_tick(self._recurrence, before, FIXED)

    def in_zone(self, tz: ZoneInfo) -> RRule:
        """This trigger in ``tz``."""
        return RRule(self.text, self.start, tz)

    def zones(self) -> frozenset[str]:
        """The zone, if one was named, in ``tz`` or in the text."""
        named = self.tz or self._recurrence.named_zone
        return frozenset() if named is None else frozenset((named,))

    def describe(self) -> str:
        """What it means, in one plain English sentence."""
        from rota.triggers.rrule_words import sentence

        return sentence(self._recurrence)

    def arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and keyword arguments that build an equal trigger."""
        options = {"start": self.start, "tz": self.tz}
        return (self.text,), {name: value for name, value in options.items() if value is not None}
