"""The ticks of this node's jobs: when each is next due, and the claim when it is.

Law: what a job's next tick is follows from its watermark alone. Whoever doubts (a stepped clock, a store that came
back, a claim that somebody else won) re-arms from the watermark, and nothing is lost or doubled by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rota.containment import whatever_it_raises
from rota.core import lifecycle, misfire
from rota.core.effects import JobSeen, JobState, TickAnswer, TickClaim, seen_of
from rota.core.job import Job
from rota.core.lifecycle import Flow, Holder
from rota.core.misfire import Plan, due_of
from rota.core.outcome import message_of
from rota.core.run import RunRow
from rota.drivers.identity import tick_run_id
from rota.drivers.settings import kept_from
from rota.triggers.base import from_micros
from rota.triggers.once import Once

if TYPE_CHECKING:
    from rota.drivers.engine import Engine

SYNC_BATCH = 1_000
"""Jobs declared to the store in one call."""

ASK_AGAIN = 1_000_000
"""Microseconds after which a trigger that raised is asked again; twice as long each time that it raises again."""

LONGEST_PAUSE = 60_000_000
"""Microseconds that such a pause grows to."""


class JobEntry:
    """A job on this node: its state in the store as last heard, and its next tick.

    `seen_at`: when the tick was first seen due, `None` while it lies ahead. `follows`: as `misfire.plan` has it.
    `retired`: no longer declared here. `is_outvoted`: another node declared another trigger.
    """

    __slots__ = ("due", "follows", "is_outvoted", "job", "retired", "seen_at", "state", "tick")

    def __init__(self, job: Job, state: JobState) -> None:
        self.job = job
        self.state = state
        self.tick: int | None = None
        self.due = 0
        self.seen_at: int | None = None
        self.follows = False
        self.retired = False
        self.is_outvoted = False

    def come_due(self, due: int, engine: Engine) -> None:
        """Its tick is due, unless it has moved meanwhile."""
        if self.is_gone(due, engine):
            return
        self.seen_at = engine.time
        engine.ready(self.job.executor, self)

    def is_gone(self, due: int, _engine: Engine) -> bool:
        """Whether the job is not declared any more, or its next tick another one, or seen already."""
        return self.retired or self.tick is None or due != self.due or self.seen_at is not None


class Trouble:
    """A job whose trigger has raised, on the timeline: it is asked again after a growing pause (microseconds)."""

    __slots__ = ("entry", "pause", "since")

    def __init__(self, entry: JobEntry, since: int, pause: int) -> None:
        self.entry = entry
        self.since = since
        self.pause = pause

    def come_due(self, due: int, engine: Engine) -> None:
        """Ask it again, unless it has answered or raised meanwhile."""
        if not self.is_gone(due, engine):
            engine.agenda.arm(self.entry, None)

    def is_gone(self, _due: int, engine: Engine) -> bool:
        """Whether the job is not declared any more, has a next tick, or has raised again."""
        return self.entry.retired or self.entry.tick is not None or engine.agenda.trouble_of(self.entry) is not self


class Claiming:
    """A claim on its way to the store, with the flow that waits for its answer."""

    __slots__ = ("claim", "entry", "flow", "plan")

    def __init__(self, entry: JobEntry, plan: Plan, flow: Flow, claim: TickClaim) -> None:
        self.entry = entry
        self.plan = plan
        self.flow = flow
        self.claim = claim


class Agenda:
    """All entries of a node, by claim id."""

    def __init__(self, engine: Engine, holder: Holder) -> None:
        self._engine = engine
        self._holder = holder
        self._waiting: dict[JobEntry, None] = {}
        self._troubles: dict[JobEntry, Trouble] = {}
        self.entries: dict[str, JobEntry] = {}

    def declare(self, jobs: Sequence[Job]) -> None:
        """Make jobs known to the store and arm their ticks; one that is known here already is replaced."""
        for start in range(0, len(jobs), SYNC_BATCH):
            batch: list[Job] = []
            seen: list[JobSeen] = []
            for job in jobs[start : start + SYNC_BATCH]:
                told = self._to_declare(job)
                if told is not None:
                    batch.append(job)
                    seen.append(told)
            for job, state in zip(batch, self._engine.store.sync_jobs(seen), strict=True):
                self._adopt(job, state)

    def _to_declare(self, job: Job) -> JobSeen | None:
        """The job as the store is told of it; `None`: its trigger raised, and the job does not run here."""
        try:
            return seen_of(job)
        except whatever_it_raises() as error:  # a trigger may be the user's code
            kind = type(error).__name__
            self.forget(job.claim_id)
            self._engine.warn(
                "trigger.failed",
                f"job {job.id!r} does not run in this process: its trigger raised {kind} when it was asked for its "
                f"signature ({message_of(error)}); mend it, and start or declare the job again",
                job_id=job.id,
                error_type=kind,
                exc_info=error,
            )
            return None

    def forget(self, claim_id: str) -> None:
        """The job is no longer declared here; what the store knows of it stays."""
        entry = self.entries.pop(claim_id, None)
        if entry is not None:
            entry.retired = True
            self._waiting.pop(entry, None)
            self._troubles.pop(entry, None)
            self._engine.forget_busy(claim_id)
            self._engine.forget_entry()

    def trouble_of(self, entry: JobEntry) -> Trouble | None:
        """What is the matter with the job's trigger, if anything."""
        return self._troubles.get(entry)

    def late_from(self, entry: JobEntry) -> int | None:
        """From when on a job is late: its next tick is due, or could not be told since."""
        trouble = self._troubles.get(entry)
        if trouble is not None:
            return trouble.since
        return None if entry.tick is None else entry.due

    def rearm_all(self) -> None:
        """Compute every next tick anew."""
        for entry in self.entries.values():
            self.arm(entry, None)

    def refresh(self, entries: Iterable[JobEntry]) -> None:
        """Ask the store for the states of these jobs, and re-arm them."""
        known = [entry for entry in entries if not entry.retired]
        if not known:
            return
        states = self._engine.store.job_states([entry.state.job_id for entry in known])
        if None in states:
            self._declare_anew()
            return
        for entry, state in zip(known, states, strict=True):
            assert state is not None
            self._note(entry, state)
            self.arm(entry, None)

    def _declare_anew(self) -> None:
        """The store has lost what it knew, as a server does that keeps nothing on disk, or gives way to a replica that
        lagged behind. What it has not seen does not exist for it, so no tick of before is run again."""
        self._engine.warn(
            "store.forgot",
            "the store has forgotten jobs that it knew: they are declared to it anew, and begin with their next ticks",
        )
        self.declare([entry.job for entry in self.entries.values()])

    def refresh_state(self, claim_id: str) -> None:
        """Ask the store how a job stands, and let a tick that waited on it go on."""
        self.note_state(self._engine.store.job_states([claim_id])[0])

    def arm(self, entry: JobEntry, tick: int | None) -> None:
        """Wait for `tick`; `None`: for the first after the watermark."""
        trigger, options = entry.job.trigger, entry.job.options
        entry.tick = entry.seen_at = None
        entry.follows = False
        if self._waiting:
            self._waiting.pop(entry, None)
        if trigger is None or (options.max_runs is not None and entry.state.claimed >= options.max_runs):
            self._troubles.pop(entry, None)
            return
        try:
            if tick is None:
                tick = trigger.next_tick(entry.state.watermark)
            due = 0 if tick is None else due_of(trigger, options, entry.state.job_id, tick)
        except whatever_it_raises() as error:  # a trigger may be the user's code, or call it
            self._put_off(entry, error)
            return
        if tick is not None:
            entry.tick, entry.due = tick, due
            self._engine.timeline.push(due, entry)
        if self._troubles and (tick is None or due > self._engine.time):
            self._troubles.pop(entry, None)

    def claim(self, entry: JobEntry, now: int) -> Claiming | None:
        """The claim for an entry whose tick is due; `None`: the tick waits until a run of its job has ended."""
        trigger = entry.job.trigger
        if entry.retired or trigger is None or entry.tick is None or entry.seen_at is None:
            return None
        state, options = entry.state, entry.job.options
        if entry.tick <= state.watermark:
            # The state is newer than the tick: others have gone on meanwhile, and have disposed of it.
            self._go_on(entry, None)
            return None
        try:
            plan = misfire.plan(
                trigger,
                options,
                state.job_id,
                entry.tick,
                entry.seen_at,
                now,
                paused=state.paused_at is not None,
                follows=entry.follows,
            )
            flow = lifecycle.tick(entry.job, trigger, state, plan, now, self._holder)
            claim = next(flow, None)
        except whatever_it_raises() as error:  # a trigger may be the user's code, or call it
            self._put_off(entry, error)
            return None
        if self._troubles:
            self._troubles.pop(entry, None)
        if claim is None:
            self._waiting[entry] = None
            return None
        assert isinstance(claim, TickClaim)
        return Claiming(entry, plan, flow, claim)

    def _put_off(self, entry: JobEntry, error: BaseException) -> None:
        """Its trigger has raised, which stops no other job: say so once, and ask it again later."""
        engine, before = self._engine, self._troubles.get(entry)
        if before is None:
            since = engine.time if entry.tick is None else min(entry.due, engine.time)
            trouble = Trouble(entry, since, ASK_AGAIN)
            kind = type(error).__name__
            engine.warn(
                "trigger.failed",
                f"job {entry.job.id!r} does not run: its trigger raised {kind}; it is asked again until it answers",
                job_id=entry.job.id,
                error_type=kind,
                exc_info=error,
            )
        else:
            trouble = Trouble(entry, before.since, min(2 * before.pause, LONGEST_PAUSE))
        self._troubles[entry] = trouble
        entry.tick = entry.seen_at = None
        engine.arm(engine.time + trouble.pause, trouble)

    def answered(self, claiming: Claiming, answer: TickAnswer) -> None:
        """Move the entry on as the answer says."""
        entry = claiming.entry
        self._note(entry, answer.state)
        if answer.verdict == "claimed":
            has_begun = claiming.claim.start is not None
            seen_at = entry.seen_at
            follows = has_begun and seen_at is not None and misfire.behind(claiming.plan.due, seen_at)
            self._go_on(entry, claiming.plan.following, follows=follows)
        elif answer.verdict == "taken":
            self._go_on(entry, None)
        elif answer.verdict == "too_early":
            self.arm(entry, None)
        else:
            self._engine.hold_back(entry)

    def _go_on(self, entry: JobEntry, tick: int | None, *, follows: bool = False) -> None:
        """Wait for `tick` as `arm` does; if it is due already, it keeps the instant at which the one before was first
        seen, and `follows` that or an earlier one."""
        engine, seen_at, follows = self._engine, entry.seen_at, entry.follows or follows
        self.arm(entry, tick)
        if entry.tick is None or seen_at is None or entry.due > min(engine.time, engine.ready_until):
            return
        if entry.due <= seen_at:
            entry.seen_at, entry.follows = seen_at, follows
        else:  # it came due on time, while the one before waited or was at work
            entry.seen_at = entry.due
        engine.ready(entry.job.executor, entry)

    def note_state(self, state: JobState | None) -> None:
        """The store said how a job stands; a tick that waited for one of its runs to end gets its turn. If the job is
        paused it waits no longer, and is disposed of with all that are due."""
        if state is None:
            return
        entry = self.entries.get(state.job_id)
        if entry is None:
            return
        self._note(entry, state)
        if self._waiting and entry in self._waiting and (not state.live or state.paused_at is not None):
            self._waiting.pop(entry, None)
            self._engine.ready(entry.job.executor, entry)

    def _note(self, entry: JobEntry, state: JobState) -> None:
        """How the job stands now; that another node has declared it with another trigger is said once."""
        if state.signature != entry.state.signature and not (entry.retired or entry.is_outvoted):
            entry.is_outvoted = True
            self._engine.warn(
                "trigger.differs",
                f"job {entry.job.id!r} was declared with another schedule by another process: both schedules run, each "
                "tick once, until every process has the same",
                job_id=entry.job.id,
            )
        entry.state = state

    @property
    def has_waiting(self) -> bool:
        """Whether a tick waits for a run which another node may end."""
        return bool(self._waiting)

    def note_begun(self, row: RunRow | None) -> None:
        """A run that waited is at work: whether one is queued decides about the next tick."""
        entry = None if row is None else self.entries.get(row.job_id)
        if row is not None and entry is not None and row.origin == "tick":
            live = [run.replaced(status=row.status) if run.run_id == row.id else run for run in entry.state.live]
            entry.state = entry.state.replaced(live=tuple(live))

    def wake_waiting(self) -> None:
        """Look again at ticks that wait for a run which another node may have ended. They go on waiting as they did: to
        be seen anew would make them skip what they came due with."""
        before = [(entry, entry.tick, entry.seen_at, entry.follows) for entry in self._waiting]
        self.refresh([entry for entry, *_ in before])
        for entry, tick, seen_at, follows in before:
            if entry.tick is not None and entry.tick == tick and entry.seen_at is None and not entry.retired:
                entry.seen_at, entry.follows = seen_at, follows
                self._engine.ready(entry.job.executor, entry)

    def _adopt(self, job: Job, state: JobState) -> None:
        claim_id = job.claim_id
        before = self.entries.get(claim_id)
        if before is not None:
            self.forget(claim_id)
        entry = self.entries[claim_id] = JobEntry(job, state)
        if isinstance(job.trigger, Once):
            self._record_past_once(entry, job.trigger, before)
        self.arm(entry, None)
        if entry.tick is None:
            self._warn_of_no_tick(entry)

    def _warn_of_no_tick(self, entry: JobEntry) -> None:
        """Of a job that has a trigger, has never run by it and never will: its end is past, most likely by mistake."""
        job, state = entry.job, entry.state
        is_over = job.trigger is not None and entry not in self._troubles and not state.claimed
        if is_over and not isinstance(job.trigger, Once):
            self._engine.warn(
                "trigger.over",
                f"job {job.id!r} never runs: its schedule has no tick after {from_micros(state.watermark).isoformat()}",
                job_id=job.id,
            )

    def _record_past_once(self, entry: JobEntry, trigger: Once, before: JobEntry | None) -> None:
        """A one-off instant that is past when the store first sees the job, or its present trigger, is recorded as
        missed. `before`: the job as it was declared here until now."""
        job, state = entry.job, entry.state
        tick = trigger.previous_tick(state.watermark + 1)
        if tick is None or not self._was_passed_over(entry, before, tick):
            return
        if self._engine.store.runs_of_ticks(state.job_id, tick, tick):
            return
        now = self._engine.time
        # Nodes that see the job at the same moment make one record of it.
        row = RunRow(tick_run_id(state.job_id, tick), state.job_id, "tick", "missed", now, tick, scheduled_for=tick)
        row.reason, row.finished_at = "before_first_seen", now
        self._engine.store.add([row])
        self._engine.warn(
            "run.missed",
            f"job {job.id!r} was to run once at {from_micros(tick).isoformat()}, which was past when it was first seen",
            job_id=job.id,
        )

    def _was_passed_over(self, entry: JobEntry, before: JobEntry | None, tick: int) -> bool:
        """Whether a tick that has no record never had one. Its own claim would have left the watermark at the tick:
        beyond it goes only a trigger that is declared later."""
        state = entry.state
        if state.watermark == state.first_seen:
            return not state.claimed
        if before is not None and before.state.signature != state.signature:
            return True
        keep_from = kept_from(self._engine.settings, entry.job.options.retention, self._engine.time)
        return state.first_seen < state.watermark and (keep_from or tick) <= tick < state.watermark
