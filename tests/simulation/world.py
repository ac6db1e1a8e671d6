"""The time of a simulated fleet, and whose turn it is: many threads of many processes in one real thread.

Theory. A thread is turned when its time has come. One that waits in the middle of its turn, for the store or for the
end of a shutdown, lets the world go on further up the stack, and itself goes on when that is done. So a wait may take
longer than was asked for, as on a busy machine, and never less.

Law: instants are microseconds of the true time, which nobody in a story can read. At one instant the order is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.process import Process, Thread

DEEPEST = 12
"""Waits within waits; beyond it nothing takes time."""

MOST_TURNS = 200
"""Turns of one thread within a second after which it goes round in circles."""


class Killed(BaseException):
    """Leaves whatever a process was doing when it died."""


class World:
    """`problems` is empty as long as everything is as it should be; with the first one all comes to a stop."""

    def __init__(self, start: int, random: Random) -> None:
        self.now = start
        self.random = random
        self.processes: list[Process] = []
        self.problems: list[str] = []
        self.journal: list[tuple[Any, ...]] = []
        self.active: Process | None = None
        self._events: list[tuple[int, int, Callable[[], object], Process | None]] = []
        self._numbers = 0
        self._depth = 0

    def note(self, *what: object) -> None:
        """Write a line of the journal."""
        self.journal.append((self.now, *what))

    def problem(self, law: str, text: str) -> None:
        """Something is not as it should be."""
        self.note("PROBLEM", law, text)
        self.problems.append(f"{law}: {text}")

    def at(self, when: int, do: Callable[[], object], process: Process | None = None) -> None:
        """Call `do` then; with a `process`, as one of its threads: later if it is stopped, never if it is dead."""
        self._numbers += 1
        heappush(self._events, (max(when, self.now), self._numbers, do, process))

    def after(self, micros: int, do: Callable[[], object], process: Process | None = None) -> None:
        """Call `do` in so many microseconds."""
        self.at(self.now + micros, do, process)

    def run(self, until: int, is_over: Callable[[], bool] | None = None) -> None:
        """Let time pass until an instant, or until `is_over`."""
        self._depth += 1
        try:
            while not self.problems:
                if is_over is not None and is_over():
                    return
                thread, ready = self._next_thread()
                if self._events and self._events[0][0] <= ready and self._events[0][0] <= until:
                    self._happen()
                elif thread is not None and ready <= until:
                    self.now = max(self.now, ready)
                    self._do(thread.process, thread.take_turn)
                else:
                    self.now = max(self.now, until)
                    return
        finally:
            self._depth -= 1

    def sleep(self, process: Process, micros: int, is_over: Callable[[], bool] | None = None) -> None:
        """Let a thread of a process wait. `Killed`: its process has died meanwhile."""
        until = self.now + (micros if self._depth < DEEPEST else 0)
        # In a context of its own: what the others do has nothing to do with the run that waits here.
        Context().run(self.run, until, is_over)
        while process.stopped_until > self.now and not (process.is_dead or self.problems):
            Context().run(self.run, process.stopped_until)
        process.overslept += max(0, self.now - until)
        if process.is_dead or self.problems:
            raise Killed

    def _happen(self) -> None:
        when, _, do, process = heappop(self._events)
        self.now = max(self.now, when)
        if process is None:
            do()
        elif process.is_dead:
            return
        elif process.stopped_until > self.now:
            self.at(process.stopped_until, do, process)
        else:
            self._do(process, do)

    def _do(self, process: Process, do: Callable[[], object]) -> None:
        before, self.active = self.active, process
        try:
            do()
        except Killed:
            pass
        finally:
            self.active = before

    def _next_thread(self) -> tuple[Thread | None, float]:
        """The thread whose turn is next, and when; one of several is drawn."""
        chosen: list[Thread] = []
        earliest = float("inf")
        for process in self.processes:
            for thread in process.threads:
                ready = thread.ready_at()
                ready = max(self.now, ready)
                if ready < earliest:
                    earliest, chosen = ready, [thread]
                elif ready == earliest and ready != float("inf"):
                    chosen.append(thread)
        if not chosen:
            return None, earliest
        return (chosen[0] if len(chosen) == 1 else self.random.choice(chosen)), earliest
