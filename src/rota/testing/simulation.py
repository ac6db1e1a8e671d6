"""`simulate`: the app's own scheduler, with everything around it simulated, for the length of a block.

Law: what the block does reaches nothing outside of it. Store, locks, clock, hooks and executors are replaced, and put
back whatever happens; the same block with the same seed leaves the same records, byte for byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rota.drivers.driven import Renewing
from rota.drivers.identity import seeded_ids
from rota.drivers.runtime import Runtime
from rota.errors import ConfigurationError, StateError
from rota.testing.clock import FakeClock
from rota.testing.executors import Script
from rota.testing.fleet import Fleet, SimulatedStore, Staging
from rota.testing.instants import forward_span
from rota.testing.ran import check_ran

if TYPE_CHECKING:
    from rota.core.run import RunRecord
    from rota.drivers.hosting.host import Host
    from rota.scheduler import JobLike, Scheduler

START = "2026-01-01T00:00:00+00:00"
"""Where a simulation starts that does not say."""


@contextmanager
def simulate(
    scheduler: Scheduler, start: datetime | str = START, *, nodes: int = 1, seed: int = 0
) -> Iterator[Simulation]:
    """Run a scheduler's jobs on simulated time, in this thread and without waiting.

    ::

        with simulate(scheduler, start="2026-03-28T00:00+01:00") as sim:
            sim.advance(days=2)
            assert [r.scheduled_for.hour for r in sim.runs("nightly_backup")] == [1, 1]

    Everything is called inline, whatever its executor; coroutines run on a loop whose time is the simulated one. What
    jobs ask of the scheduler object (`enqueue`, `lock`, `run_now` …) happens in the simulation. Python's own clock is
    untouched: a job reads `run.now()`.

    `start`: an aware datetime or ISO text with an offset. `nodes`: how many processes share the simulated store.
    `seed`: of run ids and of the order of the nodes. `StateError` where the scheduler is started.
    """
    if type(nodes) is not int or nodes < 1:
        raise ConfigurationError(f"simulate: nodes is a whole number from 1, not {nodes!r}")
    simulation = Simulation(scheduler, FakeClock(start), nodes, seed)
    try:
        simulation.open()
        yield simulation
    finally:
        simulation.close()


class Simulation:
    """What `simulate` gives: the time, and what became of the jobs.

    `alerts`, `pings` and `handed_over` hold what would have gone to people, heartbeat services and engines.
    """

    def __init__(self, scheduler: Scheduler, clock: FakeClock, nodes: int, seed: int) -> None:
        self.scheduler = scheduler
        self.clock = clock
        self.alerts: list[Any] = []
        self.pings: list[Any] = []
        self.handed_over: list[Any] = []
        self._script = Script()
        self._is_over = False
        host = self._host = _host_of(scheduler)
        settings = host.configuration.settings(leased=nodes > 1)
        store = SimulatedStore(clock, shared=nodes > 1)
        new_id, _ = seeded_ids(f"{seed}:asked")
        self._runtime = Runtime(settings, clock, store, store.locks, host.shown_id, make_id=new_id, inline=True)
        self._fleet = Fleet(Staging(host, clock, store, [], self._script, seed), nodes)
        self._before = host.replace(self._runtime, self._fleet, self._fleet.listeners)

    # Time ------------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The simulated instant, aware UTC."""
        return self.clock.time

    def advance(self, **timedelta: float) -> None:
        """Let time pass, running what comes due in order: `sim.advance(days=2)`. Without arguments: what is due now."""
        self._assert_open()
        self.clock.advance(**timedelta)

    def advance_to(self, when: datetime | str, tz: str | ZoneInfo | None = None) -> None:
        """Let time pass until an aware datetime or ISO text with an offset; a naive one is read in `tz`."""
        self._assert_open()
        self.clock.advance_to(when, tz)

    async def aadvance(self, **timedelta: float) -> None:
        """`advance` that lets other tasks of the running loop go on between two instants, for async tests."""
        self._assert_open()
        for _ in self.clock.passing(forward_span("aadvance", timedelta)):
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    # What the world does ---------------------------------------------------------------------------------------------

    def takes(self, job: JobLike, **timedelta: float) -> None:
        """Give a job a duration: from now on its function is called at the start of a run, which then takes so long.

        Overlap, timeouts, leases and shutdown act meanwhile, as on a function that cannot be stopped.
        """
        self._script.seconds[self._id(job)] = forward_span("takes", timedelta) / 1_000_000

    def replace(self, job: JobLike, fake: Callable[..., object]) -> None:
        """Call `fake` with the job's arguments, and its run if it asks for it, in the place of its function."""
        if not callable(fake):
            raise ConfigurationError(f"replace: a callable is expected, not {fake!r}")
        self._script.doubles[self._id(job)] = fake

    def fail(self, job: JobLike, error: BaseException | type[BaseException], times: int = 1) -> None:
        """Let the next `times` attempts of a job raise, without calling its function."""
        kind: object = error if isinstance(error, type) else type(error)
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigurationError(f"fail: an exception is expected, not {error!r}")
        if type(times) is not int or times < 1:
            raise ConfigurationError(f"fail: times is a whole number from 1, not {times!r}")
        self._script.fail(self._id(job), error, times)

    def kill(self, node: int | str) -> None:
        """Let a node die, counted from 0 or named as in a record: its runs stay leased until their time is over, then
        `on_crash` decides.

        A job that kills the node it runs on does not return from this call.
        """
        self._assert_open()
        self._fleet.kill(node)

    def restart(self, node: int | str) -> None:
        """Start a process in the place of a node that was killed."""
        self._assert_open()
        self._fleet.restart(node)

    # What became of it -----------------------------------------------------------------------------------------------

    def runs(self, job: JobLike | None = None) -> list[RunRecord]:
        """The records of all runs, or of one job's, in the order in which they were queued. Nothing is pruned."""
        job_id = None if job is None else self._stored_id(job)
        rows = self._runtime.store.runs(job_id, limit=2**62)
        return self._runtime.operations.records(list(reversed(rows)))

    def assert_ran(
        self, job: JobLike, at: datetime | str | Collection[datetime | str] | None = None, times: int | None = None
    ) -> None:
        """Raise `AssertionError`, saying what ran, unless the job ran.

        `at`: for that tick, or started at that instant; or for each of several. `times`: so many runs, no more.
        """
        check_ran(self._id(job), self.runs(job), at, times)

    # Inside ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the nodes."""
        self.clock.attach(Renewing(self._runtime.renewal, self.clock, lambda: not self._is_over), background=True)
        self._fleet.open()

    def close(self) -> None:
        """End the simulation and put everything back; records can still be looked at."""
        if not self._is_over:
            self._is_over = True
            self._host.put_back(self._before)
            self._fleet.close()

    def _id(self, job: JobLike) -> str:
        return self.scheduler._job(job).id  # noqa: SLF001  # a job is named here as it is everywhere

    def _stored_id(self, job: JobLike) -> str:
        """The id in the simulated store; one that is not declared any more may still have records."""
        if isinstance(job, str) and job not in self.scheduler.jobs and self._runtime.store.job_states([job])[0]:
            return job
        return self.scheduler._job(job).claim_id  # noqa: SLF001  # as above

    def _assert_open(self) -> None:
        if self._is_over:
            raise StateError("the simulation is over: its block has ended")

    def __repr__(self) -> str:
        return f"<Simulation of {self.scheduler!r} at {self.now.isoformat()}>"


def _host_of(scheduler: Scheduler) -> Host:
    host = getattr(scheduler, "_host", None)
    if host is None:
        raise ConfigurationError(f"simulate: a Scheduler is expected, not {scheduler!r}")
    found: Host = host
    return found
