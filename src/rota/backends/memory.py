"""A store in the memory of one process: the reference model of `rota.ports.Store`, and the fastest.

Law: every answer is given under one mutex. Rows that are handed in belong to the store from then on; rows that it hands
out are to be read only. The store itself changes no row that it has handed out, it puts a changed copy in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from typing import Self

from rota.backends import memory_jobs, rules
from rota.backends.embedded_clock import EmbeddedClock, Moment
from rota.backends.fork_safety import ForkSafeLock
from rota.backends.memory_locks import MemoryLocks
from rota.backends.memory_runs import MemoryJob, MemoryRuns
from rota.backends.memory_values import MemoryValues
from rota.core.run import OPEN, RunRow
from rota.errors import StoreError
from rota.ports import (
    Begin,
    BeginAnswer,
    Clock,
    Due,
    JobSeen,
    JobState,
    LockBackend,
    NodeRow,
    Renewal,
    Swap,
    SwapAnswer,
    TickAnswer,
    TickClaim,
)

__all__ = ["MemoryLocks", "MemoryStore"]


class MemoryStore:
    """Keeps everything as long as the object lives. Simulated nodes may share one; processes cannot.

    Schedulers of different names share one without seeing each other.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = EmbeddedClock(clock)
        self._mutex = ForkSafeLock()
        self._locks = MemoryLocks(clock)
        self._by_name: dict[str, Self] = {}
        self._begin_empty()

    def _begin_empty(self) -> None:
        """Know of no job and no run."""
        self._runs = MemoryRuns()
        self._values = MemoryValues()
        self._earlier_ids: dict[str, str] = {}
        self._logs: dict[str, list[str]] = {}
        self._nodes: dict[str, NodeRow] = {}

    @property
    def shared(self) -> bool:
        return False

    @property
    def locks(self) -> LockBackend:
        return self._locks

    def take_name(self, name: str) -> Self | None:
        """`None`: what a scheduler of that name keeps lies in this store. Else the store beside it where it does."""
        with self._mutex.lock:
            if not self._by_name:
                self._by_name[name] = self
            if name not in self._by_name:
                self._by_name[name] = copy(self)
                self._by_name[name]._begin_empty()  # noqa: SLF001  # of its own kind
            named = self._by_name[name]
            return None if named is self else named

    def follow_clock(self, clock: Clock) -> bool:
        """Go by the clock of a scheduler, if none was given."""
        self._clock.follow(clock)
        return self._locks.follow_clock(clock)

    def open(self, *, create_tables: bool = True) -> None:
        """Nothing to make ready."""

    def close(self) -> None:
        """Nothing to let go of; what is kept stays readable."""

    def now(self) -> int:
        with self._mutex.lock:
            return self._clock.observe().now

    # Jobs ----------------------------------------------------------------------------------------------------------

    def sync_jobs(self, jobs: Sequence[JobSeen]) -> Sequence[JobState]:
        with self._mutex.lock:
            moment = self._clock.observe()
            return [memory_jobs.sync(self._runs, self._earlier_ids, seen, moment).state() for seen in jobs]

    def job_states(self, job_ids: Sequence[str]) -> Sequence[JobState | None]:
        with self._mutex.lock:
            return [self._state(job_id) for job_id in job_ids]

    def pause(self, job_id: str, reason: str | None) -> JobState | None:
        with self._mutex.lock:
            job = self._runs.jobs.get(job_id)
            if job is None or not job.declared:
                return None
            rules.set_pause(job, reason, self._clock.observe())
            return job.state()

    def _state(self, job_id: str) -> JobState | None:
        job = self._runs.jobs.get(job_id)
        return job.state() if job is not None and job.declared else None

    def _job(self, job_id: str) -> MemoryJob:
        job = self._runs.jobs.get(job_id)
        if job is None or not job.declared:
            raise StoreError(f"the store does not know the job {job_id!r}: declare it with sync_jobs first")
        return job

    # The life of a run ---------------------------------------------------------------------------------------------

    def claim(self, claims: Sequence[TickClaim]) -> Sequence[TickAnswer]:
        with self._mutex.lock:
            moment = self._clock.observe()
            jobs = [self._job(claim.job_id) for claim in claims]
            return [self._claim(claim, job, moment) for claim, job in zip(claims, jobs, strict=True)]

    def _claim(self, claim: TickClaim, job: MemoryJob, moment: Moment) -> TickAnswer:
        rows = self._runs.rows
        if claim.rows and claim.rows[0].id in rows:
            return TickAnswer("claimed", job.state(), moment.now, rules.begun_before(claim.start, rows))
        if rules.is_outdated(job, claim):
            return TickAnswer("taken", job.state(), moment.now)
        if not moment.settled:
            return TickAnswer("unsettled", job.state(), moment.now)
        if claim.tick > moment.now:
            return TickAnswer("too_early", job.state(), moment.now)
        rules.apply_claim(job, claim)
        for run_id in claim.cancel:
            self._request_cancel(run_id, "replaced", OPEN)
        begun = self._insert_claimed(claim, job, moment)
        return TickAnswer("claimed", job.state(), moment.now, begun)

    def _insert_claimed(self, claim: TickClaim, job: MemoryJob, moment: Moment) -> RunRow | None:
        start, begun = claim.start, None
        for row in claim.rows:
            if start is not None and row.id == start.run_id and not self._is_busy(row, job, start):
                rules.begin(row, job, start, moment.now)
                begun = row
                self._runs.insert(row, job, moment.boot + start.ttl)
            else:
                self._runs.insert(row, job)
        return begun

    def add(self, rows: Sequence[RunRow]) -> Sequence[RunRow]:
        with self._mutex.lock:
            return [self._add(row) for row in rows]

    def _add(self, row: RunRow) -> RunRow:
        kept = self._runs.known(row)
        if kept is None:
            self._runs.insert(row, self._runs.job(row.job_id))
        return kept or row

    def begin(self, asks: Sequence[Begin]) -> Sequence[BeginAnswer]:
        with self._mutex.lock:
            moment = self._clock.observe()
            return [self._begin(ask, moment) for ask in asks]

    def _begin(self, ask: Begin, moment: Moment) -> BeginAnswer:
        row = self._runs.rows.get(ask.run_id)
        if row is None:
            return BeginAnswer("gone")
        if rules.was_begun(row, ask):
            self._runs.extend(row.id, moment.boot + ask.ttl)
            return BeginAnswer("begun", row)
        if not rules.may_be_begun(row, ask):
            return BeginAnswer("gone")
        job = self._job(row.job_id)
        if self._is_busy(row, job, ask):
            return BeginAnswer("busy")
        begun = row.copy()
        rules.begin(begun, job, ask, moment.now)
        self._runs.replace(row, begun, moment.boot + ask.ttl)
        return BeginAnswer("begun", begun)

    def _is_busy(self, row: RunRow, job: MemoryJob, ask: Begin) -> bool:
        in_lane = self._runs.lanes.get(row.lane, 0) if row.lane is not None else 0
        return rules.is_busy(row, job, ask, job.at_work, in_lane)

    def swap(self, swaps: Sequence[Swap]) -> Sequence[SwapAnswer]:
        with self._mutex.lock:
            boot = self._clock.boottime()
            return [self._swap(swap, boot) for swap in swaps]

    def _swap(self, swap: Swap, boot: float) -> SwapAnswer:
        new = swap.row
        old = self._runs.rows.get(new.id)
        if old is None:
            return SwapAnswer("lost", self._state(new.job_id))
        rules.settle_swap(new, old)
        if old is new or (old.status == new.status and old == new):
            return SwapAnswer("swapped", self._state(new.job_id))
        until = self._runs.leases.get(old.id, 0.0)
        if not rules.may_be_swapped(old, swap, until <= boot):
            return SwapAnswer("lost", self._state(new.job_id))
        job = self._runs.jobs[old.job_id]
        rules.remember_end(job, swap.covered, swap.streak)
        self._runs.replace(old, new, until)
        if swap.logs:
            self._logs.setdefault(new.id, []).extend(swap.logs)
        return SwapAnswer("swapped", job.state() if job.declared else None)

    def request_cancel(self, run_id: str, reason: str) -> bool:
        with self._mutex.lock:
            return self._request_cancel(run_id, reason, {"running"})

    def _request_cancel(self, run_id: str, reason: str, statuses: Collection[str]) -> bool:
        row = self._runs.rows.get(run_id)
        if row is None or row.status not in statuses:
            return False
        if row.cancel_requested is None:
            asked = row.copy()
            asked.cancel_requested = reason
            self._change(asked)
        return True

    def _change(self, row: RunRow) -> None:
        """Replace a row by one that differs in nothing that an index looks at."""
        self._runs.rows[row.id] = row

    def renew(self, node: NodeRow, held: Sequence[tuple[str, str]], ttl: float) -> Renewal:
        with self._mutex.lock:
            self._nodes[node.id] = node
            boot = self._clock.boottime()
            lost: set[str] = set()
            cancelled: dict[str, str] = {}
            for run_id, token in held:
                row = self._runs.rows.get(run_id)
                if row is None or row.token != token or self._runs.leases.get(run_id, 0.0) <= boot:
                    lost.add(run_id)
                    continue
                self._runs.extend(run_id, boot + ttl)
                if row.cancel_requested is not None:
                    cancelled[run_id] = row.cancel_requested
            return Renewal(frozenset(lost), cancelled)

    # Looking -------------------------------------------------------------------------------------------------------

    def due(self, before: int, limit: int, exclude: Collection[str] = ()) -> Due:
        with self._mutex.lock:
            moment = self._clock.observe()
            excluded = frozenset(exclude)
            return Due(self._runs.ready(before, limit, excluded), self._runs.expired(moment.boot, limit, excluded))

    def run(self, run_id: str) -> RunRow | None:
        with self._mutex.lock:
            return self._runs.rows.get(run_id)

    def runs(
        self,
        job_id: str | None = None,
        *,
        statuses: Collection[str] | None = None,
        origins: Collection[str] | None = None,
        limit: int = 100,
        before: int | None = None,
        since: int | None = None,
        discarded: bool | None = None,
    ) -> Sequence[RunRow]:
        def is_wanted(row: RunRow) -> bool:
            return (
                (statuses is None or row.status in statuses)
                and (origins is None or row.origin in origins)
                and (before is None or row.queued_at < before)
                and (since is None or since <= row.queued_at)
                and (discarded is None or row.discarded is discarded)
            )

        wanted = [row for row in reversed(self._rows_of(job_id)) if is_wanted(row)]
        wanted.sort(key=_queued_at, reverse=True)
        return wanted[:limit]

    def count_open(self) -> Mapping[str, int]:
        with self._mutex.lock:
            return self._runs.count_open()

    def runs_of_ticks(self, job_id: str, first: int, last: int) -> Sequence[RunRow]:
        return [row for row in self._rows_of(job_id) if rules.stands_for_tick(row, first, last)]

    def _rows_of(self, job_id: str | None) -> list[RunRow]:
        """The rows as they are now: they are picked over when the mutex is free again."""
        with self._mutex.lock:
            rows = self._runs.rows
            if job_id is None:
                return list(rows.values())
            job = self._runs.jobs.get(job_id)
            return [] if job is None else [rows[run_id] for run_id in job.run_ids]

    def discard(self, run_id: str) -> bool:
        with self._mutex.lock:
            row = self._runs.rows.get(run_id)
            if row is None or not rules.is_dead_letter(row):
                return False
            if not row.discarded:
                discarded = row.copy()
                discarded.discarded = True
                self._change(discarded)
            return True

    # Values, logs, nodes -------------------------------------------------------------------------------------------

    def values(self, scope: str) -> Mapping[str, str]:
        with self._mutex.lock:
            return self._values.all(scope, self._clock.observe().prudent)

    def put_value(
        self, scope: str, key: str, value: str, *, ttl: float | None = None, holder: str | None = None
    ) -> bool:
        with self._mutex.lock:
            if holder is not None and not self._is_held_by(rules.scoped_run(scope), holder):
                return False
            self._values.put(scope, key, value, rules.expiry(self._clock.observe(), ttl))
            return True

    def value(self, scope: str, key: str) -> str | None:
        with self._mutex.lock:
            return self._values.one(scope, key, self._clock.observe().prudent)

    def delete_value(self, scope: str, key: str) -> None:
        with self._mutex.lock:
            self._values.delete(scope, key)

    def set_progress(self, run_id: str, token: str, progress: str) -> bool:
        with self._mutex.lock:
            if not self._is_held_by(run_id, token):
                return False
            row = self._runs.rows[run_id].copy()
            row.progress = progress
            self._change(row)
            return True

    def _is_held_by(self, run_id: str | None, token: str) -> bool:
        row = None if run_id is None else self._runs.rows.get(run_id)
        return row is not None and row.token == token

    def logs(self, run_id: str) -> Sequence[str]:
        with self._mutex.lock:
            return list(self._logs.get(run_id, ()))

    def beat(self, node: NodeRow) -> None:
        with self._mutex.lock:
            self._nodes[node.id] = node

    def nodes(self) -> Sequence[NodeRow]:
        with self._mutex.lock:
            return sorted(self._nodes.values(), key=lambda node: (node.started_at, node.id), reverse=True)

    def prune(
        self, job_id: str | None, keep_from: Mapping[str, int], limit: int = 1000, exclude: Collection[str] = ()
    ) -> int:
        with self._mutex.lock:
            ended = self._runs.ended_before(job_id, keep_from, limit, frozenset(exclude))
            for row in ended:
                self._runs.remove(row)
                self._values.delete_scope(rules.run_scope(row.id))
                self._logs.pop(row.id, None)
            return len(ended)

    def forget(self, seen_since: int, limit: int = 1000) -> bool:
        with self._mutex.lock:
            self._nodes = {id: node for id, node in self._nodes.items() if node.last_seen >= seen_since}
            return self._values.forget(self._clock.observe().prudent, limit)


def _queued_at(row: RunRow) -> int:
    return row.queued_at
