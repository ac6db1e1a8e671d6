"""The abstract trigger: a frozen value that names instants, and the integers it does so in.

Law: pure, integers inside. An instant is a whole number of microseconds since 1970-01-01T00:00:00Z (``Micros``);
datetimes exist only at the public face. Nobody here asks what time it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, ClassVar, NoReturn, Self
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError
from rota.triggers.zones import IF_NAIVE, UTC_KEY, zone

if TYPE_CHECKING:
    from rota.triggers.combine import AnyOf

Micros = int
"""Integer microseconds since 1970-01-01T00:00:00Z."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A JSON value."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WALL_EPOCH = EPOCH.replace(tzinfo=None)
"""Where wall times are counted from, in whichever zone."""

SECOND = 1_000_000
"""Microseconds of a second."""

FIRST_INSTANT: Micros = -62_135_596_800 * SECOND
"""0001-01-01T00:00:00Z, the first instant a datetime can tell."""

LAST_INSTANT: Micros = 253_402_300_800 * SECOND - 1
"""9999-12-31T23:59:59.999999Z, the last instant a datetime can tell."""


def to_micros(instant: datetime) -> Micros:
    """The aware ``instant`` as integer microseconds, exactly. A naive one raises ``ConfigurationError``."""
    try:
        since = instant - EPOCH
    except TypeError:
        raise ConfigurationError(_not_aware(instant)) from None
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def from_micros(instant: Micros) -> datetime:
    """Integer microseconds as an aware UTC datetime, exactly. Raises ``OverflowError`` outside the years 1 to 9999."""
    return EPOCH + timedelta(0, 0, instant)


class Trigger:
    """Names the instants at which something is due.

    A value: frozen, comparable, hashable, with a ``repr`` that rebuilds it. Its grid is absolute: every process with
    the same definition computes the same instants, and where a walk starts makes no difference.
    """

    __slots__ = ()

    kind: ClassVar[str]
    """The name of this sort of trigger in JSON."""

    positional: ClassVar[tuple[str, ...]] = ()
    """The names, in JSON, of what ``arguments`` gives by position."""

    def next_tick(self, after: Micros) -> Micros | None:
        """The first tick strictly later than ``after``; ``None`` if there is none."""
        raise NotImplementedError  # each trigger gives it

    def previous_tick(self, before: Micros) -> Micros | None:
        """The last tick strictly earlier than ``before``; ``None`` if there is none."""
        raise NotImplementedError  # each trigger gives it

    def describe(self) -> str:
        """What it means, in one plain English sentence."""
        raise NotImplementedError  # each trigger gives it

    def arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and keyword arguments that build an equal trigger, those at their default left out.

        They are JSON values and triggers, so that ``repr``, JSON, equality, hash and copies all follow from them.
        """
        raise NotImplementedError  # each trigger gives it

    def to_json(self) -> dict[str, Json]:
        """The definition as JSON values; ``trigger_from_json`` reads it back."""
        positional, keyword = self.arguments()
        named = {**dict(zip(self.positional, positional, strict=True)), **keyword}
        return {"type": self.kind, **{name: _json(value) for name, value in named.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Trigger:
        """The trigger of this definition; raises ``ConfigurationError`` if it is none, or one of another class."""
        from rota.triggers.json_form import trigger_from_json

        trigger = trigger_from_json(data)
        if not isinstance(trigger, cls):
            raise ConfigurationError(f"this is the definition of a {type(trigger).__name__}, not of a {cls.__name__}")
        return trigger

    def bind(self, tz: ZoneInfo, seed: str) -> Trigger:  # noqa: ARG002  # only a trigger that reads it late needs a seed
        """This trigger with ``tz`` and ``seed`` where it leaves them open; itself if it does not."""
        return self if self.zones() else self.in_zone(tz)

    def in_zone(self, tz: ZoneInfo) -> Trigger:  # noqa: ARG002  # for triggers of wall time to override
        """This trigger with its wall times read in ``tz``; itself if it has none."""
        return self

    def zones(self) -> frozenset[str]:
        """The names of the zones written in the definition."""
        return frozenset()

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which its ticks are shown and its dates are counted; UTC where it has none."""
        return zone(UTC_KEY)

    def signature(self) -> str:
        """A short text of the definition, the same in every process and release, to see that it changed."""
        return shortened(_signature_encoder()(self.to_json()))

    def next_after(self, instant: datetime) -> datetime | None:
        """The first tick strictly later than the aware ``instant``, in UTC; ``None`` if there is none.

        Raises ``ConfigurationError`` for a naive datetime.
        """
        try:
            since = instant - EPOCH
        except TypeError:
            raise ConfigurationError(_not_aware(instant)) from None
        after = (since.days * 86_400 + since.seconds) * SECOND + since.microseconds
        if after < FIRST_INSTANT:  # an offset may lead out of the years that UTC has
            after = FIRST_INSTANT - 1
        tick = self.next_tick(after)
        return None if tick is None else EPOCH + timedelta(0, 0, tick)

    def previous(self, instant: datetime) -> datetime | None:
        """The last tick strictly earlier than the aware ``instant``, in UTC; ``None`` if there is none.

        Raises ``ConfigurationError`` for a naive datetime.
        """
        tick = self.previous_tick(min(to_micros(instant), LAST_INSTANT + 1))
        return None if tick is None else from_micros(tick)

    def __or__(self, other: object) -> AnyOf:
        from rota.triggers.combine import AnyOf

        return AnyOf(self, other) if isinstance(other, Trigger) else NotImplemented

    def __repr__(self) -> str:
        positional, keyword = self.arguments()
        shown = [repr(value) for value in positional]
        shown += [f"{name}={value!r}" for name, value in keyword.items()]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trigger):
            return NotImplemented
        return self is other or (type(self) is type(other) and self.arguments() == other.arguments())

    def __hash__(self) -> int:
        positional, keyword = self.arguments()
        return hash((type(self), positional, tuple(keyword.items())))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a trigger does not change: build a new {type(self).__name__}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a trigger does not change: build a new {type(self).__name__}")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild, (type(self), *self.arguments())


def rebuild(kind: type[Trigger], positional: tuple[object, ...], keyword: dict[str, object]) -> Trigger:
    """The trigger that ``arguments`` described. A wrong argument raises ``TypeError`` or ``ConfigurationError``."""
    build: Callable[..., Trigger] = kind
    return build(*positional, **keyword)


def ticks_after(trigger: Trigger, instant: Micros) -> Iterator[Micros]:
    """The instants that a trigger names from there on, each of them asked for when its turn comes."""
    tick = trigger.next_tick(instant)
    while tick is not None:
        yield tick
        tick = trigger.next_tick(tick)


@cache
def _signature_encoder() -> Callable[[object], str]:
    """Made once: `json.dumps` with options makes one for every call."""
    import json

    return json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def shortened(text: str) -> str:
    """``text`` itself if it is short, else its beginning and a digest of the whole."""
    if len(text) <= 200:
        return text
    from hashlib import blake2b

    return f"{text[:160]}…{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def _json(value: object) -> Json:
    if isinstance(value, Trigger):
        return value.to_json()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ConfigurationError(f"{type(value).__name__} is not JSON")


def _not_aware(instant: object) -> str:
    if isinstance(instant, datetime):
        return f"{instant.isoformat()} is naive: {IF_NAIVE}"
    return f"an instant is an aware datetime, not {type(instant).__name__}"
