"""Simulated nodes over one simulated store.

Law: what a node does at an instant it does in one turn, in an order drawn from the seed. A node that is killed does
nothing any more, not even the end of what it was doing.

A shared store is polled each second. In a simulation nobody but these nodes writes to it, so polls that can find
nothing are left out, and a quiet hour costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from rota.backends.memory import MemoryStore
from rota.core.context import current
from rota.core.effects import JobState
from rota.core.job import Job
from rota.core.run import RunRow
from rota.drivers.driven import Attending
from rota.drivers.engine import Engine
from rota.drivers.identity import seeded_ids
from rota.drivers.node import Node
from rota.drivers.node_parts import NodeParts, ShutdownReport
from rota.drivers.telling import Listener
from rota.errors import ConfigurationError, StateError
from rota.executors.choose import EXECUTORS
from rota.ports import NodeRow
from rota.testing.executors import Script, fake_executors
from rota.testing.faults import FaultyStore
from rota.testing.loop import LazyLoop

if TYPE_CHECKING:
    from rota.drivers.hosting.host import Host
    from rota.testing.clock import FakeClock


class NodeKilled(BaseException):
    """Leaves whatever a killed node was doing. No job and no engine catches it for good."""


class SimulatedStore(MemoryStore):
    """A store in memory that several nodes share; it forgets no run, so that a test can look at all of them."""

    def __init__(self, clock: FakeClock, *, shared: bool) -> None:
        super().__init__(clock)
        self._is_shared = shared
        self.living: set[str] = set()

    @property
    def shared(self) -> bool:
        return self._is_shared

    def prune(
        self,
        job_id: str | None,  # noqa: ARG002  # the port's signature
        keep_from: Mapping[str, int],  # noqa: ARG002  # the port's signature
        limit: int = 1000,  # noqa: ARG002  # the port's signature
        exclude: Collection[str] = (),  # noqa: ARG002  # the port's signature
    ) -> int:
        """Nothing is deleted."""
        return 0

    def forget(self, seen_since: int, limit: int = 1000) -> bool:  # noqa: ARG002  # the port's signature
        """Nothing is forgotten."""
        return False

    def nodes(self) -> Sequence[NodeRow]:
        """As ever, but a node that lives is seen now, although it was idle."""
        now = self.now()
        return [row._replace(last_seen=now) if row.id in self.living else row for row in super().nodes()]

    def seconds_of_quiet(self, now: int) -> float:
        """See `rota.drivers.driven.ForeseeingStore`."""
        due = self._runs.earliest_due()
        until_due = float("inf") if due is None else (due - now) / 1_000_000
        return max(0.0, min(until_due, min(self._runs.leases.values(), default=float("inf")) - self._clock.boottime()))


class SimulatedNode(Node):
    """A node that can be killed."""

    def __init__(self, parts: NodeParts, store: SimulatedStore, wire: FaultyStore, loop: LazyLoop) -> None:
        super().__init__(parts)
        self._simulated = store
        self._wire = wire
        self._loop = loop

    def open(self) -> None:
        super().open()
        self._simulated.living.add(self.parts.row.id)

    def shutdown(self, timeout: float) -> ShutdownReport:
        self._simulated.living.discard(self.parts.row.id)
        return super().shutdown(timeout)

    def die(self) -> None:
        """Be gone: no word to the store, no more turn of its loop."""
        row = self.parts.row
        self._simulated.living.discard(row.id)
        self._simulated.beat(row._replace(last_seen=self.engine.clock.now()))
        self._wire.down = True
        if self._loop.made is not None:
            self._loop.made.drop()
        self.drop()

    def close(self) -> None:
        """The simulation is over."""
        self.drop()
        if self._loop.made is not None:
            self._loop.made.end()


class Staging(NamedTuple):
    """What all nodes of a simulation share."""

    host: Host
    clock: FakeClock
    store: SimulatedStore
    listeners: list[Listener]
    script: Script
    seed: int


class Fleet:
    """The nodes, in place of the one that a scheduler has in its process."""

    def __init__(self, staging: Staging, count: int) -> None:
        self._staging = staging
        self._order = Random(f"{staging.seed}:order")  # noqa: S311  # repeatable is what is wanted
        self._lives = [0] * count
        self._is_over = False
        self.nodes = [self._new_node(index, leased=count > 1) for index in range(count)]

    def open(self) -> None:
        """Start every node."""
        self._staging.clock.attach(_DrivenFleet(self))
        for node in self.nodes:
            self._open(node)

    @property
    def is_over(self) -> bool:
        """Whether the simulation has ended."""
        return self._is_over

    @property
    def listeners(self) -> list[Listener]:
        """Who is told of events: whom the test adds, none of the app's."""
        return self._staging.listeners

    def turn(self) -> None:
        """Turn every node, in a drawn order."""
        living = self._living()
        if len(living) > 1:
            self._order.shuffle(living)
        for node in living:
            if node.is_alive:
                self._turn(node)

    def next_wakeup(self) -> int | None:
        """The first wake-up of any node."""
        if len(self.nodes) == 1:
            return self.nodes[0].next_wakeup() if self.nodes[0].is_alive else None
        wakeups = [node.next_wakeup() for node in self._living()]
        return min((wakeup for wakeup in wakeups if wakeup is not None), default=None)

    # For a host ------------------------------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether any node is."""
        return any(node.is_alive for node in self.nodes)

    @property
    def trouble(self) -> str:
        """None that a health would tell: what fails in a simulation is raised to the test."""
        return ""

    @property
    def engine(self) -> Engine:
        """The engine of the first living node."""
        return self._first().engine

    def declare(self, job: Job) -> None:
        """A job was added or changed, in every process."""
        for node in self._living():
            node.declare(job)

    def forget(self, claim_id: str, job_id: str) -> None:
        """A job was removed, in every process."""
        for node in self._living():
            node.forget(claim_id, job_id)

    def queued(self, row: RunRow) -> None:
        """One node has queued a run; the others find it."""
        self._first().queued(row)

    def noted(self, state: JobState) -> None:
        """Every node hears how a job stands."""
        for node in self._living():
            node.noted(state)

    def cancelled(self, run_id: str) -> None:
        """A run was cancelled in the store."""
        for node in self._living():
            node.cancelled(run_id)

    def run_due(self) -> float:
        """What is due now is run; seconds to the next wake-up."""
        return self._first().run_due()

    def shutdown(self, timeout: float) -> ShutdownReport:
        """Shut every node down, one after the other."""
        reports = [node.shutdown(timeout) for node in self._living()]
        return ShutdownReport(
            finished=tuple(run_id for report in reports for run_id in report.finished),
            interrupted=tuple(run_id for report in reports for run_id in report.interrupted),
            abandoned=tuple(run_id for report in reports for run_id in report.abandoned),
        )

    def forget_in_child(self) -> None:
        """A forked child has no simulation."""
        self._is_over = True

    # For a simulation ------------------------------------------------------------------------------------------------

    def kill(self, which: int | str) -> None:
        """Let a node die where it is; a run that asks for the death of its own node does not come back from this."""
        node = self.nodes[self._index(which)]
        if not node.is_alive:
            raise StateError(f"node {which} is dead already")
        at_work = current.get()
        is_suicide = at_work is not None and at_work.run.id in node.services.calls
        node.die()
        if not node.parts.settings.leased:
            # It was alone with its store and gave no sign of life, so nobody could tell when it ceased to live.
            now = self._staging.clock.now()
            self._staging.store.beat(node.parts.row._replace(last_seen=now, stopped_at=now))
        if is_suicide:
            raise NodeKilled

    def restart(self, which: int | str) -> None:
        """Start a process in the place of one that died."""
        index = self._index(which)
        if self.nodes[index].is_alive:
            raise StateError(f"node {which} is alive; kill it first")
        self._lives[index] += 1
        self.nodes[index] = self._new_node(index, leased=True)
        self._open(self.nodes[index])

    def close(self) -> None:
        """The simulation is over."""
        self._is_over = True
        for node in self.nodes:
            node.close()

    def _index(self, which: int | str) -> int:
        """The place of a node that is named by it, or as in records."""
        names = [node.parts.row.id for node in self.nodes]
        if which in names:
            return names.index(str(which))
        if type(which) is not int or not 0 <= which < len(names):
            raise ConfigurationError(
                f"there is no node {which!r}; they are counted from 0 to {len(names) - 1}, "
                f"and named as in the records: {', '.join(names)}"
            )
        return which

    def _living(self) -> list[SimulatedNode]:
        return [node for node in self.nodes if node.is_alive]

    def _first(self) -> SimulatedNode:
        return next((node for node in self.nodes if node.is_alive), self.nodes[0])

    def _turn(self, node: SimulatedNode) -> None:
        try:
            node.turn()
        except NodeKilled:
            return

    def _new_node(self, index: int, *, leased: bool) -> SimulatedNode:
        host, clock, store = self._staging.host, self._staging.clock, self._staging.store
        life = self._lives[index]
        name = f"node-{index}" if not life else f"node-{index}.{life + 1}"
        settings = host.configuration.settings(leased=leased)._replace(retention=None)
        wire, loop = FaultyStore(store, error=_killed), LazyLoop(clock)
        names = (*EXECUTORS, *host.configuration.executors)
        executors = fake_executors(loop, self._staging.script, names, settings.max_workers)
        new_id, new_token = seeded_ids(f"{self._staging.seed}:{name}")
        row = NodeRow(name, "simulation", index, clock.now(), clock.now())
        parts = NodeParts(
            settings,
            row,
            wire,
            clock,
            host.jobs,
            self._staging.listeners,
            host.state,
            executors,
            inline=True,
            new_id=new_id,
            new_token=new_token,
            foresight=store,
        )
        return SimulatedNode(parts, store, wire, loop)

    def _open(self, node: SimulatedNode) -> None:
        node.open()
        self._staging.clock.attach(Attending(node, self._staging.clock), background=True)


def _killed(_: str) -> NodeKilled:
    return NodeKilled()


class _DrivenFleet:
    """A fleet as its clock sees it: while all its nodes are dead, one may still be started again."""

    def __init__(self, fleet: Fleet) -> None:
        self.turn = fleet.turn
        self.next_wakeup = fleet.next_wakeup
        self._fleet = fleet

    @property
    def is_alive(self) -> bool:
        return not self._fleet.is_over
