"""What every lock backend refuses before it asks anybody: names and times to live that cannot be meant."""

from __future__ import annotations

from math import isfinite

from rota.errors import ConfigurationError

LONGEST_NAME = 1024
"""Bytes of UTF-8 in the longest name."""


def name_bytes(name: str) -> bytes:
    """The name in UTF-8, as it is compared and kept: nothing folded, nothing cut.

    Raises `ConfigurationError` for a name over 1024 bytes, or with lone surrogates.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"the lock name {name[:100]!r} is not valid Unicode (it holds a lone surrogate)"
        ) from None
    if len(encoded) > LONGEST_NAME:
        raise ConfigurationError(
            f"a lock name takes at most {LONGEST_NAME} bytes in UTF-8, this one has {len(encoded)}: {name[:100]!r}…"
        )
    return encoded


def checked_ttl(ttl: float) -> float:
    """The time to live in seconds. Raises `ConfigurationError` unless it is a finite number above 0."""
    if type(ttl) not in {int, float} or not isfinite(ttl) or ttl <= 0:
        raise ConfigurationError(f"a lease takes a ttl of finite seconds above 0, not {ttl!r}")
    return float(ttl)
