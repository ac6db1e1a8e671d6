"""The life of one run, from a due tick to its record: read this first.

Theory. A run's whole state is its row in the store (`run`). So a flow here is short: it is one *attempt*, from the
claim to the swap of the row, and then it is over. A retry or a snooze is a row that waits, begun by whichever process
comes first; a crash is a row whose lease ran out; a replay is a row reopened. Nothing is remembered in a parked
generator.

A flow is a generator that *yields* what it wants of the world (an effect) and is sent the answer. It never asks the
time, never touches a store, and cannot tell a thread from an event loop or from a simulation.

Law for drivers: perform each effect until it is answered, and send the answer, until the flow ends. Nothing is thrown
into a flow: what is to stop is told by an answer. A process that goes down may leave a flow where it is, since what it
has not done is in the rows.

::

    tick ──claim──▶ begun ──attempt──▶ ended ──swap──▶ final | waiting | queued
                      ▲                                          │
                      └──────────────begin───────────────────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeAlias

from rota.core.effects import Begin, BeginAnswer, JobState, Live, Swap, SwapAnswer, TickAnswer, TickClaim
from rota.core.job import Job
from rota.core.misfire import Passed, Plan
from rota.core.options import JobOptions
from rota.core.overlap import decide, skip_reason
from rota.core.run import DEAD_LETTERS, RunRow
from rota.core.values import Value, value
from rota.core.verdict import (
    REPLAY,
    Ended,
    begun_window,
    covered_meanwhile,
    died,
    ended_unstarted,
    is_covered,
    is_joined,
    judge,
    thread_returned,
    unjudged,
)
from rota.triggers.base import Trigger


@value
class Attempt(Value):
    """Call the function of `job` for `row`; the answer is an `Ended`."""

    job: Job
    row: RunRow


@value
class Return(Value):
    """Wait until the stuck thread of `row` has come back; the answer is the instant."""

    row: RunRow


@value
class Pause(Value):
    """Pause the job with this reason; the answer is its state."""

    job: Job
    reason: str


@value
class States(Value):
    """Look the job's state up; the answer is a `JobState`."""

    job: Job


@value
class Cancel(Value):
    """Cancel a run that is not at work; the answer is whether it could be done."""

    run_id: str
    reason: str


Effect: TypeAlias = TickClaim | Begin | Attempt | Swap | Return | Pause | States | Cancel
Answer: TypeAlias = "TickAnswer | BeginAnswer | SwapAnswer | Ended | JobState | int | bool | None"
Flow: TypeAlias = Generator[Effect, Answer, None]


@value
class Holder(Value):
    """Who begins runs: the node's id, how long its leases last (seconds), and where ids and tokens come from."""

    node: str
    ttl: float
    new_id: Callable[[], str]
    new_token: Callable[[], str]


def tick(job: Job, trigger: Trigger, state: JobState, plan: Plan, now: int, holder: Holder) -> Flow:
    """A due tick: claim it with all that its plan disposes of, and make the first attempt if it is to run now."""
    claim = tick_claim(job, trigger, state, plan, now, holder)
    if claim is None:
        return
    answer = yield claim
    assert isinstance(answer, TickAnswer)
    if answer.verdict != "claimed":
        return
    if claim.paused:
        yield from _note_pause(claim, answer.state)
    for run_id in claim.cancel:  # an attempt at work when the claim was planned may have ended in a retry meanwhile
        yield Cancel(run_id, "replaced")
    if answer.begun is not None:
        latest = answer.begun.window_end if is_joined(job.options, answer.begun) else None
        begun = yield from _join_window(answer.begun, answer.state, latest)
        if begun is not None:
            yield from attempt(job, begun, answer.state)


def _note_pause(claim: TickClaim, state: JobState) -> Flow:
    """The job may have been resumed and paused again, for another reason, since its state was heard of: what the store
    says stands in the record."""
    if state.paused_at is None or not claim.rows or claim.rows[0].error == state.pause_in_words():
        return
    told = claim.rows[0].copy()
    told.error = state.pause_in_words()
    yield Swap(told, told.status, None)


def resume(job: Job, row: RunRow, now: int, holder: Holder) -> Flow:
    """A queued or waiting run whose time has come: begin its next attempt, unless somebody else does."""
    if row.cancel_requested is not None:
        yield ended_unstarted(row, "cancelled", row.cancel_requested, now)
        return
    if _is_too_late(job.options, row, now):
        yield ended_unstarted(row, "missed", "too_late", now)
        return
    latest = None if row.attempt else _latest_start(job, row)  # asks the trigger, and so before the run is held
    behind = row.origin == "tick" and job.options.overlap != "allow"
    answer = yield Begin(
        row.id, row.job_id, row.attempt, holder.new_token(), holder.node, holder.ttl, job.options.max_running, behind
    )
    assert isinstance(answer, BeginAnswer)
    if answer.row is None:
        return
    state, begun = None, answer.row
    is_replay = row.reason == REPLAY and is_joined(job.options, begun)
    if is_replay or latest is not None:
        known = yield States(job)
        state = known if isinstance(known, JobState) else None
    if is_replay and state is not None and is_covered(job.options, begun, state.covered_until):
        yield covered_meanwhile(begun, now)
        return
    joined = yield from _join_window(begun, state, latest)
    if joined is not None:
        yield from attempt(job, joined, state)


def _is_too_late(options: JobOptions, row: RunRow, now: int) -> bool:
    """Whether a tick has waited too long for its turn, or for a store that was silent about its claim."""
    return row.origin == "tick" and not row.attempt and options.is_too_late(row.due, now)


def end_unstarted(run_id: str, reason: str) -> Flow:
    """A run that somebody has asked to stop: end it, unless it is at work or over."""
    yield Cancel(run_id, reason)


def attempt(job: Job, row: RunRow, state: JobState | None = None) -> Flow:
    """One attempt of a run that this process holds: call, judge, swap; wait for a thread that does not return. `state`:
    how the job stood when its first attempt began, if it was asked for."""
    ended = yield Attempt(job, row)
    assert isinstance(ended, Ended)
    try:
        swap = judge(job.options, row, ended)
    except Exception as error:  # noqa: BLE001  # what the call gave may be of classes of the user's, with methods that raise
        swap = unjudged(row, ended, error)
    if swap.covered is None and state is not None and state.covered_until is None:
        swap = swap.replaced(covered=begun_window(job.options, row))
    answer = yield swap
    assert isinstance(answer, SwapAnswer)
    if answer.verdict == "lost":
        return
    if swap.row.status in DEAD_LETTERS:
        yield from _mind_the_streak(job, answer.state)
    if ended.stuck:
        returned_at = yield Return(swap.row)
        assert isinstance(returned_at, int)
        yield thread_returned(swap.row, max(swap.row.due, returned_at))


def take_over(job: Job, row: RunRow, now: int) -> Flow:
    """A run whose process died: what `on_crash` says."""
    swap = died(job.options, row, now)
    answer = yield swap
    assert isinstance(answer, SwapAnswer)
    if answer.verdict == "swapped" and swap.row.status in DEAD_LETTERS:
        yield from _mind_the_streak(job, answer.state)


def _mind_the_streak(job: Job, state: JobState | None) -> Flow:
    """After an unhappy run: pause the job if it was one too many."""
    limit = job.options.pause_after_failures
    if limit is None or state is None:
        return
    if state.streak >= limit and state.paused_at is None:
        yield Pause(job, f"{state.streak} unhappy runs in a row")


def _latest_start(job: Job, row: RunRow) -> int | None:
    """The latest instant at which the window of a run that has waited may start; `None`: it starts where it does.

    Where windows do not join, one may be wider than from tick to tick because they joined when it was claimed."""
    if row.window_start is None or row.window_end is None or row.origin == "backfill":
        return None
    if job.options.windows_join:
        return row.window_end
    if job.trigger is None or row.origin != "tick":
        return None
    try:
        previous = job.trigger.previous_tick(row.window_end)
    except Exception:  # noqa: BLE001  # a trigger may be the user's code, or call it
        return None
    return previous if previous is not None and row.window_start < previous else None


def _join_window(row: RunRow, state: JobState | None, latest: int | None) -> Generator[Effect, Answer, RunRow | None]:
    """Start the window of a run where the last succeeded one has ended, as the store has it now, but not after
    `latest`: no gap, no double.

    It may have ended while the run waited, or on another node, since the run was planned."""
    if state is None or state.covered_until is None or latest is None:
        return row
    start = min(state.covered_until, latest)
    if start == row.window_start:
        return row
    joined = row.copy()
    joined.window_start = start
    answer = yield Swap(joined, row.status, row.token)
    assert isinstance(answer, SwapAnswer)
    return joined if answer.verdict == "swapped" else None


def tick_claim(job: Job, trigger: Trigger, state: JobState, plan: Plan, now: int, holder: Holder) -> TickClaim | None:
    """The claim that carries out a plan; `None` while the tick waits its turn in a catch-up."""
    options, live = job.options, state.live
    decision = "start" if plan.tick is None else decide(options, live, in_order=plan.in_order)
    if decision == "wait":
        return None
    claim_id = state.job_id
    rows: tuple[RunRow, ...] = ()
    if plan.passed is not None:
        rows = (_passed_row(claim_id, plan.passed, now, holder),)
    paused = state.paused_at is not None
    if paused and rows:
        rows[0].error = state.pause_in_words()
    if plan.tick is None:
        return TickClaim(claim_id, state.watermark, plan.mark, paused, None, rows)
    if decision == "skip":
        row = _tick_row(options, trigger, state, plan, now, holder.new_id())
        row.status, row.reason, row.finished_at = "skipped", skip_reason(live), now
        return TickClaim(claim_id, state.watermark, plan.tick, paused, _ids(live), (*rows, row))
    row = _tick_row(options, trigger, state, plan, now, holder.new_id())
    start = None
    if decision == "start":
        start = Begin(row.id, claim_id, 0, holder.new_token(), holder.node, holder.ttl, options.max_running)
    watched = None if options.overlap == "allow" else _ids(live)
    cancel = _ids(live) if decision == "replace" else ()
    return TickClaim(claim_id, state.watermark, plan.tick, paused, watched, (*rows, row), cancel, 1, start)


def _ids(live: tuple[Live, ...]) -> tuple[str, ...]:
    return tuple([run.run_id for run in live]) if live else ()


def _tick_row(options: JobOptions, trigger: Trigger, state: JobState, plan: Plan, now: int, run_id: str) -> RunRow:
    tick = plan.tick
    assert tick is not None
    return RunRow(
        run_id,
        state.job_id,
        "tick",
        "queued",
        now,
        plan.due,
        scheduled_for=tick,
        window_start=window_start(options, trigger, state, tick),
        window_end=tick,
        is_catch_up=plan.is_catch_up,
    )


def window_start(options: JobOptions, trigger: Trigger | None, state: JobState, end: int) -> int | None:
    """Where a window that ends at `end` starts: at the end of the last succeeded one where windows join, else at the
    previous tick. `None`: a job without a trigger and without a past has no window."""
    if options.windows_join and state.covered_until is not None:
        return min(state.covered_until, end)
    previous = None if trigger is None else trigger.previous_tick(end)
    if previous is None:
        return None if trigger is None else end
    return previous


def asked_window_start(options: JobOptions, trigger: Trigger | None, state: JobState, end: int) -> int | None:
    """The same for a run that is asked for. As long as none has succeeded, it answers for the windows of tick runs that
    have not ended as well: they may fail."""
    ticks = [run.tick for run in state.live if run.tick]
    if trigger is None or not ticks or state.covered_until is not None or not options.windows_join:
        return window_start(options, trigger, state, end)
    return window_start(options, trigger, state, min(ticks[0], end))


def _passed_row(claim_id: str, passed: Passed, now: int, holder: Holder) -> RunRow:
    return RunRow(
        holder.new_id(),
        claim_id,
        "tick",
        passed.status,
        now,
        passed.last,
        scheduled_for=passed.last,
        count=passed.ticks,
        window_start=passed.first,
        window_end=passed.last,
        reason=passed.reason,
        finished_at=now,
    )
