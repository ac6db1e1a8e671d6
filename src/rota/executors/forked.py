"""A job that forks: its child ends with the call, since all that follows is the parent's, and the run is too."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from threading import Timer, get_ident
from typing import Final

from rota.errors import StateError

TO_FLUSH: Final = 1.0
"""Seconds that the child's streams have to take what was written. A thread of the parent's may have held their locks
when it forked, and is not there to let go of them."""


def refuse_forked(pid: int) -> None:
    """`StateError` where this is not the process `pid`, which has the run."""
    if os.getpid() != pid:
        raise StateError("this process was forked by the job; only the job itself can use its run")


def leave_forked(pid: int, error: BaseException | None = None) -> None:
    """Where this is not the process `pid`, which began the call, it ends: by the code of a `SystemExit`, by 1 where the
    call raised, else by 0. No exit handler is called; what the parent had not flushed when it forked is written by
    both, as of any program that forks."""
    if os.getpid() == pid:
        return
    code = _exit_code(error)
    with contextlib.suppress(RuntimeError):  # no thread can be started
        timer = Timer(TO_FLUSH, os._exit, (code,))
        timer.daemon = True
        timer.start()
    try:
        if error is not None and not isinstance(error, SystemExit):
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # whatever has become of its streams
        os._exit(code)


class TermInForks:
    """A TERM ends what is forked, though `handler` is what this process does at one, unless the job has set another
    handler. It is held back across the fork: one that came in between would be lost."""

    def __init__(self, handler: Callable[[int, object], None]) -> None:
        self._handler = handler
        self._masks: dict[int, set[signal.Signals | int]] = {}  # by thread

    def install(self) -> None:
        """From now on, for as long as this process lives."""
        os.register_at_fork(
            before=self._hold_back, after_in_parent=self._let_through, after_in_child=self._obey_in_child
        )

    def _hold_back(self) -> None:
        self._masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _let_through(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop(get_ident(), set()))

    def _obey_in_child(self) -> None:
        if signal.getsignal(signal.SIGTERM) == self._handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._let_through()


def _exit_code(error: BaseException | None) -> int:
    if not isinstance(error, SystemExit):
        return 0 if error is None else 1
    return error.code & 0xFF if isinstance(error.code, int) else int(error.code is not None)
