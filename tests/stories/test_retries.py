"""Retries, snoozes, timeouts and cancels: how a run goes on, and how it ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from tests.stories.worlds import START, at, minutes

from rota import ConfigurationError, GiveUp, Retry, RetryAfter, RunCancelled, Snooze, StateError, UnknownJobError

STEADY = Retry(attempts=3, wait_initial=60, wait_jitter=0)
ON_LOOPS = pytest.mark.worlds("driven-memory", "driven-sqlite", "simulated")
RESTARTING = pytest.mark.worlds("driven-memory", "driven-sqlite", "manual-memory", "manual-sqlite")


def ran(world, job):
    """The one run of a job that was asked for, ended."""
    world.start()
    run_id = world.scheduler.run_now(job)
    world.advance(hours=1)
    return world.scheduler.get_run(run_id)


def test_a_failed_attempt_is_made_again_after_growing_waits(world):
    times = []

    @world.scheduler.job(retry=STEADY)
    def job(run):
        times.append((run.attempt, minutes(run.now())))
        raise ValueError("why")

    record = ran(world, job)
    assert times == [(1, 0), (2, 1), (3, 3)]
    assert (record.status, record.reason, record.error) == ("failed", "out of attempts", "ValueError: why")
    assert [(a.number, a.outcome, a.error_type, a.error) for a in record.attempts] == [
        (number, "failed", "ValueError", "why") for number in (1, 2, 3)
    ]
    fences = [a.fence for a in record.attempts]
    assert fences == sorted(set(fences))
    assert "raise ValueError" in record.attempts[0].traceback
    assert record.started_at == START
    assert record.finished_at == at(minutes=3)


def test_a_success_ends_the_retries_and_its_attempts_are_kept(world):
    @world.scheduler.job(retry=STEADY)
    def job(run):
        if run.attempt < 3:
            raise ValueError
        return "done"

    record = ran(world, job)
    assert (record.status, record.result, record.error) == ("succeeded", "done", None)
    assert [a.outcome for a in record.attempts] == ["failed", "failed", "succeeded"]


def test_a_predicate_gives_the_wait(world):
    @world.scheduler.job(retry=Retry(on=lambda error: error.args[0]))
    def job(run):
        raise ValueError(600 if run.attempt == 1 else False)

    record = ran(world, job)
    assert [a.started_at for a in record.attempts] == [START, at(minutes=10)]
    assert record.reason == "not retried for this error"


def test_give_up_on_and_give_up_end_at_once(world):
    @world.scheduler.job(retry=Retry(give_up_on=KeyError))
    def picky():
        raise KeyError("gone")

    assert len(ran(world, picky).attempts) == 1

    @world.scheduler.job(retry=STEADY)
    def sure():
        raise GiveUp("no such customer")

    run_id = world.scheduler.run_now(sure)
    world.advance()
    record = world.scheduler.get_run(run_id)
    assert (record.status, len(record.attempts)) == ("failed", 1)
    assert "no such customer" in record.error


def test_retry_after_works_without_a_retry_and_costs_an_attempt(world):
    @world.scheduler.job()
    def job():
        raise RetryAfter(timedelta(minutes=5))

    record = ran(world, job)
    assert (record.status, record.reason) == ("failed", "out of attempts")
    assert [a.started_at for a in record.attempts] == [at(minutes=m) for m in (0, 5, 10)]


def test_a_snooze_costs_nothing(world):
    @world.scheduler.job(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
    def job(run):
        if run.attempt <= 4:
            raise Snooze(60)
        if run.attempt == 5:
            raise ValueError

    record = ran(world, job)
    assert record.status == "succeeded"
    assert [a.outcome for a in record.attempts] == [*["snoozed"] * 4, "failed", "succeeded"]


@RESTARTING
def test_a_waiting_retry_survives_a_restart(world):
    @world.scheduler.job(retry=STEADY)
    def job(run):
        if run.attempt == 1:
            raise ValueError

    world.start()
    run_id = world.scheduler.run_now(job)
    world.advance(seconds=1)
    world.stop()
    world.advance(minutes=5)
    assert world.scheduler.get_run(run_id).status == "waiting"
    world.start()
    assert world.scheduler.get_run(run_id).status == "succeeded"


def test_a_waiting_retry_is_made_by_the_job_as_it_is_declared_then(world):
    def job(run, ok=False):
        if not ok:
            raise ValueError

    world.scheduler.job(retry=STEADY)(job)
    world.start()
    run_id = world.scheduler.run_now(job)
    world.advance(seconds=1)
    world.scheduler.update(job, kwargs={"ok": True})
    world.advance(minutes=1)
    assert world.scheduler.get_run(run_id).status == "succeeded"


def test_the_runs_of_a_removed_job_wait_until_it_is_declared_again(world):
    called = []

    def job():
        called.append(1)

    world.scheduler.job()(job)
    world.start()
    run_id = world.scheduler.enqueue(job, delay=60)
    world.scheduler.remove(job)
    world.advance(minutes=5)
    assert (called, world.scheduler.get_run(run_id).status) == ([], "queued")
    world.scheduler.job()(job)
    world.advance(seconds=2)
    assert called == [1]


@ON_LOOPS
def test_a_coroutine_is_cancelled_at_its_deadline_and_retried_like_an_error(world):
    seen = []

    @world.scheduler.job(timeout=30, retry=Retry(attempts=2, wait_initial=60, wait_jitter=0))
    async def job(run):
        seen.append((run.deadline - run.now()).total_seconds())
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            seen.append(run.cancel_reason)
            raise

    record = ran(world, job)
    assert seen == [30, "timeout"] * 2
    assert (record.status, record.reason) == ("timed_out", "out of attempts")
    assert [(a.outcome, a.error_type) for a in record.attempts] == [("timed_out", "rota.errors.RunTimeout")] * 2


@RESTARTING
def test_a_function_that_is_over_its_time_has_timed_out_though_it_returns(world):
    @world.scheduler.job(timeout=30)
    def job():
        world.pass_time(40)
        return "too late"

    record = ran(world, job)
    assert (record.status, record.result) == ("timed_out", None)


@ON_LOOPS
def test_a_running_run_that_is_cancelled_stops_at_a_safe_point(world):
    @world.scheduler.job()
    async def job(run):
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                run.check_cancelled()

    world.start()
    run_id = world.scheduler.run_now(job)
    world.advance(seconds=5)
    assert world.scheduler.get_run(run_id).status == "running"
    assert world.scheduler.cancel(run_id)
    world.advance(seconds=15)
    record = world.scheduler.get_run(run_id)
    assert (record.status, record.reason, record.attempts[-1].outcome) == ("cancelled", "cancel", "cancelled")
    assert not world.scheduler.cancel(run_id)


@ON_LOOPS
def test_a_cancelled_function_that_returns_anyway_has_succeeded(world):
    @world.scheduler.job()
    async def job(run):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return run.cancel_reason

    world.start()
    run_id = world.scheduler.run_now(job)
    world.advance(seconds=5)
    world.scheduler.cancel(run_id)
    world.advance(seconds=15)
    record = world.scheduler.get_run(run_id)
    assert (record.status, record.result) == ("succeeded", "cancel")


def test_a_cancelled_run_is_not_tried_again(world):
    @world.scheduler.job(retry=STEADY)
    def job(run):
        world.scheduler.cancel(run.id)
        raise ValueError

    record = ran(world, job)
    assert (record.status, [a.outcome for a in record.attempts]) == ("cancelled", ["failed"])


def test_a_waiting_run_that_is_cancelled_ends_at_once(world):
    @world.scheduler.job(retry=STEADY)
    def job():
        raise ValueError

    world.start()
    waiting, queued = world.scheduler.run_now(job), world.scheduler.enqueue(job, delay=500)
    world.advance(seconds=1)
    for run_id in (waiting, queued):
        assert world.scheduler.cancel(run_id)
        assert world.scheduler.get_run(run_id).status == "cancelled"
        assert not world.scheduler.cancel(run_id)
    world.advance(hours=1)
    assert [r.status for r in world.runs()] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("reason", ["cancel", "shutdown", "out of stock"])
def test_a_run_that_stops_itself_unasked_is_cancelled(world, reason):
    @world.scheduler.job(retry=STEADY)
    def job():
        raise RunCancelled(reason)

    assert ran(world, job).status == "cancelled"


@pytest.mark.parametrize(
    "raised", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError(), RecursionError()]
)
@ON_LOOPS
def test_no_exception_of_a_job_stops_the_loop(world, raised):
    @world.scheduler.interval(minutes=1)
    def job():
        raise raised

    @world.scheduler.interval(minutes=1)
    async def coroutine():
        raise raised

    world.start()
    for _ in range(2):
        try:
            world.advance(minutes=1)
        except KeyboardInterrupt:
            assert isinstance(raised, KeyboardInterrupt)
    assert world.told(job) == [(1, "failed"), (2, "failed")]
    assert world.told(coroutine) == [(1, "failed"), (2, "failed")]


def test_dead_letters_are_what_waits_for_a_person(world):
    broken = [True]

    @world.scheduler.job()
    def job():
        if broken:
            raise ValueError

    @world.scheduler.job()
    def other():
        raise ValueError

    record = ran(world, job)
    world.scheduler.run_now(other)
    world.advance()
    assert world.scheduler.dead_letters(job) == [record]
    assert len(world.scheduler.dead_letters()) == 2
    assert world.scheduler.discard(world.scheduler.dead_letters(other)[0].id)
    assert world.scheduler.dead_letters() == [record]
    assert world.runs(other), "a discarded run stays on record"
    broken.clear()
    assert world.scheduler.replay(record.id) == record.id
    assert world.scheduler.dead_letters() == []
    world.advance()
    assert world.scheduler.get_run(record.id).status == "succeeded"


def test_a_replay_has_fresh_attempts_the_next_number_and_what_was_kept(world):
    attempts, broken, charged = [], [True], []

    @world.scheduler.job(retry=Retry(attempts=2, wait_initial=1, wait_jitter=0))
    def job(run):
        attempts.append((run.attempt, run.checkpoint.get("seen")))
        run.checkpoint["seen"] = run.attempt
        run.step("charge", charged.append, 1)
        if broken:
            raise ValueError

    record = ran(world, job)
    world.scheduler.replay(record.id)
    world.advance(minutes=1)
    broken.clear()
    world.scheduler.replay(record.id)
    world.advance(minutes=1)
    assert attempts == [(1, None), (2, 1), (3, 2), (4, 3), (5, 4)]
    assert charged == [1]
    record = world.scheduler.get_run(record.id)
    assert (record.status, [a.number for a in record.attempts]) == ("succeeded", [1, 2, 3, 4, 5])


def test_only_what_ended_unhappily_is_replayed_or_discarded(world):
    @world.scheduler.job()
    def job():
        pass

    record = ran(world, job)
    for call in (world.scheduler.replay, world.scheduler.discard):
        with pytest.raises(StateError, match="succeeded"):
            call(record.id)
        with pytest.raises(UnknownJobError, match="no-such"):
            call("no-such")
    with pytest.raises(UnknownJobError):
        world.scheduler.cancel("no-such")
    with pytest.raises(UnknownJobError):
        world.scheduler.get_run("no-such")
    with pytest.raises(UnknownJobError):
        world.scheduler.logs("no-such")


@pytest.mark.worlds("driven-memory", "driven-sqlite")
def test_a_shutdown_interrupts_what_stops_itself_and_costs_nothing(world):
    attempts = []

    @world.scheduler.job()
    async def job(run):
        attempts.append(run.attempt)
        while run.attempt == 1:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                run.check_cancelled()

    world.start()
    run_id = world.scheduler.run_now(job)
    world.advance(seconds=2)
    report = world.scheduler.shutdown(10)
    assert report.interrupted == (run_id,)
    record = world.scheduler.get_run(run_id)
    assert (record.status, record.attempts[0].outcome) == ("queued", "interrupted")
    world.start()
    world.advance(seconds=2)
    assert world.scheduler.get_run(run_id).status == "succeeded"
    assert attempts == [1, 2]


@pytest.mark.parametrize("wrong", [None, 7, UUID(int=7)], ids=["None", "int", "UUID"])
def test_a_run_is_named_by_a_text(world, wrong):
    scheduler = world.scheduler
    for call in (scheduler.get_run, scheduler.logs, scheduler.cancel, scheduler.replay, scheduler.discard):
        with pytest.raises(ConfigurationError, match="run_id: a text is expected"):
            call(wrong)


def test_a_cancel_asked_for_as_the_attempt_ends_ends_the_run_at_once(world):
    """The store took it while the run was at work; by the time the node hears of it the next attempt waits."""
    node = []

    @world.scheduler.job(id="job", retry=Retry(attempts=3, wait_initial=86_400, wait_max=86_400, wait_jitter=0))
    def job(run):
        assert node[0].engine.store.request_cancel(run.id, "cancel")
        raise ValueError

    world.start()
    node.append(world.scheduler._host.node)
    run_id = world.scheduler.run_now(job)
    world.advance(seconds=2)
    record = world.scheduler.get_run(run_id)
    assert (record.status, record.reason, len(record.attempts)) == ("cancelled", "cancel", 1)
