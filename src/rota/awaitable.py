"""The awaitable twin of `Scheduler`: the same calls, made in a thread, for code that runs on an event loop.

Law: no logic and no state; whatever a method of the scheduler means, its twin means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rota.core.explain import Explanation
from rota.core.job import Job
from rota.core.run import JSON, RunRecord
from rota.drivers.asking.asked import Statuses
from rota.drivers.asking.backfills import Backfill, BackfillOnly
from rota.drivers.hosting.health import Health
from rota.drivers.off_loop import to_thread
from rota.peer_words import METHOD_WORDS
from rota.spelling import corrects_methods

if TYPE_CHECKING:
    from rota.scheduler import Scheduler

JobLike = str | Job | Callable[..., object]


@corrects_methods(METHOD_WORDS)
class AwaitableScheduler:
    """`await scheduler.aio.enqueue(…)`."""

    __slots__ = ("_scheduler",)

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def run_now(
        self, job: JobLike, *, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None
    ) -> str:
        """See `Scheduler.run_now`."""
        return await to_thread(self._scheduler.run_now, job, args=args, kwargs=kwargs)

    async def enqueue(
        self,
        job: JobLike,
        *,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        delay: float | timedelta | None = None,
        at: datetime | str | None = None,
        key: str | None = None,
    ) -> str:
        """See `Scheduler.enqueue`."""
        return await to_thread(self._scheduler.enqueue, job, args=args, kwargs=kwargs, delay=delay, at=at, key=key)

    async def backfill(
        self,
        job: JobLike,
        start: datetime | str,
        end: datetime | str,
        *,
        only: BackfillOnly = "unsucceeded",
        max_running: int = 1,
        dry_run: bool = False,
    ) -> Backfill:
        """See `Scheduler.backfill`."""
        return await to_thread(
            self._scheduler.backfill, job, start, end, only=only, max_running=max_running, dry_run=dry_run
        )

    async def cancel(self, run_id: str) -> bool:
        """See `Scheduler.cancel`."""
        return await to_thread(self._scheduler.cancel, run_id)

    async def replay(self, run_id: str, *, force: bool = False) -> str:
        """See `Scheduler.replay`."""
        return await to_thread(self._scheduler.replay, run_id, force=force)

    async def pause(self, job: JobLike, reason: str = "") -> None:
        """See `Scheduler.pause`."""
        await to_thread(self._scheduler.pause, job, reason)

    async def resume(self, job: JobLike) -> None:
        """See `Scheduler.resume`."""
        await to_thread(self._scheduler.resume, job)

    async def dead_letters(self, job: JobLike | None = None) -> list[RunRecord]:
        """See `Scheduler.dead_letters`."""
        return await to_thread(self._scheduler.dead_letters, job)

    async def discard(self, run_id: str) -> bool:
        """See `Scheduler.discard`."""
        return await to_thread(self._scheduler.discard, run_id)

    async def runs(
        self,
        job: JobLike | None = None,
        *,
        status: Statuses = None,
        limit: int = 100,
        before: datetime | str | None = None,
    ) -> list[RunRecord]:
        """See `Scheduler.runs`."""
        return await to_thread(self._scheduler.runs, job, status=status, limit=limit, before=before)

    async def get_run(self, run_id: str) -> RunRecord:
        """See `Scheduler.get_run`."""
        return await to_thread(self._scheduler.get_run, run_id)

    async def logs(self, run_id: str) -> list[Mapping[str, JSON]]:
        """See `Scheduler.logs`."""
        return await to_thread(self._scheduler.logs, run_id)

    async def next_fires(self, job: JobLike, n: int = 5, after: datetime | str | None = None) -> list[datetime]:
        """See `Scheduler.next_fires`."""
        return await to_thread(self._scheduler.next_fires, job, n, after)

    async def explain(self, job: JobLike, at: datetime | str | None = None) -> Explanation:
        """See `Scheduler.explain`."""
        return await to_thread(self._scheduler.explain, job, at)

    async def health(self) -> Health:
        """See `Scheduler.health`."""
        return await to_thread(self._scheduler.health)
