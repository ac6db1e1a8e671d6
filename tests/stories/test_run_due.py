"""`run_due()`: what was due is run in the caller's thread, and there is an end to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.hand_clock import HandClock

from rota import Scheduler
from rota.stores import MemoryStore
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


def test_brief_calls_are_begun_and_recorded_in_batches(clock):
    class Counting(MemoryStore):
        claims = swaps = 0

        def claim(self, claims):
            self.claims += 1
            return super().claim(claims)

        def swap(self, swaps):
            self.swaps += 1
            return super().swap(swaps)

    store, ran = Counting(), []
    scheduler = Scheduler("counting", clock=clock, store=store)
    for number in range(100):
        scheduler.add(lambda: ran.append(1), MINUTE, id=f"job-{number}")
    scheduler.run_due()
    clock.seconds += 60
    scheduler.run_due()
    assert len(ran) == 100
    assert store.claims < 12
    assert store.swaps < 12
    scheduler.shutdown()
