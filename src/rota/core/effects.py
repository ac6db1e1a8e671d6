"""What a flow asks of the world, and what it is answered: the effects of `lifecycle`, performed by a driver on a store.

Law: values only. Each effect is safe to perform twice: an answer that was lost is asked for again with the same rows
and the same token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rota.core.json_values import storable
from rota.core.run import RunRow, rfc3339
from rota.core.values import Value, value

if TYPE_CHECKING:
    from rota.core.job import Job


@value
class JobSeen(Value):
    """A job as a node declares it to the store. `signature` tells one trigger definition from another."""

    job_id: str
    signature: str
    renamed_from: str | None = None


def seen_of(job: Job) -> JobSeen:
    """What the store is told of a job. A signature that no store can keep raises `ConfigurationError`."""
    return JobSeen(job.id, storable(job.signature, "the signature of its trigger"), job.options.renamed_from)


@value
class Live(Value):
    """A run of a job that `tick` made and that is still in the way of the next (`RunRow.is_live_tick`). `tick` is 0
    where it is not known."""

    run_id: str
    status: str
    stuck: bool
    tick: int


@value
class JobState(Value):
    """What a store knows of one job.

    `watermark`: every tick up to it is disposed of. `claimed`: ticks claimed to run so far. `fence`: the last one
    given. `covered_until`: the end of the last succeeded window. `streak`: unhappy runs in a row. `live`: open tick
    runs.
    """

    job_id: str
    signature: str
    first_seen: int
    watermark: int
    claimed: int = 0
    fence: int = 0
    covered_until: int | None = None
    streak: int = 0
    paused_at: int | None = None
    pause_reason: str = ""
    live: tuple[Live, ...] = ()

    def pause_in_words(self) -> str:
        """Since when a paused job is paused, and why."""
        assert self.paused_at is not None
        return f"paused at {rfc3339(self.paused_at)}: {self.pause_reason or 'no reason given'}"


@value
class TickClaim(Value):
    """The claim of a tick with all that follows from it, in one transaction.

    Holds only if the job's watermark is `previous`, whether it is paused is `paused`, and the ids of its live tick runs
    (`RunRow.is_live_tick`), oldest tick first, are exactly `live` (`None`: whatever they are). Then: the watermark
    becomes `tick`, `rows` are inserted, runs in `cancel` get a cancel request (reason `replaced`), and `claimed` grows
    by `counts`. `previous=None`: whatever the watermark is, since somebody else keeps it; it becomes `tick` if it is
    earlier.

    `start` names the id of the row among `rows` (status `queued`) that is to begin at once, as `Begin` has it; where
    its limits forbid that it stays `queued`.
    """

    job_id: str
    previous: int | None
    tick: int
    paused: bool
    live: tuple[str, ...] | None
    rows: tuple[RunRow, ...] = ()
    cancel: tuple[str, ...] = ()
    counts: int = 0
    start: Begin | None = None


@value
class TickAnswer(Value):
    """`claimed`, `taken` (the state has changed: decide anew), `too_early` or `unsettled` (as in `ClaimAnswer`).

    `state` is the job's state after the claim, or the one that refused it; `now` is the store's clock. `begun`: the row
    named by `start` as it now stands, `running`; `None` when it stays queued. A claim that was made before by the same
    rows (their ids are known) is `claimed` again.
    """

    verdict: Literal["claimed", "taken", "too_early", "unsettled"]
    state: JobState
    now: int
    begun: RunRow | None = None


@value
class Begin(Value):
    """Take a queued or waiting run: it becomes `running`, held by `token` for `ttl` seconds, its `attempt` one more.

    Refused (`gone`) unless it is still `queued` or `waiting` with that many `attempt`s so far, and nobody has asked it
    to stop; refused (`busy`) where the job has `job_limit` runs at work already (running or stuck), or the run's lane
    as many as its row's `lane_limit`, or, with `after_ticks` (all of `overlap` but `"allow"`), another live tick run of
    the job is of an earlier tick, or at work. `started_at` is set at the first attempt, `attempt_started_at` at each,
    both by the store's clock; `reason` is cleared.
    """

    run_id: str
    job_id: str
    attempt: int
    token: str
    node: str
    ttl: float
    job_limit: int | None = None
    after_ticks: bool = False


@value
class BeginAnswer(Value):
    """`begun` with the row as it now stands, fence and all; `gone` or `busy` with none. The same token: the same
    answer."""

    verdict: Literal["begun", "gone", "busy"]
    row: RunRow | None = None


@value
class Swap(Value):
    """Replace a run's row by `row`, if it still is as it was: its status is `status` and its token is `token`.

    `expired`: only if it is `running` or stuck and its lease has run out, by the store's clock (a take-over).
    `covered`: the window end to remember for the job (kept at its greatest). `streak`: `1` adds an unhappy run, `0`
    resets, `None` leaves it. `logs`: captured lines (JSON text) to append. `row` itself says the new status; unless
    that is `running`, or the row is `stuck`, the lease is given back and `token` with it. What the run was made as
    stays (id, job, origin, tick, schedule, key, lane, `queued_at`), and so does `progress`, which only
    `Store.set_progress` writes. That a `running` run was asked to stop stays as long as it is open.
    """

    row: RunRow
    status: str
    token: str | None
    expired: bool = False
    covered: int | None = None
    streak: int | None = None
    logs: tuple[str, ...] = ()


@value
class SwapAnswer(Value):
    """`swapped` or, when the row has moved on, `lost`; with the job's state after it. Again with the same row:
    `swapped`."""

    verdict: Literal["swapped", "lost"]
    state: JobState | None
