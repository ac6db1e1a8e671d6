"""Executors that call everything in the thread that moves a fake clock.

Law: a plain function has ended when `submit` returns, unless a test said that it takes time; a coroutine has come as
far as it can without time passing. Each call begins in a clean context, as in production.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Final, cast

from rota.core.calling import shape_of
from rota.core.outcome import ErrorText, Outcome
from rota.drivers.calls import AttemptCall
from rota.errors import RunCancelled, StateError
from rota.executors.choose import EXECUTORS
from rota.executors.ending import end, hand_back
from rota.executors.remote_error import RemoteError
from rota.testing.loop import LazyLoop

if TYPE_CHECKING:
    from rota.ports import Call, Executor
    from rota.testing.clock import FakeClock

CAPACITY: Final = 1_000_000
MOST_REPEATS: Final = 10_000
"""Attempts, first ones apart, at one instant after which something goes round in circles."""

MOST_REPEATS_OF_A_RUN: Final = 1_000
"""The same of one run: each of its attempts is written down with those before it, which takes a while."""


def inline_executors(clock: FakeClock) -> dict[str, Executor]:
    """One executor for each of the built-in names, on one loop."""
    return fake_executors(LazyLoop(clock), Script(), EXECUTORS)


def fake_executors(
    loop: LazyLoop, script: Script, names: Sequence[str], max_workers: int | None = None
) -> dict[str, Executor]:
    """Executors by name. `max_workers`: how many plain functions can be at work at once where they take time."""
    return {
        name: FakeExecutor(loop, script, workers=max_workers if name == "thread" else None, can_kill=name == "process")
        for name in names
    }


class Script:
    """What a test says of jobs, by id: how long they take, what is called in their place, how often they fail."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.doubles: dict[str, Callable[..., object]] = {}
        self._failures: dict[str, list[Callable[[], object]]] = {}
        self._repeats: Counter[str] = Counter()
        self._repeated = 0
        self._repeated_at: int | None = None

    def fail(self, job_id: str, error: BaseException | type[BaseException], times: int) -> None:
        """Let the next calls of the job raise."""

        def fail(*_: object, **__: object) -> object:
            raise error

        self._failures.setdefault(job_id, []).extend([fail] * times)

    def repeats_for_ever(self, call: AttemptCall) -> bool:
        """Whether runs begin one attempt after the other while time stands still."""
        if call.row.attempt == 1:
            return False
        if self._repeated_at != call.row.attempt_started_at:
            self._repeated_at, self._repeats, self._repeated = call.row.attempt_started_at, Counter(), 0
        self._repeated += 1
        self._repeats[call.row.id] += 1
        return self._repeated > MOST_REPEATS or self._repeats[call.row.id] > MOST_REPEATS_OF_A_RUN

    def prepare(self, call: AttemptCall) -> float:
        """Put the double of its job in the call; the seconds that it takes."""
        job = call.job
        failures = self._failures.get(job.id)
        double = failures.pop(0) if failures else self.doubles.get(job.id)
        if double is not None:
            call.stand_in(job.played_by(double, shape_of(double)))
        return self.seconds.get(job.id, 0.0)


class FakeExecutor:
    """Calls plain functions at once and awaits coroutines on the fake loop."""

    def __init__(self, loop: LazyLoop, script: Script, *, workers: int | None, can_kill: bool) -> None:
        self._loop = loop
        self._script = script
        self._workers = workers
        self._can_kill = can_kill
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._at_work: dict[int, asyncio.TimerHandle] = {}
        self._abandoned: set[int] = set()
        self._stopped: dict[int, str] = {}
        self._is_closed = False

    def capacity(self) -> int:
        """Free workers."""
        if self._is_closed:
            return 0
        return CAPACITY if self._workers is None else max(0, self._workers - len(self._at_work) + len(self._abandoned))

    def submit(self, calls: Sequence[Call]) -> None:
        """Make the calls, one after the other."""
        if self._is_closed:
            hand_back(calls, "the scheduler has been shut down")
            return
        for call in calls:
            attempt = cast(AttemptCall, call)
            if self._script.repeats_for_ever(attempt):
                message = "too many attempts were made without time passing: it snoozes for 0 s, say"
                end(call, Outcome(error=StateError(message)))
                continue
            seconds = self._script.prepare(attempt)
            if attempt.job.shape.is_async:
                self._begin(attempt, seconds)
            else:
                self._call(attempt, seconds)
        if self._tasks:
            self._loop.get().turn()

    def stop(self, call: Call, reason: str) -> bool:
        """Cancel a coroutine, end a process that takes its time. `False`: a plain function cannot be stopped."""
        task, timer = self._tasks.get(id(call)), self._at_work.get(id(call))
        if self._stopped.get(id(call)) == reason:
            return True
        if task is not None:
            self._stopped[id(call)] = reason
            task.cancel(reason)
            self._loop.get().turn()
            return True
        if timer is None or not self._can_kill:
            return False
        timer.cancel()
        message = f"its process was stopped ({reason})"
        self._end_late(call, Outcome(error=RemoteError(message), forced=True, text=ErrorText("stopped", message, "")))
        return True

    def abandon(self, call: Call) -> None:
        """Its worker is replaced; what it comes to is reported all the same."""
        if id(call) in self._at_work:
            self._abandoned.add(id(call))

    def shutdown(self, timeout: float) -> None:  # noqa: ARG002  # the port's signature; time does not pass here
        """End what is left."""
        self._is_closed = True
        if self._loop.made is not None:
            self._loop.made.end()

    def _call(self, call: AttemptCall, seconds: float) -> None:
        outcome = Context().run(call.invoke)
        if seconds <= 0:
            end(call, outcome)
            return
        self._at_work[id(call)] = self._loop.get().call_later(seconds, self._end_late, call, outcome)

    def _end_late(self, call: Call, outcome: Outcome) -> None:
        self._at_work.pop(id(call), None)
        self._abandoned.discard(id(call))
        end(call, outcome)

    def _begin(self, call: AttemptCall, seconds: float) -> None:
        coroutine = self._await(call, seconds)
        self._tasks[id(call)] = asyncio.Task(coroutine, loop=self._loop.get(), name="rota-job", context=Context())

    async def _await(self, call: AttemptCall, seconds: float) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            outcome = await call.ainvoke()
            if seconds > 0:
                await asyncio.sleep(seconds)
        except BaseException as error:  # noqa: BLE001  # a job's, or its cancellation: it ends its attempt only
            outcome = Outcome(error=error)
        del self._tasks[id(call)]
        was_stopped = id(call) in self._stopped
        self._stopped.pop(id(call), None)
        end(call, _judged(outcome, was_stopped=was_stopped, cancellations=task.cancelling()))


def _judged(outcome: Outcome, *, was_stopped: bool, cancellations: int) -> Outcome:
    """The outcome, `forced` where it was raised because of a cancellation from outside, as in production."""
    if outcome.error is None:
        return outcome
    if isinstance(outcome.error, asyncio.CancelledError):
        return outcome.replaced(forced=cancellations > 0)
    return outcome.replaced(forced=was_stopped and not isinstance(outcome.error, RunCancelled))
