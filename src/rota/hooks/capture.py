"""The log lines of a run, kept with the run: what a job says through `structlog` or `logging` while it works.

Law: capturing changes nothing for the host. No handler is added (that would change what `logging.basicConfig` and
`lastResort` do), `structlog.configure` is not called, no level is changed, and no error of capturing reaches user code.

* `logging`: a record factory chained on the one in force. What the host's levels let through is captured, without its
  `extra`, which a record is given only later.
* structlog: the first processor of the live list is replaced, in place, by one that captures and then calls it. One
  item is exchanged and nothing moves, so a thread that is half way through the list notices nothing; in place, because
  loggers that are bound already hold on to the list. A host that configured a tuple instead of a list is captured only
  where its lines end in `logging`.
* A line that passes through both is captured once.
* The buffer is found through a context variable. A thread that user code starts by itself has an empty context: its
  lines are not captured. `run.log` is, from any thread, and so is what goes through `contextvars.copy_context().run` or
  `asyncio.to_thread`.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar, Token
from typing import Any, Final

from rota.hooks.log_buffer import LogCapture, handing_on, is_echo

__all__ = [
    "LogCapture",
    "after_fork_in_child",
    "begin",
    "capture_var",
    "end",
    "handing_on",
    "install",
    "uninstall",
]

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_OTHER_NAMES: Final = {"warn": "warning", "exception": "error", "fatal": "critical", "msg": "info", "log": "info"}

capture_var: ContextVar[LogCapture | None] = ContextVar("rota_log_capture", default=None)
"""The buffer of the attempt at work in this context. `begin` and `end` set it."""


# Per attempt -----------------------------------------------------------------------------------------------------


def begin(buffer: LogCapture | None) -> Token[LogCapture | None]:
    """Capture into `buffer` what this context says from now on. Quick: called for every attempt."""
    if _installed.count:
        _follow_structlog()
    return capture_var.set(buffer)


def end(token: Token[LogCapture | None]) -> None:
    """Undo `begin`, in the same context."""
    capture_var.reset(token)


# Installing ------------------------------------------------------------------------------------------------------


class _Installed:
    """What is in place: how many asked for it, our record factory, and the processor lists that we are in."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.factory: _RecordFactory | None = None
        self.lists: list[list[Any]] = []


def install() -> None:
    """Start to capture, in this process. Each `install` needs its `uninstall`; only the first and the last act."""
    with _installed.lock:
        _installed.count += 1
        if _installed.count == 1:
            _installed.factory = _RecordFactory(logging.getLogRecordFactory())
            logging.setLogRecordFactory(_installed.factory)
    _follow_structlog()


def uninstall() -> None:
    """Undo one `install`; the last one puts back what was there, except where somebody has built on top of it: there we
    stay as a link that does nothing. One call too many does nothing."""
    with _installed.lock:
        _installed.count = max(0, _installed.count - 1)
        if _installed.count == 0:
            _remove_factory()
            _leave_structlog()


def after_fork_in_child() -> None:
    """A child starts without a scheduler: put everything back, whatever the parent's threads were doing."""
    _installed.lock = threading.Lock()
    _installed.count = 0
    uninstall()


# logging ---------------------------------------------------------------------------------------------------------


class _RecordFactory:
    """A record factory that captures the record which the previous one made."""

    __slots__ = ("active", "previous")

    def __init__(self, previous: Callable[..., logging.LogRecord]) -> None:
        self.previous = previous
        self.active = True

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.previous(*args, **kwargs)
        buffer = capture_var.get()
        if buffer is not None and self.active:
            _capture_record(buffer, record)
        return record


def _remove_factory() -> None:
    ours, _installed.factory = _installed.factory, None
    if ours is None:
        return
    ours.active = False
    if logging.getLogRecordFactory() is ours:
        logging.setLogRecordFactory(ours.previous)


def _capture_record(buffer: LogCapture, record: logging.LogRecord) -> None:
    try:
        # A copy that some handler makes of a record starts out nameless.
        if is_echo() or not record.name or _comes_from_structlog():
            return
        fields = {"exc_info": record.exc_info, "stack_info": record.stack_info}
        buffer.add(record.levelname.lower(), record.name, _message(record), fields)
    except Exception:  # noqa: BLE001, S110  # a record that cannot be shown is the host's to complain about
        pass


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # the arguments do not fit the text; the handlers will say so
        return str(record.msg)


# structlog -------------------------------------------------------------------------------------------------------


class _Head:
    """The first processor of a structlog pipeline, capturing the event before it is called."""

    __slots__ = ("first",)

    def __init__(self, first: Callable[[Any, str, Any], Any] | None) -> None:
        self.first = first

    def __call__(self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> Any:
        buffer = capture_var.get()
        if buffer is not None:
            _capture_event(buffer, logger, method_name, event_dict)
        return event_dict if self.first is None else self.first(logger, method_name, event_dict)


def _follow_structlog() -> None:
    """Stand at the head of the processors in force: a host may import and configure structlog at any time."""
    structlog = sys.modules.get("structlog")
    if structlog is None:
        return
    try:
        processors = structlog.get_config()["processors"]
        if type(processors) is list and not (processors and type(processors[0]) is _Head):
            with _installed.lock:
                _become_head(processors)
    except Exception:  # noqa: BLE001, S110  # another thread is just importing it: the next attempt will see it
        pass


def _become_head(processors: list[Any]) -> None:
    if any(type(processor) is _Head for processor in processors):
        return
    if processors:
        processors[0] = _Head(processors[0])
    else:
        processors.append(_Head(None))
    if not any(known is processors for known in _installed.lists):
        _installed.lists.append(processors)


def _leave_structlog() -> None:
    for processors in _installed.lists:
        for index, processor in enumerate(processors):
            if type(processor) is not _Head:
                continue
            if processor.first is not None:
                processors[index] = processor.first
            elif len(processors) == 1:
                processors.clear()
    _installed.lists.clear()


class _LastEvent(threading.local):
    """`goes_to_logging`: structlog has just handed an event to `logging`; the record made of it is the same line."""

    goes_to_logging = False


_last_event: Final = _LastEvent()


def _capture_event(buffer: LogCapture, logger: Any, method_name: str, event_dict: Mapping[str, Any]) -> None:
    try:
        # `_record`: a record of `logging` on its way through structlog's formatter.
        if is_echo() or "_record" in event_dict:
            return
        level = _OTHER_NAMES.get(method_name, method_name)
        name = event_dict.get("logger", "")
        if isinstance(logger, logging.Logger):
            if not logger.isEnabledFor(_LEVELS.get(level, logging.INFO)):
                return
            name = logger.name
            _last_event.goes_to_logging = True
        buffer.add(level, str(name), _event_text(event_dict), _event_fields(event_dict))
    except Exception:  # noqa: BLE001, S110  # an event that cannot be shown is the host's to complain about
        pass


def _comes_from_structlog() -> bool:
    if not _last_event.goes_to_logging:
        return False
    _last_event.goes_to_logging = False
    # A later processor may have dropped that event: see who is really calling.
    frame = inspect.currentframe()
    for _ in range(16):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == "structlog._base":
            return True
        frame = frame.f_back
    return False


def _event_text(event_dict: Mapping[str, Any]) -> object:
    event, args = event_dict.get("event", ""), event_dict.get("positional_args")
    if not args:
        return event
    return event % (args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args)


def _event_fields(event_dict: Mapping[str, Any]) -> dict[str, object]:
    """What is bound to the context and to the logger, and what is said; the latter wins."""
    fields: dict[str, object] = sys.modules["structlog.contextvars"].get_contextvars()
    fields.update(event_dict)
    for key in ("event", "logger", "positional_args"):
        fields.pop(key, None)
    return fields


_installed: Final = _Installed()
