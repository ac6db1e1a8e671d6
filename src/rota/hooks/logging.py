"""Rota's log: what the library says of itself, what a job says through `run.log`, and the ids on a job's own lines.

Law: the host decides. Where it configured structlog, asked at each call, lines go through its pipeline; else they go to
`logging` under the name `rota`, with a readable message and the fields as `extra`; where it set up neither, Rota is
silent. `structlog.configure` is never called, structlog is imported only where `run.log` is used, and no error of the
host's logging reaches a run.

Events are named dotted and in the past tense (`run.started`, `lease.lost`), fields `job_id run_id attempt
scheduled_for late_s duration_s error_type`, never like an attribute of `logging.LogRecord`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from contextvars import ContextVar, Token, copy_context
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias

from rota.containment import whatever_it_raises
from rota.hooks.capture import LogCapture, begin, capture_var, end, handing_on

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

LIBRARY: Final = "rota"
RUN: Final = "rota.run"

_library: Final = logging.getLogger(LIBRARY)
_targets: Final = {LIBRARY: _library, RUN: logging.getLogger(RUN)}
# Without a handler of its own, `logging` would print Rota's warnings in a host that set up nothing.
_library.addHandler(logging.NullHandler())

_METHODS: Final = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "critical",
}
_NUMBERS: Final = {name: number for number, name in _METHODS.items()}
_RECORD_NAMES: Final = {*vars(logging.LogRecord("", 0, "", 0, "", (), None)), "message", "asctime"}


class RunFacts(Protocol):
    """What is bound to a run's logger."""

    @property
    def id(self) -> str: ...

    @property
    def job_id(self) -> str: ...

    @property
    def attempt(self) -> int: ...


class LibraryLogger:
    """What the library speaks through. Nothing here raises; `exc_info` among the fields is understood."""

    __slots__ = ()

    def debug(self, event: str, /, **fields: object) -> None:
        _say(LIBRARY, logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        _say(LIBRARY, logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        _say(LIBRARY, logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        _say(LIBRARY, logging.ERROR, event, fields)

    def enabled_for(self, level: int) -> bool:
        """Whether anyone may listen at `level` (`logging.INFO`, …). Ask before collecting fields in a hot place."""
        return _library.isEnabledFor(level) or _host_structlog() is not None


_logger: Final = LibraryLogger()


def logger() -> LibraryLogger:
    """The library's logger."""
    return _logger


def warn_visibly(event: str, text: str, /, **fields: object) -> None:
    """Warn of something that nobody may miss: where the host set up no logging at all, as a line on stderr."""
    if _host_structlog() is not None or _has_handler(_library):
        _say(LIBRARY, logging.WARNING, event, {"detail": text, **fields})
    else:
        _write_to_stderr(f"rota: WARNING: {text}")


def run_logger(run: RunFacts, capture: LogCapture | None = None) -> FilteringBoundLogger:
    """The logger behind `run.log`: structlog's API, bound to job, run and attempt.

    What it says is kept in `capture`, at every level and from any thread (`None`: in the buffer of the context that
    speaks), and goes to the host as the library's own lines do, under the name `rota.run`.
    """
    context = {"job_id": run.job_id, "run_id": run.id, "attempt": run.attempt}
    bound: FilteringBoundLogger = _run_logger_class()(capture, [_deliver], context)
    return bound


# Per attempt -----------------------------------------------------------------------------------------------------

Bound: TypeAlias = "tuple[Token[LogCapture | None], tuple[Token[Any], Token[Any], Token[Any]] | None]"


def bind_run(job_id: str, run_id: str, attempt: int, capture: LogCapture | None = None) -> Bound:
    """Give what this context says through structlog the ids of the run (`structlog.contextvars`), and capture it, until
    `unbind_run`.

    No ids while nobody has imported structlog, which would cost every host its import: a job that is the first in the
    process to import it, in the middle of a run, has them from the next run on.
    """
    if sys.modules.get("structlog") is None:
        return capture_var.set(capture), None
    buffer = begin(capture)
    job, run, number = _context_variables()
    return buffer, (job.set(job_id), run.set(run_id), number.set(attempt))


def unbind_run(bound: Bound) -> None:
    """Undo `bind_run`, in the same context."""
    buffer, tokens = bound
    if tokens is not None:
        job, run, number = tokens
        job.var.reset(job)
        run.var.reset(run)
        number.var.reset(number)
    end(buffer)


@cache
def _context_variables() -> tuple[ContextVar[Any], ContextVar[Any], ContextVar[Any]]:
    """The variables behind structlog's three keys: setting them directly takes a third of `bind_contextvars`."""
    from structlog.contextvars import bind_contextvars  # a host that does not use it need not wait for it

    # In a copy of the context, so that nothing stays bound here.
    tokens = copy_context().run(bind_contextvars, job_id="", run_id="", attempt=0)
    return tokens["job_id"].var, tokens["run_id"].var, tokens["attempt"].var


# To the host -----------------------------------------------------------------------------------------------------


def _say(name: str, level: int, event: str, fields: Mapping[str, object], *, stacklevel: int = 4) -> None:
    try:
        structlog = _host_structlog()
        if structlog is not None:
            getattr(structlog.get_logger(name), _METHODS[level])(event, **fields)
        else:
            _say_plainly(_targets[name], level, event, fields, stacklevel)
    except whatever_it_raises() as error:  # the host's logging is broken: that must not break a run
        _complain_once(error)


def _host_structlog() -> ModuleType | None:
    """structlog, where the host has configured it."""
    structlog = sys.modules.get("structlog")
    # While another thread is importing it, it has no attributes yet.
    is_configured: Callable[[], bool] | None = getattr(structlog, "is_configured", None)
    return structlog if is_configured is not None and is_configured() else None


def _say_plainly(target: logging.Logger, level: int, event: str, fields: Mapping[str, object], stacklevel: int) -> None:
    if not target.isEnabledFor(level):
        return
    rest = dict(fields)
    keywords: dict[str, Any] = {key: rest.pop(key) for key in ("exc_info", "stack_info") if key in rest}
    message = " ".join([event, *(f"{key}={_shown(value)}" for key, value in rest.items())])
    extra = {"event": event} | {f"{key}_" if key in _RECORD_NAMES else key: value for key, value in rest.items()}
    try:
        target.log(level, message, extra=extra, stacklevel=stacklevel, **keywords)
    except KeyError:
        # The host's own record factory has a field of one of these names. The message says them all.
        target.log(level, message, stacklevel=stacklevel, **keywords)


def _shown(value: object) -> str:
    text = str(value)
    if len(text) > 500:
        text = text[:499] + "…"
    return text if text.isprintable() and " " not in text and text else repr(text)


def _has_handler(start: logging.Logger) -> bool:
    at: logging.Logger | None = start
    while at is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in at.handlers):
            return True
        at = at.parent if at.propagate else None
    return False


_complained: Final[list[str]] = []


def _complain_once(error: BaseException) -> None:
    """Say on stderr, once per process, that the host's logging fails: a silent log is mistaken for a quiet system."""
    if not _complained:
        _complained.append(type(error).__name__)
        _write_to_stderr(f"rota: the logging set up in this process failed, and Rota's lines are lost: {error!r}")


def _write_to_stderr(text: str) -> None:
    # Without a stderr, or with a closed one, there is nobody left to tell.
    with suppress(whatever_it_raises()):
        sys.stderr.write(" ".join(text.split()) + "\n")


# Behind run.log --------------------------------------------------------------------------------------------------


@cache
def _run_logger_class() -> Any:
    from structlog import make_filtering_bound_logger  # imported where `run.log` is first used

    everything: Any = make_filtering_bound_logger(logging.NOTSET)
    return type("RunLogger", (everything,), {"new": _new})


def _new(self: Any, **values: object) -> Any:
    """A logger with nothing bound but `values`. structlog's own would empty the context of `self` as well."""
    return type(self)(self._logger, self._processors, values)


def _deliver(capture: LogCapture | None, method_name: str, event_dict: MutableMapping[str, Any]) -> NoReturn:
    """The only processor of `run.log`: keep the line, then let the host have it."""
    buffer = capture if capture is not None else capture_var.get()
    event = event_dict.pop("event", "")
    if buffer is not None:
        buffer.add(method_name, RUN, event, event_dict)
    with handing_on():
        # Counted from `logging`: past this file and structlog to the line that called `run.log`.
        _say(RUN, _NUMBERS.get(method_name, logging.INFO), event, event_dict, stacklevel=7)
    from structlog import DropEvent  # loaded already: who calls this is structlog

    raise DropEvent
