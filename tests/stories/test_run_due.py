"""`run_due()`: what was due is run in the caller's thread, and there is an end to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.hand_clock import HandClock
from tests.waiting import LONGER

from rota import Scheduler, StoreError
from rota.stores import MemoryStore
from rota.testing import FaultyStore
from rota.triggers import Interval

MINUTE = Interval(timedelta(minutes=1))


@pytest.fixture
def clock() -> HandClock:
    return HandClock(1_000_000_000.0)


@pytest.fixture
def scheduler(clock: HandClock) -> Iterator[Scheduler]:
    scheduler = Scheduler(clock=clock)
    yield scheduler
    scheduler.shutdown()


def test_a_backfill_lets_ticks_go_first(scheduler, clock):
    begun = []

    @scheduler.interval(minutes=1)
    def job(run):
        begun.append(run.origin)
        if run.origin == "backfill":
            clock.seconds += 25

    scheduler.run_due()
    now = datetime.fromtimestamp(clock.seconds, UTC)
    scheduler.backfill(job, now - timedelta(minutes=7), now - timedelta(minutes=1, seconds=1))
    scheduler.run_due()
    assert begun.count("backfill") == 6
    assert begun.count("tick") == 3
    assert begun.index("tick") <= 3
    assert not scheduler.runs(job, status="missed")


@pytest.mark.parametrize("number", [1, 2])
def test_jobs_that_last_longer_than_their_interval_run_once_in_a_call(scheduler, clock, number):
    begun = []

    def job(run):
        begun.append(run.job_id)
        assert len(begun) < 20, "run_due() does not return"
        clock.seconds += 70

    for each in range(number):
        scheduler.add(job, MINUTE, id=f"job-{each}")
    scheduler.run_due()
    clock.seconds += 60
    assert scheduler.run_due() == 0
    assert len(begun) == number
    assert scheduler.run_due() == 0
    assert len(begun) == 2 * number


def test_nor_does_a_backfill_keep_them_coming(scheduler, clock):
    begun = []

    @scheduler.interval(minutes=1)
    def job(run):
        begun.append(run.origin)
        assert len(begun) < 50, "run_due() does not return"
        clock.seconds += 70

    scheduler.run_due()
    clock.seconds += 600
    now = datetime.fromtimestamp(clock.seconds, UTC)
    scheduler.backfill(job, now - timedelta(minutes=20), now - timedelta(minutes=11))
    scheduler.run_due()
    assert begun.count("backfill") >= 9
    assert begun.count("tick") <= begun.count("backfill") + 1


def test_what_waits_behind_a_long_call_has_not_begun(scheduler, clock):
    seen = []

    def job(run):
        seen.append(len(scheduler.runs(status="running")))
        clock.seconds += 1

    for number in range(5):
        scheduler.add(job, MINUTE, id=f"job-{number}")
    scheduler.run_due()
    clock.seconds += 60
    scheduler.run_due()
    assert seen == [1] * 5


@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_what_comes_due_meanwhile_is_for_the_next_call_whatever_catch_up_says(scheduler, clock, catch_up):
    begun = []

    def job():
        begun.append(1)
        assert len(begun) < 20, "run_due() does not return"
        clock.seconds += 70

    scheduler.add(job, MINUTE, id="job", catch_up=catch_up)
    scheduler.run_due()
    clock.seconds += 90
    assert scheduler.run_due() == 0
    assert len(begun) == (2 if catch_up == "all" else 1)


def test_a_coroutine_is_timed_out_while_plain_functions_are_called():
    scheduler = Scheduler()
    ended = threading.Event()

    async def waits():
        try:
            await asyncio.sleep(LONGER)
        finally:
            ended.set()

    def plain():
        seen.append(ended.wait(0.01))

    seen = []
    scheduler.add(waits, id="waits", timeout=0.05)
    scheduler.add(plain, id="plain")
    scheduler.enqueue("waits")
    for _ in range(600):
        scheduler.enqueue("plain")
    scheduler.run_due()
    assert scheduler.runs("waits")[0].status == "timed_out"
    assert seen.index(True) < 500
    scheduler.shutdown()


def test_a_store_that_is_down_raises_from_the_first_call_and_is_waited_for_by_later_ones(clock):
    store = FaultyStore(MemoryStore(clock))
    scheduler = Scheduler("due", store=store, clock=clock)
    ran = []
    scheduler.interval(minutes=1, id="job")(lambda: ran.append(1))
    store.down = True
    for _ in range(2):
        with pytest.raises(StoreError):
            scheduler.run_due()
    store.down = False
    scheduler.run_due()
    clock.seconds += 60
    store.down = True
    assert 0 < scheduler.run_due() <= 1
    assert not ran
    store.down = False
    clock.seconds += 1
    assert scheduler.run_due() == 0  # it has found the store back, and has something to do
    scheduler.run_due()
    assert ran == [1]
    scheduler.shutdown()


def test_a_run_may_be_cancelled_until_it_is_its_turn(scheduler):
    ran = []
    ids = {}

    def job(run):
        ran.append(run.job_id)
        if run.job_id == "job-1":
            scheduler.cancel(ids["job-3"])

    for number in range(5):
        scheduler.add(job, id=f"job-{number}")
    for number in range(5):
        ids[f"job-{number}"] = scheduler.enqueue(f"job-{number}")
    scheduler.run_due()
    assert ran == ["job-0", "job-1", "job-2", "job-4"]
