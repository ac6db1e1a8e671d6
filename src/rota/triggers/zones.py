"""Time zones by name: from what a user writes to a ``ZoneInfo``.

Law: a zone is known by its key, as that is what is stored; an unknown key is refused with the nearest one.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError, UnknownTimeZoneError

UTC_KEY = "UTC"

IF_NAIVE: Final = (
    "which instant it is depends on a zone; give an aware one, with tzinfo=ZoneInfo('Europe/Paris') or tzinfo=UTC,"
    " or with its offset in text"
)
"""What is wrong with a datetime without a zone, and what to write: that UTC is meant is one guess of many."""

OF_A_MACHINE: Final = frozenset({"localtime", "posixrules"})
"""Files beside the zones that are another zone on each machine, and no name of one."""


def zone_key(tz: str | ZoneInfo | None) -> str | None:
    """The key of a zone given as its name or as a ``ZoneInfo``; ``None`` stays ``None``.

    Raises ``UnknownTimeZoneError`` for a name the zone data does not hold, ``ConfigurationError`` for other types
    and for a ``ZoneInfo`` without a key.
    """
    if tz is None:
        return None
    if isinstance(tz, str):
        zone(tz)
        return tz
    if isinstance(tz, ZoneInfo):
        if tz.key is None:
            raise ConfigurationError("a ZoneInfo without a key cannot be stored: give the name of the zone")
        return tz.key
    raise ConfigurationError(f"a time zone is an IANA zone name or a ZoneInfo, not {tz!r}{zone_hint(tz)}")


def zone_hint(given: object) -> str:
    """What to write instead of something that is neither: other zone objects have no name, or one elsewhere."""
    name = getattr(given, "zone", None)  # where pytz keeps it
    if isinstance(name, str):
        return f"; write tz={name!r}"
    if not isinstance(given, tzinfo):
        return ""
    with suppress(Exception):  # somebody else's code
        if given.utcoffset(None) == timedelta(0):
            return "; write tz='UTC'"
    return "; it has no name that could be stored: write the name of a place, such as tz='Europe/Paris'"


def zone(key: str) -> ZoneInfo:
    """The ``ZoneInfo`` of this key."""
    if key in OF_A_MACHINE:
        raise UnknownTimeZoneError(key, None)
    try:
        # Resolving touches the file system for paths such as "..": an unusable key shows as any of these.
        return ZoneInfo(key)
    except (KeyError, ValueError, OSError):
        raise UnknownTimeZoneError(key, _nearest(key)) from None


def instant_of(value: datetime | str, what: str) -> datetime:
    """An aware datetime, or ISO text with its offset, in UTC; ``what`` names it in the error."""
    if isinstance(value, str):
        value = parse_iso(value, what)
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{what} is an aware datetime or ISO text, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise ConfigurationError(f"{what} is naive ({value.isoformat()}): {IF_NAIVE}")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError(f"{what} is outside the years 1 to 9999 in UTC: {value.isoformat()}") from None


def parse_iso(text: str, what: str) -> datetime:
    """ISO 8601 text as a datetime, naive where it has no offset."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{what} is not ISO 8601: {text[:60]!r}") from None


def _nearest(key: str) -> str | None:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    by_folded = {name.casefold(): name for name in sorted(available_timezones() - OF_A_MACHINE)}
    if key[:3].upper() in ("UTC", "GMT") and len(key) > 3:
        return None  # an offset, which is no place
    # A name may be given without its area, and in any case.
    for folded, name in by_folded.items():
        if folded.rpartition("/")[2] == key.casefold().replace(" ", "_"):
            return name
    # A name in capitals, such as MST, says a time and no place: what is spelt like it may be quite another time.
    places = [folded for folded, name in by_folded.items() if not name.isupper() or name == UTC_KEY]
    found = get_close_matches(key[:60].casefold(), places, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None
