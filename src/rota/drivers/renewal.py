"""Renews every held lease, on a thread of its own that user code cannot block.

Law: a lease outlives its third only by being renewed, so nothing here waits for user code, no failing renewal keeps
another from its turn, no wait is longer than 30 s, and what is added while nobody waits is not missed.

The thread starts when something is added, sleeps until the first renewal falls due, and ends when it wakes up and
finds nothing left: an idle scheduler has none, and a thousand short runs a second cost one start and one wake-up per
interval. A driver that turns its own crank (by hand, in a simulation) asks for `threaded=False` and calls `renew_due`
at `next_due`.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Protocol

from rota.containment import whatever_it_raises
from rota.core.outcome import message_of
from rota.drivers.settings import LONGEST_WAIT
from rota.hooks.logging import logger
from rota.ports import Clock


class Renewable(Protocol):
    """Something held for a while, told apart by identity."""

    @property
    def interval(self) -> float:
        """Seconds between two renewals: a third of its time to live."""
        ...

    def renew(self) -> None:
        """Renew it. What it raises is logged, once until it succeeds, and it is tried again in a quarter of its
        interval."""
        ...


class Renewal:
    """The renewals of one scheduler. Safe in any thread; instants are seconds of `clock.monotonic`."""

    def __init__(self, clock: Clock, *, threaded: bool = True) -> None:
        self._clock = clock
        self._threaded = threaded
        self._forget()

    def add(self, renewable: Renewable) -> None:
        """Renew it each `interval`, the first time an interval from now."""
        due = self._clock.monotonic() + renewable.interval
        with self._changed:
            self._due[renewable] = due
            if self._threaded and due < self._wakes_at:
                self._wake(due)

    def remove(self, renewable: Renewable) -> None:
        """Leave it alone from now on; a renewal that is under way is not waited for. Unknown: no effect."""
        with self._changed:
            self._due.pop(renewable, None)
            self._failing.discard(renewable)

    def stop(self, timeout: float = 5.0) -> None:
        """Forget everything and end the thread, waiting for it at most `timeout` seconds. `add` may start it again."""
        with self._changed:
            self._due.clear()
            self._failing.clear()
            thread = self._thread
            if thread is not None:
                self._wakes_at = float("-inf")
                self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            with suppress(RuntimeError):  # a Ctrl-C cut its start short: there is nothing to wait for
                thread.join(timeout)

    def next_due(self) -> float | None:
        """When the next renewal falls due; `None`: there is nothing to renew."""
        with self._changed:
            return min(self._due.values(), default=None)

    def renew_due(self, now: float) -> int:
        """Renew what is due at `now`, the longest due first; how many there were."""
        with self._changed:
            chosen = sorted((one for one, due in self._due.items() if due <= now), key=self._due.__getitem__)
            for renewable in chosen:
                # The next one counts from now, not from when this one has ended: a slow renewal extends nothing.
                self._due[renewable] = now + renewable.interval
        for renewable in chosen:
            self._renew(renewable, now)
        return len(chosen)

    def after_fork_in_child(self) -> None:
        """A child holds nothing of what its parent holds, and has none of its threads."""
        self._forget()

    def _forget(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._due: dict[Renewable, float] = {}
        self._failing: set[Renewable] = set()
        self._thread: threading.Thread | None = None
        self._wakes_at = float("inf")

    def _renew(self, renewable: Renewable, now: float) -> None:
        try:
            renewable.renew()
        except whatever_it_raises() as error:  # tried again while the lease may still be saved
            self._failed(renewable, now, error)
        else:
            self._failing.discard(renewable)

    def _failed(self, renewable: Renewable, now: float, error: BaseException) -> None:
        if renewable not in self._failing:
            logger().warning("lease.renewal_failed", error_type=type(error).__name__, error=message_of(error))
        with self._changed:
            if renewable in self._due:
                self._due[renewable] = now + renewable.interval / 4
                self._failing.add(renewable)

    # The thread. `_wakes_at` is when it looks next: in the past while it is at work, infinite while there is none.

    def _wake(self, due: float) -> None:
        self._wakes_at = due
        if self._thread is not None:
            self._changed.notify_all()
            return
        thread = threading.Thread(target=self._run, name="rota-renewal", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError as error:
            # No more threads, or the interpreter is on its way out: the leases run out, and say so.
            self._thread = None
            self._wakes_at = float("inf")
            logger().error("lease.renewal_failed", error_type=type(error).__name__, error=str(error))

    def _run(self) -> None:
        while self._wait():
            self.renew_due(self._clock.monotonic())

    def _wait(self) -> bool:
        """Sleep until something falls due. `False`: nothing was left at the time to look, and the thread has signed
        off."""
        with self._changed:
            while True:
                now = self._clock.monotonic()
                due = min(self._due.values(), default=None)
                if due is None and now >= self._wakes_at:
                    self._thread = None
                    self._wakes_at = float("inf")
                    return False
                if due is not None:
                    if due <= now:
                        return True
                    self._wakes_at = due
                self._changed.wait(min(self._wakes_at - now, LONGEST_WAIT))
