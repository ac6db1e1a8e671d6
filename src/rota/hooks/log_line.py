"""One captured log line: from whatever was said to a JSON text of at most 4 kB.

Law: a line can always be made. What is no JSON becomes a bounded picture of itself, exceptions become text, and what is
too long is shortened: a traceback at its beginning, everything else at its end.
"""

from __future__ import annotations

import json
import math
import reprlib
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

LINE_BYTES: Final = 4_096

_OWN_KEYS: Final = ("at", "level", "logger", "event")
_STACKS: Final = frozenset({"exc_info", "stack_info"})


def line_text(at: int, level: str, logger: str, event: object, fields: Mapping[str, object]) -> str:
    """The line. `exc_info` and `stack_info` among the fields mean what they mean to `logging`; a field named like
    one of the line's own keys gets an underscore."""
    line: dict[str, object] = {"at": at, "level": _start(level, 20), "logger": _start(logger, 200)}
    line["event"] = _start(_text(event), LINE_BYTES)
    for key, value in fields.items():
        if key not in _STACKS:
            line[f"{key}_" if key in _OWN_KEYS else key] = _plain(value)
    _add_stacks(line, fields)
    text = json.dumps(line)
    return text if len(text) <= LINE_BYTES else _cut(line)


def _add_stacks(line: dict[str, object], fields: Mapping[str, object]) -> None:
    exception = _exception_text(fields.get("exc_info"))
    if exception:
        line["exception"] = _end(exception, LINE_BYTES)
    stack = fields.get("stack_info")
    if stack:
        line["stack"] = _end(stack if isinstance(stack, str) else "".join(traceback.format_stack()), LINE_BYTES)


def _exception_text(exc_info: object) -> str:
    if not exc_info:
        return ""
    if isinstance(exc_info, BaseException):
        error: object = exc_info
    else:
        error = exc_info[1] if isinstance(exc_info, tuple) else sys.exc_info()[1]
    return "".join(traceback.format_exception(error)).rstrip() if isinstance(error, BaseException) else ""


# Fitting it in ---------------------------------------------------------------------------------------------------


def _cut(line: Mapping[str, object]) -> str:
    """Shorten what is long until the line fits; escaped, a character may take six (twelve outside the first plane)."""
    for width, most_fields in ((2_000, 40), (1_000, 20), (300, 8), (20, 3)):
        text = json.dumps({**_narrowed(line, width, most_fields), "cut": True})
        if len(text) <= LINE_BYTES:
            return text
    return json.dumps({"at": line["at"], "level": "info", "logger": "", "event": "…", "cut": True})


def _narrowed(line: Mapping[str, object], width: int, most_fields: int) -> dict[str, object]:
    items = list(line.items())
    own, fields = items[: len(_OWN_KEYS)], items[len(_OWN_KEYS) :]
    # The last fields, because an exception comes last.
    return {_start(key, min(width, 100)): _narrow(key, value, width) for key, value in own + fields[-most_fields:]}


def _narrow(key: str, value: object, width: int) -> object:
    if isinstance(value, (list, dict)):
        value = json.dumps(value)
    if not isinstance(value, str):
        return value
    return _end(value, width) if key in ("exception", "stack") else _start(value, width)


def _start(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _end(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[1 - width :]


# Values ----------------------------------------------------------------------------------------------------------


def _plain(value: object, depth: int = 0) -> object:
    """The value where it is JSON of a moderate size, else a bounded picture of it."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, str):
        return _start(str(value), LINE_BYTES)
    if isinstance(value, (int, float)) and kind in (int, float):
        return value if _is_moderate(value) else _picture(value)
    if isinstance(value, (list, tuple, dict)) and len(value) <= 50 and depth < 4:
        return _plain_container(value, depth + 1)
    return _picture(value)


def _is_moderate(number: float) -> bool:
    return number.bit_length() <= 200 if isinstance(number, int) else math.isfinite(number)


def _plain_container(value: list[Any] | tuple[Any, ...] | dict[Any, Any], depth: int) -> object:
    if isinstance(value, dict):
        return {_start(_text(key), 100): _plain(item, depth) for key, item in value.items()}
    return [_plain(item, depth) for item in value]


_short: Final = reprlib.Repr()
_short.maxstring = _short.maxother = 500
_short.maxlevel = 4
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = _short.maxfrozenset = 20


def _picture(value: object) -> str:
    try:
        return _start(_short.repr(value), 1_000)
    except Exception:  # noqa: BLE001  # a broken __repr__
        return f"<{type(value).__name__} that cannot be shown>"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # a broken __str__
        return _picture(value)
