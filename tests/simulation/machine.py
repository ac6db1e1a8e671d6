"""Machines: what clocks show on them.

Law: the wall clock is set, drifts and jumps; the boot clock drifts with it, since one quartz drives both, and never
jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

    from rota.ports import Driven, Executor

UP_FOR = 1_000_000_000
"""Microseconds for which a machine has been up when a story begins."""


class Machine:
    """`ppm`: by how many parts in a million its quartz is too fast. `offset`: by how much its wall clock is ahead."""

    def __init__(self, world: World, name: str, ppm: int, offset: int) -> None:
        self.name = name
        self.ppm = ppm
        self.offset = offset
        self._world = world
        self._start = world.now

    def boot(self) -> int:
        """Microseconds since it was booted, by its own quartz."""
        passed = self._world.now - self._start
        return UP_FOR + passed + passed * self.ppm // 1_000_000

    def wall(self) -> int:
        """What its wall clock shows."""
        return self._start + self.boot() - UP_FOR + self.offset

    def set_right(self) -> None:
        """Set the wall clock to the true time."""
        self.offset = 0
        self.offset = self._world.now - self.wall()

    def true_span(self, micros: float) -> int:
        """How long a span of its quartz really takes, and no less."""
        return int(micros * 1_000_000 / (1_000_000 + self.ppm)) + 1


class ProcessClock:
    """The clocks of a machine as one process has them: a `rota.ports.DrivenClock`, so that nobody starts a thread."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._machine = process.machine

    def now(self) -> int:
        return self._machine.wall()

    def monotonic(self) -> float:
        return self._machine.boot() / 1_000_000

    def boottime(self) -> float:
        return self._machine.boot() / 1_000_000

    def boot_id(self) -> str:
        return self._machine.name

    def executors(self) -> Mapping[str, Executor]:
        return self._process.executors

    def attach(self, driven: Driven, *, background: bool = False) -> None:
        """Nothing: the threads of a process are turned as in production, each by what it says itself."""

    def wait(self, is_over: Callable[[], bool], seconds: float) -> None:
        process = self._process
        process.world.sleep(process, self._machine.true_span(max(0.0, seconds) * 1_000_000), is_over)


class StoreClock:
    """The clock of the store's server: right, and nobody sets it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._start = world.now

    def now(self) -> int:
        return self._world.now

    def monotonic(self) -> float:
        return (UP_FOR + self._world.now - self._start) / 1_000_000

    def boottime(self) -> float:
        return self.monotonic()

    def boot_id(self) -> str:
        return "store"
