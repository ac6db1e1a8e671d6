"""Leases and claims in the memory of one process: the reference model of `rota.ports.LockBackend`.

Law: every answer is given under one mutex, by the clock that was passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from rota.backends.checks import checked_ttl, name_bytes
from rota.backends.embedded_clock import EmbeddedClock, Moment
from rota.backends.fork_safety import ForkSafeLock
from rota.backends.rules import judge_claim
from rota.ports import Claim, ClaimAnswer, Clock, Grant, Guarantee


class _Lease:
    __slots__ = ("fence", "token", "until")

    def __init__(self, fence: int) -> None:
        self.fence = fence
        self.token: str | None = None
        self.until = 0.0

    def is_held_by(self, token: str, boot: float) -> bool:
        return self.token == token and boot < self.until


class MemoryLocks:
    """Locks among the threads and loops of this process, or the simulated nodes that share the object.

    A fence lives as long as the object does.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = EmbeddedClock(clock)
        self._mutex = ForkSafeLock()
        self._leases: dict[str, _Lease] = {}
        self._fence_floor = 0
        self._watermarks: dict[str, int] = {}

    @property
    def guarantee(self) -> Guarantee:
        return "correctness"

    def follow_clock(self, clock: Clock) -> bool:
        """Go by the clock of a scheduler, if none was given."""
        self._clock.follow(clock)
        return True

    def acquire(self, name: str, token: str, ttl: float) -> Grant | None:
        name_bytes(name)
        ttl = checked_ttl(ttl)
        with self._mutex.lock:
            lease = self._leases.get(name)
            if lease is None:
                lease = self._leases[name] = _Lease(self._fence_floor)
            boot = self._clock.boottime()
            if lease.token is not None and boot < lease.until:
                if lease.token != token:
                    return None
            else:
                lease.fence += 1
            lease.token, lease.until = token, boot + ttl
            return Grant(lease.fence, ttl)

    def renew(self, name: str, token: str, ttl: float) -> bool:
        name_bytes(name)
        ttl = checked_ttl(ttl)
        with self._mutex.lock:
            lease = self._leases.get(name)
            boot = self._clock.boottime()
            if lease is None or not lease.is_held_by(token, boot):
                return False
            lease.until = boot + ttl
            return True

    def release(self, name: str, token: str) -> bool:
        name_bytes(name)
        with self._mutex.lock:
            lease = self._leases.get(name)
            if lease is None or not lease.is_held_by(token, self._clock.boottime()):
                return False
            lease.token = None
            return True

    def forget_locks(self, limit: int = 1000) -> bool:
        with self._mutex.lock:
            boot = self._clock.boottime()
            free = (name for name, lease in self._leases.items() if lease.token is None or lease.until <= boot)
            forgotten = list(islice(free, limit))
            for name in forgotten:
                self._fence_floor = max(self._fence_floor, self._leases.pop(name).fence)
            return len(forgotten) == limit

    def claim(self, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        for claim in claims:
            name_bytes(claim.name)
        with self._mutex.lock:
            moment = self._clock.observe()
            return [self._claim(claim, moment) for claim in claims]

    def close(self) -> None:
        """Nothing to let go of."""

    def _claim(self, claim: Claim, moment: Moment) -> ClaimAnswer:
        answer = judge_claim(claim, self._watermarks.get(claim.name), moment)
        if answer.verdict == "claimed":
            self._watermarks[claim.name] = claim.tick
        return answer
