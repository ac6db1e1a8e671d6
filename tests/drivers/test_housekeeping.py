"""What an engine does besides its ticks: pruning in between them, and looking for what others have queued."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import get_args

import pytest

from rota import ConfigurationError, Scheduler, StoreError
from rota.core.run import FINAL, OPEN, UNHAPPY, RunRow, Status
from rota.drivers.housekeeping import PRUNE_BATCH, PRUNE_FIRST
from rota.drivers.settings import keep_spans
from rota.locks import MemoryLocks
from rota.ports import NodeRow
from rota.stores import MemoryStore
from rota.testing import FakeClock, FaultyLocks, FaultyStore, simulate
from rota.triggers import Interval
from rota.triggers.base import to_micros

START = "2026-03-01T00:00Z"


class CountingStore(MemoryStore):
    """Notes what was pruned, and when."""

    def __init__(self, clock):
        super().__init__(clock)
        self.clock = clock
        self.pruned = []

    def prune(self, job_id, keep_from, limit=1000, exclude=()):
        deleted = super().prune(job_id, keep_from, limit, exclude)
        self.pruned.append((self.clock.monotonic(), deleted))
        return deleted


def test_a_pruning_leaves_the_engine_to_its_ticks_after_each_batch():
    clock = FakeClock(START)
    store = CountingStore(clock)
    scheduler = Scheduler("shop", store=store, clock=clock)
    scheduler.add(lambda: None, id="job")
    scheduler.add(lambda: None, id="own", retention=timedelta(days=1))
    scheduler.start()
    old = 1
    rows = [RunRow(f"{n}", "job", "run_now", "succeeded", old, old, finished_at=old) for n in range(3 * PRUNE_BATCH)]
    store.add([*rows, RunRow("own", "own", "run_now", "succeeded", old, old, finished_at=old)])
    clock.advance(seconds=PRUNE_FIRST)
    scheduler.run_now("job")
    clock.advance(seconds=1)
    assert [run.status for run in scheduler.runs(limit=10_000)] == ["succeeded"]
    by_turn = {}
    for at, deleted in store.pruned:
        by_turn[at] = by_turn.get(at, 0) + deleted
    assert len(by_turn) == 4
    assert max(by_turn.values()) == PRUNE_BATCH
    scheduler.shutdown()


def queued_elsewhere(sim, job_id, number):
    """Runs that no node was told of."""
    now = sim.clock.now()
    rows = [RunRow(f"{job_id} {n}", job_id, "enqueue", "queued", now, now) for n in range(number)]
    sim._runtime.store.add(rows)  # the store that the nodes share


def test_runs_queued_elsewhere_are_not_hidden_by_a_backlog_of_another_executor():
    scheduler = Scheduler("shop", max_workers=2)

    async def quick():
        pass

    scheduler.add(lambda: None, id="slow")
    scheduler.add(quick, id="quick")
    with simulate(scheduler, start=START, nodes=2) as sim:
        sim.takes("slow", seconds=2)
        queued_elsewhere(sim, "slow", 2_000)
        sim.advance(seconds=2)
        queued_elsewhere(sim, "quick", 1)
        sim.advance(seconds=2)
        assert [run.status for run in sim.runs("quick")] == ["succeeded"]


def test_as_many_runs_queued_elsewhere_are_begun_as_there_is_room_for():
    scheduler = Scheduler("shop", max_workers=20)
    scheduler.add(lambda: None, id="tiny")
    with simulate(scheduler, start=START, nodes=2) as sim:
        sim.takes("tiny", seconds=0.01)
        sim.advance(seconds=2)
        queued_elsewhere(sim, "tiny", 3_000)
        sim.advance(seconds=3)
        assert {run.status for run in sim.runs("tiny")} == {"succeeded"}


def test_one_retention_is_for_every_status_in_which_a_run_ends():
    spans = keep_spans(timedelta(days=1))
    assert {status for status in get_args(Status) if status not in spans} == OPEN
    assert {status for status, span in spans.items() if span == timedelta(days=3)} == UNHAPPY


def test_runs_are_asked_for_by_every_status_there_is():
    scheduler = Scheduler(clock=FakeClock(START))
    assert scheduler.runs(status=get_args(Status)) == []
    assert set(get_args(Status)) == OPEN | FINAL
    with pytest.raises(ConfigurationError, match="no status; there are cancelled, failed, handed_over, lost, missed"):
        scheduler.runs(status="done")


def test_values_that_are_over_go_however_many_there_are_and_in_batches():
    clock = FakeClock(START)
    store = MemoryStore(clock)
    scheduler = Scheduler("shop", store=store, clock=clock)
    scheduler.add(lambda: None, id="job")
    scheduler.start()
    for number in range(3 * PRUNE_BATCH):
        store.put_value("idempotent", f"key {number}", "1", ttl=1.0)
    forget, by_turn = store.forget, Counter()

    def counted(seen_since, limit=1000):
        before = len(store._values._ends)
        more = forget(seen_since, limit)
        by_turn[clock.monotonic()] += before - len(store._values._ends)
        return more

    store.forget = counted
    clock.advance(seconds=PRUNE_FIRST)
    scheduler.run_now("job")
    clock.advance(seconds=1)
    assert by_turn.total() == 3 * PRUNE_BATCH
    assert max(by_turn.values()) == PRUNE_BATCH
    scheduler.shutdown()


@pytest.mark.parametrize(
    ("retention", "kept_for"),
    [(None, 30), (timedelta(days=1), 30), (timedelta(days=20), 60), ({"unhappy": timedelta(days=365)}, 365)],
)
def test_whatever_the_retention_values_go_that_are_over_and_nodes_not_seen_for_long(retention, kept_for):
    clock = FakeClock(START)
    store = MemoryStore(clock)
    for ago in (kept_for + 1, kept_for - 1):
        seen = to_micros(clock.time - timedelta(days=ago))
        store.beat(NodeRow(f"seen {ago} days ago", "host", 1, seen, seen))
    scheduler = Scheduler("shop", store=FaultyStore(store, shared=True), clock=clock, retention=retention)
    scheduler.start()
    store.put_value("idempotent", "key", "1", ttl=1.0)
    clock.advance(seconds=PRUNE_FIRST + 2)
    assert not store.forget(0, limit=0)
    assert [node.id for node in store.nodes()][1:] == [f"seen {kept_for - 1} days ago"]
    scheduler.shutdown()


def test_a_process_alone_with_its_store_stays_known_though_it_gives_no_sign_of_life():
    clock = FakeClock(START)
    store = MemoryStore(clock)
    scheduler = Scheduler("shop", store=store, clock=clock)
    scheduler.add(lambda: None, Interval(days=1), id="job")
    scheduler.start()
    clock.advance(days=100)
    assert len(store.nodes()) == 1
    scheduler.shutdown()


@pytest.mark.parametrize("kind", ["store", "locks"])
def test_locks_that_nobody_holds_go_with_the_keys_of_idempotent_calls_that_are_over(kind):
    clock = FakeClock(START)
    given = FaultyLocks(MemoryLocks(clock))
    scheduler = Scheduler("shop", clock=clock, locks=given if kind == "locks" else None)
    held = scheduler.lock("held")
    called = []

    @scheduler.idempotent("key:{number}", ttl=1.0)
    def call(number):
        called.append(number)

    scheduler.add(lambda: None, Interval(seconds=1), id="wakes it")
    scheduler.start()
    for number in range(3 * PRUNE_BATCH):
        call(number)
    with held as lease:
        clock.advance(seconds=PRUNE_FIRST + 3)
        locks = given._backend if kind == "locks" else scheduler._host.runtime.locks
        named = [name for name in locks._leases if name.startswith(("shop/lock/", "shop/idempotent/"))]
        assert named == ["shop/lock/held"]
        assert lease.held
    with scheduler.lock("held") as later:
        assert later.fence > lease.fence
    scheduler.shutdown()


def test_pruning_that_fails_is_tried_again_in_the_next_hour(caplog):
    clock = FakeClock(START)
    store = FaultyStore(MemoryStore(clock), error=lambda _: StoreError("not allowed to delete"))
    scheduler = Scheduler("shop", store=store, clock=clock)
    scheduler.add(lambda: None, Interval(minutes=1), id="job")
    scheduler.start()
    store.fail_next("prune", times=99)
    clock.advance(hours=3)
    assert len(store.failed) == 3
    assert [record.getMessage().split()[0] for record in caplog.records].count("store.trouble") == 3
    scheduler.shutdown()
