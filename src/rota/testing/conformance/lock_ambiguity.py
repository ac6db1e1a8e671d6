"""Points 19 to 26: a reply that does not come leaves nothing behind and grants nothing twice."""

from __future__ import annotations

import pytest

from rota.clock import SystemClock
from rota.errors import LockBackendError
from rota.ports import Claim
from rota.testing.conformance._faults import LosesReplies, again
from rota.testing.conformance._lock_case import LockCase, new_token

LONGEST_HANG = 15.0
"""Seconds within which a call must fail when its store does not answer."""


class LockAmbiguity(LockCase):
    """A reply that does not come leaves nothing behind and grants nothing twice."""

    def test_19_reply_lost_after_acquire(self) -> None:
        lossy, token = LosesReplies(self.backend, LockBackendError, "acquire"), new_token()
        grant = again(lambda: lossy.acquire("a", token, 30.0), LockBackendError)
        assert grant is not None
        assert self.backend.renew("a", token, 30.0)
        assert self.backend.release("a", token)

    def test_20_reply_lost_after_release(self) -> None:
        lossy, token = LosesReplies(self.backend, LockBackendError, "release"), new_token()
        self.backend.acquire("a", token, 30.0)
        assert not again(lambda: lossy.release("a", token), LockBackendError)
        assert self.backend.acquire("a", new_token(), 30.0) is not None

    def test_21_reply_lost_after_renew(self) -> None:
        lossy, token = LosesReplies(self.backend, LockBackendError, "renew"), new_token()
        self.backend.acquire("a", token, 30.0)
        assert again(lambda: lossy.renew("a", token, 30.0), LockBackendError)
        assert self.backend.release("a", token)

    def test_22_reply_lost_after_claim(self) -> None:
        tick = self.now() - 10
        lossy = LosesReplies(self.backend, LockBackendError, "claim")
        answer = again(lambda: lossy.claim([Claim("a", None, tick)]), LockBackendError)[0]
        assert (answer.verdict, answer.watermark) == ("taken", tick)

    def test_23_lease_survives_what_the_server_does(self) -> None:
        assert self.capabilities.restart is not None
        token = new_token()
        assert self.backend.acquire("a", token, 60.0) is not None
        self.capabilities.restart(self.place)
        assert again(lambda: self.open().acquire("a", new_token(), 60.0), LockBackendError) is None
        assert again(lambda: self.backend.renew("a", token, 60.0), LockBackendError)

    def test_23_lease_survives_its_program(self) -> None:
        token = new_token()
        assert self.backend.acquire("a", token, 30.0) is not None
        self.backend.close()
        after = self.open()
        assert after.acquire("a", new_token(), 30.0) is None
        assert after.renew("a", token, 30.0)

    def test_24_lease_survives_its_session(self) -> None:
        assert self.capabilities.end_sessions is not None
        token = new_token()
        assert self.backend.acquire("a", token, 60.0) is not None
        self.capabilities.end_sessions(self.place)
        assert again(lambda: self.open().acquire("a", new_token(), 60.0), LockBackendError) is None
        assert again(lambda: self.backend.renew("a", token, 60.0), LockBackendError)

    def test_25_a_store_that_hangs_is_given_up_in_time(self) -> None:
        assert self.capabilities.hang is not None
        clock, token = SystemClock(), new_token()
        assert self.backend.acquire("a", token, 60.0) is not None
        with self.capabilities.hang(self.place):
            start = clock.monotonic()
            with pytest.raises(LockBackendError):
                self.backend.renew("a", token, 60.0)
            assert clock.monotonic() - start < LONGEST_HANG
        assert self.backend.renew("a", token, 60.0)

    def test_26_an_unknown_grant_can_be_resolved_and_given_back(self) -> None:
        lossy, token = LosesReplies(self.backend, LockBackendError, "acquire"), new_token()
        with pytest.raises(LockBackendError):
            lossy.acquire("a", token, 30.0)
        assert self.backend.acquire("a", token, 30.0) is not None
        assert self.backend.release("a", token)
        assert self.backend.acquire("a", new_token(), 30.0) is not None

    def test_26_an_unknown_grant_outlives_no_ttl(self) -> None:
        ttl = self.ttl(10.0)
        lossy = LosesReplies(self.backend, LockBackendError, "acquire")
        with pytest.raises(LockBackendError):
            lossy.acquire("a", new_token(), ttl)
        self.pass_time(ttl * 1.05)
        assert self.backend.acquire("a", new_token(), 30.0) is not None
