"""What happens in a story besides its ticks: processes die, stop and leave, clocks are set, people ask for things.

Law: a deed is drawn when its time has come, from what there is then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.jobs import draw_trigger

from rota.errors import BackendError, RotaError
from rota.triggers.base import from_micros

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.story import Story

SECOND = 1_000_000
JUMPS = (-86_400, -3_600, -40, -2, 2, 40, 3_600, 86_400)
SPANS = (500_000, 2 * SECOND, 4 * SECOND, 9 * SECOND)
SHUTDOWNS = (0.0, 0.5, 3.0, 6.0)


class Deeds:
    """Done on the processes and jobs of a story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._random = story.random
        self._world = story.world
        to_machines = (self._kill, self._kill, self._stop, self._stop, self._cut, self._store_down, self._jump)
        self._to_machines: tuple[Callable[[Process], object], ...] = (*to_machines, self._leave, self._leave)
        self._asked_for: tuple[Callable[[Process], object], ...] = (
            self._run_now,
            self._enqueue,
            self._enqueue,
            self._backfill,
            self._cancel,
            self._cancel,
            self._replay,
            self._pause,
            self._reschedule,
            self._remove,
            self._prune,
        )
        self._to_declarations = (self._reschedule, self._remove)

    def one(self) -> None:
        """One deed."""
        random, processes = self._random, [process for process in self._world.processes if process.is_open]
        if not processes:
            return
        process = random.choice(processes)
        if random.random() < 0.5:
            random.choice(self._to_machines)(process)
        else:
            deed = random.choice(self._asked_for)
            process.main(lambda: self._ask(process, deed))

    def _ask(self, process: Process, deed: Callable[[Process], object]) -> None:
        """What a person asks for may be refused, and is asked for once more when the store did not answer."""
        if not process.is_open or (self._story.workplace.is_calm and deed in self._to_declarations):
            return  # what a process that was stopped is told after the last deployment would stay
        self._world.note(process.name, "is asked to", getattr(deed, "__name__", "_resume").strip("_"))
        for _ in range(2):
            try:
                deed(process)
            except BackendError:
                self._world.note(process.name, "gave no answer")
            except RotaError as error:
                self._world.note(process.name, "refused", type(error).__name__)
                return
            else:
                return

    # To machines -----------------------------------------------------------------------------------------------------

    def _kill(self, process: Process) -> None:
        process.kill()
        self._boot_later(process)

    def _stop(self, process: Process) -> None:
        process.stop_for(self._random.choice(SPANS))

    def _cut(self, process: Process) -> None:
        process.cut_until = self._world.now + self._random.choice(SPANS)
        self._world.note(process.name, "is cut off until", process.cut_until)

    def _store_down(self, _: Process) -> None:
        span = self._random.choice((*SPANS, 9 * SECOND, 45 * SECOND))
        self._story.network.down_until = self._world.now + span
        self._world.note("the store is down until", self._story.network.down_until)

    def _jump(self, process: Process) -> None:
        span = self._random.choice(JUMPS) * SECOND
        process.machine.offset += span
        self._world.note(process.machine.name, "its clock jumps", span)
        if self._random.random() < 0.5:
            self._world.after(self._random.choice(SPANS), process.machine.set_right)

    def _leave(self, process: Process) -> None:
        process.main(lambda: process.shut_down(self._random.choice(SHUTDOWNS)))
        self._boot_later(process)

    def _boot_later(self, process: Process) -> None:
        after = self._random.choice((0, 700_000, 3 * SECOND, 8 * SECOND))
        for tries in range(4):
            self._world.after(after + tries * 2 * SECOND, lambda: self._story.boot(process.machine))

    # Asked for by people ---------------------------------------------------------------------------------------------

    def _job(self, process: Process) -> str:
        return self._random.choice(list(process.scheduler.jobs))

    def _run(self) -> str:
        runs = self._story.ledger.runs
        return self._random.choice(list(runs)) if runs else ""

    def _run_now(self, process: Process) -> None:
        process.scheduler.run_now(self._job(process))

    def _enqueue(self, process: Process) -> None:
        key = self._random.choice((None, "k1", "k2", "k3"))
        process.scheduler.enqueue("asked", key=key, delay=self._random.choice((None, 0, 2.5)))

    def _backfill(self, process: Process) -> None:
        now = process.clock.now()
        start, end = from_micros(now - self._random.choice((5, 15)) * SECOND), from_micros(now)
        only = self._random.choice(("unsucceeded", "missing", "all"))
        process.scheduler.backfill(self._job(process), start, end, only=only, max_running=self._random.choice((1, 3)))

    def _cancel(self, process: Process) -> None:
        process.scheduler.cancel(self._run())

    def _replay(self, process: Process) -> None:
        ended = [run.id for run in self._story.ledger.runs.values() if run.status in ("failed", "lost", "timed_out")]
        if ended:
            process.scheduler.replay(self._random.choice(ended))

    def _pause(self, process: Process) -> None:
        job = self._job(process)
        process.scheduler.pause(job, "to see")
        if self._random.random() < 0.7:
            span = self._random.choice(SPANS)
            resume = partial(self._ask, process, partial(self._resume, job=job))
            self._world.after(span, lambda: process.main(resume))

    def _resume(self, process: Process, job: str) -> None:
        process.scheduler.resume(job)

    def _reschedule(self, process: Process) -> None:
        job = self._job(process)
        if process.scheduler.jobs[job].trigger is not None:
            process.is_changed = True
            process.scheduler.reschedule(job, draw_trigger(self._random))

    def _remove(self, process: Process) -> None:
        job = self._job(process)
        if job != "asked" and len(process.scheduler.jobs) > 2:
            process.is_changed = True
            process.scheduler.remove(job)

    def _prune(self, process: Process) -> None:
        node = process.node
        assert node is not None
        node.engine.post(node.engine.housekeeping.prune)
