"""What locks and stores decide, whatever they keep their facts in: the verdicts of `rota.ports` as plain functions.

Law: pure. A backend loads facts, asks here, and writes down what came of it, all in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rota.backends.embedded_clock import Moment
from rota.core.run import DEAD_LETTERS, OPEN, RunRow
from rota.ports import Begin, Claim, ClaimAnswer, JobSeen, JobState, Live, Swap, TickClaim

IN_QUEUE: frozenset[str] = frozenset({"queued", "waiting"})
"""Statuses of runs that somebody may begin."""

RARE: frozenset[str] = frozenset({"failed", "timed_out", "lost", "cancelled", "skipped", "missed", "handed_over"})
"""Statuses of runs that are neither open nor succeeded: few are, so tables have an index of them alone."""

QUEUED_EARLY = 86_400_000_000
"""By how many microseconds a run may have been queued before its tick, had a clock been wrong."""

_NONE_LIVE: dict[str, Live] = {}
"""Shared by all jobs that have had no live run yet, and never written to: a million jobs need no dict of their own."""


class RunStanding(NamedTuple):
    """Where a run stands: that much of its row as a swap of it looks at, and whether its lease is over."""

    status: str
    token: str | None
    stuck: bool
    cancel_requested: str | None
    progress: str | None
    is_over: bool


class JobFacts:
    """What a store knows of one job, open to change; `JobState` is its picture. `live` has the live tick runs by id,
    oldest tick first."""

    __slots__ = (
        "claimed",
        "covered_until",
        "fence",
        "first_seen",
        "job_id",
        "live",
        "pause_reason",
        "paused_at",
        "signature",
        "streak",
        "watermark",
    )

    def __init__(
        self,
        job_id: str,
        signature: str,
        first_seen: int,
        watermark: int,
        claimed: int = 0,
        fence: int = 0,
        covered_until: int | None = None,
        streak: int = 0,
        paused_at: int | None = None,
        pause_reason: str = "",
    ) -> None:
        self.job_id = job_id
        self.signature = signature
        self.first_seen = first_seen
        self.watermark = watermark
        self.claimed = claimed
        self.fence = fence
        self.covered_until = covered_until
        self.streak = streak
        self.paused_at = paused_at
        self.pause_reason = pause_reason
        self.live: dict[str, Live] = _NONE_LIVE

    def state(self) -> JobState:
        """The picture of it as it stands."""
        return JobState(
            self.job_id,
            self.signature,
            self.first_seen,
            self.watermark,
            self.claimed,
            self.fence,
            self.covered_until,
            self.streak,
            self.paused_at,
            self.pause_reason,
            tuple(self.live.values()) if self.live else (),
        )

    def note(self, row: RunRow) -> None:
        """Bring `live` up to date with a row that was inserted or replaced."""
        if row.origin != "tick":
            return
        live = self.live
        if not row.stuck and row.status not in OPEN:
            if live.pop(row.id, None) is not None and not live:
                self.live = _NONE_LIVE
            return
        one = Live(row.id, row.status, row.stuck, row.scheduled_for or 0)
        if live is _NONE_LIVE:
            self.live = {row.id: one}
            return
        in_order = not live or row.id in live or next(reversed(live.values())).tick <= one.tick
        live[row.id] = one
        if not in_order:
            self.live = {run.run_id: run for run in sorted(live.values(), key=_tick_of)}

    def note_loaded(self, live: Live) -> None:
        """Take up a live tick run as it is kept; called in the order of their ticks."""
        if self.live is _NONE_LIVE:
            self.live = {}
        self.live[live.run_id] = live

    def copy_from(self, other: JobFacts) -> None:
        """Go on where `other` stands, under the own id: all but the runs."""
        for name in _CARRIED_OVER:
            setattr(self, name, getattr(other, name))


def _tick_of(live: Live) -> int:
    return live.tick


_CARRIED_OVER = tuple(name for name in JobFacts.__slots__ if name not in {"job_id", "live"})


def judge_claim(claim: Claim, watermark: int | None, moment: Moment) -> ClaimAnswer:
    """The answer to a claim where the watermark stands at `watermark`; `claimed` means that it is to be moved."""
    if watermark != claim.previous or (watermark is not None and claim.tick <= watermark):
        return ClaimAnswer("taken", watermark, moment.now)
    if not moment.settled:
        return ClaimAnswer("unsettled", watermark, moment.now)
    if claim.tick > moment.now:
        return ClaimAnswer("too_early", watermark, moment.now)
    return ClaimAnswer("claimed", claim.tick, moment.now)


def carry_over(own: JobFacts | None, earlier: JobFacts, target: JobFacts) -> None:
    """Let a renamed job go on where it stood under its `earlier` id; what it has done under the new one stays done."""
    watermark = earlier.watermark if own is None else max(own.watermark, earlier.watermark)
    fence = earlier.fence if own is None else max(own.fence, earlier.fence)
    target.copy_from(earlier)
    target.watermark, target.fence = watermark, fence


def first_sight(seen: JobSeen, job_id: str, moment: Moment) -> JobFacts:
    """A job that nobody has declared before."""
    return JobFacts(job_id, seen.signature, moment.prudent, moment.prudent)


def see_first(facts: JobFacts, seen: JobSeen, moment: Moment) -> None:
    """The same for one of which nothing is known but its runs."""
    facts.signature = seen.signature
    facts.first_seen = facts.watermark = moment.prudent


def see_signature(facts: JobFacts, seen: JobSeen, moment: Moment) -> None:
    """A job whose trigger has changed: ticks of the new one before now do not exist."""
    if facts.signature != seen.signature:
        facts.signature = seen.signature
        facts.watermark = max(facts.watermark, moment.prudent)


def set_pause(facts: JobFacts, reason: str | None, moment: Moment) -> None:
    """Pause since now or since whenever it was, or resume, which begins a new count of failures."""
    if reason is None:
        if facts.paused_at is not None:
            facts.paused_at, facts.pause_reason, facts.streak = None, "", 0
        return
    facts.pause_reason = reason
    if facts.paused_at is None:
        facts.paused_at = moment.now


def is_outdated(facts: JobFacts, claim: TickClaim) -> bool:
    """Whether a claim was decided on a state that has changed since."""
    moved = claim.previous is not None and (facts.watermark != claim.previous or claim.tick <= claim.previous)
    return (
        moved
        or (facts.paused_at is not None) is not claim.paused
        or (claim.live is not None and tuple(facts.live) != claim.live)
    )


def apply_claim(facts: JobFacts, claim: TickClaim) -> None:
    """Move the watermark, never back."""
    facts.watermark = max(facts.watermark, claim.tick)
    facts.claimed += claim.counts


def may_be_begun(row: RunRow, ask: Begin) -> bool:
    """Whether the run is still where the asker saw it, and nobody has asked it to stop."""
    is_there = row.status in IN_QUEUE and row.attempt == ask.attempt and not row.stuck
    return is_there and row.cancel_requested is None


def was_begun(row: RunRow, ask: Begin) -> bool:
    """Whether this very ask has begun it before."""
    return row.status == "running" and row.token == ask.token


def begun_before(start: Begin | None, kept: Mapping[str, RunRow]) -> RunRow | None:
    """The run that a claim made before has begun, if it is still at work for it."""
    row = None if start is None else kept.get(start.run_id)
    return row if row is not None and start is not None and was_begun(row, start) else None


def is_busy(row: RunRow, facts: JobFacts, ask: Begin, working: int, in_lane: int) -> bool:
    """Whether a limit forbids to begin it now; `working` and `in_lane` are the runs of its job and lane at work."""
    if ask.job_limit is not None and working >= ask.job_limit:
        return True
    if row.lane is not None and row.lane_limit is not None and in_lane >= row.lane_limit:
        return True
    if not ask.after_ticks or not facts.live or row.scheduled_for is None:
        return False
    others = [live for live in facts.live.values() if live.run_id != row.id]
    return any(live.tick < row.scheduled_for or live.stuck or live.status == "running" for live in others)


def begin(row: RunRow, facts: JobFacts, ask: Begin, now: int) -> None:
    """Make it a running run held by `ask.token`, with the job's next fence."""
    facts.fence += 1
    take(row, ask, facts.fence, now)


def take(row: RunRow, ask: Begin, fence: int, now: int) -> None:
    """Make it a running run held by `ask.token`, with a fence that was given."""
    row.fence = fence
    row.status = "running"
    row.token = ask.token
    row.node = ask.node
    row.attempt += 1
    row.attempt_started_at = now
    if row.started_at is None:
        row.started_at = now
    row.reason = ""


def is_held(row: RunRow | RunStanding) -> bool:
    """Whether somebody is at work on it: running, or its thread has not returned."""
    return row.stuck or row.status == "running"


def settle_swap(new: RunRow, old: RunRow | RunStanding) -> None:
    """Make `new` what is to be kept in the place of `old`: a row that nobody is at work on any more has no holder,
    progress is noted by `set_progress` alone, and a cancel that was asked for while it was running is asked for as long
    as it is open."""
    if not new.stuck and new.status != "running":
        new.token = None
    new.progress = old.progress
    if old.status == "running" and new.status in OPEN:
        new.cancel_requested = old.cancel_requested


def may_be_swapped(old: RunRow | RunStanding, swap: Swap, is_over: bool) -> bool:
    """Whether the row is still as the swap expects it; `is_over`: its lease has run out."""
    if old.status != swap.status or old.token != swap.token:
        return False
    return not swap.expired or (is_held(old) and is_over)


def stands_for_tick(row: RunRow, first: int, last: int) -> bool:
    """Whether the run stands for a tick in `[first, last]`; one with a `count` stands for those of its window."""
    if row.scheduled_for is None or row.scheduled_for < first:
        return False
    earliest = row.scheduled_for
    if row.count > 1 and row.window_start is not None:
        earliest = row.window_start
    return earliest <= last


def expiry(moment: Moment, ttl: float | None) -> int | None:
    """The instant at which a value with this `ttl` in seconds ceases to be."""
    return None if ttl is None else moment.prudent + round(ttl * 1_000_000)


def remember_end(facts: JobFacts, covered: int | None, streak: int | None) -> None:
    """What the end of a run means for its job."""
    if covered is not None and (facts.covered_until is None or covered > facts.covered_until):
        facts.covered_until = covered
    if streak is not None:
        facts.streak = facts.streak + 1 if streak else 0


def is_dead_letter(row: RunRow) -> bool:
    """Whether it waits, or has waited, for a person."""
    return row.status in DEAD_LETTERS


def run_scope(run_id: str) -> str:
    """The scope of the values that live as long as a run."""
    return f"run:{run_id}"


def scoped_run(scope: str) -> str | None:
    """The id of the run that a scope names, or `None`."""
    return scope[4:] if scope.startswith("run:") else None
