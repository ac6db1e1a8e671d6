"""What a call came to.

Law: an executor reports facts (`Outcome`); only `judge` in `verdict` turns them into a status.
"""

from __future__ import annotations

import traceback
from typing import NamedTuple

from rota.core.values import Value, value
from rota.errors import RunCancelled

TRACEBACK_LIMIT = 16_000
ERROR_LIMIT = 2_000

_AT_EXIT = "interpreter shutdown"
"""How Python ends what it says then: `can't create new thread at`, `cannot schedule new futures after`."""


class ErrorText(NamedTuple):
    """An exception as text, so that it can cross a process and be kept in a store."""

    type: str
    message: str
    traceback: str


@value
class Outcome(Value):
    """How a call ended.

    Without `error` it returned `value`. With one it raised. `forced`: it was stopped from outside (a coroutine
    cancelled, a process terminated). `died`: the process it ran in is gone, so nobody knows how far it came. `text`
    describes an error raised elsewhere, of which `error` is only a stand-in.
    """

    value: object = None
    error: BaseException | None = None
    forced: bool = False
    died: bool = False
    text: ErrorText | None = None


RETURNED_NONE = Outcome()


class NotBegun(RunCancelled):
    """The error of a call whose function was never called."""


class NoThread(NotBegun):
    """The same, since no thread could be started for it. The next call would fare no better."""


def is_refused_at_exit(error: BaseException | None) -> bool:
    """Whether Python refused a thread, a process or a place in a pool because the interpreter is ending."""
    return isinstance(error, RuntimeError) and message_of(error).endswith(_AT_EXIT)


def describe(outcome: Outcome) -> ErrorText | None:
    """The outcome's error as bounded text; `None` where there is none. Survives exceptions whose `str` raises."""
    if outcome.text is not None:
        return outcome.text
    error = outcome.error
    if error is None:
        return None
    return ErrorText(_type_name(error), message_of(error), _traceback(error))


def _type_name(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return _bounded(name, ERROR_LIMIT)


def message_of(error: BaseException) -> str:
    """What the error says, as bounded text that every store can keep."""
    try:
        return _bounded(str(error), ERROR_LIMIT)
    except BaseException as inner:  # noqa: BLE001  # a user's __str__ may raise anything
        return f"<its message cannot be read: {type(inner).__name__}>"


def _traceback(error: BaseException) -> str:
    try:
        return _bounded("".join(traceback.format_exception(error)), TRACEBACK_LIMIT)
    except BaseException as inner:  # noqa: BLE001  # formatting calls the user's __str__ too
        return f"<its traceback cannot be read: {type(inner).__name__}>"


def _bounded(text: str, limit: int) -> str:
    """The text, its middle left out where it is longer than `limit`, and what no store can keep escaped."""
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
    if len(clean) <= limit:
        return clean
    half = limit // 2
    return f"{clean[:half]}\n… {len(clean) - 2 * half} characters left out …\n{clean[-half:]}"
