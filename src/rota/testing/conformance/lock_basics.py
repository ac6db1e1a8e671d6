"""Points 1 to 7, 27, 28, 32 and 35: leases are given, kept and freed in time."""

from __future__ import annotations

import pytest

from rota.clock import SystemClock
from rota.testing.conformance._lock_case import SHORT, LockCase, new_token, until


class LockBasics(LockCase):
    """Leases are given, kept and freed in time."""

    def test_01_acquire_and_release(self) -> None:
        token = new_token()
        grant = self.backend.acquire("a", token, 30.0)
        assert grant is not None
        assert grant.fence >= 1
        assert grant.ttl == pytest.approx(30.0)
        assert self.backend.renew("a", token, 30.0)
        assert self.backend.release("a", token)
        assert self.backend.guarantee in {"correctness", "efficiency"}

    def test_02_second_acquire_is_held(self) -> None:
        assert self.backend.acquire("a", new_token(), 30.0) is not None
        assert self.open().acquire("a", new_token(), 30.0) is None

    def test_02_second_acquire_is_held_across_processes(self) -> None:
        other, token = self.peer(), new_token()
        assert other.call("acquire", "a", token, 30.0) is not None
        backend = self.open_real()
        assert backend.acquire("a", new_token(), 30.0) is None
        assert other.call("release", "a", token)
        assert backend.acquire("a", new_token(), 30.0) is not None

    def test_03_names_are_independent(self) -> None:
        assert self.backend.acquire("a", new_token(), 30.0) is not None
        assert self.backend.acquire("b", new_token(), 30.0) is not None

    def test_04_lock_again_after_release(self) -> None:
        for _ in range(100):
            token = new_token()
            assert self.backend.acquire("a", token, 30.0) is not None
            assert self.backend.release("a", token)

    def test_05_expiry_frees(self) -> None:
        ttl = self.ttl(10.0)
        assert self.backend.acquire("a", new_token(), ttl) is not None
        self.pass_time(ttl * 1.05)
        assert self.backend.acquire("a", new_token(), ttl) is not None

    def test_05_expiry_frees_across_processes(self) -> None:
        other, backend = self.peer(), self.open_real()
        assert other.call("acquire", "a", new_token(), SHORT) is not None
        assert until(lambda: backend.acquire("a", new_token(), SHORT) is not None, 50 * SHORT)

    def test_06_ttl_is_accurate(self) -> None:
        backend, clock, ttl = self.open_real(), SystemClock(), SHORT
        before = clock.monotonic()
        assert backend.acquire("a", new_token(), ttl) is not None
        after = clock.monotonic()
        refused = [after]

        def is_free() -> bool:
            asked = clock.monotonic()
            if backend.acquire("a", new_token(), ttl) is not None:
                return True
            refused.append(asked)
            return False

        assert until(is_free)
        assert clock.monotonic() - before >= ttl
        # When the last refusal was asked for: a machine that stands still meanwhile does not make it later.
        assert refused[-1] - after <= ttl + 0.5

    def test_07_never_frees_early(self) -> None:
        ttl = self.ttl(10.0)
        assert self.backend.acquire("a", new_token(), ttl) is not None
        self.pass_time(ttl * 0.5)
        assert self.backend.acquire("a", new_token(), ttl) is None

    def test_07_renewal_counts_from_now(self) -> None:
        ttl, token = self.ttl(10.0), new_token()
        assert self.backend.acquire("a", token, ttl) is not None
        self.pass_time(ttl * 0.6)
        assert self.backend.renew("a", token, ttl)
        self.pass_time(ttl * 0.6)
        assert self.backend.acquire("a", new_token(), ttl) is None

    def test_27_a_set_wall_clock_has_no_effect(self) -> None:
        token = new_token()
        assert self.backend.acquire("a", token, 30.0) is not None
        for step in (86_400.0, -2 * 86_400.0):
            self.clock.step(step)
            assert self.backend.acquire("a", new_token(), 30.0) is None
            assert self.backend.renew("a", token, 30.0)

    def test_27_a_restarted_machine_frees(self) -> None:
        first = self.backend.acquire("a", new_token(), 86_400.0)
        after = self.open(self.clock.rebooted())
        second = after.acquire("a", new_token(), 30.0)
        assert first is not None
        assert second is not None
        assert second.fence > first.fence

    def test_28_a_stepped_server_clock(self) -> None:
        assert self.capabilities.step_server_clock is not None
        token = new_token()
        assert self.backend.acquire("a", token, 30.0) is not None
        self.capabilities.step_server_clock(self.place, -3600.0)
        assert self.backend.acquire("a", new_token(), 30.0) is None

    def test_32_a_ttl_below_a_second_is_accurate(self) -> None:
        ttl = max(self.capabilities.declared_ttls[0], 0.25)
        assert self.backend.acquire("a", new_token(), ttl) is not None
        self.pass_time(ttl * 0.4)
        assert self.backend.acquire("a", new_token(), ttl) is None
        self.pass_time(ttl * 0.7)
        assert self.backend.acquire("a", new_token(), ttl) is not None

    @pytest.mark.parametrize("ttl", [0.0, -1.0, float("nan"), float("inf")])
    def test_35_a_ttl_that_cannot_be_meant_is_refused(self, ttl: float) -> None:
        with pytest.raises(ValueError, match="ttl"):
            self.backend.acquire("a", new_token(), ttl)
        token = new_token()
        assert self.backend.acquire("a", token, 30.0) is not None
        with pytest.raises(ValueError, match="ttl"):
            self.backend.renew("a", token, ttl)

    def test_35_the_declared_bounds_of_a_ttl(self) -> None:
        for number, ttl in enumerate(self.capabilities.declared_ttls):
            assert self.backend.acquire(f"bound-{number}", new_token(), ttl) is not None
