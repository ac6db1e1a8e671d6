"""The ports: what Rota asks of the world, each a small Protocol whose docstring is its contract.

Law: everything here is blocking, short and thread-safe, and none but a clock that is moved by hand is given a callable
to run. Instants are integer microseconds since 1970-01-01T00:00Z, spans of time are seconds. A port that cannot answer
raises `BackendError` (locks: `LockBackendError`, stores: `StoreError`), which means *unknown*: the caller asks again
with the same token or the same row ids, and every method that changes something gives the same answer the second time.

`rota.testing.conformance` proves an implementation against these contracts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self, runtime_checkable

from rota.core.effects import (
    Begin,
    BeginAnswer,
    JobSeen,
    JobState,
    Live,
    Swap,
    SwapAnswer,
    TickAnswer,
    TickClaim,
)
from rota.core.outcome import Outcome
from rota.core.run import JSON, Attempt, RunRecord, RunRow

if TYPE_CHECKING:
    from rota.core.job import Job

__all__ = [
    "Begin",
    "BeginAnswer",
    "Call",
    "Claim",
    "ClaimAnswer",
    "Clock",
    "Driven",
    "DrivenClock",
    "Due",
    "Event",
    "EventKind",
    "Executor",
    "FollowsClock",
    "ForgetsLocks",
    "Grant",
    "Guarantee",
    "Hook",
    "JobSeen",
    "JobState",
    "Live",
    "LockBackend",
    "NodeRow",
    "Renewal",
    "Store",
    "Swap",
    "SwapAnswer",
    "TakesName",
    "TickAnswer",
    "TickClaim",
]

Guarantee = Literal["correctness", "efficiency"]


class Clock(Protocol):
    """Where time comes from. Only `rota.clock` asks the operating system."""

    def now(self) -> int:
        """The wall clock: UTC microseconds since 1970. Decides what is due."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never steps and may stop in a suspend. Measures waiting."""
        ...

    def boottime(self) -> float:
        """Seconds since boot, suspends included where the system can tell; else as `monotonic`. Measures leases."""
        ...

    def boot_id(self) -> str:
        """A text that changes at each boot, so that a stored `boottime` can be known to be of another one."""
        ...


@runtime_checkable
class FollowsClock(Protocol):
    """What a backend that reads this machine's clock has besides: a scheduler hands it the clock it goes by itself."""

    def follow_clock(self, clock: Clock) -> bool:
        """Go by `clock` from now on, unless the backend was made with one. `False`: it is on a server, whose time it
        keeps."""
        ...


@runtime_checkable
class TakesName(Protocol):
    """What a store has besides, or locks, that keep apart what schedulers of different names put into them."""

    def take_name(self, name: str) -> Self | None:
        """`None`: a scheduler of that name keeps its things in this one. Else the one beside it where it does."""
        ...


@runtime_checkable
class DrivenClock(Clock, Protocol):
    """A clock that is moved by hand, and turns what is attached to it: then a scheduler starts no thread."""

    def executors(self) -> Mapping[str, Executor]:
        """How jobs are called under it: inline."""
        ...

    def attach(self, driven: Driven, *, background: bool = False) -> None:
        """Turn it whenever time moves, for as long as it is alive. `background`: also while a job at work moves time,
        like what has a thread of its own in production."""
        ...

    def wait(self, is_over: Callable[[], bool], seconds: float) -> None:
        """What a thread does that waits: let time pass until `is_over()`, at most so many seconds."""
        ...


class Driven(Protocol):
    """What a `DrivenClock` turns: a node, a loop, renewals."""

    @property
    def is_alive(self) -> bool:
        """Whether it is to be turned any more."""
        ...

    def turn(self) -> object:
        """Do what is due now."""
        ...

    def next_wakeup(self) -> int | None:
        """The instant of the wall clock at which it next has something to do; `None`: never."""
        ...


# Locks -----------------------------------------------------------------------------------------------------------


class Grant(NamedTuple):
    """A lease that was granted: its fence strictly grows per lock name, for ever; `ttl` is in seconds."""

    fence: int
    ttl: float


class Claim(NamedTuple):
    """Move the watermark of `name` from `previous` to `tick`. `previous=None`: only if the name has none yet."""

    name: str
    previous: int | None
    tick: int


class ClaimAnswer(NamedTuple):
    """What became of a claim.

    `claimed`: the watermark was moved by this claim. `taken`: it stands elsewhere (`watermark` says where).
    `too_early`: the tick is later than the backend's own clock, which reads `now`. `unsettled`: the backend's clock has
    just been stepped and is not trusted yet; ask again in a second.
    """

    verdict: Literal["claimed", "taken", "too_early", "unsettled"]
    watermark: int | None
    now: int


@runtime_checkable
class LockBackend(Protocol):
    """Leases and claims by name.

    * A name is any text of at most 1 kB in UTF-8 and maps injectively: no truncation, no folding of case or of spaces.
    * A token is 128 random bits made by the caller for *one* acquisition. Renewing and releasing match on it.
    * Expiry is counted by the backend's own clock; no client's wall time is stored or compared.
    * Never re-entrant: two acquisitions exclude one another, in one thread too.
    """

    @property
    def guarantee(self) -> Guarantee:
        """`correctness`: linearisable and fenced. `efficiency`: may grant twice when its server fails over."""
        ...

    def acquire(self, name: str, token: str, ttl: float) -> Grant | None:
        """Take the lease for `ttl` seconds; `None`: held by another token. The same token again: the same grant."""
        ...

    def renew(self, name: str, token: str, ttl: float) -> bool:
        """Extend it to `ttl` seconds from now. `False`: it is not held by this token, or has expired."""
        ...

    def release(self, name: str, token: str) -> bool:
        """Give it back. `False`, and no effect at all, when it is not held by this token."""
        ...

    def claim(self, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        """Compare-and-set each watermark, answers in order. Watermarks only grow and are never pruned.

        A claim whose watermark stands at its own `tick` already is `taken`: who must know whether it was its own asks a
        store, which remembers rows.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files of this process. Leases are left to their owners or to expiry."""
        ...


@runtime_checkable
class ForgetsLocks(Protocol):
    """What a lock backend has besides that need not keep something for ever of each name that was ever locked: who
    prunes a store has it forget the names that nobody holds."""

    def forget_locks(self, limit: int = 1000) -> bool:
        """Forget names whose leases were given back or have run out, after a look at some `limit`; whether to go on.
        The next fence of a forgotten name is greater than its last one all the same. Watermarks stay."""
        ...


# Stores ----------------------------------------------------------------------------------------------------------


class Renewal(NamedTuple):
    """Which of the renewed runs are no longer held (`lost`), and which are asked to stop (id → reason)."""

    lost: frozenset[str]
    cancelled: Mapping[str, str]


class NodeRow(NamedTuple):
    """A process that runs, or has run, jobs."""

    id: str
    host: str
    pid: int
    started_at: int
    last_seen: int
    stopped_at: int | None = None


class Due(NamedTuple):
    """What a poll finds: runs that may begin now, and running ones whose lease has run out."""

    ready: Sequence[RunRow]
    expired: Sequence[RunRow]


@runtime_checkable
class Store(Protocol):
    """Runs, watermarks, pauses and small values of one namespace; its methods are transactions.

    A store's clock decides: `claim` refuses what is later than it, `expired` leases are expired by it.
    """

    @property
    def shared(self) -> bool:
        """Whether other processes can write to it: then it is polled, and runs are leased and renewed."""
        ...

    @property
    def locks(self) -> LockBackend:
        """A lock backend on the same storage."""
        ...

    def open(self, *, create_tables: bool = True) -> None:
        """Make ready, creating or upgrading what is missing; idempotent and safe in several processes at once. Where it
        fails, it is called again before the store is used."""
        ...

    def now(self) -> int:
        """The store's clock."""
        ...

    def sync_jobs(self, jobs: Sequence[JobSeen]) -> Sequence[JobState]:
        """Declare jobs; their states, in order.

        A job not seen before starts with `first_seen` and `watermark` at the store's clock; one whose signature has
        changed gets its watermark moved up to the store's clock. `renamed_from`: the state is that of the earlier id,
        under which it stays; the store remembers the pair, and when the new id is later declared without it, or is
        itself an earlier id of which no state is known, it starts from a copy of the earlier state.
        """
        ...

    def job_states(self, job_ids: Sequence[str]) -> Sequence[JobState | None]:
        """The states of jobs by id, `None` for one never seen."""
        ...

    def pause(self, job_id: str, reason: str | None) -> JobState | None:
        """Pause with a reason, or resume with `None`; idempotent. `None`: a job never seen."""
        ...

    def claim(self, claims: Sequence[TickClaim]) -> Sequence[TickAnswer]:
        """Each claim on its own, in order; all in as few transactions as can be."""
        ...

    def add(self, rows: Sequence[RunRow]) -> Sequence[RunRow]:
        """Insert runs; in order, the rows now kept. Where a row's id, or its `key` in the same job with origin
        `enqueue`, is known already, nothing is inserted and the earlier row is the answer. All or none."""
        ...

    def begin(self, asks: Sequence[Begin]) -> Sequence[BeginAnswer]:
        """Each on its own, in order."""
        ...

    def swap(self, swaps: Sequence[Swap]) -> Sequence[SwapAnswer]:
        """Each on its own, in order."""
        ...

    def request_cancel(self, run_id: str, reason: str) -> bool:
        """Ask a running run to stop; its holder is told by its next renewal. `False`: it is not running."""
        ...

    def renew(self, node: NodeRow, held: Sequence[tuple[str, str]], ttl: float) -> Renewal:
        """Write the node's sign of life and extend the leases of `held` (run id, token) to `ttl` seconds from now. A
        lease that has run out is lost, even where nobody has taken it since."""
        ...

    def due(self, before: int, limit: int, exclude: Collection[str] = ()) -> Due:
        """At most `limit` of each, of jobs not in `exclude`: open ones with `due <= before`, backfills after all
        others, else by `due`; and those running or stuck with an expired lease."""
        ...

    def run(self, run_id: str) -> RunRow | None:
        """One run, or `None`."""
        ...

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
        """Newest first by the time they were queued (`since <= queued_at < before`), at most `limit`."""
        ...

    def count_open(self) -> Mapping[str, int]:
        """How many runs are queued, running or waiting, by job; jobs that have none are left out."""
        ...

    def runs_of_ticks(self, job_id: str, first: int, last: int) -> Sequence[RunRow]:
        """Every row of the job that stands for a tick in `[first, last]`, rows with a `count` by their window's
        span."""
        ...

    def discard(self, run_id: str) -> bool:
        """Take a dead letter off the list of those that wait for a person; the record stays."""
        ...

    def values(self, scope: str) -> Mapping[str, str]:
        """The small values (JSON text) kept under a scope: `run:{id}` for checkpoints and steps, `idempotent`, …"""
        ...

    def put_value(
        self, scope: str, key: str, value: str, *, ttl: float | None = None, holder: str | None = None
    ) -> bool:
        """Keep a value, for `ttl` seconds or for as long as its run. `holder`: only while the run that the scope names
        is held by that token (else `False` and no effect)."""
        ...

    def value(self, scope: str, key: str) -> str | None:
        """One value, or `None`."""
        ...

    def delete_value(self, scope: str, key: str) -> None:
        """Forget a value; no error where there is none."""
        ...

    def set_progress(self, run_id: str, token: str, progress: str) -> bool:
        """Note how far a running run is (JSON text)."""
        ...

    def logs(self, run_id: str) -> Sequence[str]:
        """The captured lines of a run (JSON text each), oldest first: what its swaps have brought."""
        ...

    def beat(self, node: NodeRow) -> None:
        """Write a node's row: at its start, its stop, and while it has nothing to renew."""
        ...

    def nodes(self) -> Sequence[NodeRow]:
        """All nodes still remembered, newest first."""
        ...

    def prune(
        self, job_id: str | None, keep_from: Mapping[str, int], limit: int = 1000, exclude: Collection[str] = ()
    ) -> int:
        """Delete ended runs that finished before `keep_from[status]`, of one job or of all but `exclude`, with their
        values and logs; a status not named is kept. Watermarks never go. How many runs were deleted."""
        ...

    def forget(self, seen_since: int, limit: int = 1000) -> bool:
        """Delete at most `limit` values whose time is over, and the nodes not seen since that instant. Whether there
        may be more of such values."""
        ...

    def close(self) -> None:
        """Let go of connections and files of this process."""
        ...


# Executors and hooks ---------------------------------------------------------------------------------------------


class Call(Protocol):
    """One attempt, handed to an executor. Whatever happens, it ends by `done`, once, from any thread."""

    def invoke(self) -> Outcome:
        """Call a plain function in this thread, its run bound to the context. Never raises: what it raises is told."""
        ...

    def ainvoke(self) -> Coroutine[object, object, Outcome]:
        """The same for an `async def`, to be awaited in a task. A cancellation comes back as an outcome too."""
        ...

    def facts(self) -> Mapping[str, JSON]:
        """All that another process needs to make the call: `target` (`module:qualname`), arguments, the run's facts."""
        ...

    def serve(self, method: str, params: Mapping[str, JSON]) -> JSON:
        """Do for a run in another process what `RunServices` does for one here. Raises as that does."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether it is to be awaited (`ainvoke`) rather than called (`invoke`)."""
        ...

    @property
    def cancel_reason(self) -> str | None:
        """Why it has been asked to stop, or `None`."""
        ...

    def done(self, outcome: Outcome) -> None:
        """Report how it ended. The first report counts."""
        ...


class Executor(Protocol):
    """How a callable is called. Thread-safe; nothing here blocks on user code."""

    def capacity(self) -> int:
        """How many more calls it can take up at once, now."""
        ...

    def submit(self, calls: Sequence[Call]) -> None:
        """Take calls up. Whatever happens, each ends by its `done`."""
        ...

    def stop(self, call: Call, reason: str) -> bool:
        """Stop a call by force where that can be done (a coroutine, a process). `False`: it cannot (a thread). A
        shutdown asks once more when its time is nearly over."""
        ...

    def abandon(self, call: Call) -> None:
        """Do not count this call among those at work any more: its thread is stuck, and a new one takes its place."""
        ...

    def shutdown(self, timeout: float) -> None:
        """Take no more, and let go of idle threads and processes within `timeout` seconds."""
        ...


EventKind = Literal[
    "run_started",
    "attempt_ended",
    "run_ended",
    "job_paused",
    "overdue",
    "node_lost",
    "store_down",
    "store_back",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, told to hooks. `job`, `run` and `attempt` where they apply."""

    kind: EventKind
    at: datetime
    job: Job | None = None
    run: RunRecord | None = None
    attempt: Attempt | None = None
    detail: str = ""


class Hook(Protocol):
    """Called with each event, on a thread of its own that it may take its time on; what it raises is logged."""

    def __call__(self, event: Event, /) -> None: ...
