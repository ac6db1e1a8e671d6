"""`run()`: the main thread waits for signals, and the shutdown that the first one asks for is made beside it.

Law: the thread that hears signals waits for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Final

from rota.clock import SYSTEM
from rota.drivers.signals import StopSignals

IMPATIENT_AFTER: Final = 1.0
"""Seconds after which a second Ctrl-C is a person's: one that a wrapper passes on comes at the same time."""


def wait_for_the_end(
    signals: StopSignals,
    shut_down: Callable[[], object],
    hurry: Callable[[], None],
    monotonic: Callable[[], float] = SYSTEM.monotonic,
) -> None:
    """Return when all is over. The first signal has `shut_down` called; a SIGINT well after it calls `hurry`. Raises
    what the shutdown raises."""
    leaving: _Leaving | None = None
    impatient_at = 0.0
    while not signals.wait():
        if leaving is None:
            leaving = _Leaving(shut_down, signals)
            leaving.begin()
            impatient_at = monotonic() + IMPATIENT_AFTER
        elif signals.was_ctrl_c and monotonic() >= impatient_at:
            hurry()
    if leaving is not None:
        leaving.end()


class _Leaving:
    """A shutdown in a thread of its own."""

    def __init__(self, shut_down: Callable[[], object], signals: StopSignals) -> None:
        self._shut_down = shut_down
        self._signals = signals
        self._thread = Thread(target=self._leave, name="rota-shutdown", daemon=True)
        self._error: BaseException | None = None

    def begin(self) -> None:
        """Begin; in this thread where there are no more."""
        try:
            self._thread.start()
        except RuntimeError:
            self._leave()

    def end(self) -> None:
        """Raise what it raised: its last words may come after those that all is over."""
        if self._thread.ident is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _leave(self) -> None:
        try:
            self._shut_down()
        except BaseException as error:  # noqa: BLE001  # raised again where `run()` was called
            self._error = error
            self._signals.end()
