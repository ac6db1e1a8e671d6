"""Attempts that overrun their time: coroutines, threads and processes, those that obey and those that do not."""

import asyncio
import gc
import threading
import time
from datetime import timedelta

import pytest
from tests.stories.worlds import START, StillClock
from tests.waiting import LONGER, PATIENCE, until

from rota import Retry, Scheduler
from rota.drivers.agenda import JobEntry
from rota.drivers.calls import AttemptCall
from rota.testing import FakeClock, simulate
from rota.triggers import Cron

pytestmark = pytest.mark.any_versions


@pytest.fixture
def scheduler(tmp_path):
    scheduler = Scheduler("timeouts", store=f"sqlite:///{tmp_path}/rota.db", lease_ttl=3, shutdown_timeout=2)
    yield scheduler
    scheduler.shutdown(timeout=1)


def test_a_coroutine_is_cancelled_and_its_clean_up_runs(scheduler):
    cleaned = threading.Event()

    async def slow(run):
        try:
            await asyncio.sleep(LONGER)
        finally:
            cleaned.set()

    scheduler.add(slow, id="slow", timeout=0.1)
    run_id = scheduler.run_now("slow")
    scheduler.start()
    assert until(lambda: scheduler.get_run(run_id).status == "timed_out")
    assert cleaned.is_set()
    assert scheduler.health().stuck == 0


def test_a_coroutine_that_swallows_the_cancellation_and_returns_has_timed_out(scheduler):
    async def deaf(run):
        try:
            await asyncio.sleep(LONGER)
        except asyncio.CancelledError:
            return run.cancel_reason

    scheduler.add(deaf, id="deaf", timeout=0.1)
    run_id = scheduler.run_now("deaf")
    scheduler.start()
    assert until(lambda: scheduler.get_run(run_id).status == "timed_out")


def test_a_coroutine_that_goes_on_after_it_was_cancelled_is_stuck_until_it_ends(scheduler, monkeypatch):
    monkeypatch.setattr("rota.drivers.attempts.STOP_GRACE", 200_000)
    let_go = threading.Event()

    async def deaf(run):
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue

    scheduler.add(deaf, id="deaf", timeout=0.1)
    run_id = scheduler.run_now("deaf")
    scheduler.start()
    assert until(lambda: scheduler.get_run(run_id).status == "timed_out")
    assert until(lambda: scheduler.health().stuck == 1)
    let_go.set()
    assert until(lambda: scheduler.health().stuck == 0)


def test_a_thread_is_told_times_out_at_once_and_is_waited_for_before_its_retry(scheduler):
    let_go, reasons, starts = threading.Event(), [], []

    def slow(run):
        starts.append((run.attempt, let_go.is_set()))
        if run.attempt == 1:
            until(lambda: run.cancelled)
            reasons.append((run.cancel_reason, run.lease.held))
            let_go.wait(LONGER)

    scheduler.add(slow, id="slow", timeout=0.2, retry=Retry(attempts=2, wait_initial=0.01, wait_jitter=0))
    scheduler.add(lambda: None, id="other")
    run_id = scheduler.run_now("slow")
    began = time.monotonic()
    scheduler.start()
    assert until(lambda: [attempt.outcome for attempt in scheduler.get_run(run_id).attempts] == ["timed_out"])
    assert time.monotonic() - began < PATIENCE
    assert until(lambda: reasons == [("timeout", True)])
    assert until(lambda: scheduler.health().stuck == 1)
    other = scheduler.run_now("other")
    assert until(lambda: scheduler.get_run(other).status == "succeeded")
    time.sleep(3.5)  # longer than the lease: it is renewed for a stuck thread as well, so nobody takes the run over
    assert starts == [(1, False)]
    scheduler.update("slow", timeout=None)
    let_go.set()
    assert until(lambda: scheduler.get_run(run_id).status == "succeeded")
    assert starts == [(1, False), (2, True)]
    assert scheduler.health().stuck == 0


def test_a_stuck_thread_makes_room_for_others_and_ticks_of_its_job_are_skipped(tmp_path):
    scheduler = Scheduler("stuck", store=f"sqlite:///{tmp_path}/rota.db", max_workers=1, shutdown_timeout=2)
    let_go, ran = threading.Event(), threading.Event()
    scheduler.interval(seconds=1, id="stuck", timeout=0.1)(lambda run: let_go.wait(LONGER))
    scheduler.add(lambda: ran.set(), id="other")  # noqa: PLW0108  # another function, another job
    scheduler.start()
    assert until(lambda: scheduler.health().stuck == 1)
    scheduler.run_now("other")
    assert ran.wait(PATIENCE)
    assert until(lambda: any(run.reason == "stuck" for run in scheduler.runs("stuck", status="skipped")))
    began = time.monotonic()
    report = scheduler.shutdown(timeout=2)
    assert time.monotonic() - began < PATIENCE
    assert report.abandoned == tuple(run.id for run in scheduler.runs("stuck", status="timed_out"))
    let_go.set()


def test_a_run_that_has_timed_out_is_not_cancelled_while_its_thread_is_stuck(scheduler):
    let_go = threading.Event()
    scheduler.add(lambda: let_go.wait(LONGER), id="stuck", timeout=0.1)
    run_id = scheduler.run_now("stuck")
    scheduler.start()
    assert until(lambda: scheduler.get_run(run_id).status == "timed_out")
    assert scheduler.cancel(run_id) is False
    let_go.set()


def test_a_cancel_by_another_process_holds_though_the_attempt_times_out_before_its_holder_is_told(tmp_path):
    let_go, calls = threading.Event(), []

    def make():
        scheduler = Scheduler("cancel", store=f"sqlite:///{tmp_path}/rota.db", shutdown_timeout=1)
        scheduler.add(job, id="job", timeout=0.5, retry=Retry(attempts=3, wait_initial=0.1, wait_jitter=0))
        return scheduler

    def job():
        calls.append(1)
        let_go.wait(LONGER)

    holder, other = make(), make()
    run_id = holder.run_now("job")
    holder.start()
    assert until(lambda: calls)
    assert other.cancel(run_id)
    assert until(lambda: holder.get_run(run_id).attempts)
    let_go.set()
    assert until(lambda: holder.get_run(run_id).status == "cancelled")
    holder.shutdown()
    assert calls == [1]


def test_in_memory_a_restart_forgets_the_stuck_thread_of_before():
    scheduler = Scheduler(shutdown_timeout=1)
    let_go, first = threading.Event(), []

    def job(run):
        if not first:
            first.append(run.id)
            let_go.wait(LONGER)

    scheduler.interval(seconds=1, id="job", timeout=0.1)(job)
    scheduler.start()
    assert until(lambda: scheduler.health().stuck == 1)
    scheduler.shutdown()
    scheduler.start()
    assert until(lambda: scheduler.runs("job", status="succeeded"))
    scheduler.shutdown()
    let_go.set()


def test_a_lease_is_renewed_while_a_coroutine_blocks_its_loop(scheduler):
    async def blocking(run):
        time.sleep(4)  # noqa: ASYNC251  # the fault under test
        return run.lease.held

    scheduler.add(blocking, id="blocking")
    run_id = scheduler.run_now("blocking")
    scheduler.start()
    assert until(lambda: scheduler.get_run(run_id).status == "succeeded")
    assert scheduler.get_run(run_id).result is True


class HeldUp:
    """An executor after which the engine's thread is held up for a minute: the outcome waits, or comes late."""

    def __init__(self, clock, *, is_late):
        self.clock = clock
        self.is_late = is_late

    def capacity(self):
        return 1

    def submit(self, calls):
        for call in calls:
            outcome = call.invoke()
            if self.is_late:
                self.clock.move(60_000_000)
            call.done(outcome)
            self.clock.move(60_000_000)

    def stop(self, call, reason):
        return False

    def abandon(self, call):
        pass

    def shutdown(self, timeout):
        pass


@pytest.mark.parametrize(("is_late", "status"), [(False, "succeeded"), (True, "timed_out")])
def test_what_counts_is_when_a_call_ended_and_not_when_the_engine_hears_of_it(is_late, status):
    clock, calls = StillClock(START), []
    scheduler = Scheduler(clock=clock, executors={"held up": HeldUp(clock, is_late=is_late)})
    scheduler.add(lambda: calls.append("call"), id="job", executor="held up", timeout=30)
    run_id = scheduler.run_now("job")
    scheduler.run_due()
    assert (scheduler.get_run(run_id).status, calls) == (status, ["call"])
    scheduler.shutdown()


def test_the_time_of_a_run_counts_from_its_own_call_and_ends_with_it():
    clock = StillClock(START)
    scheduler = Scheduler(clock=clock)

    @scheduler.job(timeout=600)
    def slow():
        clock.move(300_000_000)

    @scheduler.job(timeout=60)
    def quick(run):
        return (run.deadline - run.now()).total_seconds()

    scheduler.run_due()
    ids = [scheduler.enqueue(job) for job in (quick, slow, quick)]
    scheduler.run_due()
    first, long, last = (scheduler.get_run(run_id) for run_id in ids)
    assert [run.status for run in (first, long, last)] == ["succeeded"] * 3
    assert first.result == last.result == 60
    assert long.finished_at == last.finished_at == first.finished_at + timedelta(seconds=300)
    scheduler.shutdown()


@pytest.mark.parametrize("hours", [2, -2])
@pytest.mark.parametrize(("takes", "status"), [(570, "succeeded"), (630, "timed_out")])
@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_clock_that_is_set_neither_shortens_nor_lengthens_a_timeout(hours, takes, status, executor):
    scheduler = Scheduler()
    scheduler.add(time.time, id="job", executor=executor, timeout=600)
    with simulate(scheduler, start=START) as sim:
        sim.takes("job", seconds=takes)
        run_id = scheduler.run_now("job")
        sim.advance(minutes=1)
        sim.clock.step(hours=hours)
        sim.advance(minutes=8)
        assert scheduler.get_run(run_id).status == "running"
        sim.advance(minutes=1)
        assert scheduler.get_run(run_id).status == status


def alive(kind):
    gc.collect()
    return sum(1 for thing in gc.get_objects() if type(thing) is kind)


def test_what_has_ended_or_was_removed_is_not_kept_until_it_would_have_been_due():
    clock = FakeClock(START)
    scheduler = Scheduler(clock=clock)
    calls, entries = alive(AttemptCall), alive(JobEntry)
    scheduler.add(time.time, id="job", timeout=3600)
    scheduler.start()
    for _ in range(500):
        scheduler.run_now("job")
        scheduler.add(time.time, Cron("0 0 1 1 *", tz="UTC"), id="for a while")
        scheduler.remove("for a while")
        clock.advance()
    assert alive(AttemptCall) - calls <= 1
    assert alive(JobEntry) - entries < 200
    engine = scheduler._host.node.engine
    assert len(engine.deadlines) + len(engine.timeline) < 300
    scheduler.shutdown()
