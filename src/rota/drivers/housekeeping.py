"""What an engine does besides its ticks: look into a shared store, take over the runs of the dead, prune, hold back.

Law: it is timed by the monotonic clock, so that a stepped wall clock neither hurries nor delays it; a store that only
this process can write to is not polled, unless something here waits for a run that another node of this process has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from rota.containment import whatever_it_raises
from rota.core import lifecycle
from rota.drivers.settings import POLL_INTERVAL, keep_spans
from rota.ports import ForgetsLocks

if TYPE_CHECKING:
    from rota.core.run import RunRow
    from rota.drivers.agenda import JobEntry
    from rota.drivers.backlog import Backlog
    from rota.drivers.engine import Engine
    from rota.ports import Due

POLL_BATCH = 200
"""Runs taken up in one look into the store, and held ready for one executor; more are left to whoever has room."""

BACKLOG_IS_LOW = 100
"""Runs held ready for an executor at which more are looked for."""

HOLD_BACK = 1.0
"""Seconds for which a tick is put off while the store's clock is not trusted."""

PRUNE_FIRST = 60.0
PRUNE_INTERVAL = 3_600.0
"""Seconds from the start to the first pruning, and from one to the next."""

PRUNE_BATCH = 500
"""Records pruned in one call of the store."""

PRUNE_PAUSE = 0.1
"""Seconds from one batch to the next: what is due in between is not kept waiting."""

NODES_KEPT = timedelta(days=30)
"""How long a node is remembered that is not seen any more; as long as records, where these are kept longer."""

PRUNE_TIME = 0.05
"""Seconds after which no further batch is begun in the same turn, however little was found."""


class Housekeeping:
    """Timed by `turn`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        now = engine.clock.monotonic()
        self._next_poll = now if engine.settings.leased else float("inf")
        self._next_prune = now + PRUNE_FIRST
        self._next_batch = float("inf")
        # Each deletes at most so much, and says how much; less than that is the rest.
        self._to_prune: deque[Callable[[int], int]] = deque()
        self._held_back: list[JobEntry] = []
        self._put_off: list[Callable[[], None]] = []
        self._unknown: set[str] = set()
        self._left_some = False
        self._full: list[Backlog] = []
        self._release_at = float("inf")

    def turn(self, now: float) -> None:
        """Do what is due of it; `now` by the monotonic clock."""
        soonest = min(self._next_poll, self._release_at, self._next_prune, self._next_batch)
        if now < soonest and not self._left_some and not self._full:
            return
        engine = self._engine
        try:
            self._look(now)
        except whatever_it_raises() as error:  # whatever a store raises, it did not answer
            engine.performer.go_down(error)
        if engine.performer.is_down:
            self._next_batch = max(self._next_batch, now + HOLD_BACK)
            return
        try:
            self._prune_in_time(now)
        except whatever_it_raises() as error:  # as above, but nothing hangs on it: the next hour will do
            self._next_batch = float("inf")
            engine.teller.store_trouble(error)

    def _look(self, now: float) -> None:
        """What is held back, and what others have left in the store."""
        engine = self._engine
        if now >= self._release_at:
            self._release()
        if now >= self._poll_at():
            self._next_poll = now + POLL_INTERVAL
            if not engine.performer.is_down and not engine.draining:
                self.poll()
        elif self._may_find_more():
            self._find_ready()

    def _prune_in_time(self, now: float) -> None:
        if now >= self._next_prune:
            self._next_prune = now + PRUNE_INTERVAL
            self.prune()
        elif now >= self._next_batch:
            self._prune_batch()

    def seconds_to_wakeup(self) -> float:
        """Seconds until it has something to do; pruning waits for a wake-up, but once begun it goes on."""
        if self._may_find_more():
            return 0.0
        soonest = min(self._poll_at(), self._release_at, self._next_batch)
        return soonest if soonest == float("inf") else max(0.0, soonest - self._engine.clock.monotonic())

    def seconds_to_poll(self) -> float:
        """Seconds until it looks into the store."""
        return 0.0 if self._may_find_more() else max(0.0, self._poll_at() - self._engine.clock.monotonic())

    def watch(self) -> None:
        """There are other nodes on a store that is not polled, and their runs may be what something here waits for."""
        self._next_poll = self._engine.clock.monotonic()

    def _poll_at(self) -> float:
        engine, at = self._engine, self._next_poll
        if at == float("inf") or engine.settings.leased or engine.agenda.has_waiting or engine.performer.busy:
            return at
        return float("inf")

    def seconds_to_release(self) -> float:
        """Seconds until it looks again at what is held back."""
        return max(0.0, self._release_at - self._engine.clock.monotonic())

    def seconds_to_batch(self) -> float:
        """Seconds until the next batch of a pruning that has begun."""
        return max(0.0, self._next_batch - self._engine.clock.monotonic())

    def hold_back(self, entry: JobEntry) -> None:
        """Look at the entry again in a second."""
        self._held_back.append(entry)
        self._release_later()

    def put_off(self, command: Callable[[], None]) -> None:
        """Carry out a command again in a second: the store did not answer."""
        self._put_off.append(command)
        self._release_later()

    def poll(self) -> None:
        """Begin runs that others queued or left waiting, and take over those whose process died.

        Left out, lest they fill every batch: jobs that are not declared here, those of which runs wait here for their
        turn, and those of an executor for which enough runs are held ready. For the dead, all declared jobs are looked
        at. Where there is more than one batch, `turn` goes on at once, as far as there is room.
        """
        engine = self._engine
        known = engine.agenda.entries
        saturated = engine.performer.busy.jobs
        due = self._find_ready()
        if saturated or self._full:
            # A dead run may be what fills the job's places, so it is looked for all the same.
            due = engine.store.due(engine.time, POLL_BATCH + len(engine.damaged), exclude=self._unknown)
        for job_id in sorted(engine.performer.busy.tick_jobs):  # in the same order in each replay
            self._find_earlier(job_id)
        # Where nothing is leased, a lease that ran out says nothing.
        for row in due.expired if engine.settings.leased else ():
            entry = known.get(row.job_id)
            if entry is None:
                self._unknown.add(row.job_id)
            elif self._may_take_over(row):
                engine.performer.start(lifecycle.take_over(entry.job, row, engine.time))
        for job_id in sorted(saturated):
            engine.performer.free(job_id)
        engine.agenda.wake_waiting()

    def _may_take_over(self, row: RunRow) -> bool:
        engine = self._engine
        is_known = row.id in engine.services.calls or row.id in engine.performer.given_up
        return not is_known and not engine.is_damaged(row)

    def _find_ready(self) -> Due:
        """Park runs that others queued or left waiting; the answer of the store."""
        engine = self._engine
        known, parked = engine.agenda.entries, engine.parked
        self._left_some, self._full = False, []
        self._unknown = {job_id for job_id in self._unknown if job_id not in known}
        full = {name: backlog for name, backlog in engine.backlogs.items() if backlog.holds_runs(POLL_BATCH)}
        exclude = engine.performer.busy.jobs | self._unknown
        if full:
            exclude |= {job_id for job_id, entry in known.items() if entry.job.executor in full}
        # What is held ready is in the answer, too: beyond it there is room for a batch of what is new.
        limit = POLL_BATCH + len(engine.damaged)
        limit += sum(len(backlog) for name, backlog in engine.backlogs.items() if name not in full)
        due = engine.store.due(engine.time, limit, exclude=exclude)
        if max(len(due.ready), len(due.expired)) < limit:
            engine.damaged.intersection_update(row.id for row in (*due.ready, *due.expired))
        before = len(parked) + len(self._unknown)
        for row in due.ready:
            if row.job_id not in known:
                self._unknown.add(row.job_id)
            elif row.id not in parked:
                engine.park(row)
        self._left_some = len(due.ready) >= limit and len(parked) + len(self._unknown) > before
        self._full = list(full.values())
        return due

    def _may_find_more(self) -> bool:
        """Whether the last look left something, and there is room for it by now."""
        if not (self._left_some or self._full) or self._engine.draining or self._engine.performer.is_down:
            return False
        return self._left_some or any(len(backlog) <= BACKLOG_IS_LOW for backlog in self._full)

    def _find_earlier(self, job_id: str) -> None:
        """A tick that waits here may wait for the retry of one before it, whose process died: nobody else begins it."""
        engine = self._engine
        for row in engine.store.runs(job_id, statuses=("queued", "waiting"), origins=("tick",), limit=POLL_BATCH):
            if row.due <= engine.time and row.id not in engine.parked:
                engine.park(row)

    def load(self) -> None:
        """Park the open runs of a store that is not polled, but for those that wait here already."""
        for row in self._engine.store.due(2**62, 1_000_000).ready:
            if row.id not in self._engine.parked:
                self._engine.park(row)

    def load_job(self, job_id: str) -> None:
        """The same for one job, which may have open runs from when it was declared before."""
        engine = self._engine
        for row in reversed(engine.store.runs(job_id, statuses=("queued", "waiting"), limit=1_000_000)):
            if row.id not in engine.parked:
                engine.park(row)

    def prune(self) -> None:
        """Begin to delete the records that are older than their job's retention, and what no retention keeps: values
        whose time is over, nodes not seen for long, and locks that nobody holds. A batch a turn."""
        engine = self._engine
        own = [entry for entry in engine.agenda.entries.values() if entry.job.options.retention != "inherit"]
        self._to_prune.clear()
        for entry in own:
            retention = entry.job.options.retention
            assert retention != "inherit"
            self._prune(entry.state.job_id, keep_spans(retention))
        spans = keep_spans(engine.settings.retention)
        self._prune(None, spans, [entry.state.job_id for entry in own])
        self._to_prune.append(_so_many(partial(engine.store.forget, self._seen_since(spans))))
        locks = engine.store.locks
        if isinstance(locks, ForgetsLocks):
            self._to_prune.append(_so_many(locks.forget_locks))
        self._prune_batch()

    def _prune(self, job_id: str | None, spans: Mapping[str, timedelta], exclude: Sequence[str] = ()) -> None:
        store = self._engine.store
        keep_from = {status: self._engine.time - _micros(span) for status, span in spans.items()}
        if keep_from:
            self._to_prune.append(lambda limit: store.prune(job_id, keep_from, limit, exclude=exclude))

    def _seen_since(self, spans: Mapping[str, timedelta]) -> int:
        """When a node must have been seen to be remembered. In a store that only this process can write to none gives a
        sign of life, and all are its own."""
        if not self._engine.settings.leased:
            return 0
        return self._engine.time - _micros(max((*spans.values(), NODES_KEPT)))

    def _prune_batch(self) -> None:
        """Delete some of it, and leave the rest to a later turn."""
        clock, left = self._engine.clock, PRUNE_BATCH
        began = clock.monotonic()
        self._next_batch = began + PRUNE_PAUSE
        while self._to_prune and left > 0 and clock.monotonic() - began < PRUNE_TIME:
            deleted = self._to_prune[0](left)
            if deleted < left:
                self._to_prune.popleft()
            left -= deleted
        if not self._to_prune:
            self._next_batch = float("inf")

    def _release(self) -> None:
        if self._engine.performer.is_down:
            self._release_at = float("inf")
            self._release_later()
            return
        held, self._held_back = self._held_back, []
        commands, self._put_off = self._put_off, []
        self._release_at = float("inf")
        for command in commands:
            self._engine.post(command)
        try:
            self._engine.agenda.refresh(held)
        except whatever_it_raises():
            self._held_back += held
            self._release_later()
            raise

    def _release_later(self) -> None:
        self._release_at = min(self._release_at, self._engine.clock.monotonic() + HOLD_BACK)


def _so_many(forget: Callable[[int], bool]) -> Callable[[int], int]:
    """Counts as all that it may delete what there is more of."""
    return lambda limit: limit if forget(limit) else 0


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
