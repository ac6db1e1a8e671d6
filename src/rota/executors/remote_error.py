"""An exception's way from a child process to its parent: as JSON, rebuilt as the class it was.

Law: nothing is imported and no code of the class runs but `__new__`, so a message can do no more than choose among the
exception classes this process has loaded already. What cannot be rebuilt comes as a `RemoteError`. The text, traceback
included, always comes along.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import cast

from rota.core.json_values import to_text
from rota.core.outcome import ErrorText, Outcome, describe
from rota.core.run import JSON

MAIN_IN_A_CHILD = "__mp_main__"
"""What `multiprocessing` calls the main module where it imports it again."""


class RemoteError(RuntimeError):
    """Stands for an exception raised in a child process whose class is not loaded here, or does not go into JSON."""


def pack(error: BaseException) -> dict[str, JSON]:
    """The exception as JSON."""
    kind = type(error)
    text = cast(ErrorText, describe(Outcome(error=error)))
    return {
        "module": _module_here(kind.__module__),
        "qualname": kind.__qualname__,
        "args": cast(JSON, list(error.args)) if _is_json(list(error.args)) else None,
        "state": {name: value for name, value in getattr(error, "__dict__", {}).items() if _is_json(value)},
        "text": [_module_here(text.type), text.message, text.traceback],
    }


def unpack(packed: Mapping[str, JSON]) -> tuple[BaseException, ErrorText]:
    """An exception to act on, and the text to show."""
    text = ErrorText(*cast("list[str]", packed["text"]))
    kind = _loaded_class(cast(str, packed["module"]), cast(str, packed["qualname"]))
    args = packed["args"]
    if kind is not None and isinstance(args, list):
        error = _rebuilt(kind, args, cast("dict[str, JSON]", packed["state"]))
        if error is not None:
            return error, text
    return RemoteError(f"{text.type}: {text.message}"), text


def _rebuilt(kind: type[BaseException], args: list[JSON], state: dict[str, JSON]) -> BaseException | None:
    try:
        if kind.__module__ == "builtins":
            return kind(*args)  # some keep their values in C, filled in by __init__
        error = kind.__new__(kind, *args)
        error.args = tuple(args)
        error.__dict__.update(state)
    except Exception:  # noqa: BLE001  # a class with a __new__ of its own may refuse in any way; the stand-in says as much
        return None
    return error if type(error) is kind else None


def _loaded_class(module: str, qualname: str) -> type[BaseException] | None:
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _module_here(name: str) -> str:
    return "__main__" + name.removeprefix(MAIN_IN_A_CHILD) if name.startswith(MAIN_IN_A_CHILD) else name


def _is_json(value: object) -> bool:
    try:
        to_text(value, "")
    except (TypeError, ValueError, RecursionError):
        return False
    return True
