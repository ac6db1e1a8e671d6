"""A turn of the engine, by hand: what has ended is recorded, then what is due begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.hand_clock import HandClock

from rota import Scheduler
from rota.stores import MemoryStore

HOUR = 3_600_000_000


class SettableClock(HandClock):
    """Somebody may set its wall time."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


class ServerStore(MemoryStore):
    """A store with a clock of its own. `on_swap` is called when it has recorded an end."""

    shared = True  # type: ignore[assignment]  # a property there

    def on_swap(self) -> None:
        """Nothing yet."""

    def swap(self, swaps: Any) -> Any:
        answers = super().swap(swaps)
        self.on_swap()
        return answers


class LaterExecutor:
    """Calls are made when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def capacity(self) -> int:
        return 20

    def submit(self, calls: Any) -> None:
        self.calls += calls

    def end_all(self) -> None:
        """Make the calls that wait, and report."""
        calls, self.calls = self.calls, []
        for call in calls:
            call.done(call.invoke())

    def stop(self, call: Any, reason: str) -> bool:
        return False

    def abandon(self, call: Any) -> None:
        """Nothing to do."""

    def shutdown(self, timeout: float) -> None:
        """Nothing to let go of."""


class World:
    """A scheduler of two jobs, and what it is turned with."""

    def __init__(self) -> None:
        self.clock, self.executor = SettableClock(), LaterExecutor()
        self.store = ServerStore(HandClock())
        self.scheduler = Scheduler("turned", store=self.store, clock=self.clock, executors={"later": self.executor})
        self.scheduler.add(lambda: None, id="now", executor="later")
        self.scheduler.add(lambda: None, id="soon", executor="later")
        self.scheduler.run_due()
        node = self.scheduler._host.node
        assert node is not None
        self.engine = node.engine


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.executor.end_all()
    world.scheduler.shutdown(0)


def test_a_clock_that_is_set_while_an_end_is_recorded_begins_nothing_early(world):
    world.scheduler.enqueue("soon", delay=1_800)
    world.scheduler.run_now("now")
    world.engine.turn()
    assert [call.job.id for call in world.executor.calls] == ["now"]
    world.store.on_swap = lambda: setattr(world.clock, "ahead", HOUR)
    world.executor.end_all()
    for _ in range(3):
        world.engine.turn()
    assert not world.executor.calls
    assert [run.status for run in world.scheduler.runs("soon")] == ["queued"]


def test_only_with_a_call_at_work_does_the_engine_look_for_ends_before_it_wakes_up(world, monkeypatch):
    asked = []
    monkeypatch.setattr(world.engine.mailbox, "wait", lambda _seconds, *, for_ends: asked.append(for_ends))
    world.engine.wait(1.0)
    world.scheduler.run_now("now")
    world.engine.turn()
    world.engine.wait(1.0)
    assert asked == [False, True]
