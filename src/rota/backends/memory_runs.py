"""The rows of a store in memory, and the indices by which they are found.

Law: every row enters and leaves through here, so the indices are right whenever a method of this file is not at work.
Nothing that a tick, an attempt or a poll needs is found by looking through all runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from heapq import heappop, heappush

from rota.backends.memory_queue import DueQueue
from rota.backends.rules import IN_QUEUE, JobFacts
from rota.core.run import OPEN, RunRow


class MemoryJob(JobFacts):
    """A job with the ids of its runs, and the ended ones by status and time of their end.

    `declared`: a node has declared it; until then it only has runs. `at_work`: how many of them are.
    """

    __slots__ = ("at_work", "declared", "ended", "run_ids")

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id, "", 0, 0)
        self.declared = False
        self.at_work = 0
        self.run_ids = _NO_RUNS
        self.ended = _NONE_ENDED

    def note_end(self, row: RunRow) -> bool:
        """Remember when an ended run of it ended; whether it is the first to have ended so."""
        if self.ended is _NONE_ENDED:
            self.ended = {}
        ended = self.ended.get(row.status)
        if ended is None:
            ended = self.ended[row.status] = []
        entry = (_end_of(row), row.id)
        heappush(ended, entry)
        return ended[0] is entry


_NO_RUNS: dict[str, None] = {}
_NONE_ENDED: dict[str, list[tuple[int, str]]] = {}
"""Shared by all jobs that have not run yet, and never written to: a million of them need no dicts of their own."""


class MemoryRuns:
    """All rows of a store. Not safe in threads by itself."""

    def __init__(self) -> None:
        self.rows: dict[str, RunRow] = {}
        self.jobs: dict[str, MemoryJob] = {}
        self.leases: dict[str, float] = {}
        self.lanes: dict[str, int] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._queue = DueQueue()
        self._backfills = DueQueue()
        self._no_lease_ends_before = float("inf")
        self._first_ends: dict[str, list[tuple[int, str]]] = {}

    def job(self, job_id: str) -> MemoryJob:
        """The job of that id, made where there is none."""
        job = self.jobs.get(job_id)
        if job is None:
            job = self.jobs[job_id] = MemoryJob(job_id)
        return job

    def known(self, row: RunRow) -> RunRow | None:
        """The row kept already under this row's id, or under its key."""
        kept = self.rows.get(row.id)
        if kept is None and row.key is not None and row.origin == "enqueue":
            kept = self.rows.get(self._keys.get((row.job_id, row.key), ""))
        return kept

    def insert(self, row: RunRow, job: MemoryJob, leased_until: float = 0.0) -> None:
        """Keep a new row of a job; one that is at work is leased."""
        self.rows[row.id] = row
        if job.run_ids is _NO_RUNS:
            job.run_ids = {}
        job.run_ids[row.id] = None
        if row.key is not None and row.origin == "enqueue":
            self._keys[row.job_id, row.key] = row.id
        self._enter(row, job, leased_until)

    def replace(self, old: RunRow, new: RunRow, leased_until: float) -> None:
        """Put `new` in the place of `old`."""
        job = self.jobs[old.job_id]
        self._leave(old, job)
        self.rows[new.id] = new
        self._enter(new, job, leased_until)

    def remove(self, row: RunRow) -> None:
        """Forget a row."""
        job = self.jobs[row.job_id]
        self._leave(row, job)
        job.live.pop(row.id, None)
        del self.rows[row.id]
        del job.run_ids[row.id]
        if row.key is not None and self._keys.get((row.job_id, row.key)) == row.id:
            del self._keys[row.job_id, row.key]

    def extend(self, run_id: str, leased_until: float) -> None:
        """Move the end of a lease."""
        self.leases[run_id] = leased_until
        if leased_until < self._no_lease_ends_before:  # noqa: PLR1730  # on the path of every run; min() costs more
            self._no_lease_ends_before = leased_until

    def ready(self, before: int, limit: int, exclude: Collection[str]) -> list[RunRow]:
        """Runs that may begin, backfills last."""
        ids = self._queue.first(before, limit, exclude)
        if len(ids) < limit:
            ids += self._backfills.first(before, limit - len(ids), exclude)
        return [self.rows[run_id] for run_id in ids]

    def earliest_due(self) -> int | None:
        """When the first of all queued and waiting runs is due."""
        dues = [due for due in (self._queue.earliest(), self._backfills.earliest()) if due is not None]
        return min(dues, default=None)

    def count_open(self) -> dict[str, int]:
        """How many runs are open, by job: those in the queues, and of those at work the ones that have not ended."""
        at_work = (self.rows[run_id] for run_id in self.leases)
        counts = Counter(row.job_id for row in at_work if row.status in OPEN)
        counts.update(self._queue.counts())
        counts.update(self._backfills.counts())
        return counts

    def expired(self, boot: float, limit: int, exclude: Collection[str]) -> list[RunRow]:
        """Runs whose lease has run out. The leases are looked through only when one may have."""
        if boot < self._no_lease_ends_before:
            return []
        self._no_lease_ends_before = min(self.leases.values(), default=float("inf"))
        over = sorted((until, run_id) for run_id, until in self.leases.items() if until <= boot)
        rows = [self.rows[run_id] for _, run_id in over]
        return [row for row in rows if row.job_id not in exclude][:limit]

    def ended_before(
        self, job_id: str | None, keep_from: Mapping[str, int], limit: int, exclude: Collection[str]
    ) -> list[RunRow]:
        """At most `limit` ended rows that finished before `keep_from[status]`, of one job or of all but `exclude`; they
        are to be removed."""
        found: dict[str, RunRow] = {}
        for status, until in keep_from.items():
            if job_id is None:
                self._take_ended(status, until, limit, exclude, found)
            elif job_id in self.jobs and job_id not in exclude:
                self._take_ended_of(self.jobs[job_id], status, until, limit, found)
        return list(found.values())

    def _take_ended(
        self, status: str, until: int, limit: int, exclude: Collection[str], found: dict[str, RunRow]
    ) -> None:
        """The same, into `found`, of all jobs: those whose first end is longest ago come first. What has moved on since
        is met once and dropped."""
        firsts, kept = self._first_ends.get(status, []), []
        while firsts and firsts[0][0] < until and len(found) < limit:
            first = heappop(firsts)
            job = self.jobs[first[1]]
            if first[1] in exclude:
                kept.append(first)
            elif job.ended[status] and job.ended[status][0][0] == first[0]:
                self._take_ended_of(job, status, until, limit, found)
        for first in kept:
            heappush(firsts, first)

    def _take_ended_of(self, job: MemoryJob, status: str, until: int, limit: int, found: dict[str, RunRow]) -> None:
        ended = job.ended.get(status)
        if not ended or ended[0][0] >= until:
            return
        while ended and ended[0][0] < until and len(found) < limit:
            finished_at, run_id = heappop(ended)
            row = self.rows.get(run_id)
            if row is not None and row.status == status and not row.stuck and _end_of(row) == finished_at:
                found[run_id] = row
        if ended:
            heappush(self._first_ends[status], (ended[0][0], job.job_id))

    def _queue_of(self, row: RunRow) -> DueQueue:
        return self._backfills if row.origin == "backfill" else self._queue

    def _enter(self, row: RunRow, job: MemoryJob, leased_until: float) -> None:
        job.note(row)
        if row.stuck or row.status == "running":
            job.at_work += 1
            self.extend(row.id, leased_until)
            if row.lane is not None:
                self.lanes[row.lane] = self.lanes.get(row.lane, 0) + 1
        elif row.status in IN_QUEUE:
            self._queue_of(row).add(row.job_id, row.id, row.due)
        if row.status not in OPEN and not row.stuck and job.note_end(row):
            heappush(self._first_ends.setdefault(row.status, []), (_end_of(row), job.job_id))

    def _leave(self, row: RunRow, job: MemoryJob) -> None:
        if row.stuck or row.status == "running":
            job.at_work -= 1
            self.leases.pop(row.id, None)
            if row.lane is not None:
                self._leave_lane(row.lane)
        elif row.status in IN_QUEUE:
            self._queue_of(row).remove(row.job_id, row.id)

    def _leave_lane(self, lane: str) -> None:
        """One less; lanes in which nothing is at work are not kept."""
        left = self.lanes[lane] - 1
        if left:
            self.lanes[lane] = left
        else:
            del self.lanes[lane]


def _end_of(row: RunRow) -> int:
    return row.queued_at if row.finished_at is None else row.finished_at
