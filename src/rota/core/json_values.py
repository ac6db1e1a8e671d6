"""JSON, never pickle: what may be handed to a run, kept for it, or returned by it, and the check that says why not.

Law: exact types only, so that a value comes back as it went in: `None`, `bool`, `int`, finite `float`, `str`, `list`,
`dict` with `str` keys.
"""

from __future__ import annotations

import json
import math
from typing import Final

from rota.core.run import JSON
from rota.errors import ConfigurationError

RESULT_LIMIT: Final = 64_000
_PLAIN: Final = frozenset({type(None), bool, int, str})


class NotKept:
    """Stands for a result that another process found was not to be kept, and why."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason: str = reason


def to_text(value: object, what: str) -> str:
    """The value as JSON text; `TypeError` naming `what` and the offending place where it is not JSON."""
    _check(value, what, 0)
    try:
        return json.dumps(value, separators=(",", ":"))
    except ValueError as error:  # an int of more digits than Python writes out
        raise TypeError(f"{what}: {error}") from None


def storable(value: str, what: str) -> str:
    """The text itself; `ConfigurationError` for what is none, or has a lone surrogate, which no store can keep."""
    if type(value) is not str:
        raise ConfigurationError(f"{what}: a text is expected, not {value!r:.200}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigurationError(f"{what}: {value!r:.200} has a lone surrogate, which no store can keep") from None
    return value


def from_text(text: str) -> JSON:
    """The value of a JSON text that `to_text` made; a fresh copy each time."""
    result: JSON = json.loads(text)
    return result


def result_text(value: object) -> tuple[str | None, str]:
    """A return value as text to keep, or `None` and the reason why it is not kept."""
    if value is None:
        return None, ""
    if type(value) is NotKept:
        return None, value.reason
    try:
        text = to_text(value, "result")
    except TypeError as error:
        return None, str(error)
    if len(text) > RESULT_LIMIT:
        return None, f"result: {len(text)} characters of JSON are over the limit of {RESULT_LIMIT}"
    return text, ""


def _check(value: object, where: str, depth: int) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if depth > 100:
        raise TypeError(f"{where}: nested more than 100 levels deep (or contains itself)")
    if isinstance(value, float) and kind is float:
        if not math.isfinite(value):
            raise TypeError(f"{where}: {value!r} is not JSON; only finite numbers are")
    elif isinstance(value, list) and kind is list:
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]", depth + 1)
    elif isinstance(value, dict) and kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"{where}: key {key!r} is {type(key).__name__}; JSON objects have str keys")
            _check(item, f"{where}[{key!r}]", depth + 1)
    else:
        raise TypeError(
            f"{where}: {kind.__name__} is not JSON; give None, bool, int, float, str, list or dict with str keys"
            f" (an id instead of an object, .isoformat() instead of a date, a list instead of a tuple or set)"
        )
