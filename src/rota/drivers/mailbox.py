"""What other threads have to say to an engine, in the order in which they said it, and how it sleeps until they do.

Law: a message left while nobody waits is found by the next turn. A command rings a sleeping engine at once. An ended
call rings only one that would sleep on for longer than `SOON`: so a job that is over a moment before the next tick
costs one wake-up, not two. Who expects such ends looks for them `EARLY` seconds before the sleep is over: those that
have come by then are out of the way when the tick is due.

No ring is missed: who sleeps says until when and then looks for messages; who leaves one looks until when the engine
sleeps afterwards. One of the two sees the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from rota.clock import SYSTEM
from rota.ports import Clock

T = TypeVar("T")

SOON = 0.002
"""Seconds for which the record of an ended call may wait for a wake-up that comes anyway."""

TIMER_SLACK = 0.00006
"""Seconds by which a sleep is asked to end too early: Linux has threads sleep some 50 µs longer than they ask for, so
that timers end together (`PR_SET_TIMERSLACK` in prctl(2)). What is left of them is waited out awake."""

EARLY = 0.00006
"""Seconds that it takes, about, to record an ended call with caches that have grown cold in a sleep."""

AWAKE = float("-inf")


class Mailbox(Generic[T]):
    """Messages from any thread to one that turns. `messages`: those that wait, for a look whether there are any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.messages: deque[T] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._sleeps_until = AWAKE

    def put(self, message: T) -> None:
        """Leave a message that is to be looked at now."""
        self.messages.append(message)
        if self._sleeps_until != AWAKE:
            self._ring()

    def put_soon(self, message: T) -> None:
        """Leave one that may wait for a moment."""
        self.messages.append(message)
        until = self._sleeps_until
        if until != AWAKE and until - self._clock.monotonic() > SOON:
            self._ring()

    def take(self) -> Iterator[T]:
        """The messages that are there now; those that come meanwhile are left for the next time."""
        messages = self.messages
        for _ in range(len(messages)):
            yield messages.popleft()

    def wait(self, seconds: float, *, for_ends: bool = False) -> None:
        """Sleep until a message comes, or for so long. `for_ends`: calls are at work that may end meanwhile."""
        until = SYSTEM.monotonic() + seconds
        self._sleeps_until = self._clock.monotonic() + seconds
        heard = for_ends and self._hears(seconds - EARLY)
        if not heard and not self._hears(until - SYSTEM.monotonic()):
            self._sleeps_until = AWAKE
            while SYSTEM.monotonic() < until:  # by the clock that the sleep went by: another one may stand still
                pass
        self._sleeps_until = AWAKE

    def _hears(self, seconds: float) -> bool:
        """Whether a message is there, or the bell rings within so many seconds."""
        if self.messages:
            return True
        try:
            self._bell.get(timeout=max(0.0, seconds - TIMER_SLACK))
        except Empty:
            return False
        return True

    def _ring(self) -> None:
        self._sleeps_until = AWAKE  # once is enough
        self._bell.put(None)
