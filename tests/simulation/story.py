"""A story: drawn from a seed, played, and brought to its end.

It has three parts. While it is *wild*, things go wrong and people ask for this and that. Then everything is *healed*:
the network works, clocks are right, every machine runs the last version. Then time passes until nothing is left to be
done; a story that does not come to its end waits for something for ever.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

from tests.simulation.deeds import Deeds
from tests.simulation.jobs import Declaration, draw_jobs, draw_trigger
from tests.simulation.ledger import Ledger
from tests.simulation.machine import Machine, StoreClock
from tests.simulation.network import FATES, Network
from tests.simulation.process import Process
from tests.simulation.work import Workplace
from tests.simulation.world import World

from rota.backends.memory import MemoryStore
from rota.core.run import FINAL
from rota.drivers import identity, leases
from rota.ports import Store
from rota.triggers.base import from_micros, to_micros

START = to_micros(datetime(2026, 1, 1, tzinfo=UTC))
SECOND = 1_000_000
PATIENCE = 240
"""Seconds after the healing at which everything must have come to its end."""

LENGTHS = (5, 6, 8, 8, 10, 12, 16, 45)
"""Seconds that are wild: short stories show as much as long ones, but for ticks that come to be half a minute late."""

RATES = (0.0, 0.01, 0.03, 0.1)
OFFSETS = (0, 0, 300_000, -400_000, 5 * SECOND, -4 * SECOND, 180 * SECOND, -180 * SECOND)


class Told(NamedTuple):
    """What became of a story. `problems`: none, where everything was as it should be."""

    seed: int
    problems: list[str]
    journal: list[tuple[Any, ...]]
    starts: int
    runs: int
    seconds: float

    def text(self) -> str:
        """The journal, a line for each entry."""
        return "".join(f"{(at - START) / SECOND:12.6f} {' '.join(map(str, what))}\n" for at, *what in self.journal)

    def digest(self) -> str:
        """A hash of the journal."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:16]


def tell(seed: int, make_store: Callable[[StoreClock], Store] = MemoryStore) -> Told:
    """Play the story of a seed."""
    with _alone(seed):
        story = Story(seed, make_store)
        with _timers_of(story.world):
            story.play()
    world, ledger = story.world, story.ledger
    return Told(seed, world.problems, world.journal, ledger.starts, len(ledger.runs), (world.now - START) / SECOND)


class Story:
    """Everything in it."""

    def __init__(self, seed: int, make_store: Callable[[StoreClock], Store]) -> None:
        self.random = random = Random(f"story:{seed}")
        self.world = world = World(START, Random(f"order:{seed}"))
        self.ledger = Ledger(world)
        self.store = make_store(StoreClock(world))
        self.network = Network(world, self.store, self.ledger, Random(f"network:{seed}"))
        self.workplace = Workplace(world, self.ledger, Random(f"work:{seed}"))
        self.end = START + random.choice(LENGTHS) * SECOND
        self.last_tick = self.end + 4 * SECOND
        jobs = draw_jobs(random, from_micros(self.last_tick))
        self.versions = [jobs, _next_version(random, jobs)]
        self.deployed_at = random.randrange(START, self.end) if random.random() < 0.3 else self.end
        self.machines = [self._draw_machine(number) for number in range(random.choice((1, 2, 2, 3, 3, 4)))]
        self.lives = dict.fromkeys(self.machines, 0)
        self.network.rate = random.choice(RATES)
        self.network.fates = random.sample(FATES, random.choice((1, 2, 3, len(FATES))))

    def play(self) -> None:
        """From its beginning to its end."""
        world = self.world
        for machine in self.machines:
            world.at(START + self.random.choice((0, 0, SECOND, 2_345_678)), lambda machine=machine: self.boot(machine))
        deeds = Deeds(self)
        for _ in range(self.random.choice((0, 2, 5, 9))):
            world.at(self.random.randrange(START, self.end), deeds.one)
        world.run(self.end)
        self._heal()
        for _ in range(PATIENCE):
            world.run(world.now + SECOND)
            if world.problems or not any(True for _ in self._unsettled()):
                break
        for what in self._unsettled():
            world.problem("waits", what)
        if not world.problems:
            self._check_records()

    def boot(self, machine: Machine) -> None:
        """Start a process on a machine that has none."""
        if self.process_on(machine) is not None:
            return
        self.lives[machine] += 1
        is_new = self.world.now >= self.deployed_at and (self.world.now >= self.end or self.random.random() < 0.5)
        name = f"{machine.name}.{self.lives[machine]}"
        Process(self.world, machine, name, self.versions[is_new], self.network, self.workplace)

    def process_on(self, machine: Machine) -> Process | None:
        """The process that lives on a machine."""
        return next((process for process in self.world.processes if process.machine is machine), None)

    def _draw_machine(self, number: int) -> Machine:
        random = self.random
        return Machine(self.world, f"node-{number}", random.randrange(-500, 501), random.choice(OFFSETS))

    def _heal(self) -> None:
        """Everything works again, and the deployment comes to its end."""
        world = self.world
        world.note("all is healed")
        self.network.heal()
        self.workplace.is_calm = True
        self.deployed_at = self.end
        for machine in self.machines:
            machine.set_right()
            process = self.process_on(machine)
            if process is not None and not process.is_open:
                process.kill()
            elif process is not None and (process.is_changed or process.version is not self.versions[1]):
                process.main(lambda process=process: process.shut_down(2.0))
            for second in (0, 1, 3, 6, 10, 20):
                world.after(second * SECOND, lambda machine=machine: self.boot(machine))
        for second in (22, 40, 60, 90, 120):
            world.after(second * SECOND, self._resume_all)

    def _resume_all(self) -> None:
        for process in self.world.processes:
            if process.is_open:
                process.main(lambda process=process: self._resume(process))
                return

    def _resume(self, process: Process) -> None:
        for job in list(process.scheduler.jobs.values()):
            process.scheduler.resume(job)

    def _unsettled(self) -> Iterator[str]:
        """What is still to be done."""
        world = self.world
        if world.problems:
            return
        if world.now < self.last_tick + 2 * SECOND or any(not process.is_open for process in world.processes):
            yield "there are ticks and starts to come"
        for run in self.ledger.runs.values():
            if run.status not in FINAL or run.stuck:
                yield f"{run.job_id} {run.id} is {run.status}, attempt {run.attempt}"
        for declared in self.versions[1]:
            yield from self._unclaimed(declared)
        for process in world.processes:
            node = process.node
            if node is not None and (node.services.calls or node.engine.performer.pending):
                yield f"{process.name} is at work"
            if node is not None and node.engine.performer.is_down:
                yield f"{process.name} has not found its store again"

    def _unclaimed(self, declared: Declaration) -> Iterator[str]:
        claim_id = declared.options.get("renamed_from", declared.id)
        known = self.ledger.jobs.get(claim_id)
        if known is None:
            yield f"{claim_id} is not declared"
        elif declared.trigger is not None:
            tick = declared.trigger.next_tick(known.watermark)
            if tick is not None and tick < self.last_tick:
                yield f"{claim_id} has not disposed of {(tick - START) / SECOND}"

    def _check_records(self) -> None:
        """Each run is on record as the ledger has it, or was pruned after it had ended (C1); all live (C6)."""
        for run in self.ledger.runs.values():
            row = self.store.run(run.id)
            if row is not None and row.status != run.status:
                self.world.problem("C1", f"{run.id} is {row.status} on record, and was {run.status}")
        rows = self.store.runs(limit=1_000_000)
        unknown = [row.id for row in rows if row.id not in self.ledger.runs]
        if unknown:
            self.world.problem("C1", f"nobody has made {unknown}")
        for process in self.world.processes:
            node = process.node
            if node is None or not node.is_alive or node.engine.performer.is_down:
                self.world.problem("C6", f"{process.name} does not go on")


def _next_version(random: Random, jobs: list[Declaration]) -> list[Declaration]:
    """What is deployed in the middle of a story: a job was rescheduled or renamed, or is new, or nothing has changed
    that a scheduler could see."""
    job, *others = jobs
    kind = random.choice(("rescheduled", "renamed", "new", "same"))
    if kind == "rescheduled":
        return [job._replace(trigger=draw_trigger(random)), *others]
    if kind == "renamed":
        return [job._replace(id="renamed", options={**job.options, "renamed_from": job.id}), *others]
    if kind == "new":
        return [*jobs, job._replace(id="new", trigger=draw_trigger(random))]
    return [*jobs]


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """Ids and tokens are drawn from the seed, and nobody is told of what goes wrong on purpose."""
    source = Random(f"ids:{seed}")
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    logging.getLogger("rota").addHandler(_NOBODY)
    try:
        with patch.object(identity, "_chance", source):
            yield
    finally:
        logging.getLogger("rota").removeHandler(_NOBODY)
        logging.disable(disabled)


_NOBODY = logging.StreamHandler()
"""Where there is a handler, Rota does not write to stderr by itself; it hears of nothing, since logging is disabled."""


@contextmanager
def _timers_of(world: World) -> Iterator[None]:
    """Those who watch trust end are woken by the time of the story."""

    class Timer:
        def __init__(self, seconds: float, do: Callable[[], object]) -> None:
            self.daemon = False
            self._seconds, self._do, self._is_cancelled = seconds, do, False

        def start(self) -> None:
            process = world.active
            assert process is not None
            world.after(process.machine.true_span(self._seconds * SECOND), self._ring, process)

        def cancel(self) -> None:
            self._is_cancelled = True

        def _ring(self) -> None:
            if not self._is_cancelled:
                self._do()

    before = leases.Timer
    leases.Timer = Timer  # type: ignore[assignment,misc]  # it has what is used of one
    try:
        yield
    finally:
        leases.Timer = before  # type: ignore[misc]  # as above
