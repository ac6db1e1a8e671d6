"""The facts that an explanation rests on, brought from the store; what they come to is decided in `rota.core.explain`.

Law: it only looks. A store that does not answer is an explanation, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from rota.core.explain import Explanation, Facts, NodeSpan, explain, skipped_for_a_run, telling_row
from rota.core.job import Job
from rota.core.json_values import storable
from rota.core.misfire import due_of
from rota.core.run import FINAL, OPEN, RunRow, rfc3339
from rota.drivers.asking.asked import instant
from rota.drivers.locks_apart.locked_store import LockedStore
from rota.drivers.settings import Settings, kept_from
from rota.errors import BackendError
from rota.ports import NodeRow, Store
from rota.triggers.base import from_micros

RUNS_BEFORE = 20
"""So many runs are looked at for those that stood in a tick's way."""


class Explaining:
    """On one store. `store_now` gives the time by its clock, `own_now` by this machine's, microseconds."""

    def __init__(
        self, settings: Settings, store: Store, store_now: Callable[[], int], own_now: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._store = store
        self._store_now = store_now
        self._own_now = own_now

    def explain(self, job: Job | None, job_id: str, at: datetime | str | None) -> Explanation:
        """Why the job did or did not run at an instant; `None`: at its last tick due."""
        asked = None if at is None else instant(at, "at")
        if job is None:
            return self._unknown(job_id, self._own_now() if asked is None else asked)
        try:
            now = self._store_now()
            tick = self._last_tick(job, now) if asked is None else asked
            if tick is None:
                verdict = f"Job {job.id!r} has no tick before now."
                return Explanation(verdict, "not_a_tick", (_describe(job),), "")
            return explain(self._facts(job, tick, now))
        except BackendError as error:
            return self._store_down(job, asked, error)

    def _unknown(self, job_id: str, moment: int) -> Explanation:
        """What is asked about is no job of this process; it may be a run."""
        text = f"No job {job_id!r} is declared in this process."
        hint = "Look for its module: is it imported where the scheduler starts?"
        try:
            row = self._store.run(storable(job_id, "explain: job"))
        except BackendError:
            row = None
        if row is not None:
            text = f"{job_id!r} is no job, but a run of job {row.job_id!r}."
            hint = f"get_run({job_id!r}) gives its record; explain takes the job, and the instant as at=…"
        return Explanation(text, "unknown_here", (), hint, from_micros(moment))

    def _store_down(self, job: Job, asked: int | None, error: BackendError) -> Explanation:
        """What was asked about, as far as it can be told without the store."""
        tick = asked
        if tick is None and job.trigger is not None:
            tick = job.trigger.previous_tick(self._own_now() + 1)
        what, moment = (f"job {job.id!r}", None) if tick is None else (rfc3339(tick), from_micros(tick))
        text = f"The store does not answer, so what became of {what} cannot be told."
        return Explanation(text, "store_down", (str(error),), "health() tells when it is back.", moment)

    def _last_tick(self, job: Job, now: int) -> int | None:
        """The last tick due; of a job without a trigger, when its last run was asked for."""
        if job.trigger is None:
            rows = self._store.runs(job.claim_id, limit=1)
            return rows[0].queued_at if rows else None
        return job.trigger.previous_tick(now + 1)

    def _facts(self, job: Job, tick: int, now: int) -> Facts:
        nodes = [self._span(node) for node in self._store.nodes()]
        rows = self._rows_to_explain(job, tick)
        state = self._store.job_states([job.claim_id])[0]
        keep_from = kept_from(self._settings, job.options.retention, now)
        before = self._runs_before(job, telling_row(rows))
        return Facts(
            job.id,
            job.trigger,
            tick,
            state,
            rows,
            nodes,
            keep_from,
            now,
            job.options,
            before,
            int(self._settings.lease_ttl * 1_000_000),
            tick if job.trigger is None else due_of(job.trigger, job.options, job.claim_id, tick),
            isinstance(self._store, LockedStore),
        )

    def _rows_to_explain(self, job: Job, tick: int) -> Sequence[RunRow]:
        """The records of the tick; of a job without ticks the last run that was asked for by then."""
        if job.trigger is not None:
            return self._store.runs_of_ticks(job.claim_id, tick, tick)
        return self._store.runs(job.claim_id, before=tick + 1, limit=1)

    def _runs_before(self, job: Job, row: RunRow | None) -> Sequence[RunRow]:
        """The tick runs among which those are that a tick was skipped for."""
        if row is None or not skipped_for_a_run(row):
            return ()
        begun = (OPEN | FINAL) - {"skipped", "missed"}
        return self._store.runs(
            job.claim_id, statuses=begun, origins={"tick"}, before=row.queued_at + 1, limit=RUNS_BEFORE
        )

    def _span(self, node: NodeRow) -> NodeSpan:
        """A node that has not said goodbye is taken to live for a lease beyond its last sign of life; one that shares
        its store with nobody gives none, and lives while this process does."""
        assumed = node.last_seen + int(self._settings.lease_ttl * 1_000_000) if self._settings.leased else 2**62
        return NodeSpan(node.id, node.started_at, assumed if node.stopped_at is None else node.stopped_at)


def _describe(job: Job) -> str:
    return "it has no trigger" if job.trigger is None else job.trigger.describe()
