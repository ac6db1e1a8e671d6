"""`Scheduler`: register, start, stop, look. A façade without logic: every method hands on to the part that does it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pkgutil import resolve_name
from threading import RLock
from types import MappingProxyType, SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeAlias, TypeVar, Unpack, get_args
from zoneinfo import ZoneInfo

from rota.core.declaring import Declaring, Jobs, Options
from rota.core.job import Job, unwrapped
from rota.core.options import OPTION_NAMES
from rota.core.registration import (
    Declared,
    build,
    declaration_of,
    declared,
    refuse_clash,
    refuse_shared_claims,
    unknown_job,
)
from rota.drivers.configuration import Configuration, leaving_time, notes_given, refuse_unusable_hook
from rota.errors import ConfigurationError, StateError
from rota.peer_words import METHOD_WORDS, SCHEDULER_METHODS, SCHEDULER_WORDS
from rota.spelling import corrects_methods, corrects_names, refuse_unknown
from rota.triggers.base import Trigger, from_micros, ticks_after

# What runs jobs is imported when it is first needed: a program that only declares them starts in half the time.
if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rota.awaitable import AwaitableScheduler
    from rota.core.explain import Explanation
    from rota.core.run import JSON, RunRecord, RunRow
    from rota.drivers.asking.asked import Statuses
    from rota.drivers.asking.backfills import Backfill, BackfillOnly
    from rota.drivers.hosting.health import Health
    from rota.drivers.hosting.host import Host
    from rota.drivers.named_locks import NamedLock
    from rota.drivers.node_parts import ShutdownReport
    from rota.drivers.runtime import Runtime
    from rota.idempotency import OnDeath
    from rota.ports import Clock, EventKind, Executor, Hook, LockBackend, Store

P = ParamSpec("P")
R = TypeVar("R")

JobLike: TypeAlias = "str | Job | Callable[..., object]"


@corrects_methods(METHOD_WORDS)
class Scheduler(Declaring):
    """Jobs, and the one object that runs them. The reference explains every argument; spans of time are seconds.

    Making one starts nothing and touches nothing. `name` is the namespace of locks, records and metrics; it is required
    with any backend but memory.
    """

    _given: frozenset[str]

    @corrects_names("Scheduler", SCHEDULER_WORDS)
    @notes_given
    def __init__(
        self,
        name: str | None = None,
        *,
        tz: str | ZoneInfo = "UTC",
        store: Store | str | Callable[[], Store | Engine] | None = None,
        locks: LockBackend | str | Callable[[], LockBackend | Engine] | None = None,
        clock: Clock | None = None,
        max_workers: int = 20,
        lease_ttl: float = 30.0,
        shutdown_timeout: float = 20.0,
        retention: timedelta | Mapping[str, timedelta] | None = timedelta(days=30),
        executors: Mapping[str, Executor] | None = None,
        defaults: Mapping[str, object] | None = None,
        hooks: Iterable[Hook] = (),
        create_tables: bool = True,
    ) -> None:
        arguments = {
            "name": name,
            "tz": tz,
            "store": store,
            "locks": locks,
            "clock": clock,
            "max_workers": max_workers,
            "lease_ttl": lease_ttl,
            "shutdown_timeout": shutdown_timeout,
            "retention": retention,
            "executors": executors,
            "defaults": defaults,
            "hooks": hooks,
            "create_tables": create_tables,
        }
        self._configuration = Configuration(arguments, self._given)
        self._terms = self._configuration.terms()
        self._jobs: dict[str, Job] = {}
        self._earlier_ids: set[str] = set()
        self._mutex = RLock()
        self._state = SimpleNamespace()
        self._hosted: Host | None = None

    @property
    def _host(self) -> Host:
        """What runs the jobs, made at first need."""
        from rota.drivers.hosting.host import Host

        with self._mutex:
            if self._hosted is None:
                self._hosted = Host(self._configuration, self._jobs, self._state)
            return self._hosted

    def configure(self, **given: object) -> None:
        """Fill in constructor arguments that were left out, until first use (then `StateError`): for app factories.

        The same again changes nothing, at any time.
        """
        with self._mutex:
            if self._configuration.has(given):
                return
            if self._hosted is not None and self._hosted.is_used:
                use = "simulate()" if self._hosted.mode == "simulated" else "the first use"
                raise StateError(f"configure() comes too late: the scheduler is in use; call it before {use}")
            filled = self._configuration.filled_in(given)
            terms = filled.terms()
            jobs = {job.id: build(declaration_of(job), terms, self) for job in self._jobs.values()}
            self._configuration.adopt(filled)
            self._terms = terms
            self._jobs.update(jobs)

    # Declaring -------------------------------------------------------------------------------------------------------

    def add(
        self,
        func: Callable[..., object] | str,
        trigger: Trigger | None = None,
        *,
        replace: bool = False,
        id: str | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Declare a job without a decorator; `func` may be `"package.module:name"`. `replace`: whatever had that id."""
        if options:
            refuse_unknown(options, ("trigger", "replace", "id", *OPTION_NAMES), "job options")
        if type(replace) is not bool:
            raise ConfigurationError(f"add: replace is True or False, not {replace!r}")
        entry = declared(_resolved(func), trigger, id, options)
        return self._register(entry, replace=replace)

    def include(self, jobs: Jobs) -> None:
        """Take in the declarations of a `Jobs`: all of them or, where one is refused, none."""
        if not isinstance(jobs, Jobs):
            raise ConfigurationError(f"include: a Jobs is expected, not {jobs!r}")
        with self._mutex:
            together, earlier_ids = dict(self._jobs), set(self._earlier_ids)
            new = {entry.id: self._admit(entry, together, earlier_ids, replace=False) for entry in jobs.declarations}
            self._jobs.update(together)
            self._earlier_ids |= earlier_ids
        if self._hosted is not None:
            for job in new.values():
                self._hosted.declare(job)

    def remove(self, job: JobLike) -> None:
        """Forget the declaration here, while running too. What the store knows of the job stays."""
        found = self._job(job)
        with self._mutex:
            del self._jobs[found.id]
        if self._hosted is not None:
            self._hosted.forget(found)

    def update(self, job: JobLike, **options: Unpack[Options]) -> Job:
        """Change options of a job here, while running too; a run at work keeps those it began with."""
        if "id" in options:
            raise ConfigurationError(
                "update: the id of a job does not change: declare it with the new one, and renamed_from='the old one'"
            )
        refuse_unknown(options, OPTION_NAMES, "job options")
        entry = declaration_of(self._job(job))
        return self._register(entry.changed(entry.trigger, {**entry.given, **options}), replace=True)

    def reschedule(self, job: JobLike, trigger: Trigger | None) -> Job:
        """Give a job another trigger here, while running too. The change is not retroactive."""
        entry = declaration_of(self._job(job))
        checked = declared(entry.func, trigger, entry.id, entry.given)
        return self._register(entry.changed(checked.trigger, entry.given), replace=True)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The declared jobs by id; read-only and live."""
        return MappingProxyType(self._jobs)

    def listen(self, fn: Hook, *kinds: EventKind) -> None:
        """Have `fn` called with each `Event` of these kinds (none: of all), on a thread of its own."""
        from rota.ports import EventKind

        known = get_args(EventKind)
        for kind in kinds:
            if kind not in known:
                raise ConfigurationError(f"listen: {kind!r} is no event; there are {', '.join(sorted(known))}")
        if not callable(fn):
            raise ConfigurationError(f"listen: a callable that takes an Event is expected, not {fn!r}")
        refuse_unusable_hook(fn, "listen")
        from rota.drivers.telling import Listener

        self._host.listeners.append(Listener(fn, kinds or None))

    # Running ---------------------------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Run jobs from now on, in a background thread. `False`: this process only arms, and says why. Idempotent.

        A store that cannot be reached is waited for, with a warning; what a person must mend raises `StoreError`."""
        return self._host.start()

    def run(self) -> None:
        """Run jobs in this thread until SIGTERM or SIGINT, then shut down. `StateError` where a loop runs in it: await
        `serve()` there."""
        self._host.run()

    async def serve(self) -> None:
        """Run jobs, coroutines on this loop, until cancelled or shut down. Touches no signals."""
        from rota.drivers.hosting.serving import serve

        await serve(self._host)

    async def __aenter__(self) -> Self:
        from rota.drivers.hosting.serving import start

        await start(self._host)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from rota.drivers.hosting.serving import close

        await close(self._host)

    def run_due(self) -> float:
        """Run what is due now, in this thread, and return when it has ended; the seconds to the next tick or retry."""
        return self._host.run_due()

    def shutdown(self, timeout: float | None = None) -> ShutdownReport:
        """Stop: take no more, let runs end, stop the rest by force, all within `timeout` seconds."""
        return self._host.shutdown(leaving_time(timeout))

    async def aclose(self, timeout: float | None = None) -> ShutdownReport:
        """`shutdown` that leaves the loop free meanwhile."""
        from rota.drivers.hosting.serving import aclose

        return await aclose(self._host, leaving_time(timeout))

    def health(self) -> Health:
        """How it stands in this very process, after a fork as well."""
        from rota.drivers.hosting.health import health_of

        return health_of(self._host)

    @property
    def state(self) -> SimpleNamespace:
        """A plain namespace of this process, for pools and clients; `run.state` is the same."""
        return self._state

    # Asking ----------------------------------------------------------------------------------------------------------

    def run_now(self, job: JobLike, *, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None) -> str:
        """Run it once, at once, whatever its trigger or pause; gives the run's id. Never eats a tick."""
        return self._queued(self._runtime.operations.run_now(self._job(job), args, kwargs)).id

    def enqueue(
        self,
        job: JobLike,
        *,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        delay: float | timedelta | None = None,
        at: datetime | str | None = None,
        key: str | None = None,
    ) -> str:
        """Run it once, later: after `delay` seconds or at an aware datetime (or ISO text); gives the run's id.

        The same `key`, while its record is kept, is the same run; with other arguments `ConfigurationError`.
        """
        operations = self._runtime.operations
        return self._queued(operations.enqueue(self._job(job), args, kwargs, delay, at, key)).id

    def backfill(
        self,
        job: JobLike,
        start: datetime | str,
        end: datetime | str,
        *,
        only: BackfillOnly = "unsucceeded",
        max_running: int = 1,
        dry_run: bool = False,
    ) -> Backfill:
        """A run for every tick in `[start, end)`, oldest first, behind live ticks, at most `max_running` at once.

        `only`: `unsucceeded` leaves out ticks that have succeeded, `missing` those that were run at all, `all` none.
        """
        found = self._job(job)
        operations = self._runtime.operations
        backfill, rows = operations.backfill(found, start, end, only=only, max_running=max_running, dry_run=dry_run)
        for row in rows:
            self._host.queued(row)
        return backfill

    def cancel(self, run_id: str) -> bool:
        """End a waiting run at once, ask a running one to stop. `False`: it had ended."""
        cancelled = self._runtime.operations.cancel(run_id)
        self._host.cancelled(run_id)
        return cancelled

    def replay(self, run_id: str, *, force: bool = False) -> str:
        """Reopen a run that ended unhappily, with fresh attempts; checkpoint and steps are kept. Gives its id.

        `StateError` where later runs have covered its window since, unless `force`.
        """
        return self._queued(self._runtime.operations.replay(run_id, self._jobs, force=force)).id

    def pause(self, job: JobLike, reason: str = "") -> None:
        """Stop ticks of the job, in the whole fleet, until `resume`; asked-for runs are made all the same."""
        self._host.noted(self._runtime.operations.pause(self._job(job), reason))

    def resume(self, job: JobLike) -> None:
        """Let a paused job go on with its next tick."""
        self._host.noted(self._runtime.operations.resume(self._job(job)))

    # Looking ---------------------------------------------------------------------------------------------------------

    def dead_letters(self, job: JobLike | None = None) -> list[RunRecord]:
        """Runs that ended `failed`, `timed_out` or `lost` and wait for a person, newest first."""
        return self._runtime.operations.dead_letters(self._stored_id(job))

    def discard(self, run_id: str) -> bool:
        """Take a dead letter off the list; its record stays."""
        return self._runtime.operations.discard(run_id)

    def runs(
        self,
        job: JobLike | None = None,
        *,
        status: Statuses = None,
        limit: int = 100,
        before: datetime | str | None = None,
    ) -> list[RunRecord]:
        """Records, newest first. `status`: one, several, or `"unhappy"`."""
        return self._runtime.operations.runs(self._stored_id(job), status, limit, before)

    def get_run(self, run_id: str) -> RunRecord:
        """One run whole; `UnknownJobError` where there is none."""
        return self._runtime.operations.get_run(run_id)

    def logs(self, run_id: str) -> list[Mapping[str, JSON]]:
        """The log lines captured with a run, oldest first: `at`, `level`, `logger`, `event` and its fields."""
        return self._runtime.operations.logs(run_id)

    def next_fires(self, job: JobLike, n: int = 5, after: datetime | str | None = None) -> list[datetime]:
        """The next `n` ticks, aware UTC, after an aware datetime; without one after now, as far as `max_runs` goes."""
        from rota.drivers.asking.asked import instant, tick_count

        found, most = self._job(job), tick_count(n)
        start = self._host.clock.now() if after is None else instant(after, "after")
        max_runs = found.options.max_runs
        if after is None and max_runs is not None:
            most = min(most, self._runtime.operations.ticks_left(found, max_runs))
        ticks = () if found.trigger is None else ticks_after(found.trigger, start)
        return [from_micros(tick) for tick in islice(ticks, most)]

    def explain(self, job: JobLike, at: datetime | str | None = None) -> Explanation:
        """Why the job did or did not run at an aware datetime (its last tick due)."""
        if isinstance(job, str):
            return self._runtime.operations.explain(self._jobs.get(job), job, at)
        known = self._job(job)
        return self._runtime.operations.explain(known, known.id, at)

    # Locks and idempotency -------------------------------------------------------------------------------------------

    def lock(self, name: str, ttl: float = 30.0, wait: float = 0.0) -> NamedLock:
        """A lock of the whole fleet, for `with` and `async with`; gives a `Lease`. `LockHeld` after `wait` seconds."""
        return self._runtime.named_lock(name, ttl, wait)

    def idempotent(
        self, key: str | Callable[..., str], *, ttl: float | None = None, on_death: OnDeath = "retry"
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorator: a call with a key that was done before gives the first one's stored result."""
        from rota.idempotency import idempotent

        return idempotent(lambda: self._runtime, key, ttl=ttl, on_death=on_death)

    if not TYPE_CHECKING:  # for a type checker every name would be one

        def __getattr__(self, name: str) -> object:
            message = f"'Scheduler' object has no attribute {name!r}"
            instead = SCHEDULER_METHODS.get(name)
            raise AttributeError(f"{message}; write {instead}" if instead else message, name=name, obj=self)

    @property
    def aio(self) -> AwaitableScheduler:
        """The awaitable twin of every call that touches the store."""
        from rota.awaitable import AwaitableScheduler

        return AwaitableScheduler(self)

    # What jobs ask of their home -------------------------------------------------------------------------------------

    def is_paused(self, job: Job) -> bool:
        """Whether the job is paused, for the whole fleet."""
        state = self._runtime.store.job_states([job.claim_id])[0]
        return state is not None and state.paused_at is not None

    def next_fire(self, job: Job) -> datetime | None:
        """The job's next tick, if it is to have one more."""
        fires = self.next_fires(job, 1)
        return fires[0] if fires else None

    def last_run(self, job: Job) -> RunRecord | None:
        """The job's newest run."""
        runs = self.runs(job, limit=1)
        return runs[0] if runs else None

    # Inside ----------------------------------------------------------------------------------------------------------

    @property
    def _runtime(self) -> Runtime:
        return self._host.runtime

    def _declare(self, entry: Declared) -> None:
        self._register(entry, replace=False)

    def _register(self, entry: Declared, *, replace: bool) -> Job:
        with self._mutex:
            job = self._admit(entry, self._jobs, self._earlier_ids, replace=replace)
        if self._hosted is not None:
            self._hosted.declare(job)
        return job

    def _admit(self, entry: Declared, jobs: dict[str, Job], earlier_ids: set[str], *, replace: bool) -> Job:
        """Put the job of a declaration among `jobs`. Where it is refused, they are as they were."""
        job = build(entry, self._terms, self)
        old = jobs.get(job.id)
        if old is not None and not replace:
            refuse_clash(job, old)
        if job.options.renamed_from is not None or job.id in earlier_ids:
            refuse_shared_claims(job, jobs.values())
            earlier_ids.add(job.claim_id)
        jobs[job.id] = job
        return job

    def _job(self, job: JobLike) -> Job:
        if isinstance(job, str):
            found = self._jobs.get(job)
            if found is None:
                raise unknown_job(job, self._jobs)
            return found
        if isinstance(job, Job):
            return self._job(job.id)
        # A job that was decorated again is known by what it became as well.
        same = next(filter(None, map(self._jobs_of, unwrapped(job))), [])
        if len(same) == 1:
            return same[0]
        if not same:
            raise unknown_job(getattr(job, "__qualname__", repr(job)), self._jobs)
        raise ConfigurationError(f"{job!r} has several jobs: say which by its id, {', '.join(j.id for j in same)}")

    def _jobs_of(self, func: object) -> list[Job]:
        """A bound method is another object at each access, so what counts is that they are equal."""
        return [known for known in list(self._jobs.values()) if known.func is func or known.func == func]

    def _stored_id(self, job: JobLike | None) -> str | None:
        """The id in the store; one that is not declared here may still have records."""
        if job is None:
            return None
        if isinstance(job, str) and job not in self._jobs and self._runtime.operations.is_known(job):
            return job
        return self._job(job).claim_id

    def _queued(self, row: RunRow) -> RunRow:
        self._host.queued(row)
        return row

    def __repr__(self) -> str:
        return f"<Scheduler {self._configuration.name!r} with {len(self._jobs)} jobs, pid {os.getpid()}>"


def _resolved(func: Callable[..., object] | str) -> Callable[..., object]:
    if not isinstance(func, str):
        return func
    try:
        found = resolve_name(func)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"add: {func!r} cannot be imported: {error}; write 'package.module:name'") from error
    if not callable(found):
        raise ConfigurationError(f"add: {func!r} is {type(found).__name__}, not a function")
    resolved: Callable[..., object] = found
    return resolved
