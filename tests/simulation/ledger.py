"""The ledger: what the store has answered and what jobs have done, kept apart from both, and held against C1 to C7.

Theory. It sees each effect on the store as it happens, and keeps of every job the watermark and the last fence, of
every run its status, its holder and until when its lease lasts, by arithmetic of its own. What a store or a node does
that does not follow from what was before is a problem.

Law: it believes nobody. A status is looked up nowhere but here, and a lease is over when the seconds are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.simulation.world import World

from rota.core.run import FINAL, UNHAPPY, RunRow

if TYPE_CHECKING:
    from tests.simulation.process import Process

    from rota.core.effects import Begin, BeginAnswer, Swap, SwapAnswer, TickAnswer, TickClaim
    from rota.ports import JobSeen, JobState, Renewal
    from rota.triggers.base import Trigger

SIGNAL_WITHIN = 1_000_000
"""Microseconds for which a process must have been undisturbed to be blamed for a signal that has not come."""


RETENTION = timedelta(seconds=15)
"""For how long the record of a run that ended well is kept, and a key with it; three times as long for others."""

ASTRAY = 1_000_000
"""Microseconds by which a process may be wrong about the store's time when it prunes."""


class KnownJob:
    """A job as it must stand in the store."""

    def __init__(self, state: JobState) -> None:
        self.signature = state.signature
        self.watermark = state.watermark
        self.first_seen = state.first_seen
        self.fence = 0
        self.ticks: set[int] = set()


class KnownRun:
    """A run as it must stand in the store. `lease`: until when it is held, `ended_at`: since when its end is on record,
    on the store's clock."""

    def __init__(self, row: RunRow) -> None:
        self.id = row.id
        self.job_id = row.job_id
        self.status = row.status
        self.token = row.token
        self.attempt = row.attempt
        self.fence = 0
        self.lease = 0
        self.stuck = False
        self.ended_at = 0
        self.highest = 0
        self.begun: set[int] = set()
        self.returned: set[int] = set()
        self.is_replayed = False

    def may_be_pruned(self, now: int) -> bool:
        """Whether its record may be gone by now."""
        kept_for = RETENTION * (3 if self.status in UNHAPPY else 1)
        is_old = self.ended_at + kept_for // timedelta(microseconds=1) <= now + ASTRAY
        return self.status in FINAL and not self.stuck and is_old


class Ledger:
    """`jobs` by claim id, `runs` by id."""

    def __init__(self, world: World) -> None:
        self.jobs: dict[str, KnownJob] = {}
        self.runs: dict[str, KnownRun] = {}
        self.starts = 0
        self.refused_writes = 0
        self._world = world
        self._keys: dict[tuple[str, str], str] = {}
        self._observers: dict[str, Callable[..., None]] = {
            "sync_jobs": self._synced,
            "claim": self._claimed,
            "add": self._added,
            "begin": self._begun,
            "swap": self._swapped,
            "renew": self._renewed,
        }

    def observe(
        self, process: Process, method: str, args: tuple[Any, ...], answer: Any, triggers: dict[str, list[Trigger]]
    ) -> None:
        """A call has taken effect."""
        observer = self._observers.get(method)
        if observer is None:
            return
        if method == "claim":
            observer(process, args[0], answer, triggers)
        elif method == "renew":
            observer(process, args[1], args[2], answer)
        else:
            observer(process, args[0], answer)

    # What jobs do ----------------------------------------------------------------------------------------------------

    def started(self, process: Process, run: Any) -> None:
        """A job's function was called (C2, C3)."""
        row, world = run._row, self._world
        self.starts += 1
        world.note(process.name, "starts", row.job_id, row.id, row.attempt, row.fence)
        known = self.runs.get(row.id)
        if known is None:
            self._problem("C2", f"run {row.id} was started and is not on record")
            return
        if row.attempt in known.begun:
            self._problem("C2", f"attempt {row.attempt} of {row.job_id} {row.id} was started twice")
        known.begun.add(row.attempt)
        if row.scheduled_for is not None and world.now < row.scheduled_for:
            self._problem("C3", f"{row.job_id} was started {row.scheduled_for - world.now} µs before its tick")
        self._write(process, known, row)

    def ended(self, process: Process, row: RunRow, *, is_success: bool) -> None:
        """A job's function has returned, and writes its result."""
        self._world.note(process.name, "ends", row.job_id, row.id, row.attempt, is_success)
        known = self.runs[row.id]
        if is_success:
            known.returned.add(row.attempt)
        self._write(process, known, row)

    def _write(self, process: Process, known: KnownRun, row: RunRow) -> None:
        """The resource takes what does not come from before what it has seen (C5)."""
        if row.fence < known.highest:
            self.refused_writes += 1
            return
        if known.begun and row.attempt < max(known.begun):
            self._problem("C5", f"{process.name} wrote for attempt {row.attempt} of {row.id} after a later one")
        known.highest = row.fence

    # What stores do --------------------------------------------------------------------------------------------------

    def _synced(self, process: Process, seen: Sequence[JobSeen], states: Sequence[JobState]) -> None:
        for job, state in zip(seen, states, strict=True):
            known = self.jobs.get(state.job_id)
            if known is None:
                self.jobs[state.job_id] = KnownJob(state)
                continue
            is_new = known.signature != job.signature
            if state.watermark < known.watermark or (state.watermark != known.watermark and not is_new):
                moved = state.watermark - known.watermark
                self._problem("C4", f"declaring {state.job_id} has moved its watermark by {moved} µs")
            known.signature, known.watermark = job.signature, state.watermark

    def _claimed(
        self,
        process: Process,
        claims: Sequence[TickClaim],
        answers: Sequence[TickAnswer],
        triggers: dict[str, list[Trigger]],
    ) -> None:
        for claim, answer in zip(claims, answers, strict=True):
            if answer.verdict == "claimed" and not (claim.rows and claim.rows[0].id in self.runs):
                self._tick_claimed(claim, triggers[claim.job_id])
                for row in claim.rows:
                    self._add(row)
            if answer.begun is not None and claim.start is not None:
                self._grant(claim.start, answer.begun)

    def _tick_claimed(self, claim: TickClaim, triggers: Sequence[Trigger]) -> None:
        known = self.jobs[claim.job_id]
        if claim.tick <= known.watermark or claim.previous != known.watermark:
            self._problem("C4", f"{claim.job_id}: {claim.previous} → {claim.tick} was claimed at {known.watermark}")
        if claim.tick > self._world.now:
            self._problem("C3", f"{claim.job_id}: {claim.tick} was claimed {claim.tick - self._world.now} µs early")
        accounted = [tick for row in claim.rows for tick in _ticks_of(row, triggers)]
        if triggers and not any(accounted == _between(trigger, known.watermark, claim.tick) for trigger in triggers):
            self._problem("C1", f"{claim.job_id}: the claim of {claim.tick} accounts for {accounted} only")
        for tick in accounted:
            if tick in known.ticks:
                self._problem("C1", f"{claim.job_id}: the tick {tick} was disposed of twice")
            known.ticks.add(tick)
        known.watermark = claim.tick

    def _added(self, process: Process, rows: Sequence[RunRow], kept: Sequence[RunRow]) -> None:
        for row, known in zip(rows, kept, strict=True):
            if known.key is not None:
                self._keep_key(known.job_id, known.key, known.id)
            if known.id not in self.runs:
                self._add(row)

    def _keep_key(self, job_id: str, key: str, run_id: str) -> None:
        first = self._keys.setdefault((job_id, key), run_id)
        if first == run_id:
            return
        if not self.runs[first].may_be_pruned(self._world.now):
            self._problem("C2", f"the key {key!r} of {job_id} has two runs")
        self._keys[job_id, key] = run_id

    def _add(self, row: RunRow) -> None:
        if row.id in self.runs:
            self._problem("C2", f"run {row.id} of {row.job_id} was added twice")
        self.runs[row.id] = KnownRun(row)

    def _begun(self, process: Process, asks: Sequence[Begin], answers: Sequence[BeginAnswer]) -> None:
        for ask, answer in zip(asks, answers, strict=True):
            if answer.row is not None:
                self._grant(ask, answer.row)

    def _grant(self, ask: Begin, row: RunRow) -> None:
        """An attempt was begun, or the same ask was answered once more."""
        run, job = self.runs[row.id], self.jobs[row.job_id]
        lease = self._world.now + int(ask.ttl * 1_000_000)
        if run.token == ask.token:
            run.lease = lease
            return
        if run.token is not None or run.status not in ("queued", "waiting"):
            self._problem("C5", f"{row.job_id} {row.id} was granted anew while it is {run.status}")
        if row.fence <= job.fence:
            self._problem("C5", f"{row.job_id} {row.id} was given the fence {row.fence} after {job.fence}")
        if row.attempt != run.attempt + 1:
            self._problem("C2", f"{row.job_id} {row.id} went from attempt {run.attempt} to {row.attempt}")
        job.fence = run.fence = row.fence
        run.token, run.status, run.attempt, run.lease = ask.token, "running", row.attempt, lease

    def _renewed(self, process: Process, held: Sequence[tuple[str, str]], ttl: float, answer: Renewal) -> None:
        for run_id, token in held:
            if run_id in answer.lost:
                continue
            run = self.runs[run_id]
            if run.token != token or run.lease <= self._world.now:
                self._problem("C5", f"{process.name} has renewed the lease of {run_id}, which it does not hold")
            run.lease = self._world.now + int(ttl * 1_000_000)

    def _swapped(self, process: Process, swaps: Sequence[Swap], answers: Sequence[SwapAnswer]) -> None:
        for swap, answer in zip(swaps, answers, strict=True):
            if answer.verdict == "swapped":
                self._replaced(process, swap)

    def _replaced(self, process: Process, swap: Swap) -> None:
        new, run = swap.row, self.runs[swap.row.id]
        token = new.token if new.stuck or new.status == "running" else None
        is_repeated = (run.status, run.attempt, run.token, run.stuck) == (new.status, new.attempt, token, new.stuck)
        if is_repeated:
            return
        if (run.status, run.token) != (swap.status, swap.token):
            self._problem("C5", f"{process.name} has ended {run.id} of {run.job_id}, which is {run.status} elsewhere")
        if run.status in FINAL and new.status not in FINAL:
            run.is_replayed = True
            if new.reason != "replay":
                self._problem("C1", f"{run.id} of {run.job_id} was {run.status} and is {new.status} again")
        if new.status == "succeeded" and new.attempt not in run.returned:
            self._problem("C1", f"{run.id} of {run.job_id} is on record as succeeded, and has not returned")
        if new.reason == "handed_back" and run.attempt in run.begun:
            self._problem("C2", f"attempt {run.attempt} of {run.id} was started, and handed back as if it were not")
        if swap.expired:
            self._check_take_over(run)
        if new.status in FINAL and run.status not in FINAL:
            run.ended_at = self._world.now
        run.status, run.attempt, run.token, run.stuck = new.status, new.attempt, token, new.stuck

    def _check_take_over(self, run: KnownRun) -> None:
        """A lease is over before it is given to another, and its holder knows (C5)."""
        world = self._world
        if run.lease > world.now:
            self._problem("C5", f"{run.id} of {run.job_id} was taken over {run.lease - world.now} µs before its time")
        for process in world.processes:
            for call in process.at_work():
                if call.row.token != run.token:
                    continue
                if process.node is not None and process.node.services.held(call.row):
                    self._problem("C5", f"{process.name} trusts its lease on {run.id}, which was taken over")
                is_undisturbed = process.disturbed_at + SIGNAL_WITHIN < world.now
                if is_undisturbed and call.cancel_reason is None:
                    self._problem("C5", f"{process.name} was not told that it has lost {run.id}")

    def _problem(self, law: str, text: str) -> None:
        self._world.problem(law, text)


def _ticks_of(row: RunRow, triggers: Sequence[Trigger]) -> list[int]:
    """The ticks for which a row stands."""
    last = row.scheduled_for
    assert last is not None
    if row.count == 1:
        return [last]
    for trigger in triggers:
        assert row.window_start is not None
        ticks = _between(trigger, row.window_start - 1, last)
        if len(ticks) == row.count:
            return ticks
    return [last] * row.count


def _between(trigger: Trigger, after: int, last: int) -> list[int]:
    ticks = []
    tick = trigger.next_tick(after)
    while tick is not None and tick <= last:
        ticks.append(tick)
        tick = trigger.next_tick(tick)
    return ticks
