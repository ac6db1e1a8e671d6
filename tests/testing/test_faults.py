"""Stores and locks that fail on demand."""

from __future__ import annotations

import pytest

from rota import Scheduler
from rota.backends.memory import MemoryStore
from rota.core.effects import JobSeen
from rota.errors import LockBackendError, StoreError
from rota.ports import LockBackend, Store
from rota.testing import FakeClock, FaultyLocks, FaultyStore


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore(FakeClock("2026-01-01T00:00Z")))


def test_they_are_what_they_stand_for(store: FaultyStore) -> None:
    assert isinstance(store, Store)
    assert isinstance(FaultyLocks(store.locks), LockBackend)
    assert FaultyLocks(store.locks).guarantee == "correctness"
    assert not store.shared
    assert FaultyStore(store, shared=True).shared


def test_the_call_of_a_number_fails(store: FaultyStore) -> None:
    store.now()
    store.fail_at(2)
    store.now()
    with pytest.raises(StoreError, match="runs: refused"):
        store.runs()
    store.runs()
    assert store.calls == ["now", "now", "runs", "runs"]


def test_a_reply_is_lost_and_its_effect_is_there(store: FaultyStore) -> None:
    store.fail_next("sync_jobs", after=True)
    store.now()
    with pytest.raises(StoreError, match="reply was lost"):
        store.sync_jobs([JobSeen("a", "")])
    assert store.job_states(["a"])[0] is not None


def test_a_refused_call_has_no_effect(store: FaultyStore) -> None:
    store.fail_next(times=2)
    for _ in range(2):
        with pytest.raises(StoreError):
            store.sync_jobs([JobSeen("a", "")])
    assert store.job_states(["a"]) == [None]


def test_it_is_down_until_it_is_not(store: FaultyStore) -> None:
    store.down = True
    for call in (store.now, store.runs, store.open):
        with pytest.raises(StoreError):
            call()
    store.down = False
    store.now()
    store.close()


def test_a_slip_in_a_name_is_found(store: FaultyStore) -> None:
    with pytest.raises(AttributeError, match="claims"):
        store.fail_next("claims")


def test_locks_fail_as_locks_do(store: FaultyStore) -> None:
    locks = FaultyLocks(store.locks)
    locks.fail_next("acquire", after=True)
    with pytest.raises(LockBackendError):
        locks.acquire("a", "token", 30.0)
    assert locks.acquire("a", "other", 30.0) is None
    assert locks.acquire("a", "token", 30.0) is not None
    locks.close()


@pytest.mark.parametrize("before_the_schedulers_come", [True, False])
def test_what_fails_is_the_same_for_schedulers_of_all_names(before_the_schedulers_come: bool) -> None:
    clock = FakeClock("2026-01-01T00:00Z")
    store = FaultyStore(MemoryStore())
    shop, bills = (Scheduler(name, store=store, clock=clock) for name in ("shop", "bills"))
    if not before_the_schedulers_come:
        assert shop.runs() == bills.runs() == []
    store.down = True
    for scheduler in (shop, bills):
        with pytest.raises(StoreError):
            scheduler.runs()
    store.down = False
    assert shop.runs() == bills.runs() == []
    store.fail_next("runs", times=2)
    for scheduler in (shop, bills):
        with pytest.raises(StoreError):
            scheduler.runs()
    before = store.calls.count("runs")
    assert shop.runs() == bills.runs() == []
    assert store.calls.count("runs") == before + 2
    assert store.failed[-2:] == ["runs", "runs"]


def test_a_store_beside_is_told_by_any_of_them(store: FaultyStore) -> None:
    assert store.take_name("shop") is None
    beside = store.take_name("bills")
    assert beside is not None
    beside.down = True
    with pytest.raises(StoreError):
        store.now()
    store.down = False
    store.fail_at(2)
    beside.now()
    with pytest.raises(StoreError):
        beside.now()
