"""The captured lines of one attempt, in bounded room.

Law: safe in any thread, and nothing here raises: a line that cannot be kept is lost, the run goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, cast

from rota.core.run import JSON
from rota.hooks.log_line import LINE_BYTES, line_text

MOST_LINES: Final = 500
MOST_BYTES: Final = 64_000

_HALF_LINES: Final = MOST_LINES // 2
_HALF_BYTES: Final = MOST_BYTES // 2
_MARK_BYTES: Final = 200
_RUN_KEYS: Final = frozenset({"job_id", "run_id", "attempt"})


class _ThreadState(threading.local):
    """`busy`: a line is being made or handed on by this thread, so what is said meanwhile is its echo."""

    busy = False


_thread: Final = _ThreadState()


class LogCapture:
    """At most 500 lines and 64 kB: the first and the last ones, and between them a line that counts those left out.

    `now` gives the clock's microseconds. Lines that carry `run_id` do not repeat job, run and attempt.
    """

    # Every run has a capture and few say anything, so what holds lines is made with the first of them.
    _lock: threading.RLock | None = None
    _first: list[str] | None = None
    _first_bytes = 0
    _last: deque[str] | None = None
    _last_bytes = 0
    _left_out = 0
    _left_out_at = 0

    def __init__(self, now: Callable[[], int], run_id: str = "") -> None:
        self._now = now
        self._run_id = run_id

    def add(self, level: str, logger: str, event: object, fields: Mapping[str, object]) -> None:
        """Keep a line. `exc_info` and `stack_info` among the fields mean what they mean to `logging`."""
        if _thread.busy:
            return
        _thread.busy = True
        try:
            self._append(line_text(self._now(), level, logger, event, self._telling(fields)))
        except Exception:  # noqa: BLE001, S110  # a value that cannot be shown costs its line, not the run
            pass
        finally:
            _thread.busy = False

    def add_remote(self, params: Mapping[str, JSON]) -> None:
        """Keep the `lines` that a buffer in a child process made."""
        lines = params.get("lines")
        for line in cast("list[JSON]", lines if isinstance(lines, list) else []):
            if isinstance(line, str) and len(line) <= LINE_BYTES:
                self._append(line)

    def lines(self) -> list[str]:
        """The lines, oldest first: JSON texts of objects with `at` (microseconds), `level`, `logger`, `event`, …"""
        lock = self._lock
        if lock is None:
            return []
        with lock:
            first, last = self._first or [], list(self._last or ())
            if not self._left_out:
                return first + last
            return [*first, self._mark(), *last]

    def _mark(self) -> str:
        count = self._left_out
        return line_text(self._left_out_at, "info", "rota", f"{count} lines left out here", {"left_out": count})

    def _telling(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        if self._run_id and fields.get("run_id") == self._run_id:
            return {key: value for key, value in fields.items() if key not in _RUN_KEYS}
        return fields

    def _append(self, line: str) -> None:
        # A fork while another thread holds the lock leaves it locked in the child for ever: the line is lost then.
        lock = self.__dict__.setdefault("_lock", threading.RLock())  # one step: two threads may have a first line each
        if not lock.acquire(timeout=1):
            return
        try:
            first = self._first
            if first is None:
                first = self._first = []
            is_full = len(first) >= _HALF_LINES or self._first_bytes + len(line) > _HALF_BYTES
            if self._last is None and not is_full:
                first.append(line)
                self._first_bytes += len(line)
            else:
                self._append_to_last_part(line)
        finally:
            lock.release()

    def _append_to_last_part(self, line: str) -> None:
        if self._last is None:
            self._last = deque()
        self._last.append(line)
        self._last_bytes += len(line)
        # One line fewer than half, and some bytes: room for the line that counts those left out.
        while len(self._last) >= _HALF_LINES or self._last_bytes > _HALF_BYTES - _MARK_BYTES:
            self._last_bytes -= len(self._last.popleft())
            self._left_out_at = self._left_out_at or self._now()
            self._left_out += 1


class HandedOver(LogCapture):
    """Keeps nothing: each line is handed to `keep`, for another process to keep (`LogCapture.add_remote`)."""

    def __init__(self, now: Callable[[], int], run_id: str, keep: Callable[[str], None]) -> None:
        super().__init__(now, run_id)
        self._keep = keep

    def _append(self, line: str) -> None:
        self._keep(line)


def is_echo() -> bool:
    """Whether this thread is making or handing on a line: what is said meanwhile is not to be captured."""
    return _thread.busy


@contextmanager
def handing_on() -> Iterator[None]:
    """While a line that is captured already goes to the host, so that it is not captured again on its way."""
    before = _thread.busy
    _thread.busy = True
    try:
        yield
    finally:
        _thread.busy = before
