"""Signals in the main thread: those that end `run()`, and the Ctrl-C that reaches `run_due()`.

Law: a handler comes between any two instructions of the main thread, another handler's included. So it only notes and
wakes, through what bears that (a flag or a socket does, an `Event` does not). `KeyboardInterrupt` is raised in a job
alone, never in code of ours that has a run in its hands.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

from rota.containment import is_main_thread
from rota.executors.inline import ctrl_c

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While it runs, SIGTERM and SIGINT wake `wait`, where this is the main thread; then the handlers are put back.

    The system may hand a signal to any thread, as it does where the main one has just been sent another (SIGCONT, say):
    then no lock and no queue that the main thread waits for is interrupted. Its wake-up descriptor is written to.
    """

    def __init__(self) -> None:
        self._is_asked = self._is_over = False
        self._ctrl_cs = self._ctrl_cs_seen = 0
        self.was_ctrl_c = False  # whether SIGINT, a person's as a rule, was among those that ended the last `wait`
        self._before: dict[int, object] = {}
        self._woken, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)

    def __enter__(self) -> StopSignals:
        if is_main_thread():
            self._descriptor_before = signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
            for number in _STOPPING:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # `None`: a handler that was not set from Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]  # its own
        if self._before:
            signal.set_wakeup_fd(self._descriptor_before)
        self._woken.close()
        self._wakes.close()

    def wait(self) -> bool:
        """Until a signal asks to stop, or all is over: whether it is over."""
        while not self._is_over:
            if self._is_asked:
                self._is_asked = False
                before, self._ctrl_cs_seen = self._ctrl_cs_seen, self._ctrl_cs
                self.was_ctrl_c = self._ctrl_cs_seen > before
                break
            self._woken.recv(64)
        return self._is_over

    def end(self) -> None:
        """All is over. From any thread, at any time."""
        self._is_over = True
        with contextlib.suppress(OSError):  # full of what will wake it; or closed, since a signal woke it just now
            self._wakes.send(b"\0")

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._ctrl_cs += 1
        self._is_asked = True


class HeldCtrlC:
    """While it runs, a Ctrl-C in the main thread is raised in the job that is called there, if one is; anywhere else
    it is noted (`came`), and `wake` is called. A host that has a handler of its own keeps it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._holds = False
        self.came = False

    def __enter__(self) -> None:
        if ctrl_c_raises_here():
            signal.signal(signal.SIGINT, self._handle)
            self._holds = True

    def __exit__(self, *_: object) -> None:
        if self._holds:
            if signal.getsignal(signal.SIGINT) == self._handle:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            ctrl_c.is_noted = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.came = ctrl_c.is_noted = True
        self._wake()
        if ctrl_c.may_raise:
            ctrl_c.may_raise = False
            raise KeyboardInterrupt


def ctrl_c_raises_here() -> bool:
    """Whether a Ctrl-C raises `KeyboardInterrupt` in this thread, as Python has it where nobody wanted otherwise."""
    return is_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
