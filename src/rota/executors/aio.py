"""asyncio: coroutines awaited on the host's loop, or on a loop of Rota's own in a daemon thread.

A task costs three times as much as a coroutine that never awaits. So a *runner*, one task, takes calls off a queue and
awaits them inside itself, one after the other. When a call suspends, the runner has become that call's task, and the
pump, a callback that comes round as long as more calls wait than runners were sent out, sends out others for the rest:
one at first, twice as many each round in which all of them suspended.

Laws:

* A runner on which a call has left a mark (context variables changed, a cancellation counted) ends: every call begins
  in a task that looks new.
* Within one round of the loop at most `ROUND` calls are begun, so that the host's own callbacks are not kept waiting.
* All but `submit`, `stop` and `shutdown` happens on the loop's thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Final

from rota.clock import SYSTEM
from rota.core.context import current
from rota.core.outcome import NotBegun, NoThread, Outcome
from rota.errors import RunCancelled
from rota.executors.ending import end, hand_back
from rota.executors.own_loop import OwnLoop

if TYPE_CHECKING:
    from rota.ports import Call

CAPACITY: Final = 10_000
"""Calls in flight at once: a bound for memory, far above what a loop serves well."""

ROUND: Final = 256
"""Calls begun in one round of the loop."""


def _clean_context() -> Context:
    context = Context()
    context.run(current.set, None)  # so that a call which sets and resets it leaves an equal context
    return context


_CLEAN: Final = _clean_context()


class AsyncioExecutor:
    """Coroutines on `loop`, a running one of the host; `None`: a loop of its own, started with the first call."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, name: str = "rota-loop") -> None:
        self._loop = loop
        self._own: OwnLoop | None = None
        self._name = name
        self._mutex = threading.Lock()
        self._in_flight: dict[int, Call] = {}
        self._waiting: deque[Call] = deque()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stopped: dict[int, str] = {}
        self._pump_is_due = False
        self._suspended_before = 0
        self._left_in_round = 0
        self._closed = False

    def capacity(self) -> int:
        """How many more coroutines may be in flight."""
        if self._loop is not None and self._loop.is_closed():
            self._end_lost()
            return 0
        return 0 if self._closed else max(0, CAPACITY - len(self._in_flight))

    def submit(self, calls: Sequence[Call]) -> None:
        """Queue the calls and wake the loop once. Where the loop is closed, they end as not begun."""
        for call in calls:
            self._in_flight[id(call)] = call
        self._waiting.extend(calls)
        if self._closed:
            self._hand_back_waiting("the scheduler has been shut down")
        elif not self._pump_is_due:
            self._pump_is_due = True
            self._wake()

    def stop(self, call: Call, reason: str) -> bool:
        """Cancel the call's coroutine, once for each reason, so that its cleaning up is left alone. One that has not
        begun ends as cancelled."""
        loop = self._loop
        if loop is None:
            return False
        try:
            loop.call_soon_threadsafe(self._cancel, call, reason)
        except RuntimeError:
            self._end_lost()
        return True

    def abandon(self, call: Call) -> None:
        """Do not count it any more; its coroutine goes on, and its outcome is reported when it ends."""
        self._in_flight.pop(id(call), None)

    def shutdown(self, timeout: float) -> None:
        """Hand back what has not begun, cancel the rest and wait at most `timeout` seconds for it to end (not at all
        when called on the loop). A loop of its own is ended, if need be later, when the last coroutine has ended."""
        self._closed = True
        self._hand_back_waiting("the scheduler was shut down first")
        loop = self._loop
        if loop is None:
            return
        is_over = threading.Event()
        try:
            loop.call_soon_threadsafe(self._begin_farewell, is_over)
        except RuntimeError:
            self._end_lost()
            return
        if not _is_running_here(loop):
            deadline = SYSTEM.monotonic() + timeout
            is_over.wait(timeout)
            if self._own is not None:
                self._own.join(max(0.0, deadline - SYSTEM.monotonic()))

    # From any thread

    def _wake(self) -> None:
        try:
            self._started_loop().call_soon_threadsafe(self._pump)
        except RuntimeError as error:  # the loop is closed, or its thread cannot be started
            self._pump_is_due = False
            if self._loop is None:
                self._hand_back_waiting(f"no thread could be started: {error}", NoThread)
            else:
                self._end_lost(f"no event loop takes it: {error}")

    def _started_loop(self) -> asyncio.AbstractEventLoop:
        with self._mutex:
            if self._loop is None:
                self._own = OwnLoop(self._name, owner=self)
                self._loop = self._own.loop
            return self._loop

    def _hand_back_waiting(self, why: str, kind: type[NotBegun] = NotBegun) -> None:
        while self._waiting:
            try:
                call = self._waiting.popleft()
            except IndexError:  # a runner was quicker
                return
            self._in_flight.pop(id(call), None)
            hand_back([call], why, kind)

    def _end_lost(self, why: str = "its event loop was closed") -> None:
        """The loop is closed: hand back what has not begun, and say of the rest that it was cut off."""
        self._hand_back_waiting(why)
        for key, call in list(self._in_flight.items()):
            self._in_flight.pop(key, None)
            end(call, Outcome(error=asyncio.CancelledError(why), forced=True))

    # On the loop

    def _pump(self) -> None:
        """Send out runners for what waits; where more calls wait than that, come again behind their first steps."""
        self._pump_is_due = False
        if not self._waiting:
            return
        suspended = len(self._tasks)
        width = max(1, 2 * (suspended - self._suspended_before))
        self._suspended_before = suspended
        self._left_in_round = ROUND
        loop = self._loop
        assert loop is not None  # it runs this
        sent = min(width, ROUND, len(self._waiting))
        for _ in range(sent):
            # The loop holds its first step; while a call in it is suspended, `_tasks` holds it.
            runner = asyncio.Task(self._run(), loop=loop, name="rota-job", context=_CLEAN.copy())
            runner.add_done_callback(self._never_ran)
        if len(self._waiting) > sent and not self._pump_is_due:
            self._pump_is_due = True
            loop.call_soon(self._pump)

    async def _run(self) -> None:
        """A runner: await call after call until none waits, the round is full, or a call has left a mark."""
        task = asyncio.current_task()
        assert task is not None
        task.remove_done_callback(self._never_ran)
        waiting, tasks, in_flight = self._waiting, self._tasks, self._in_flight
        while waiting and self._left_in_round > 0:
            self._left_in_round -= 1
            call = waiting.popleft()
            key = id(call)
            tasks[key] = task
            try:
                outcome = await call.ainvoke()
            except BaseException as error:  # noqa: BLE001  # `ainvoke` promises not to raise; the loop must survive it
                outcome = Outcome(error=error)
            del tasks[key]
            if outcome.error is not None:
                outcome = self._judged(outcome, key, task)
            self._stopped.pop(key, None)
            in_flight.pop(key, None)
            end(call, outcome)
            if copy_context() != _CLEAN or task.cancelling() or isinstance(outcome.error, GeneratorExit):
                return

    def _never_ran(self, _runner: asyncio.Task[None]) -> None:
        """Somebody has cancelled a runner before its first step, with all tasks of the loop perhaps: the pump comes
        round once more."""
        if self._waiting and not self._pump_is_due and self._loop is not None:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)

    def _judged(self, outcome: Outcome, key: int, task: asyncio.Task[None]) -> Outcome:
        """The outcome with `forced` as it is: raised because of a cancellation from outside, and not by a job that
        stopped itself."""
        if isinstance(outcome.error, asyncio.CancelledError):
            return outcome.replaced(forced=task.cancelling() > 0)
        return outcome.replaced(forced=key in self._stopped and not isinstance(outcome.error, RunCancelled))

    def _cancel(self, call: Call, reason: str) -> None:
        task = self._tasks.get(id(call))
        if self._stopped.get(id(call)) == reason:
            return
        if task is not None:
            self._stopped[id(call)] = reason
            task.cancel(reason)
        elif call in self._waiting:
            self._waiting.remove(call)
            self._in_flight.pop(id(call), None)
            end(call, Outcome(error=RunCancelled(reason)))

    def _begin_farewell(self, is_over: threading.Event) -> None:
        self._farewell = asyncio.ensure_future(self._take_leave(is_over))

    async def _take_leave(self, is_over: threading.Event) -> None:
        tasks = list(self._tasks.items())
        for key, task in tasks:
            self._stopped[key] = "shutdown"
            task.cancel("shutdown")
        if tasks:
            await asyncio.wait([task for _, task in tasks])
        if self._own is not None:
            self._own.wind_up()
        is_over.set()


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
