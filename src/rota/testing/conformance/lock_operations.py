"""Points 38 and 45 to 48: set-up in many processes at once, and who else uses the same storage."""

from __future__ import annotations

import pytest

from rota.errors import LockBackendError
from rota.ports import Claim, ForgetsLocks, LockBackend
from rota.testing.conformance._lock_case import LockCase, LockFactory, new_token
from rota.testing.conformance._processes import compete


class LockOperations(LockCase):
    """Set-up in many processes at once, and who else uses the same storage."""

    def test_38_a_transaction_of_the_program_takes_nothing_back(self) -> None:
        assert self.capabilities.transaction is not None
        tick, token = self.now() - 1_000_000, new_token()
        assert self.backend.acquire("before", new_token(), 30.0) is not None
        with self.capabilities.transaction(self.place):
            first = self.backend.acquire("a", token, 30.0)
            assert first is not None
            assert self.backend.claim([Claim("a", None, tick)])[0].verdict == "claimed"
            assert self.open().acquire("a", new_token(), 30.0) is None
        assert self.open().claim([Claim("a", None, tick)])[0].verdict == "taken"
        assert self.backend.renew("a", token, 30.0)
        assert self.backend.release("a", token)
        second = self.backend.acquire("a", new_token(), 30.0)
        assert second is not None
        assert second.fence > first.fence

    def test_45_set_up_twice(self) -> None:
        self.open().acquire("a", new_token(), 30.0)
        self.open().acquire("b", new_token(), 30.0)

    def test_45_set_up_in_many_processes_at_once(self) -> None:
        arguments = [(type(self).factory, self.place, f"name-{number}") for number in range(4)]
        assert compete(set_up, arguments) == [True] * 4

    def test_46_an_unusable_store_is_a_typed_error(self) -> None:
        assert self.capabilities.break_storage is not None
        self.backend.acquire("a", new_token(), 30.0)
        self.backend.close()
        with self.capabilities.break_storage(self.place), pytest.raises(LockBackendError):
            self.open().acquire("a", new_token(), 30.0)

    def test_47_a_misconfigured_server_is_refused(self) -> None:
        for factory in self.capabilities.misconfigured:
            with pytest.raises((LockBackendError, ValueError)):
                factory(self.place, None).acquire("a", new_token(), 30.0)

    def test_48_two_versions_share_a_store(self) -> None:
        other, token, tick = self.open_other_version(), new_token(), self.now() - 1_000_000
        first = self.backend.acquire("a", token, 30.0)
        assert first is not None
        assert other.acquire("a", new_token(), 30.0) is None
        assert other.renew("a", token, 30.0)
        assert self.backend.release("a", token)
        second = other.acquire("a", new_token(), 30.0)
        assert second is not None
        assert second.fence > first.fence
        assert self.backend.acquire("a", new_token(), 30.0) is None
        assert other.claim([Claim("a", None, tick)])[0].verdict == "claimed"
        assert self.backend.claim([Claim("a", None, tick)])[0].verdict == "taken"
        assert self.backend.claim([Claim("a", tick, tick + 1)])[0].verdict == "claimed"

    def test_50_it_is_a_lock_backend(self) -> None:
        assert isinstance(self.backend, LockBackend)
        assert isinstance(self.backend, ForgetsLocks) == self.capabilities.forgets_locks


def set_up(factory: LockFactory, place: str, name: str) -> bool:
    """Open the backend where perhaps nobody has yet, and use it."""
    backend = factory(place, None)
    is_granted = backend.acquire(name, new_token(), 30.0) is not None
    backend.close()
    return is_granted
