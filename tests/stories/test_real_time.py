"""The same stories on real clocks: a background thread, a host's event loop, coroutines and threads that hang.

Law: nothing here sleeps to let something happen; it waits for the event, with a deadline.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.waiting import LONGER, PATIENCE, until

from rota import Retry, RunRecord, Scheduler, Snooze
from rota.triggers import Interval

pytestmark = pytest.mark.any_versions

OFTEN = Interval(timedelta(milliseconds=200))
"""Ticks that go on coming: of a single one, a slow machine would be told that it had passed before it was declared."""


@pytest.fixture(params=["memory", "sqlite"])
def scheduler(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scheduler]:
    store = f"sqlite:///{tmp_path}/real.db" if request.param == "sqlite" else None
    made = Scheduler("real", store=store)
    yield made
    made.shutdown(2)


def ended(scheduler: Scheduler, run_id: str) -> RunRecord:
    """The record of a run, when it has ended."""
    assert until(lambda: not scheduler.get_run(run_id).is_open)
    return scheduler.get_run(run_id)


def test_ticks_run_in_the_background_soon_and_never_early(scheduler):
    threads, latenesses = set(), []

    @scheduler.job(OFTEN)
    def job(run):
        latenesses.append((datetime.now(UTC) - run.scheduled_for).total_seconds())
        threads.add(threading.current_thread())
        return run.lateness

    scheduler.start()
    assert until(lambda: [lateness for lateness in latenesses if lateness < 2])
    assert until(lambda: scheduler.runs(job, status="succeeded"))
    scheduler.shutdown(PATIENCE)
    records = sorted(scheduler.runs(job, status="succeeded"), key=lambda record: record.scheduled_for)
    assert min(latenesses) >= 0
    assert all(record.scheduled_for.microsecond % 200_000 == 0 for record in records)
    assert all(0 <= record.result <= max(latenesses) for record in records)
    assert threading.main_thread() not in threads


def test_a_retry_waits_without_a_thread(scheduler):
    attempts = []

    @scheduler.job(retry=Retry(wait_initial=0.2, wait_jitter=0))
    def job(run):
        attempts.append(run.attempt)
        if run.attempt == 1:
            raise ValueError
        if run.attempt == 2:
            raise Snooze(0.1)

    scheduler.start()
    record = ended(scheduler, scheduler.run_now(job))
    assert (record.status, attempts) == ("succeeded", [1, 2, 3])
    first, second, third = record.attempts
    assert second.started_at - first.finished_at >= timedelta(seconds=0.2)
    assert third.started_at - second.finished_at >= timedelta(seconds=0.1)


def test_a_coroutine_is_cancelled_at_its_deadline(scheduler):
    @scheduler.job(timeout=0.2)
    async def job():
        await asyncio.sleep(LONGER)

    scheduler.start()
    record = ended(scheduler, scheduler.run_now(job))
    assert record.status == "timed_out"
    assert record.finished_at - record.started_at < timedelta(seconds=PATIENCE)
    assert scheduler.health().stuck == 0


def test_a_thread_that_does_not_return_is_stuck_until_it_does(scheduler):
    release, told = threading.Event(), []

    @scheduler.interval(seconds=1, timeout=0.2, max_lateness=60)
    def job(run):
        release.wait(LONGER)
        told.append(run.cancel_reason)

    @scheduler.job()
    def other():
        return "lives"

    scheduler.start()
    assert until(lambda: scheduler.runs(job, status="timed_out"))
    stuck = scheduler.runs(job, status="timed_out")[0]
    assert until(lambda: scheduler.health().stuck == 1)
    assert until(lambda: scheduler.runs(job, status="skipped"))
    assert scheduler.runs(job, status="skipped")[0].reason == "stuck"
    assert scheduler.explain(job, scheduler.runs(job, status="skipped")[0].scheduled_for).reason == "stuck"
    assert ended(scheduler, scheduler.run_now(other)).result == "lives"
    with pytest.raises(Exception, match="thread has not returned"):
        scheduler.replay(stuck.id)
    release.set()
    assert until(lambda: scheduler.health().stuck == 0)
    assert told[0] == "timeout"
    assert scheduler.get_run(stuck.id).status == "timed_out"


def test_no_retry_starts_while_the_thread_is_stuck(scheduler):
    release, at_work, most = threading.Event(), [0], [0]

    @scheduler.job(timeout=0.2, retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
    def job(run):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        if run.attempt == 1:
            release.wait(LONGER)
        at_work[0] -= 1

    scheduler.start()
    run_id = scheduler.run_now(job)
    assert until(lambda: scheduler.health().stuck == 1)
    assert scheduler.get_run(run_id).status == "running"
    scheduler.update(job, timeout=None)
    release.set()
    record = ended(scheduler, run_id)
    assert (record.status, [a.outcome for a in record.attempts]) == ("succeeded", ["timed_out", "succeeded"])
    assert most == [1]


def test_a_running_thread_is_cancelled_at_its_safe_point(scheduler):
    begun = threading.Event()

    @scheduler.job()
    def job(run):
        begun.set()
        pause = threading.Event()
        for _ in range(2_000):
            run.check_cancelled()
            pause.wait(0.01)

    scheduler.start()
    run_id = scheduler.run_now(job)
    assert begun.wait(PATIENCE)
    assert scheduler.cancel(run_id)
    record = ended(scheduler, run_id)
    assert (record.status, record.reason) == ("cancelled", "cancel")


def test_a_shutdown_interrupts_at_a_safe_point_and_the_run_goes_on_after_the_next_start(scheduler):
    begun, attempts = threading.Event(), []

    @scheduler.job()
    def job(run):
        attempts.append(run.attempt)
        begun.set()
        pause = threading.Event()
        while run.attempt == 1:
            run.check_cancelled()
            pause.wait(0.01)

    scheduler.start()
    run_id = scheduler.run_now(job)
    assert begun.wait(PATIENCE)
    assert scheduler.shutdown(PATIENCE).interrupted == (run_id,)
    assert scheduler.get_run(run_id).status == "queued"
    scheduler.start()
    assert ended(scheduler, run_id).status == "succeeded"
    assert attempts == [1, 2]


def test_more_due_runs_than_workers_wait_and_none_is_skipped():
    scheduler = Scheduler(max_workers=2)
    done = []

    @scheduler.job()
    def job(number):
        done.append(number)

    scheduler.start()
    for number in range(200):
        scheduler.enqueue(job, args=[number])
    assert until(lambda: len(done) == 200)
    scheduler.shutdown(PATIENCE)
    assert sorted(done) == list(range(200))


@pytest.mark.parametrize("how", ["serve", "async with"])
def test_coroutines_run_on_the_hosts_loop(scheduler, how):
    async def story():
        loop, ran = asyncio.get_running_loop(), asyncio.Event()

        @scheduler.job(OFTEN)
        async def job():
            assert asyncio.get_running_loop() is loop
            ran.set()

        if how == "serve":
            serving = asyncio.create_task(scheduler.serve())
            await asyncio.wait_for(ran.wait(), PATIENCE)
            await scheduler.aclose()
            await asyncio.wait_for(serving, PATIENCE)
        else:
            async with scheduler:
                await asyncio.wait_for(ran.wait(), PATIENCE)
        return [r.status for r in await scheduler.aio.runs(job)]

    assert "succeeded" in asyncio.run(story())


def test_run_due_in_a_loop_of_ones_own_runs_in_this_thread(scheduler):
    seen = []

    @scheduler.job(OFTEN)
    def job():
        seen.append(threading.current_thread())

    pause = threading.Event()
    while not seen:
        pause.wait(min(scheduler.run_due(), 0.5))
    assert set(seen) == {threading.current_thread()}
