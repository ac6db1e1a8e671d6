"""Points 8 to 18 and 33: only the own token counts, fences grow, names are kept apart."""

from __future__ import annotations

import threading

import pytest

from rota.testing.conformance._lock_case import IS_FULL, LockCase, new_token

NAMES = (
    "job", "JOB", "Job", "job ", " job", "job\t", "jo\u0301b", "jób", "ß", "ss", "İ", "i̇", "a/b", "a%b", "a_b", "a*b",
    "a'b", 'a"b', "a`b", "a;b", "a\\b", "a\x00b", "a\x00", "a", "a:b", "{a}b", "../a", ".", "日本", "🔒", "",
)  # fmt: skip
"""Names that a careless backend takes for one another."""


class LockTokens(LockCase):
    """Only the own token counts, fences grow, names are kept apart."""

    def test_08_release_by_another_token_does_nothing(self) -> None:
        token = new_token()
        assert self.backend.acquire("a", token, 30.0) is not None
        assert not self.open().release("a", new_token())
        assert not self.backend.release("never seen", token)
        assert self.backend.renew("a", token, 30.0)

    def test_08_release_by_another_process_does_nothing(self) -> None:
        backend, token = self.open_real(), new_token()
        assert backend.acquire("a", token, 30.0) is not None
        assert not self.peer().call("release", "a", new_token())
        assert backend.renew("a", token, 30.0)

    def test_09_late_release_leaves_the_successor_alone(self) -> None:
        ttl, first, second = self.ttl(10.0), new_token(), new_token()
        assert self.backend.acquire("a", first, ttl) is not None
        self.pass_time(ttl * 1.05)
        assert self.backend.acquire("a", second, 30.0) is not None
        assert not self.backend.release("a", first)
        assert self.backend.renew("a", second, 30.0)
        assert self.backend.acquire("a", new_token(), 30.0) is None

    def test_10_second_release_is_false(self) -> None:
        token = new_token()
        assert self.backend.acquire("a", token, 30.0) is not None
        assert self.backend.release("a", token)
        assert not self.backend.release("a", token)

    def test_11_renew_after_release_is_false(self) -> None:
        token = new_token()
        assert self.backend.acquire("a", token, 30.0) is not None
        assert self.backend.release("a", token)
        assert not self.backend.renew("a", token, 30.0)

    def test_12_renew_after_expiry_is_false_even_if_nobody_took_it(self) -> None:
        ttl, token = self.ttl(10.0), new_token()
        assert self.backend.acquire("a", token, ttl) is not None
        self.pass_time(ttl * 1.05)
        assert not self.backend.renew("a", token, ttl)
        assert not self.backend.release("a", token)

    def test_13_renew_by_another_token_is_false(self) -> None:
        token = new_token()
        assert self.backend.acquire("a", token, 30.0) is not None
        assert not self.open().renew("a", new_token(), 30.0)
        assert not self.backend.renew("never seen", token, 30.0)

    def test_13_renew_by_another_process_is_false(self) -> None:
        backend = self.open_real()
        assert backend.acquire("a", new_token(), 30.0) is not None
        assert not self.peer().call("renew", "a", new_token(), 30.0)

    def test_14_fence_grows_over_release_and_expiry(self) -> None:
        fences = []
        ttl = self.ttl(10.0)
        for number in range(6):
            token = new_token()
            grant = self.open().acquire("a", token, ttl)
            assert grant is not None
            fences.append(grant.fence)
            if number % 2:
                self.pass_time(ttl * 1.05)
            else:
                assert self.backend.release("a", token)
        assert fences == sorted(set(fences))

    def test_14_fence_grows_over_processes(self) -> None:
        other, backend, fences = self.peer(), self.open_real(), []
        for _ in range(3):
            for grant in (
                lambda token: backend.acquire("a", token, 30.0),
                lambda token: other.call("acquire", "a", token, 30.0),
            ):
                token = new_token()
                granted = grant(token)
                assert granted is not None
                fences.append(granted.fence)
                assert backend.release("a", token)
        assert fences == sorted(set(fences))

    def test_15_fence_survives_a_restart_of_the_program(self) -> None:
        token = new_token()
        first = self.backend.acquire("a", token, 30.0)
        self.backend.release("a", token)
        self.backend.close()
        second = self.open().acquire("a", new_token(), 30.0)
        assert first is not None
        assert second is not None
        assert second.fence > first.fence

    def test_16_acquiring_again_with_the_same_token_is_the_same_grant(self) -> None:
        token = new_token()
        first = self.backend.acquire("a", token, 30.0)
        assert self.backend.acquire("a", token, 30.0) == first
        assert self.open().acquire("a", token, 30.0) == first

    def test_16_acquiring_again_gives_the_whole_ttl_it_tells(self) -> None:
        ttl, token = self.ttl(10.0), new_token()
        self.backend.acquire("a", token, ttl)
        self.pass_time(ttl * 0.6)
        assert self.backend.acquire("a", token, ttl) is not None
        self.pass_time(ttl * 0.6)
        assert self.backend.acquire("a", new_token(), ttl) is None

    def test_17_a_token_is_good_over_renewals_and_for_nothing_after_the_next_grant(self) -> None:
        first, second = new_token(), new_token()
        assert self.backend.acquire("a", first, 30.0) is not None
        for _ in range(3):
            assert self.backend.renew("a", first, 30.0)
        assert self.backend.release("a", first)
        assert self.backend.acquire("a", second, 30.0) is not None
        assert not self.backend.renew("a", first, 30.0)
        assert self.backend.acquire("a", first, 30.0) is None
        assert not self.backend.release("a", first)
        assert self.backend.renew("a", second, 30.0)

    def test_18_not_reentrant_in_one_thread(self) -> None:
        assert self.backend.acquire("a", new_token(), 30.0) is not None
        assert self.backend.acquire("a", new_token(), 30.0) is None

    def test_18_not_reentrant_between_threads(self) -> None:
        granted: list[object] = []
        start = threading.Barrier(8)

        def take() -> None:
            start.wait(60)
            granted.append(self.backend.acquire("a", new_token(), 30.0))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(granted) == 8
        assert sum(grant is not None for grant in granted) == 1

    def test_33_names_are_never_taken_for_one_another(self) -> None:
        longest = ("n" * 1023 + "a", "n" * 1023 + "b", "é" * 512)
        tokens = {name: new_token() for name in (*NAMES, *longest)}
        for name, token in tokens.items():
            assert self.backend.acquire(name, token, 30.0) is not None, name
        for name, token in tokens.items():
            assert self.backend.renew(name, token, 30.0), name

    @pytest.mark.parametrize("name", ["n" * 1025, "é" * 513, "lone \ud800"])
    def test_33_a_name_that_cannot_be_kept_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="name"):
            self.backend.acquire(name, new_token(), 30.0)

    def test_34_many_names(self) -> None:
        for number in range(self.capabilities.names if IS_FULL else min(self.capabilities.names, 2_000)):
            assert self.backend.acquire(f"name-{number}", new_token(), 30.0) is not None
