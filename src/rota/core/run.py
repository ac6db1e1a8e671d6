"""The facts of a run: the row that a store keeps, and the frozen record that a user sees.

Law: a run's whole state is its row. Nothing that decides its future lives anywhere else, so a retry, a take-over after
a crash and a replay are one story: somebody begins the next attempt of the row.

A run is `queued`, `running` or `waiting` (for a retry or a snooze) and ends once. An attempt is one call of the
function. Instants are integer microseconds since 1970-01-01T00:00Z inside, aware UTC datetimes outside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias, cast, get_args

from rota.core.damage import damage_of
from rota.errors import StoreError
from rota.triggers.base import from_micros

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

Origin = Literal["tick", "run_now", "enqueue", "backfill", "after", "event"]
Status = Literal[
    "queued",
    "running",
    "waiting",
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "skipped",
    "missed",
    "lost",
    "handed_over",
]
AttemptOutcome = Literal["succeeded", "failed", "timed_out", "snoozed", "cancelled", "interrupted", "lost"]
CancelReason = Literal["timeout", "shutdown", "cancel", "replaced", "lease_lost"]

OPEN: frozenset[str] = frozenset({"queued", "running", "waiting"})
UNHAPPY: frozenset[str] = frozenset({"failed", "timed_out", "lost", "missed"})
DEAD_LETTERS: frozenset[str] = frozenset({"failed", "timed_out", "lost"})
FINAL: frozenset[str] = frozenset(get_args(Status)) - OPEN


class RunRow:
    """One run as a store keeps it. `copy` it before changing it: stores and flows share rows by value.

    `due` is the earliest instant at which the run may begin; `token` names the acquisition that holds it; `spent`
    counts the attempts that cost something since the run was made or last replayed; `lane` with `lane_limit` bounds how
    many runs of one backfill are at work at once. `stuck`: its attempt is over but its thread has not returned, so it
    keeps its token and its lease, whatever its status. `args`, `kwargs`, `result`, `progress` and `attempts` are JSON
    text.
    """

    __slots__ = (
        "args",
        "attempt",
        "attempt_started_at",
        "attempts",
        "cancel_requested",
        "count",
        "discarded",
        "due",
        "error",
        "fence",
        "finished_at",
        "id",
        "is_catch_up",
        "job_id",
        "key",
        "kwargs",
        "lane",
        "lane_limit",
        "node",
        "origin",
        "progress",
        "queued_at",
        "reason",
        "result",
        "schedule_id",
        "scheduled_for",
        "spent",
        "started_at",
        "status",
        "stuck",
        "token",
        "window_end",
        "window_start",
    )

    def __init__(
        self,
        id: str,
        job_id: str,
        origin: str,
        status: str,
        queued_at: int,
        due: int,
        *,
        scheduled_for: int | None = None,
        schedule_id: str | None = None,
        count: int = 1,
        window_start: int | None = None,
        window_end: int | None = None,
        reason: str = "",
        key: str | None = None,
        args: str | None = None,
        kwargs: str | None = None,
        lane: str | None = None,
        lane_limit: int | None = None,
        is_catch_up: bool = False,
        attempt: int = 0,
        spent: int = 0,
        attempts: str | None = None,
        attempt_started_at: int | None = None,
        started_at: int | None = None,
        finished_at: int | None = None,
        node: str | None = None,
        token: str | None = None,
        fence: int = 0,
        cancel_requested: str | None = None,
        stuck: bool = False,
        discarded: bool = False,
        result: str | None = None,
        error: str | None = None,
        progress: str | None = None,
    ) -> None:
        self.id: str = id
        self.job_id: str = job_id
        self.origin: str = origin
        self.status: str = status
        self.queued_at: int = queued_at
        self.due: int = due
        self.scheduled_for: int | None = scheduled_for
        self.schedule_id: str | None = schedule_id
        self.count: int = count
        self.window_start: int | None = window_start
        self.window_end: int | None = window_end
        self.reason: str = reason
        self.key: str | None = key
        self.args: str | None = args
        self.kwargs: str | None = kwargs
        self.lane: str | None = lane
        self.lane_limit: int | None = lane_limit
        self.is_catch_up: bool = is_catch_up
        self.attempt: int = attempt
        self.spent: int = spent
        self.attempts: str | None = attempts
        self.attempt_started_at: int | None = attempt_started_at
        self.started_at: int | None = started_at
        self.finished_at: int | None = finished_at
        self.node: str | None = node
        self.token: str | None = token
        self.fence: int = fence
        self.cancel_requested: str | None = cancel_requested
        self.stuck: bool = stuck
        self.discarded: bool = discarded
        self.result: str | None = result
        self.error: str | None = error
        self.progress: str | None = progress

    def copy(self) -> RunRow:
        """A row of its own with the same facts (a store's column order is `RunRow.__slots__`)."""
        other = RunRow.__new__(RunRow)
        # Written out: every run is copied, and a loop over the names takes five times as long.
        other.id = self.id
        other.job_id = self.job_id
        other.origin = self.origin
        other.status = self.status
        other.queued_at = self.queued_at
        other.due = self.due
        other.scheduled_for = self.scheduled_for
        other.schedule_id = self.schedule_id
        other.count = self.count
        other.window_start = self.window_start
        other.window_end = self.window_end
        other.reason = self.reason
        other.key = self.key
        other.args = self.args
        other.kwargs = self.kwargs
        other.lane = self.lane
        other.lane_limit = self.lane_limit
        other.is_catch_up = self.is_catch_up
        other.attempt = self.attempt
        other.spent = self.spent
        other.attempts = self.attempts
        other.attempt_started_at = self.attempt_started_at
        other.started_at = self.started_at
        other.finished_at = self.finished_at
        other.node = self.node
        other.token = self.token
        other.fence = self.fence
        other.cancel_requested = self.cancel_requested
        other.stuck = self.stuck
        other.discarded = self.discarded
        other.result = self.result
        other.error = self.error
        other.progress = self.progress
        return other

    @property
    def is_live_tick(self) -> bool:
        """Whether it stands in the way of the job's next tick: a run of origin `tick` that is open or stuck."""
        return self.origin == "tick" and (self.stuck or self.status in OPEN)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunRow):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # a row is mutable, so it has no hash

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={getattr(self, name)!r}" for name in _FIELDS if getattr(self, name) is not None)
        return f"RunRow({facts})"


_FIELDS = RunRow.__slots__


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open span of time `[start, end)` that a run answers for, both aware UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of the job's function within a run."""

    number: int
    outcome: str
    error_type: str | None
    error: str | None
    traceback: str | None
    fence: int
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as its history shows it. Times are aware UTC.

    `count` is the number of ticks it stands for: more than one only for `missed` and `skipped` records that cover
    several, where `window` spans the first to the last of them and `scheduled_for` is the last. `due` is the earliest
    instant at which a queued or waiting run may begin, `None` for others.
    """

    id: str
    job_id: str
    schedule_id: str | None
    key: str
    origin: str
    scheduled_for: datetime | None
    count: int
    window: Window | None
    status: str
    reason: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    node: str | None
    args: tuple[JSON, ...] = field(hash=False)
    kwargs: Mapping[str, JSON] = field(hash=False)
    result: JSON = field(hash=False)
    error: str | None
    progress: Mapping[str, JSON] | None = field(hash=False)
    attempts: tuple[Attempt, ...]
    due: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in OPEN


def tick_key(job_id: str, tick: int) -> str:
    """`"{job_id}@{tick}"` with the tick in RFC 3339, the natural idempotency key of a tick."""
    return f"{job_id}@{rfc3339(tick)}"


def key_of(row: RunRow) -> str:
    """The run's natural idempotency key: of a tick `tick_key`; else the key it was enqueued under, or its id."""
    if row.key is not None:
        return row.key
    return row.id if row.scheduled_for is None else tick_key(row.job_id, row.scheduled_for)


def rfc3339(micros: int) -> str:
    """The instant as RFC 3339 text in UTC, seconds unless there is a fraction: `2026-01-31T02:00:00Z`."""
    return from_micros(micros).isoformat().replace("+00:00", "Z")


def lateness_of(row: RunRow, due: int) -> float:
    """Seconds from `due`, the instant the run was due, to its first start; 0 before that."""
    return 0.0 if row.started_at is None else max(0, row.started_at - due) / 1_000_000


def window_of(row: RunRow) -> Window | None:
    """The row's window, or `None` for a run without one."""
    if row.window_start is None or row.window_end is None:
        return None
    return Window(from_micros(row.window_start), from_micros(row.window_end))


def attempts_of(row: RunRow) -> list[dict[str, JSON]]:
    """The ended attempts as JSON objects, oldest first."""
    return cast("list[dict[str, JSON]]", json.loads(row.attempts)) if row.attempts else []


def record_of(row: RunRow, job_id: str | None = None) -> RunRecord:
    """The public record of a row; `job_id` is the name to show where the store keeps an earlier one. `StoreError`: the
    row is damaged."""
    try:
        return _record_of(row, job_id or row.job_id)
    except (TypeError, ValueError, LookupError, OverflowError, RecursionError) as error:
        damage = damage_of(row) or f"the row of run {row.id!r} is damaged: {type(error).__name__}: {error}"
        raise StoreError(damage) from error


def _record_of(row: RunRow, shown_id: str) -> RunRecord:
    return RunRecord(
        id=row.id,
        job_id=shown_id,
        schedule_id=row.schedule_id,
        key=key_of(row),
        origin=row.origin,
        scheduled_for=_moment(row.scheduled_for),
        count=row.count,
        window=window_of(row),
        status=row.status,
        reason=row.reason,
        queued_at=from_micros(row.queued_at),
        started_at=_moment(row.started_at),
        finished_at=_moment(row.finished_at),
        node=row.node,
        args=tuple(json.loads(row.args)) if row.args else (),
        kwargs=json.loads(row.kwargs) if row.kwargs else {},
        result=json.loads(row.result) if row.result else None,
        error=row.error,
        progress=json.loads(row.progress) if row.progress else None,
        attempts=tuple(_attempt(entry) for entry in attempts_of(row)) or _only_attempt(row),
        due=_moment(row.due) if row.status in ("queued", "waiting") else None,
    )


def _only_attempt(row: RunRow) -> tuple[Attempt, ...]:
    """A run that succeeded at its first attempt does not spell it out."""
    if row.status != "succeeded" or row.started_at is None or row.finished_at is None:
        return ()
    started, finished = from_micros(row.started_at), from_micros(row.finished_at)
    return (Attempt(row.attempt, "succeeded", None, None, None, row.fence, started, finished),)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _attempt(entry: dict[str, JSON]) -> Attempt:
    return Attempt(
        number=cast(int, entry["number"]),
        outcome=cast(str, entry["outcome"]),
        error_type=cast("str | None", entry["error_type"]),
        error=cast("str | None", entry["error"]),
        traceback=cast("str | None", entry["traceback"]),
        fence=cast(int, entry["fence"]),
        started_at=from_micros(cast(int, entry["started_at"])),
        finished_at=from_micros(cast(int, entry["finished_at"])),
    )
