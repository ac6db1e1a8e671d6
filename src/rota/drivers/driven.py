"""What a clock that is moved by hand turns besides nodes.

Law: nothing here starts a thread; all of it happens while the clock moves. Where nothing can have changed nothing is
looked at: a month of an idle schedule is one move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rota.drivers.renewal import Renewal
from rota.ports import Clock

if TYPE_CHECKING:
    from rota.drivers.node import Node


@runtime_checkable
class ForeseeingStore(Protocol):
    """A shared store that goes by the clock that is moved, and knows how long that makes nothing happen in it."""

    def seconds_of_quiet(self, now: int) -> float:
        """For how long a poll would find nothing unless somebody writes: until a run is due, or a lease is over."""
        ...


def micros_until(seconds: float) -> int:
    """Whole microseconds that bring a clock to something that is `seconds` away: never 0 while it is still ahead."""
    return 0 if seconds <= 0 else max(1, round(seconds * 1_000_000))


class Renewing:
    """The renewals of a node or of named locks, in the place of their thread."""

    def __init__(self, renewal: Renewal, clock: Clock, is_wanted: Callable[[], bool]) -> None:
        self._renewal = renewal
        self._clock = clock
        self._is_wanted = is_wanted

    @property
    def is_alive(self) -> bool:
        """Whether there is still somebody to renew for."""
        return self._is_wanted()

    def turn(self) -> None:
        """Renew what is due."""
        self._renewal.renew_due(self._clock.monotonic())

    def next_wakeup(self) -> int | None:
        """The instant of the next renewal; `None`: nothing is held."""
        due = self._renewal.next_due()
        return None if due is None else self._clock.now() + micros_until(due - self._clock.monotonic())


class Attending(Renewing):
    """The renewals of a node, and the time limits of its runs: they hold while a job at work moves the clock, too.

    A node with nothing at work has nothing that others could take from it: it shows a sign of life at both ends of a
    move and not on the way.
    """

    def __init__(self, node: Node, clock: Clock) -> None:
        super().__init__(node.renewal, clock, lambda: node.is_alive)
        self._node = node

    def turn(self) -> None:
        """Renew what is due, and ask runs to stop whose time is over."""
        super().turn()
        self._node.engine.attempts.ask_late_to_stop()

    def next_wakeup(self) -> int | None:
        """The instant of the next renewal or time limit; `None`: nothing is at work."""
        node = self._node
        if not node.needs_renewals:
            return None
        renewal = super().next_wakeup()
        seconds = node.engine.attempts.seconds_to_time_limit()
        if seconds == float("inf"):
            return renewal
        limit = self._clock.now() + micros_until(seconds)
        return limit if renewal is None else min(limit, renewal)
