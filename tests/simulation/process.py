"""A process of the fleet: one life of a scheduler on a machine, from its start to its shutdown or its death.

Law: whatever is Rota's in here is the production code. A process that is stopped does nothing at all; one that is dead
never does anything again, not even the end of what it was doing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.ledger import RETENTION
from tests.simulation.machine import Machine, ProcessClock
from tests.simulation.network import Network, Wire
from tests.simulation.work import SimulatedExecutor, Workplace
from tests.simulation.world import MOST_TURNS, Killed, World

from rota.drivers.node import Node
from rota.errors import StoreError
from rota.scheduler import Scheduler

if TYPE_CHECKING:
    from tests.simulation.jobs import Declaration

    from rota.triggers.base import Trigger

NEVER = float("inf")
LEAST_PAUSE = 200
"""Microseconds from one turn of a thread to its next."""

LEASE_TTL = 3.0
START_AGAIN = 1_000_000
"""Microseconds after which a process whose start has failed is started again."""


class Thread:
    """Something in a process that takes turns: `turn` gives the seconds until the next, `has_news` asks for one now."""

    def __init__(
        self, process: Process, name: str, turn: Callable[[], float], has_news: Callable[[], bool] | None = None
    ) -> None:
        self.process = process
        self._name = name
        self._turn = turn
        self._has_news = has_news
        self._is_busy = False
        self._wakes_at: float = process.world.now
        self._rested_at = 0
        self._turns: tuple[int, int] = (0, 0)

    def ready_at(self) -> float:
        """When it is to be turned."""
        process = self.process
        if self._is_busy or process.is_dead:
            return NEVER
        at = self._rested_at if self._has_news is not None and self._has_news() else self._wakes_at
        return max(at, process.stopped_until)

    def take_turn(self) -> None:
        """Turn it, once."""
        process, world = self.process, self.process.world
        self._count()
        self._is_busy = True
        try:
            seconds = self._turn()
        except Exception as error:
            world.problem("C6", f"{process.name}: {error!r} has left the {self._name}")
            return
        finally:
            self._is_busy = False
        self._rested_at = world.now + LEAST_PAUSE
        self._wakes_at = NEVER if seconds == NEVER else world.now + process.machine.true_span(seconds * 1_000_000)
        self._wakes_at = max(self._wakes_at, self._rested_at)

    def _count(self) -> None:
        world = self.process.world
        second = world.now // 1_000_000
        self._turns = (second, self._turns[1] + 1 if self._turns[0] == second else 1)
        if self._turns[1] > MOST_TURNS:
            world.problem("busy", f"{self.process.name}: the {self._name} goes round in circles")


class Process:
    """`version`: the jobs that it declares, unless it `is_changed` since. `is_open`: its scheduler has been started
    and not been shut down."""

    def __init__(
        self, world: World, machine: Machine, name: str, version: list[Declaration], network: Network, shop: Workplace
    ) -> None:
        self.world = world
        self.machine = machine
        self.name = name
        self.version = version
        self.is_dead = False
        self.is_open = False
        self.is_shutting_down = False
        self.is_changed = False
        self.stopped_until = 0
        self.cut_until = 0
        self.overslept = 0
        self.disturbed_at = 0
        self.threads: list[Thread] = []
        self.node: Node | None = None
        self._is_busy = False
        self._workplace = shop
        self.executors = {
            "thread": SimulatedExecutor(self, shop, workers=3, can_stop=False),
            "asyncio": SimulatedExecutor(self, shop, workers=100, can_stop=True),
        }
        self.clock = ProcessClock(self)
        self.wire = Wire(self, network)
        self.scheduler = self._new_scheduler()
        world.processes.append(self)
        self.main(self._start)

    def main(self, do: Callable[[], object]) -> None:
        """Do something in its main thread, soon."""
        self.world.after(0, lambda: self._main(do), self)

    def triggers_of(self, claim_id: str) -> list[Trigger]:
        """The triggers by which it may be claiming ticks of a job: as its engine has it, and as it is declared."""
        entry = None if self.node is None else self.node.engine.agenda.entries.get(claim_id)
        found = [] if entry is None else [entry.job.trigger]
        found += [job.trigger for job in self.scheduler.jobs.values() if job.claim_id == claim_id]
        return [trigger for trigger in found if trigger is not None]

    def at_work(self) -> list[Any]:
        """The calls in it that have not ended."""
        calls = () if self.node is None else self.node.services.calls.values()
        return [call for call in calls if call.outcome is None]

    def stop_for(self, micros: int) -> None:
        """Stop it (SIGSTOP) for a while."""
        self.stopped_until = max(self.stopped_until, self.world.now + micros)
        self.disturbed_at = self.stopped_until
        self.world.note(self.name, "is stopped until", self.stopped_until)

    def kill(self) -> None:
        """Let it die where it is (SIGKILL)."""
        if self.is_dead:
            return
        self.world.note(self.name, "dies")
        self.leave()

    def leave(self) -> None:
        """Be no more."""
        self.is_dead = True
        self.is_open = False
        self.world.processes.remove(self)
        if self.node is not None:
            self.node.drop()

    def shut_down(self, timeout: float) -> None:
        """Shut the scheduler down (C7), and end."""
        world = self.world
        if not self.is_open or self.is_shutting_down:
            return
        self.is_shutting_down = True
        at_work = {call.row.id for call in self.at_work()}
        began, overslept = world.now, self.overslept
        world.note(self.name, "shuts down within", timeout)
        report = self.scheduler.shutdown(timeout)
        took = world.now - began - (self.overslept - overslept)
        if took > self.machine.true_span((timeout + 2) * 1_000_000):
            world.problem("C7", f"{self.name}: a shutdown of {timeout} s took {took / 1_000_000} s")
        told = {*report.finished, *report.interrupted, *report.abandoned}
        if not at_work <= told:
            world.problem("C7", f"{self.name}: the shutdown says nothing of {sorted(at_work - told)}")
        world.note(self.name, "has shut down", len(told))
        self.leave()

    def _main(self, do: Callable[[], object]) -> None:
        """One thing after the other: while the main thread waits, it does nothing else."""
        if self._is_busy:
            self.world.after(100_000, lambda: self._main(do), self)
            return
        self._is_busy = True
        try:
            do()
        finally:
            self._is_busy = False

    def _start(self) -> None:
        world = self.world
        try:
            self.scheduler.start()
        except StoreError:
            world.note(self.name, "could not start")
            world.after(START_AGAIN, lambda: self._main(self._start), self)
            return
        node = self.node = self.scheduler._host.node
        assert isinstance(node, Node)
        node.engine.teller.error = self._fault  # type: ignore[method-assign]  # a fault of ours is a problem here
        node._leases._inline = False  # as in production somebody watches trust end while a renewal hangs
        self.is_open = True
        self.threads = [
            Thread(self, "engine", node.turn, lambda: node.engine.has_mail),
            Thread(self, "renewal", self._renew),
        ]
        world.note(self.name, "has started", [declared.id for declared in self.version])

    def _renew(self) -> float:
        assert self.node is not None
        renewal, clock = self.node.renewal, self.clock
        renewal.renew_due(clock.monotonic())
        due = renewal.next_due()
        return NEVER if due is None else max(0.0, due - clock.monotonic())

    def _fault(self, event: str, error: BaseException) -> None:
        if isinstance(error, Killed):
            return
        self.world.problem("C6", f"{self.name}: {event}: {error!r}")

    def _new_scheduler(self) -> Scheduler:
        scheduler = Scheduler("fleet", store=self.wire, clock=self.clock, lease_ttl=LEASE_TTL, retention=RETENTION)
        for declared in self.version:
            declared.add_to(scheduler, self._workplace.function(self, declared))
        return scheduler
