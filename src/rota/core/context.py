"""What a running job sees of its run: `Run`, `AsyncRun`, and `current_run()` below it.

Law: a run object holds facts and asks `RunServices` for everything else, so the same class serves a thread, a
coroutine, a child process and a simulation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime, tzinfo
from inspect import isawaitable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from rota.core.checkpoint import AsyncCheckpoint, Checkpoint, KeepsValues, RunValues
from rota.core.json_values import from_text, storable, to_text
from rota.core.lease import Lease
from rota.core.run import RunRow, Window, key_of, lateness_of, window_of
from rota.errors import ConfigurationError, ResultNotStored, RunCancelled, StateError
from rota.triggers.base import from_micros

if TYPE_CHECKING:
    from uuid import UUID

    from structlog.typing import FilteringBoundLogger

T = TypeVar("T")

_STEP: Final = "step:"
_UNKEPT_STEP: Final = "unkept step:"
"""What the names of a run's values begin with: the result of a step, and why it was not kept."""


class AtWork(Protocol):
    """What holds the run at work: a call, which makes it when it is first asked for."""

    @property
    def run(self) -> Run | AsyncRun: ...


current: ContextVar[AtWork | None] = ContextVar("rota_current_run", default=None)
"""What is at work in this context. Drivers and executors set it; users call `current_run`."""


def current_run() -> Run | AsyncRun:
    """The run at work in this thread or task. `StateError` outside of one."""
    at_work = current.get()
    if at_work is None:
        raise StateError("current_run() was called outside of a run: only a job at work, or code it calls, has one")
    return at_work.run


class RunServices(KeepsValues, Protocol):
    """What a run asks of the process that runs it. Blocking and thread-safe, but for `now`, `held` and `logger`, which
    are quick. `LeaseLost` where the run is no longer held by this process."""

    def now(self) -> int: ...

    def held(self, row: RunRow) -> bool: ...

    def keep_progress(self, row: RunRow, text: str) -> None: ...

    def logger(self, run: _RunFacts) -> FilteringBoundLogger: ...

    @property
    def state(self) -> SimpleNamespace: ...


class _RunFacts:
    """What `Run` and `AsyncRun` have in common."""

    __slots__ = ("_cancel_reason", "_deadline", "_due", "_job_id", "_log", "_row", "_services", "_values", "_zone")

    def __init__(
        self,
        row: RunRow,
        services: RunServices,
        zone: tzinfo,
        due: int | None = None,
        deadline: int | None = None,
        job_id: str | None = None,
    ) -> None:
        self._row = row
        self._services = services
        self._zone = zone
        self._due = due
        self._deadline = deadline
        self._job_id = job_id or row.job_id
        self._cancel_reason: str | None = None
        self._values: RunValues | None = None
        self._log: FilteringBoundLogger | None = None

    @property
    def id(self) -> str:
        """The run's id, a UUID, the same on every attempt."""
        return self._row.id

    @property
    def uuid(self) -> UUID:
        """The run's id as a `uuid.UUID`."""
        from uuid import UUID

        return UUID(self._row.id)

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._job_id

    @property
    def schedule_id(self) -> str | None:
        """The id of the schedule row that made it, if one did."""
        return self._row.schedule_id

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._row.attempt

    @property
    def origin(self) -> str:
        """What asked for it: `tick`, `run_now`, `enqueue`, `backfill`, `after` or `event`."""
        return self._row.origin

    @property
    def scheduled_for(self) -> datetime | None:
        """The tick, aware UTC: the instant the trigger named, whenever it really started. `None`: no tick."""
        tick = self._row.scheduled_for
        return None if tick is None else from_micros(tick)

    @property
    def local(self) -> datetime | None:
        """The tick in the trigger's zone."""
        tick = self.scheduled_for
        return None if tick is None else tick.astimezone(self._zone)

    @property
    def key(self) -> str:
        """The natural idempotency key, equal on every attempt: `"{job_id}@{tick}"`; without a tick the key it was
        enqueued under, else its id."""
        return key_of(self._row)

    @property
    def window(self) -> Window | None:
        """The span of time that this run answers for, kept by every attempt; `None` for an enqueued run."""
        return window_of(self._row)

    @property
    def lateness(self) -> float:
        """Seconds from the instant it was due (the tick plus its jitter, or the time asked for) to its first start."""
        return lateness_of(self._row, self._row.due if self._due is None else self._due)

    @property
    def is_catch_up(self) -> bool:
        """Whether its tick was first seen more than 30 s late."""
        return self._row.is_catch_up

    @property
    def deadline(self) -> datetime | None:
        """When this attempt times out, aware UTC; `None` without a timeout."""
        return None if self._deadline is None else from_micros(self._deadline)

    def now(self) -> datetime:
        """The scheduler's clock, aware UTC: the fake one in tests."""
        return from_micros(self._services.now())

    @property
    def cancelled(self) -> bool:
        """Whether it has been asked to stop."""
        return self.cancel_reason is not None

    @property
    def cancel_reason(self) -> str | None:
        """Why it was asked to stop: `timeout`, `shutdown`, `cancel`, `replaced` or `lease_lost`; `None`: it was not."""
        if self._cancel_reason is None and not self._services.held(self._row):
            return "lease_lost"
        return self._cancel_reason

    def _ask_to_stop(self, reason: str) -> None:
        if self._cancel_reason is None:
            self._cancel_reason = reason

    def check_cancelled(self) -> None:
        """Raise `RunCancelled` if it has been asked to stop: call it where it is safe to stop."""
        reason = self.cancel_reason
        if reason is not None:
            raise RunCancelled(reason)

    @property
    def lease(self) -> Lease:
        """The lease on this run; its fence strictly grows with every attempt of any run of the job."""
        row, services = self._row, self._services
        return Lease(row.job_id, row.fence, lambda: services.held(row))

    @property
    def log(self) -> FilteringBoundLogger:
        """A structlog logger bound to job, run and attempt; what it says is kept with the run."""
        if self._log is None:
            self._log = self._services.logger(self)
        return self._log

    @property
    def state(self) -> SimpleNamespace:
        """The scheduler's per-process namespace (pools, clients)."""
        return self._services.state

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key} attempt {self.attempt}>"

    def _kept(self) -> RunValues:
        if self._values is None:
            self._values = RunValues(self._row, self._services)
        return self._values

    def _known_step(self, name: str) -> str | None:
        """The remembered result of a step; `ResultNotStored` where it was done, and what it gave was not JSON."""
        texts, name = self._kept().texts(), storable(name, "step name")
        why = texts.get(_UNKEPT_STEP + name)
        if why is not None:
            raise ResultNotStored(f"the step {name!r} was done before, but its result was not kept ({from_text(why)})")
        return texts.get(_STEP + name)

    def _keep_step(self, name: str, result: object) -> None:
        """Remember what a step gave, and that it was done even where that is not JSON; `TypeError` then."""
        try:
            text = to_text(result, f"the result of step {name!r}")
        except TypeError as error:
            self._kept().keep(_UNKEPT_STEP + name, to_text(str(error), "why not"))
            raise
        self._kept().keep(_STEP + name, text)


class Run(_RunFacts):
    """What a plain function sees of its run."""

    __slots__ = ()

    @property
    def checkpoint(self) -> Checkpoint:
        """A mapping of JSON values, durable at each assignment, the same on the next attempt."""
        return Checkpoint(self._kept())

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far it is; seen in the record."""
        self._services.keep_progress(self._row, _progress_text(done, total, note))

    def step(self, name: str, func: Callable[..., T], *args: object) -> T:
        """Call `func(*args)` once per run, whatever the attempts: its JSON result is remembered under `name`.

        A result that is not JSON raises `TypeError`, and `ResultNotStored` on later attempts."""
        known = self._known_step(name)
        if known is not None:
            return cast(T, from_text(known))
        result = func(*args)
        self._keep_step(name, result)
        return result


class AsyncRun(_RunFacts):
    """What an `async def` sees of its run: what writes to the store is awaited."""

    __slots__ = ()

    @property
    def checkpoint(self) -> AsyncCheckpoint:
        """A mapping of JSON values, the same on the next attempt; `await run.checkpoint.set(key, value)` is durable."""
        return AsyncCheckpoint(self._kept())

    async def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far it is; seen in the record."""
        text = _progress_text(done, total, note)
        await self._services.in_pool(lambda: self._services.keep_progress(self._row, text))

    async def step(self, name: str, func: Callable[..., Awaitable[T] | T], *args: object) -> T:
        """Call `func(*args)`, awaiting what it gives, once per run whatever the attempts; otherwise as `Run.step`."""
        await self.load()
        known = self._known_step(name)
        if known is not None:
            return cast(T, from_text(known))
        given = func(*args)
        result = cast(T, await given if isawaitable(given) else given)
        await self._services.in_pool(lambda: self._keep_step(name, result))
        return result

    async def load(self) -> None:
        """Fetch checkpoint and steps of earlier attempts, off the loop. Rota does so before each attempt but the
        first."""
        await self._kept().load()


def _progress_text(done: float, total: float | None, note: str) -> str:
    for name, value in (("done", done), ("total", total)):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number and not (name == "total" and value is None):
            raise ConfigurationError(f"progress: {name} is a number, not {value!r}")
    if not isinstance(note, str):
        raise ConfigurationError(f"progress: note is text, not {note!r}")
    return to_text({"done": done, "total": total, "note": note}, "progress")
