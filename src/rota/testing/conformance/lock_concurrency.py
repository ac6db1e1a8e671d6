"""Points 29, 36, 37 and 41 to 44: many at once, some of them stopped, forked or killed."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from rota.clock import SystemClock
from rota.errors import LockBackendError
from rota.ports import LockBackend
from rota.testing.conformance._lock_case import IS_FULL, SHORT, LockCase, LockFactory, new_token, until, wait
from rota.testing.conformance._processes import compete, spawn

WRITERS = 8 if IS_FULL else 4
WRITES = 100 if IS_FULL else 25
STORM_SECONDS = 60.0 if IS_FULL else 2.5
STORM_LEASE = 0.3


class LockConcurrency(LockCase):
    """Many at once, some of them stopped, forked or killed."""

    def test_29_a_holder_that_was_stopped_has_lost(self) -> None:
        other, backend, token = self.peer(), self.open_real(), new_token()
        first = other.call("acquire", "a", token, SHORT)
        other.pause()
        try:
            other.start("renew", "a", token, SHORT)
            taken: list[int] = []
            assert until(lambda: _take(backend, taken), 50 * SHORT)
        finally:
            other.resume()
        assert other.answer() is False
        assert other.call("release", "a", token) is False
        assert taken[0] > first.fence
        assert backend.acquire("a", new_token(), 30.0) is None

    def test_36_threads_exclude_one_another(self) -> None:
        backend, total = self.open_real(), Path(f"{self.place}.total")
        total.write_text("0")
        threads = [threading.Thread(target=_add_up, args=(backend, total, WRITES)) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert int(total.read_text()) == WRITERS * WRITES

    def test_37_processes_exclude_one_another(self) -> None:
        total = Path(f"{self.place}.total")
        total.write_text("0")
        compete(add_up, [(type(self).factory, self.place, str(total), WRITES) for _ in range(WRITERS)])
        assert int(total.read_text()) == WRITERS * WRITES

    def test_41_killed_holders_never_overlap(self) -> None:
        ledger, seed = Path(f"{self.place}.ledger"), 41
        ledger.touch()
        chance, clock = random.Random(seed), SystemClock()  # noqa: S311  # a storm is drawn with a fixed seed
        end = clock.monotonic() + STORM_SECONDS
        holders = [spawn(hold, type(self).factory, self.place, str(ledger)) for _ in range(4)]
        try:
            while clock.monotonic() < end:
                wait(0.2)
                number = chance.randrange(len(holders))
                holders[number].kill()
                holders[number].join(10)
                holders[number] = spawn(hold, type(self).factory, self.place, str(ledger))
        finally:
            for holder in holders:
                holder.kill()
                holder.join(10)
        held = [line.split() for line in ledger.read_text().splitlines() if line.count(" ") == 2]
        spans = sorted((int(fence), float(start), float(trusted)) for fence, start, trusted in held)
        assert len({fence for fence, _, _ in spans}) == len(spans)
        for (_, _, trusted), (fence, start, _) in pairwise(spans):
            assert start >= trusted, f"fence {fence} was granted while the one before was trusted (seed {seed})"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_42_a_forked_child_does_no_harm(self) -> None:
        backend, token = self.open_real(), new_token()
        assert backend.acquire("a", token, 30.0) is not None

        def child() -> bool:
            fine = backend.acquire("a", new_token(), 30.0) is None
            return fine and backend.acquire("b", new_token(), 30.0) is not None and not backend.release("a", "foreign")

        assert _forked(child)
        assert backend.renew("a", token, 30.0)
        assert backend.release("a", token)
        if not self.capabilities.is_one_object:
            assert backend.acquire("b", new_token(), 30.0) is None

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_42_a_fork_in_the_middle_of_calls_harms_neither_side(self) -> None:
        backend, stop, failures = self.open_real(), threading.Event(), []

        def work() -> None:
            # The pause leaves the child its turn: a backend's fairness under saturation is not what is asked here.
            while not stop.wait(0.002):
                token = new_token()
                if backend.acquire("busy", token, 30.0) is not None and not backend.release("busy", token):
                    failures.append(token)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(5):
                assert _forked(lambda: _is_granted(backend, f"child-{os.getpid()}")), number
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        assert not failures

    def test_43_threads_and_a_loop_mixed(self) -> None:
        backend, total = self.open_real(), Path(f"{self.place}.total")
        total.write_text("0")

        async def add_up_on_a_loop() -> None:
            await asyncio.gather(*(asyncio.to_thread(_add_up, backend, total, 10) for _ in range(2)))

        thread = threading.Thread(target=_add_up, args=(backend, total, 10))
        thread.start()
        asyncio.run(add_up_on_a_loop())
        thread.join(120)
        assert int(total.read_text()) == 30

    def test_44_nothing_leaks(self) -> None:
        backend = self.open_real()
        cycles = self.capabilities.cycles if IS_FULL else min(self.capabilities.cycles, 300)
        _cycle(backend, 20)
        before = (threading.active_count(), _open_files())
        _cycle(backend, cycles)
        workers = [threading.Thread(target=backend.release, args=("a", "none")) for _ in range(20)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        backend.close()
        assert threading.active_count() <= before[0]
        assert _open_files() <= before[1] + 2


def add_up(factory: LockFactory, place: str, total: str, times: int) -> None:
    """Read, add one and write back, so many times, each under the lock."""
    backend = factory(place, None)
    _add_up(backend, Path(total), times)
    backend.close()


def hold(factory: LockFactory, place: str, ledger: str) -> None:
    """Hold the lock again and again until killed, and write down each fence with the span it was trusted in."""
    backend, clock = factory(place, None), SystemClock()
    while True:
        token = new_token()
        asked = clock.boottime()
        grant = backend.acquire("a", token, STORM_LEASE)
        if grant is None:
            wait(0.01)
            continue
        start = clock.boottime()
        with Path(ledger).open("a") as file:
            file.write(f"{grant.fence} {start:.6f} {min(asked + STORM_LEASE, start + 0.05):.6f}\n")
        wait(0.05)
        backend.release("a", token)


def _cycle(backend: LockBackend, times: int) -> None:
    for _ in range(times):
        token = new_token()
        assert backend.acquire("a", token, 30.0) is not None
        assert backend.release("a", token)


def _add_up(backend: LockBackend, total: Path, times: int) -> None:
    for _ in range(times):
        token = new_token()
        assert until(lambda token=token: backend.acquire("sum", token, 30.0) is not None, 120)  # type: ignore[misc]  # bound in the loop
        total.write_text(str(int(total.read_text()) + 1))
        assert backend.release("sum", token)


def _take(backend: LockBackend, fences: list[int]) -> bool:
    grant = backend.acquire("a", new_token(), 30.0)
    if grant is not None:
        fences.append(grant.fence)
    return grant is not None


def _is_granted(backend: LockBackend, name: str) -> bool:
    """Whether a lock that nobody holds is granted; where the answer is an error, it is asked for again."""
    token = new_token()

    def is_granted() -> bool:
        with suppress(LockBackendError):
            return backend.acquire(name, token, 30.0) is not None
        return False

    return until(is_granted)


def _forked(work: Callable[[], bool]) -> bool:
    """Whether `work` said yes in a forked child, within a deadline."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:  # noqa: BLE001  # the child must never come back into the test run
            os.write(2, traceback.format_exc().encode())
            os._exit(2)
    status: list[int] = []

    def has_ended() -> bool:
        pid, code = os.waitpid(child, os.WNOHANG)
        status.extend([code] if pid else [])
        return bool(status)

    if not until(has_ended):
        os.kill(child, 9)
        os.waitpid(child, 0)
        return False
    return os.waitstatus_to_exitcode(status[0]) == 0


def _open_files() -> int:
    directory = Path("/proc/self/fd")
    return len(list(directory.iterdir())) if directory.is_dir() else 0
