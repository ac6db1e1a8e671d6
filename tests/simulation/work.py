"""What jobs do: their functions, how long they take, how they end, and the resource that they write to.

Law: a job is called by the production code (`AttemptCall`), begins and ends by a report to the ledger, and writes to a
resource that refuses a fence lower than one it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.world import World

from rota.core.outcome import Outcome
from rota.errors import BackendError, LeaseLost, RetryAfter, RunCancelled, Snooze
from rota.executors.ending import end, hand_back

if TYPE_CHECKING:
    from tests.simulation.jobs import Declaration
    from tests.simulation.ledger import Ledger
    from tests.simulation.process import Process

LOOKS = 700_000
"""Microseconds from one look of a job at `run.cancelled` to the next, where it looks."""

TIMES = (0, 0, 200_000, 900_000, 2_000_000, 4_500_000, 8_000_000)


class Workplace:
    """What all jobs of a story share."""

    def __init__(self, world: World, ledger: Ledger, random: Random) -> None:
        self.world = world
        self.ledger = ledger
        self.random = random
        self.is_calm = False
        """Whether jobs are quick and fail no more, so that a story comes to its end."""

    def function(self, process: Process, declared: Declaration) -> Callable[..., object]:
        """The function of a job, in one process."""

        def work(run: Any) -> object:
            self.ledger.started(process, run)
            self._use_store(process, run)
            return self._ending(declared)

        async def awork(run: Any) -> object:
            self.ledger.started(process, run)
            return self._ending(declared)

        return awork if declared.is_async else work

    def time_for(self, declared_times: Sequence[int]) -> int:
        """How long an attempt takes."""
        return 0 if self.is_calm else self.random.choice(declared_times)

    def _use_store(self, process: Process, run: Any) -> None:
        """Keep a checkpoint, or ask for another run, now and then."""
        chance = 1.0 if self.is_calm else self.random.random()
        try:
            if chance < 0.1:
                run.checkpoint["attempt"] = run.attempt
            elif chance < 0.15:
                run.progress(1, 2)
            elif chance < 0.25 and run.origin == "tick":
                process.scheduler.enqueue("asked", key=f"{run.key}/child")
        except (BackendError, LeaseLost):
            self.world.note(process.name, "a job was refused", run.id)

    def _ending(self, declared: Declaration) -> object:
        chance = 1.0 if self.is_calm else self.random.random()
        if chance < declared.failing:
            raise ValueError("as drawn")
        if chance < declared.failing + declared.odd:
            raise self.random.choice((Snooze(1), Snooze(3), RetryAfter(2)))
        return None


class Work:
    """One call at work: the production code has called the function, the rest of its time is simulated."""

    def __init__(self, executor: SimulatedExecutor, call: Any) -> None:
        self.call = call
        self._executor = executor
        self._process = executor.process
        self._outcome = Outcome()
        self._is_over = False
        self._has_begun = False

    def begin(self) -> None:
        """Call the function."""
        call, process = self.call, self._process
        if self._is_over:
            return
        self._has_begun = True
        self._outcome = _awaited(call.ainvoke()) if call.is_async else call.invoke()
        if process.is_dead or self._is_over:
            return
        shop = self._executor.workplace
        takes, looks = shop.time_for(TIMES), shop.random.random() < 0.6
        if takes == 0:
            self.end(self._outcome)
            return
        process.world.after(process.machine.true_span(takes), lambda: self.end(self._outcome), process)
        if looks and takes > LOOKS:
            process.world.after(LOOKS, self.look, process)

    def look(self) -> None:
        """See whether it is asked to stop, as a job does that is well behaved."""
        if self._is_over:
            return
        if self.call.cancel_reason is not None:
            self.end(Outcome(error=RunCancelled(self.call.cancel_reason)))
        else:
            self._process.world.after(LOOKS, self.look, self._process)

    def be_stopped(self, reason: str) -> None:
        """Be cancelled, as a coroutine is."""
        self.end(Outcome(error=RunCancelled(reason), forced=True))

    def end(self, outcome: Outcome) -> None:
        """Write its result, and report."""
        if self._is_over:
            return
        self._is_over = True
        if self._has_begun:
            self._executor.workplace.ledger.ended(self._process, self.call.row, is_success=outcome.error is None)
        self._executor.forget(self)
        end(self.call, outcome)


class SimulatedExecutor:
    """A `rota.ports.Executor`. `can_stop`: as a loop can stop coroutines, and a pool of threads can stop nothing."""

    def __init__(self, process: Process, workplace: Workplace, *, workers: int, can_stop: bool) -> None:
        self.process = process
        self.workplace = workplace
        self._workers = workers
        self._can_stop = can_stop
        self._at_work: dict[int, Work] = {}
        self._abandoned: set[int] = set()
        self._is_closed = False

    def capacity(self) -> int:
        if self._is_closed:
            return 0
        return max(0, self._workers - len(self._at_work) + len(self._abandoned))

    def submit(self, calls: Sequence[Any]) -> None:
        if self._is_closed:
            hand_back(calls, "the scheduler has been shut down")
            return
        for call in calls:
            work = self._at_work[id(call)] = Work(self, call)
            self.process.world.after(self.workplace.random.choice((0, 0, 100, 5_000)), work.begin, self.process)

    def stop(self, call: Any, reason: str) -> bool:
        work = self._at_work.get(id(call))
        if work is None or not self._can_stop:
            return False
        if self.workplace.random.random() < 0.9:
            self.process.world.after(1_000, lambda: work.be_stopped(reason), self.process)
        return True

    def abandon(self, call: Any) -> None:
        if id(call) in self._at_work:
            self._abandoned.add(id(call))

    def shutdown(self, timeout: float) -> None:
        self._is_closed = True

    def forget(self, work: Work) -> None:
        """It has ended."""
        self._at_work.pop(id(work.call), None)
        self._abandoned.discard(id(work.call))


def _awaited(coroutine: Any) -> Outcome:
    """What a coroutine comes to that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    raise AssertionError("it waits for something")
