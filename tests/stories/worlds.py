"""Worlds in which a story is told: one scheduler, some way of driving it, some store, and time that the story moves.

Law: a story sees only what a user sees. What differs from world to world is how time passes (`advance`), never what
comes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rota import RunRecord, Scheduler
from rota.testing import FakeClock, simulate
from rota.triggers.base import to_micros

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When every story begins: a Thursday, at midnight."""


def at(hours: float = 0, minutes: float = 0, seconds: float = 0) -> datetime:
    """So much after the beginning."""
    return START + timedelta(hours=hours, minutes=minutes, seconds=seconds)


class StillClock:
    """A clock that moves only by hand, and drives nothing: whoever moves it calls `run_due()`."""

    def __init__(self, start: datetime) -> None:
        self._start = to_micros(start)
        self._passed = 0

    def now(self) -> int:
        return self._start + self._passed

    def monotonic(self) -> float:
        return 1_000 + self._passed / 1_000_000

    def boottime(self) -> float:
        return self.monotonic()

    def boot_id(self) -> str:
        return "still"

    def move(self, micros: int) -> None:
        self._passed += micros


class World:
    """What a story is given. `scheduler` is not started before the first `start` or `advance`."""

    can_restart = True

    def __init__(self, store: str | None, **options: object) -> None:
        self.store = store
        self.clock = self._clock()
        self.scheduler = self.another(**options)

    def another(self, **options: object) -> Scheduler:
        """One more scheduler on the same store and clock, as another process has it."""
        given = {"clock": self.clock, **({"name": "story", "store": self.store} if self.store else {}), **options}
        return Scheduler(**given)

    def runs(self, job: object = None, **options: object) -> list[RunRecord]:
        """The records, oldest first."""
        records = self.scheduler.runs(job, limit=10_000, **options)[::-1]
        return sorted(records, key=lambda record: (record.scheduled_for or record.queued_at, record.queued_at))

    def told(self, job: object = None) -> list[tuple[float | None, str]]:
        """The tick of each record, in minutes from the beginning, and its status."""
        return [(minutes(record.scheduled_for), record.status) for record in self.runs(job)]

    def _clock(self) -> FakeClock | StillClock:
        raise NotImplementedError  # each world gives it

    def start(self) -> None:
        raise NotImplementedError  # each world gives it

    def stop(self) -> None:
        self.scheduler.shutdown(0)

    def advance(self, **span: float) -> None:
        """Let time pass, everything that comes due being done in order; nothing, where it is stopped."""
        raise NotImplementedError  # each world gives it

    def pass_time(self, seconds: float) -> None:
        """For a job at work: it takes so long."""
        raise NotImplementedError  # each world gives it

    def close(self) -> None:
        self.stop()


class Driven(World):
    """`start()` on a `FakeClock`, which drives inline."""

    def _clock(self) -> FakeClock:
        return FakeClock(START)

    def start(self) -> None:
        self.scheduler.start()
        self.clock.advance()

    def advance(self, **span: float) -> None:
        self.clock.advance(**span)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)


class Manual(World):
    """`run_due()` by hand, whenever it says that there is something to do."""

    _is_started = False

    def _clock(self) -> StillClock:
        return StillClock(START)

    def start(self) -> None:
        self._is_started = True
        self.scheduler.run_due()

    def stop(self) -> None:
        self._is_started = False
        super().stop()

    def advance(self, **span: float) -> None:
        until = self.clock.now() + timedelta(**span) // timedelta(microseconds=1)
        while True:
            left = until - self.clock.now()
            wait = round(self.scheduler.run_due() * 1_000_000) if self._is_started else left
            if not left:
                return
            self.clock.move(max(1, min(left, wait)))

    def pass_time(self, seconds: float) -> None:
        self.clock.move(round(seconds * 1_000_000))


class Simulated(World):
    """`simulate()` of the scheduler. It cannot be stopped and started again."""

    can_restart = False

    def __init__(self, store: str | None, **options: object) -> None:
        self._stack = ExitStack()
        self._simulation = None
        super().__init__(store, **options)

    def _clock(self) -> FakeClock:
        return FakeClock(START)

    def start(self) -> None:
        self._simulation = self._stack.enter_context(simulate(self.scheduler, start=START))
        self._simulation.advance()

    def advance(self, **span: float) -> None:
        self._simulation.advance(**span)

    def pass_time(self, seconds: float) -> None:
        self._simulation.advance(seconds=seconds)

    def close(self) -> None:
        self._stack.close()


KINDS = {"driven": Driven, "manual": Manual, "simulated": Simulated}


@contextmanager
def world(kind: str, directory: Path, **options: object) -> Iterator[World]:
    """A world by its name, such as `driven-memory` or `manual-sqlite`."""
    driver, _, store = kind.partition("-")
    made = KINDS[driver](f"sqlite:///{directory}/story.db" if store == "sqlite" else None, **options)
    try:
        yield made
    finally:
        made.close()


def minutes(moment: datetime | None) -> float | None:
    """How long after the beginning."""
    return None if moment is None else (moment - START) / timedelta(minutes=1)
