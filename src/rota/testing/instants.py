"""From what a test writes, `days=2` or `"2026-03-28T00:00+01:00"`, to instants and spans in microseconds.

Law: an instant without a zone is refused unless a zone is given with it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError
from rota.triggers.base import to_micros
from rota.triggers.zones import instant_of, parse_iso, zone, zone_key


def instant(when: datetime | str, what: str, tz: str | ZoneInfo | None = None) -> int:
    """An aware datetime or ISO text with an offset; a naive one is read in `tz`. `ConfigurationError` otherwise."""
    if tz is not None:
        when = parse_iso(when, what) if isinstance(when, str) else when
        if getattr(when, "tzinfo", when) is None:
            when = when.replace(tzinfo=zone(zone_key(tz) or "UTC"))
    return to_micros(instant_of(when, what))


def span(call: str, given: dict[str, float]) -> int:
    """The microseconds of a `timedelta` of these arguments. `ConfigurationError` for others."""
    try:
        length = timedelta(**given)
    except TypeError:
        names = "weeks, days, hours, minutes, seconds, milliseconds, microseconds"
        raise ConfigurationError(f"{call}: the arguments are those of timedelta ({names}), not {given!r}") from None
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"{call}: {given!r} is no span of time: {error}") from None
    return length // timedelta(microseconds=1)


def forward_span(call: str, given: dict[str, float]) -> int:
    """The same where time cannot go back: `ConfigurationError` for a negative one, too."""
    micros = span(call, given)
    if micros < 0:
        raise ConfigurationError(f"{call}: time does not go back; {timedelta(microseconds=micros)} is negative")
    return micros
