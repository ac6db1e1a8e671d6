"""What every test of a lock backend stands on: the backend at a place of its own, and time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest

from rota.clock import SystemClock
from rota.ports import Clock, LockBackend
from rota.testing.conformance._clock import ContractClock
from rota.testing.conformance._processes import Peer, peer

LockFactory = Callable[[str, Clock | None], LockBackend]
Disturbance = Callable[[str], AbstractContextManager[object]]
"""Given the place, disturbs what the backend there relies on for as long as the context lasts."""

IS_FULL = os.environ.get("ROTA_CONFORMANCE") == "full"
"""Whether storms run at full length."""

SHORT = 0.4
"""Seconds of the shortest lease in tests by the real clock."""


@dataclass(frozen=True, slots=True)
class LockCapabilities:
    """What a backend is, so that only the points that apply to it are collected.

    `takes_clock`: it goes by the clock handed to the factory. `is_one_object`: it lives in one object; opening it twice
    would give two. `forgets_locks`: it forgets names that nobody holds (`ForgetsLocks`). `names`, `cycles`: how many of
    them the tests of plenty use. `declared_ttls`: the shortest and the longest time to live it takes, in seconds.

    Where given, `restart` restarts the server, `end_sessions` ends the backend's sessions on it, `step_server_clock`
    steps its clock by so many seconds; `hang` keeps it from answering, `break_storage` makes it unusable; `transaction`
    begins a transaction of the program's own on the same database, in the thread that calls, and rolls it back at the
    end; `other_version` makes the backend as another version of its library does; each of `misconfigured` makes a
    backend that must be refused.
    """

    takes_clock: bool = True
    is_one_object: bool = False
    forgets_locks: bool = False
    names: int = 100_000
    cycles: int = 10_000
    declared_ttls: tuple[float, float] = (0.05, 86_400.0)
    restart: Callable[[str], None] | None = None
    end_sessions: Callable[[str], None] | None = None
    step_server_clock: Callable[[str, float], None] | None = None
    hang: Disturbance | None = None
    break_storage: Disturbance | None = None
    transaction: Disturbance | None = None
    other_version: LockFactory | None = None
    misconfigured: Sequence[LockFactory] = ()


def new_token() -> str:
    """128 random bits, for one acquisition."""
    return uuid4().hex


class LockCase:
    """Gives each test `backend` at `place`, by `clock` where it takes one."""

    factory: ClassVar[LockFactory]
    capabilities: ClassVar[LockCapabilities] = LockCapabilities()

    place: str
    clock: ContractClock
    backend: LockBackend

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> Iterator[None]:
        self.place = str(tmp_path / f"locks-{uuid4().hex[:8]}")
        self.clock = ContractClock()
        self._opened: list[LockBackend] = []
        self.backend = self.open()
        yield
        for opened in self._opened:
            opened.close()

    def open(self, clock: Clock | None = None) -> LockBackend:
        """The backend as another part of the program would open it; the same one where it is one object."""
        if self.capabilities.is_one_object and self._opened:
            return self._opened[0]
        given = (clock or self.clock) if self.capabilities.takes_clock else None
        return self._keep(given)

    def open_real(self) -> LockBackend:
        """The backend by the real clock."""
        return self._keep(None)

    def open_other_version(self) -> LockBackend:
        """The backend as another version of its library opens it."""
        assert self.capabilities.other_version is not None
        backend = self.capabilities.other_version(self.place, self.clock if self.capabilities.takes_clock else None)
        self._opened.append(backend)
        return backend

    def peer(self) -> Peer:
        """Another process with the backend at the same place, by the real clock."""
        other = peer()
        other.open(type(self).factory, self.place)
        return other

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass for the backend."""
        if self.capabilities.takes_clock:
            self.clock.advance(seconds)
        else:
            wait(seconds)

    def ttl(self, seconds: float) -> float:
        """A time to live; short where the test has to wait for it."""
        return seconds if self.capabilities.takes_clock else SHORT * seconds / 10

    def now(self) -> int:
        """The wall clock that the backend should go by, microseconds."""
        return self.clock.now() if self.capabilities.takes_clock else SystemClock().now()

    def _keep(self, clock: Clock | None) -> LockBackend:
        backend = type(self).factory(self.place, clock)
        self._opened.append(backend)
        return backend


def wait(seconds: float) -> None:
    """Let real time pass."""
    threading.Event().wait(seconds)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Look again and again until it holds, for at most so long."""
    clock = SystemClock()
    end = clock.monotonic() + seconds
    while not condition():
        if clock.monotonic() > end:
            return False
        wait(0.005)
    return True
