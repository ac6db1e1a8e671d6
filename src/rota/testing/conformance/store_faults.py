"""Replies that are lost, stores that hang or break, and programs that start again."""

from __future__ import annotations

import pytest

from rota.clock import SystemClock
from rota.errors import StoreError
from rota.ports import LockBackend, Store
from rota.testing.conformance._faults import LosesReplies, again
from rota.testing.conformance._processes import compete
from rota.testing.conformance._store_case import JOB, NODE, SECOND, StoreCase, StoreFactory

LONGEST_HANG = 15.0
"""Seconds within which a call must fail when its storage does not answer."""


class StoreFaults(StoreCase):
    """Replies that are lost, stores that hang or break, and programs that start again."""

    def test_it_is_a_store_with_locks(self) -> None:
        assert isinstance(self.store, Store)
        assert isinstance(self.store.locks, LockBackend)
        assert self.store.locks.acquire("a", "token", 30.0) is not None
        assert self.open().locks.acquire("a", "other", 30.0) is None
        assert abs(self.store.now() - self.now()) < SECOND

    def test_every_change_can_be_asked_again(self) -> None:
        names = ("claim", "add", "begin", "swap", "pause", "renew", "request_cancel", "put_value", "set_progress")
        lossy = LosesReplies(self.store, StoreError, *names, "discard", "sync_jobs", "beat", "delete_value")
        state = self.declared()
        tick = state.watermark + SECOND
        row = self.row(tick)
        claim = self.claim_of(state, tick, row.copy(), start=self.ask(row, "token"), counts=1)
        begun = again(lambda: lossy.claim([claim.replaced(rows=(row.copy(),))])[0].begun, StoreError)
        assert (begun.token, begun.fence) == ("token", 1)
        added = self.row(origin="run_now")
        assert again(lambda: lossy.add([added.copy()]), StoreError)[0] == added
        ask = self.ask(added, "other")
        assert again(lambda: lossy.begin([ask])[0].row.fence, StoreError) == 2
        assert again(lambda: lossy.request_cancel(begun.id, "cancel"), StoreError)
        assert again(lambda: lossy.renew(NODE, [(begun.id, "token")], 30.0), StoreError).lost == frozenset()
        assert again(lambda: lossy.put_value(f"run:{begun.id}", "k", "1", holder="token"), StoreError)
        assert again(lambda: lossy.set_progress(begun.id, "token", "{}"), StoreError)
        swap = self.ended(begun, "failed", streak=1)
        answer = again(lambda: lossy.swap([swap.replaced(row=swap.row.copy())])[0], StoreError)
        assert (answer.verdict, answer.state.streak) == ("swapped", 1)
        assert again(lambda: lossy.discard(begun.id), StoreError)
        assert again(lambda: lossy.pause(JOB, "why"), StoreError).pause_reason == "why"
        assert len(self.store.runs(JOB)) == 2

    def test_begun_again_is_leased_again(self) -> None:
        self.declared()
        row = self.row(origin="run_now")
        self.store.add([row.copy()])
        self.store.begin([self.ask(row, "token", ttl=30.0)])
        self.clock.advance(20.0)
        self.store.begin([self.ask(row, "token", ttl=30.0)])
        self.clock.advance(20.0)
        assert not self.store.due(self.now(), 10).expired

    def test_a_batch_that_fails_leaves_nothing(self) -> None:
        state = self.declared()
        known, unknown = self.row(state.watermark + SECOND), state.replaced(job_id="never declared")
        claims = [self.claim_of(state, known.due, known), self.claim_of(unknown, state.watermark + SECOND)]
        with pytest.raises(StoreError, match="never declared"):
            self.store.claim(claims)
        assert self.store.run(known.id) is None
        assert self.store.job_states([JOB]) == [state]

    def test_what_is_kept_survives_the_program(self) -> None:
        state = self.declared()
        begun = self.begun(self.row(origin="run_now"))
        self.store.put_value("scope", "key", "1", ttl=100.0)
        self.store.close()
        after = self.open()
        assert after.run(begun.id) == begun
        assert after.job_states([JOB]) == [state.replaced(fence=1)]
        assert after.value("scope", "key") == "1"
        assert after.renew(NODE, [(begun.id, begun.token or "")], 30.0).lost == frozenset()

    def test_a_store_that_hangs_is_given_up_in_time(self) -> None:
        assert self.capabilities.hang is not None
        self.declared()
        clock = SystemClock()
        with self.capabilities.hang(self.place):
            start = clock.monotonic()
            with pytest.raises(StoreError):
                self.store.add([self.row(origin="run_now")])
            assert clock.monotonic() - start < LONGEST_HANG
        assert self.store.add([self.row(origin="run_now")])

    def test_an_unusable_store_is_a_typed_error(self) -> None:
        assert self.capabilities.break_storage is not None
        self.declared()
        self.store.close()
        with self.capabilities.break_storage(self.place), pytest.raises(StoreError):
            self.store.add([self.row(origin="run_now")])

    def test_opened_in_many_processes_at_once(self) -> None:
        arguments = [(type(self).factory, f"{self.place}-fresh", number) for number in range(4)]
        assert compete(set_up, arguments) == [True] * 4


def set_up(factory: StoreFactory, place: str, number: int) -> bool:
    """Open the store where perhaps nobody has yet, and use it."""
    store = factory(place, None)
    store.open()
    is_kept = store.put_value("scope", f"key-{number}", "1") and store.value("scope", f"key-{number}") == "1"
    store.close()
    return is_kept
