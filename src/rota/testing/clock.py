"""`FakeClock`: a clock that stands still until a test moves it, and then turns whatever is due on the way.

Law: time never jumps past something that is due. A move goes from wake-up to wake-up, and at each instant everything
is turned until nothing is due there any more. A job at work that moves the clock itself only lets time pass: it is that
job which takes so long, and nothing but renewals happens meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError, StateError
from rota.testing.instants import forward_span, instant, span
from rota.testing.interrupts import CtrlC
from rota.triggers.base import from_micros

if TYPE_CHECKING:
    from rota.ports import Driven, Executor

BOOTED_AT: Final = -1_000_000_000
"""The instant of the boot, in microseconds: the same for all clocks, so that a test may model a restart by another one
that starts later."""

MOST_MOVES: Final = 10_000
"""Moves of the clock by jobs, within one of the test, after which time runs away."""

MOST_TURNS: Final = 100_000
"""Turns at one instant after which something goes round in circles."""


class FakeClock:
    """A clock for `Scheduler(clock=…)`: `start()` then starts no thread, and `advance` runs what comes due, inline.

    ::

        clock = FakeClock("2026-03-01T00:00Z")
        scheduler = Scheduler(clock=clock)
        scheduler.add(backup, Cron("0 2 * * *"))
        scheduler.start()
        clock.advance(days=1)
        assert [run.status for run in scheduler.runs()] == ["succeeded"]

    `start`: an aware datetime, or ISO text with an offset (else `ConfigurationError`). Python's own clock is untouched:
    a job reads `run.now()`.
    """

    def __init__(self, start: datetime | str) -> None:
        self._wall = instant(start, "FakeClock: start")
        self._boot = self._wall - BOOTED_AT
        self._driven: list[Driven] = []
        self._background: list[Driven] = []
        self._mutex = threading.RLock()
        self._turner: int | None = None
        self._moves = 0

    # For tests -------------------------------------------------------------------------------------------------------

    @property
    def time(self) -> datetime:
        """What the clock shows, aware UTC."""
        return from_micros(self._wall)

    def advance(self, **timedelta: float) -> None:
        """Let time pass, running what comes due in order: `clock.advance(days=1, hours=2)`.

        Without arguments: run what is due now. `ConfigurationError` for a negative span.
        """
        self._advance(forward_span("advance", timedelta))

    def advance_to(self, when: datetime | str, tz: str | ZoneInfo | None = None) -> None:
        """Let time pass until an instant: an aware datetime or ISO text with an offset; a naive one is read in `tz`."""
        self._advance(self._until(when, tz))

    def step(self, **timedelta: float) -> None:
        """Set the wall clock forward, or back with negative numbers, as NTP or a person does: no time passes."""
        with self._mutex:
            self._wall += span("step", timedelta)

    def passing(self, micros: int) -> Iterator[None]:
        """Let so many microseconds pass, coming back at each instant at which something was turned."""
        if self._turner == threading.get_ident():
            self._pass_alone(micros)
            return
        until = self._boot + micros
        self._turn_all()
        while True:
            yield
            # Whoever went on meanwhile may have left something to do now, so it is looked for anew.
            wakeup = self._settle()
            if not self._jump(wakeup, until):
                self._look_after()
                return
            self._settle()

    # For a scheduler: `rota.ports.DrivenClock` -----------------------------------------------------------------------

    def now(self) -> int:
        """UTC microseconds since 1970; `time` is the same as a datetime."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds that move with `advance`, and not with `step`."""
        return self._boot / 1_000_000

    def boottime(self) -> float:
        """As `monotonic`."""
        return self._boot / 1_000_000

    def boot_id(self) -> str:
        """Always the same: this machine never restarts."""
        return "fake-boot"

    def executors(self) -> Mapping[str, Executor]:
        """Executors that call everything in the thread that moves the clock."""
        from rota.testing.executors import inline_executors  # it imports the engine

        return inline_executors(self)

    def attach(self, driven: Driven, *, background: bool = False) -> None:
        """Turn it whenever time moves, as long as it is alive. `background`: also while a job at work moves time."""
        with self._mutex:
            (self._background if background else self._driven).append(driven)

    def wait(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Let time pass until `is_over()`, at most so many seconds."""
        for _ in self.passing(round(max(0.0, seconds) * 1_000_000)):
            if is_over():
                return

    # Inside ----------------------------------------------------------------------------------------------------------

    def _advance(self, micros: int) -> None:
        if self._turner == threading.get_ident():
            self._pass_alone(micros)
            return
        with self._mutex, CtrlC() as ctrl_c:
            until = self._boot + micros
            wakeup = self._turn_all()
            while not ctrl_c.pressed and self._jump(wakeup, until):
                wakeup = self._settle()
            self._look_after()

    def _until(self, when: datetime | str, tz: str | ZoneInfo | None) -> int:
        """The microseconds from now to an instant."""
        micros = instant(when, "advance_to: when", tz) - self._wall
        if micros < 0:
            raise ConfigurationError(
                f"advance_to: time does not go back; it is {self.time.isoformat()}, and {when} is past"
            )
        return micros

    def _turn_all(self) -> int | None:
        """Turn everything alive once, whatever it says of its next wake-up, and then what is due."""
        with self._turning():
            self._driven = [driven for driven in self._driven if driven.is_alive]
            self._background = [driven for driven in self._background if driven.is_alive]
            self._moves = 0
            for driven in self._all():
                driven.turn()
            return self._settled()

    def _settle(self) -> int | None:
        """Turn what is due until nothing is; the next wake-up."""
        with self._turning():
            return self._settled()

    def _settled(self) -> int | None:
        for _ in range(MOST_TURNS):
            has_turned, wakeup = self._turn_due(self._all())
            if not has_turned:
                return wakeup
        raise StateError(
            f"at {self.time.isoformat()} there is something to do for ever: a job that snoozes for no time, say"
        )

    def _look_after(self) -> None:
        """Let whoever was idle on the way show that it lives, and tidy up."""
        with self._turning():
            for driven in self._all():
                if driven.is_alive:
                    driven.turn()
            self._settled()

    def _turn_due(self, among: list[Driven]) -> tuple[bool, int | None]:
        """Turn what is due, once; whether there was any, and the next wake-up of the rest."""
        has_turned, nearest = False, None
        for driven in among:
            if not driven.is_alive:
                continue
            wakeup = driven.next_wakeup()
            if wakeup is None:
                continue
            if wakeup <= self._wall:
                driven.turn()
                has_turned = True
            elif nearest is None or wakeup < nearest:
                nearest = wakeup
        return has_turned, nearest

    def _jump(self, wakeup: int | None, until: int) -> bool:
        """Go to a wake-up. `False`: it lies behind the end, and it is the end now."""
        left = until - self._boot
        is_before = wakeup is not None and wakeup - self._wall <= left
        self._move(wakeup - self._wall if wakeup is not None and is_before else left)
        return is_before

    def _pass_alone(self, micros: int) -> None:
        """Let time pass for the job at work; only what has a thread of its own in production goes on."""
        self._moves += 1
        if self._moves > MOST_MOVES:
            raise StateError("jobs move the clock for ever: they take longer than the time to their next tick")
        until = self._boot + micros
        while True:
            has_turned, wakeup = self._turn_due(self._background)
            if not has_turned and not self._jump(wakeup, until):
                return

    def _all(self) -> list[Driven]:
        """Loops come after the nodes that use them, and are turned before: what ends at an instant is out of the way of
        what begins at it."""
        return [*self._background, *reversed(self._driven)]

    def _move(self, micros: int) -> None:
        if micros > 0:
            self._wall += micros
            self._boot += micros

    @contextmanager
    def _turning(self) -> Iterator[None]:
        """Know the thread that turns."""
        with self._mutex:
            self._turner = threading.get_ident()
            try:
                yield
            finally:
                self._turner = None

    def __repr__(self) -> str:
        return f"<FakeClock {self.time.isoformat()}>"
