"""Ctrl-C while a clock is moved: it reaches the job at work first, and then the test.

Law: a job that raises `KeyboardInterrupt` by itself ends its run only. A key that was pressed ends the move as well,
once that run is recorded; nothing is left installed.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class CtrlC:
    """For a `with` block: `pressed` tells whether it was, and leaving the block raises `KeyboardInterrupt` if so.

    In other threads than the main one, and where a host has no Python handler, it does nothing.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._before: Any = None

    def __enter__(self) -> CtrlC:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self.pressed and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        self._before(number, frame)
