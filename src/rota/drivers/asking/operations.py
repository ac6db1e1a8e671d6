"""What a person asks of the store: run it now, later or again, look, steer. Works on an unstarted scheduler.

Law: every change is one guarded swap or one insert; nothing here waits for the engine, which is told afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from rota.core.effects import JobState, TickClaim, seen_of
from rota.core.job import Job
from rota.core.json_values import storable, to_text
from rota.core.lifecycle import Holder, asked_window_start, tick_claim
from rota.core.misfire import due_of, plan
from rota.core.options import DEFAULT_OPTIONS
from rota.core.run import DEAD_LETTERS, JSON, OPEN, RunRecord, RunRow, record_of, rfc3339
from rota.core.verdict import ended_unstarted, is_covered, reopened
from rota.drivers.asking.asked import Statuses, arguments_of, check_call, check_key, due_at, instant, statuses
from rota.drivers.asking.backfills import Backfill, Backfills, backfill_of
from rota.drivers.asking.explaining import Explaining
from rota.drivers.settings import Settings
from rota.drivers.store_time import StoreTime
from rota.errors import BackendError, ConfigurationError, StateError, UnknownJobError
from rota.ports import Clock, Store

MOST_RUNS: Final = 2**63 - 1
"""More than any store can be asked for."""


class Operations:
    """On one store, in the name of one scheduler. `explain` is that of `Explaining`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        new_id: Callable[[], str],
        shown_id: Callable[[str], str],
    ) -> None:
        self._store = store
        self._clock = StoreTime(store, clock)
        self._new_id = new_id
        self._shown_id = shown_id
        self._backfills = Backfills(settings, store, self._clock.now, new_id)
        self.explain = Explaining(settings, store, self._clock.now, clock.now).explain

    def run_now(self, job: Job, args: Sequence[object], kwargs: Mapping[str, object] | None) -> RunRow:
        """A run of origin `run_now`, due at once; its window ends now."""
        check_call(job, args, kwargs)
        now = self._clock.now()
        state = self.state(job)
        start = asked_window_start(job.options, job.trigger, state, now)
        row = self._row(job, "run_now", now, now, args, kwargs)
        if start is not None:
            row.window_start, row.window_end = start, now
        return self._add([row])[0]

    def enqueue(
        self,
        job: Job,
        args: Sequence[object],
        kwargs: Mapping[str, object] | None,
        delay: float | timedelta | None,
        at: datetime | str | None,
        key: str | None,
    ) -> RunRow:
        """A run of origin `enqueue`, due at once or later."""
        check_call(job, args, kwargs)
        now = self._clock.now()
        row = self._row(job, "enqueue", now, due_at(now, delay, at), args, kwargs)
        if key is not None:
            check_key(key)
            row.key = key
        self.state(job)
        kept = self._add([row])[0]
        if kept.id != row.id and arguments_of(kept) != arguments_of(row):
            raise ConfigurationError(
                f"enqueue({job.id!r}, key={key!r}): that key was used with other arguments,"
                f" args={kept.args or '[]'} kwargs={kept.kwargs or '{}'}, in run {kept.id} ({kept.status})"
            )
        return kept

    def backfill(
        self, job: Job, start: datetime | str, end: datetime | str, *, only: str, max_running: int, dry_run: bool
    ) -> tuple[Backfill, list[RunRow]]:
        """Runs of origin `backfill` for the ticks in `[start, end)`, oldest first."""
        if job.trigger is None:
            raise ConfigurationError(f"backfill({job.id!r}): the job has no trigger, so it has no ticks")
        if only not in ("unsucceeded", "all", "missing"):
            raise ConfigurationError(f"backfill: only is 'unsucceeded', 'missing' or 'all', not {only!r}")
        if type(max_running) is not int or max_running < 1:
            raise ConfigurationError(f"backfill: max_running is a whole number from 1, not {max_running!r}")
        if type(dry_run) is not bool:
            raise ConfigurationError(f"backfill: dry_run is True or False, not {dry_run!r}")
        ticks = self._backfills.ticks(job, self.state(job).watermark, start, end, only)
        if dry_run or not ticks:
            return backfill_of(ticks, []), []
        rows = list(self._add(self._backfills.rows(job, ticks, max_running)))
        return backfill_of(ticks, rows), rows

    def cancel(self, run_id: str) -> bool:
        """End a waiting run, or ask a running one to stop; `False`: it had ended."""
        for _ in range(10):
            row = self._existing(run_id)
            if row.status == "running":
                if self._store.request_cancel(run_id, "cancel"):
                    return True
                continue
            if row.status not in OPEN:
                return False
            swap = ended_unstarted(row, "cancelled", "cancel", self._clock.now())
            if self._store.swap([swap])[0].verdict == "swapped":
                return True
        raise StateError(f"run {run_id} changed each time it was to be cancelled; try again")

    def replay(self, run_id: str, jobs: Mapping[str, Job], *, force: bool) -> RunRow:
        """Reopen a run that ended unhappily, of one of these jobs or of one that is declared elsewhere."""
        row = self._existing(run_id)
        if row.status not in DEAD_LETTERS and row.status != "cancelled":
            hint = "; backfill() makes runs for ticks that had none" if row.status in ("missed", "skipped") else ""
            raise StateError(f"run {run_id} is {row.status}; only one that ran and ended unhappily is replayed{hint}")
        if row.stuck:
            raise StateError(f"run {run_id} timed out and its thread has not returned; it can be replayed when it has")
        if not force:
            self._refuse_covered(row, jobs.get(self._shown_id(row.job_id)))
        swap = reopened(row, self._clock.now(), force=force)
        if self._store.swap([swap])[0].verdict != "swapped":
            raise StateError(f"run {run_id} has changed meanwhile; look at it again")
        return swap.row

    def discard(self, run_id: str) -> bool:
        """Take a dead letter off the list."""
        row = self._existing(run_id)
        if row.status not in DEAD_LETTERS:
            raise StateError(f"run {run_id} is {row.status}; only failed, timed_out and lost runs are dead letters")
        return self._store.discard(run_id)

    def dead_letters(self, job_id: str | None) -> list[RunRecord]:
        """Runs that wait for a person, newest first; of more than 10,000 the newest."""
        return self.records(self._store.runs(job_id, statuses=DEAD_LETTERS, discarded=False, limit=10_000))

    def runs(self, job_id: str | None, status: Statuses, limit: int, before: datetime | str | None) -> list[RunRecord]:
        """Records, newest first."""
        if type(limit) is not int or limit < 1:
            raise ConfigurationError(f"runs: limit is a whole number from 1, not {limit!r}")
        until = None if before is None else instant(before, "before")
        most = min(limit, MOST_RUNS)
        return self.records(self._store.runs(job_id, statuses=statuses(status), limit=most, before=until))

    def get_run(self, run_id: str) -> RunRecord:
        """One run whole."""
        return self.records([self._existing(run_id)])[0]

    def logs(self, run_id: str) -> list[Mapping[str, JSON]]:
        """The captured lines of a run as JSON objects, oldest first."""
        self._existing(run_id)
        return [json.loads(line) for line in self._store.logs(run_id)]

    def state(self, job: Job) -> JobState:
        """The job's state in the store, which is told of the job if it has not seen it."""
        known = self._store.job_states([job.claim_id])[0]
        if known is not None:
            return known
        return self._store.sync_jobs([seen_of(job)])[0]

    def is_known(self, job_id: str) -> bool:
        """Whether the store has seen a job of that id."""
        return self._store.job_states([storable(job_id, "job")])[0] is not None

    def ticks_left(self, job: Job, max_runs: int) -> int:
        """How many ticks `max_runs` leaves to be claimed."""
        state = self._store.job_states([job.claim_id])[0]
        return max_runs if state is None else max(0, max_runs - state.claimed)

    def pause(self, job: Job, reason: str) -> JobState:
        """Pause with a reason."""
        storable(reason, "pause: reason")
        self.state(job)
        state = self._store.pause(job.claim_id, reason)
        assert state is not None
        return state

    def resume(self, job: Job) -> JobState:
        """Let it go on with its next tick: those that fell into the pause are disposed of, seen by a node or not.

        Where the store's clock forbids that just now, because it was stepped, they are left to `catch_up`.
        """
        state = self.state(job)
        while (claim := self._paused_ticks(job, state)) is not None:
            answer = self._store.claim([claim])[0]
            if answer.verdict not in ("claimed", "taken"):
                break
            state = answer.state
        resumed = self._store.pause(job.claim_id, None)
        assert resumed is not None
        return resumed

    def records(self, rows: Sequence[RunRow]) -> list[RunRecord]:
        """The public records of rows."""
        return [record_of(row, self._shown_id(row.job_id)) for row in rows]

    def _refuse_covered(self, row: RunRow, job: Job | None) -> None:
        """A run answers for its window, unless a later one has answered for some of it since."""
        state = self._store.job_states([row.job_id])[0]
        covered = None if state is None else state.covered_until
        if covered is not None and is_covered(DEFAULT_OPTIONS if job is None else job.options, row, covered):
            start, end = row.window_start, row.window_end
            assert start is not None
            assert end is not None
            raise StateError(
                f"the window of run {row.id} is {rfc3339(start)} to {rfc3339(end)}, and later runs have covered up to"
                f" {rfc3339(covered)} since: replaying it would do that work twice; force=True does so all the same"
            )

    def _row(
        self, job: Job, origin: str, now: int, due: int, args: Sequence[object], kwargs: Mapping[str, object] | None
    ) -> RunRow:
        given = list(args)
        return RunRow(
            self._new_id(),
            job.claim_id,
            origin,
            "queued",
            now,
            due,
            args=to_text(given, "args") if given else None,
            kwargs=to_text(dict(kwargs), "kwargs") if kwargs else None,
        )

    def _paused_ticks(self, job: Job, state: JobState) -> TickClaim | None:
        """The claim that disposes of what is due of a paused job; `None`: nothing is."""
        trigger, now = job.trigger, self._clock.now()
        first = None if trigger is None or state.paused_at is None else trigger.next_tick(state.watermark)
        if trigger is None or first is None or due_of(trigger, job.options, state.job_id, first) > now:
            return None
        made = plan(trigger, job.options, state.job_id, first, now, now, paused=True)
        return tick_claim(job, trigger, state, made, now, Holder("", 0.0, self._new_id, self._new_id))

    def _add(self, rows: Sequence[RunRow]) -> Sequence[RunRow]:
        """Insert rows; an answer that got lost is asked for again with the same ids."""
        try:
            return self._store.add(rows)
        except BackendError:
            return self._store.add(rows)

    def _existing(self, run_id: str) -> RunRow:
        row = self._store.run(storable(run_id, "run_id"))
        if row is None:
            raise UnknownJobError(f"no run {run_id!r} is on record; it may have been pruned")
        return row
