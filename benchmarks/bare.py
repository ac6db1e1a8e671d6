"""A bare engine: what every run needs, one after the other in a straight line, and nothing else.

A due tick is planned and its claim made (`core`), a store in memory answers, the job is called with its run bound to
the context, its outcome is judged (`core`), and the store records it. There is no timeline, no table of calls, no
timeout, no telling, and nothing that could go wrong is caught. No engine on that core and that store can do with less
work for a run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from rota import Scheduler
from rota.backends.memory import MemoryStore
from rota.core.context import current
from rota.core.effects import JobSeen, TickClaim
from rota.core.lifecycle import Holder, tick_claim
from rota.core.misfire import plan
from rota.core.outcome import RETURNED_NONE
from rota.core.verdict import Ended, judge
from rota.drivers.identity import id_maker, token_maker
from rota.hooks.log_buffer import LogCapture
from rota.hooks.logging import bind_run, unbind_run
from rota.triggers import Interval


class BareEngine:
    """So many jobs of one declaration, in a store of their own."""

    def __init__(self, count: int) -> None:
        self.store = MemoryStore()
        self.job_ids = [f"job-{number}" for number in range(count)]
        self._trigger = Interval(timedelta(days=1))
        self._job = Scheduler("bare").add(_no_op, self._trigger, id="bare")
        self._states = {
            state.job_id: state for state in self.store.sync_jobs([JobSeen(one, "") for one in self.job_ids])
        }
        self._holder = Holder("node", 30.0, id_maker(self.store.now), token_maker())

    def begin(self, job_ids: Sequence[str]) -> list[Any]:
        """Claim a tick of each job that is due now, and begin its run; the rows."""
        now = self.store.now()
        begun = []
        for answer in self.store.claim([self._claim(job_id, now) for job_id in job_ids]):
            if answer.begun is None:
                raise RuntimeError(f"a tick was not begun: {answer.verdict}")
            self._states[answer.state.job_id] = answer.state
            begun.append(answer.begun)
        return begun

    def end(self, rows: Sequence[Any]) -> None:
        """Record that the runs of these rows have succeeded."""
        now, options = self.store.now(), self._job.options
        for answer in self.store.swap([judge(options, row, Ended(RETURNED_NONE, now)) for row in rows]):
            if answer.verdict != "swapped" or answer.state is None:
                raise RuntimeError("a run was lost")
            self._states[answer.state.job_id] = answer.state

    def _claim(self, job_id: str, now: int) -> TickClaim:
        state, options = self._states[job_id], self._job.options
        planned = plan(self._trigger, options, job_id, now, now, now, paused=False)
        claim = tick_claim(self._job, self._trigger, state, planned, now, self._holder)
        if claim is None:
            raise RuntimeError("a tick was to wait")
        return claim


class _AtWork:
    """Stands for a call in the context of its job."""

    def __init__(self, row: Any) -> None:
        self.run = row


def bare_call(row: Any, func: Callable[..., object], *args: object) -> None:
    """Call a job: `current_run` knows its run, its log lines bear its ids and are captured."""
    token = current.set(_AtWork(row))
    bound = bind_run(row.job_id, row.id, row.attempt, LogCapture(_no_time, row.id))
    try:
        func(*args)
    finally:
        unbind_run(bound)
        current.reset(token)


async def bare_await(row: Any, func: Callable[..., Awaitable[object]], *args: object) -> None:
    """The same of an `async def`."""
    token = current.set(_AtWork(row))
    bound = bind_run(row.job_id, row.id, row.attempt, LogCapture(_no_time, row.id))
    try:
        await func(*args)
    finally:
        unbind_run(bound)
        current.reset(token)


def _no_time() -> int:
    return 0


def _no_op() -> None:
    """The job."""
