"""The least that an engine could do: a store in memory is asked, and answers, for due ticks and for ended runs, and a
job is called with its run bound to the context.

No timeline, no plan, no verdict, no table of calls: what is measured with this is what no engine on that store can be
quicker than.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rota.backends.memory import MemoryStore
from rota.core.context import current
from rota.core.effects import Begin, JobSeen, Swap, TickClaim
from rota.core.run import RunRow
from rota.drivers.identity import id_maker, token_maker
from rota.hooks.log_buffer import LogCapture
from rota.hooks.logging import bind_run, unbind_run


class BareTicks:
    """So many jobs in a store of their own."""

    def __init__(self, count: int) -> None:
        self.store = MemoryStore()
        self.jobs = [f"job-{number}" for number in range(count)]
        states = self.store.sync_jobs([JobSeen(job_id, "") for job_id in self.jobs])
        self._watermarks = {state.job_id: state.watermark for state in states}
        self._new_id, self._new_token = id_maker(self.store.now), token_maker()

    def begin(self, job_ids: Sequence[str]) -> list[Any]:
        """Claim a tick of each job that is due now, and begin its run; the rows."""
        now = self.store.now()
        begun = []
        for answer in self.store.claim([self._claim(job_id, now) for job_id in job_ids]):
            if answer.begun is None:
                raise SystemExit(f"a tick was not begun: {answer.verdict}")
            self._watermarks[answer.state.job_id] = answer.state.watermark
            begun.append(answer.begun)
        return begun

    def end(self, rows: Sequence[Any]) -> None:
        """Record that the runs of these rows have succeeded."""
        now = self.store.now()
        swaps = []
        for row in rows:
            ended = row.copy()
            ended.status, ended.finished_at, ended.token = "succeeded", now, None
            swaps.append(Swap(ended, "running", row.token, streak=0))
        if {answer.verdict for answer in self.store.swap(swaps)} - {"swapped"}:
            raise SystemExit("a run was lost")

    def _claim(self, job_id: str, now: int) -> TickClaim:
        row = RunRow(self._new_id(), job_id, "tick", "queued", now, now, scheduled_for=now, window_end=now)
        begin = Begin(row.id, job_id, 0, self._new_token(), "node", 30.0, None)
        return TickClaim(job_id, self._watermarks[job_id], now, False, (), (row,), (), 1, begin)


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
