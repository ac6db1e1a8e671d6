"""Point 15, of backends that forget names: fences grow all the same, and nothing that counts is forgotten."""

from __future__ import annotations

import threading
from pathlib import Path

from rota.ports import Claim, ForgetsLocks, LockBackend
from rota.testing.conformance._lock_case import IS_FULL, LockCase, LockFactory, new_token, until
from rota.testing.conformance._processes import compete

NAMES = ("one", "two", "three")
TAKERS = 3
TIMES = 100 if IS_FULL else 20


class LockForgetting(LockCase):
    """Fences grow though names are forgotten, and nothing that counts is."""

    def test_15_fence_grows_over_a_forgotten_release(self) -> None:
        fences = self._fences(expires=False)
        assert fences == sorted(set(fences))

    def test_15_fence_grows_over_a_forgotten_expiry(self) -> None:
        fences = self._fences(expires=True)
        assert fences == sorted(set(fences))

    def test_15_what_is_held_is_not_forgotten(self) -> None:
        token = new_token()
        grant = self.backend.acquire("a", token, 30.0)
        forget_all(self.backend)
        assert self.backend.acquire("a", new_token(), 30.0) is None
        assert self.backend.acquire("a", token, 30.0) == grant
        assert self.backend.renew("a", token, 30.0)
        assert self.backend.release("a", token)

    def test_15_a_forgotten_token_is_worth_nothing(self) -> None:
        token = new_token()
        assert self.backend.acquire("a", token, 30.0) is not None
        assert self.backend.release("a", token)
        forget_all(self.backend)
        assert not self.backend.renew("a", token, 30.0)
        assert not self.backend.release("a", token)

    def test_15_a_watermark_is_never_forgotten(self) -> None:
        token, tick = new_token(), self.now() - 1_000_000
        assert self.backend.claim([Claim("a", None, tick)])[0].verdict == "claimed"
        assert self.backend.acquire("a", token, 30.0) is not None
        assert self.backend.release("a", token)
        forget_all(self.backend)
        answer = self.backend.claim([Claim("a", None, tick)])[0]
        assert (answer.verdict, answer.watermark) == ("taken", tick)

    def test_15_a_batch_at_a_time_comes_to_an_end(self) -> None:
        for number in range(20):
            token = new_token()
            assert self.backend.acquire(f"name-{number}", token, 30.0) is not None
            assert number % 2 or self.backend.release(f"name-{number}", token)
        forget_all(self.backend, limit=3)

    def test_15_fence_grows_while_another_thread_forgets(self) -> None:
        backend, falls, done = self.open_real(), list[str](), list[bool]()

        def take() -> None:
            falls.extend(take_in_turn(backend, self.place, TIMES))
            done.append(True)

        threads = [threading.Thread(target=take) for _ in range(TAKERS)]
        for thread in threads:
            thread.start()
        assert until(lambda: len(done) == TAKERS or forget_all(backend))
        for thread in threads:
            thread.join(120)
        assert falls == []

    def test_15_fence_grows_while_another_process_forgets(self) -> None:
        arguments = [(type(self).factory, self.place, number) for number in range(TAKERS + 1)]
        assert compete(take_or_forget, arguments) == [[]] * (TAKERS + 1)

    def _fences(self, *, expires: bool) -> list[int]:
        """The fences of one name that was forgotten after each grant."""
        fences, ttl = list[int](), self.ttl(10.0)
        for _ in range(4):
            token = new_token()
            grant = self.open().acquire("a", token, ttl)
            assert grant is not None
            fences.append(grant.fence)
            if expires:
                self.pass_time(ttl * 1.05)
            else:
                assert self.backend.release("a", token)
            forget_all(self.open())
        return fences


def forget_all(backend: LockBackend, limit: int = 1000) -> bool:
    """Forget whatever may be forgotten. `False`, as an answer to whether there is anything left."""
    assert isinstance(backend, ForgetsLocks)
    assert until(lambda: not backend.forget_locks(limit))
    return False


def take_or_forget(factory: LockFactory, place: str, number: int) -> list[str]:
    """Take the names in turn; or, for number 0, forget them until all others are done. What fences have fallen."""
    backend, falls = factory(place, None), list[str]()
    done = [Path(f"{place}.done-{each}") for each in range(1, TAKERS + 1)]
    if number:
        falls = take_in_turn(backend, place, TIMES)
        done[number - 1].touch()
    else:
        assert until(lambda: all(path.exists() for path in done) or forget_all(backend), 120)
    backend.close()
    return falls


def take_in_turn(backend: LockBackend, place: str, times: int) -> list[str]:
    """Take each of the names so many times, and write its fence down while it is held; which fences are not above the
    one before."""
    falls = []
    for name in NAMES * times:
        token, fences = new_token(), list[int]()

        def is_taken(name: str = name, token: str = token, fences: list[int] = fences) -> bool:
            grant = backend.acquire(name, token, 30.0)
            fences += [] if grant is None else [grant.fence]
            return grant is not None

        assert until(is_taken, 120)
        last = Path(f"{place}.last-{name}")
        before = int(last.read_text()) if last.exists() else 0
        if fences[0] <= before:
            falls.append(f"{name}: {fences[0]} after {before}")
        last.write_text(str(fences[0]))
        assert backend.release(name, token)
    return falls
