"""Points 30 and 31: whoever holds a lease stops trusting it before the backend can give it to another.

It is Rota's own holder that is looked at, by a clock that the test moves, on the backend at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rota.drivers.named_locks import LockServices, NamedLock
from rota.drivers.renewal import Renewal
from rota.errors import LockBackendError
from rota.ports import LockBackend
from rota.testing.conformance._clock import ContractClock
from rota.testing.conformance._lock_case import LockCase, new_token

TTL: Final = 30.0
TRUSTED: Final = 27.0
"""Seconds after it was asked for, or asked to be renewed, for which a lease of `TTL` is trusted."""

NAME: Final = "contract/lock/a"


class Holder:
    """A named lock whose renewals are made by hand."""

    def __init__(self, locks: LockBackend, clock: ContractClock) -> None:
        self._clock = clock
        self._renewal = Renewal(clock, threaded=False)
        self.lock = NamedLock(LockServices("contract", locks, clock, self._renewal), "a", ttl=TTL)

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass for the holder."""
        self._clock.advance(seconds)

    def renew(self) -> None:
        """Renew what is due."""
        self._renewal.renew_due(self._clock.monotonic())


class Wire:
    """Lies between the holder and the locks: a renewal goes through `renewal`, everything else straight on."""

    def __init__(self, locks: LockBackend) -> None:
        self.guarantee = locks.guarantee
        self.acquire, self.release = locks.acquire, locks.release
        self.claim, self.close = locks.claim, locks.close
        self.renewal: Callable[[str, str, float], bool] = locks.renew

    def renew(self, name: str, token: str, ttl: float) -> bool:
        """By way of `renewal`."""
        return self.renewal(name, token, ttl)


def unreachable(name: str, token: str, ttl: float) -> bool:
    """A renewal that does not get through."""
    raise LockBackendError(f"{name} cannot be renewed by {token} for {ttl:g} s: the wire is cut")


class LockHolders(LockCase):
    """Whoever holds a lease stops trusting it before the backend can give it to another."""

    def test_30_a_slow_renewal_is_trusted_from_when_it_was_asked_for(self) -> None:
        wire = Wire(self.backend)
        holder = Holder(wire, self._holders_clock())

        def slowly(name: str, token: str, ttl: float) -> bool:
            answer = self.backend.renew(name, token, ttl)
            holder.let_pass(5.0)
            return answer

        wire.renewal = slowly
        with holder.lock as lease:
            holder.let_pass(TTL / 3)
            holder.renew()
            holder.let_pass(TRUSTED - 5.0 - 0.5)
            held = [lease.held]
            holder.let_pass(1.0)
            assert [*held, lease.held] == [True, False]
            assert self.open().acquire(NAME, new_token(), TTL) is None

    def test_31_a_lease_that_is_not_renewed_is_lost_before_another_can_have_it(self) -> None:
        wire = Wire(self.backend)
        wire.renewal = unreachable
        holder = Holder(wire, self._holders_clock())
        with holder.lock as lease:
            for _ in range(int(TRUSTED) - 1):
                holder.let_pass(1.0)
                holder.renew()
            held = [lease.held]
            holder.let_pass(1.5)
            assert [*held, lease.held] == [True, False]
            assert self.open().acquire(NAME, new_token(), TTL) is None

    def _holders_clock(self) -> ContractClock:
        """The clock of the holder, and of the backend only where it takes one."""
        return self.clock
