"""A machine that starts no more threads: what cannot begin waits, is tried again after a pause, and it is said."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic

import pytest
from tests.stories.worlds import START, StillClock
from tests.waiting import until

from rota import Scheduler
from rota.core.outcome import NoThread, Outcome
from rota.executors.ending import hand_back
from rota.ports import Call


class Refusing:
    """An executor that makes its calls at once, or has no thread for them. `submitted` counts calls."""

    def __init__(self) -> None:
        self.has_threads = False
        self.submitted: list[int] = []

    def capacity(self) -> int:
        return 20

    def submit(self, calls: Sequence[Call]) -> None:
        self.submitted.append(len(calls))
        if not self.has_threads:
            hand_back(calls, "no thread could be started: there are too many", NoThread)
            return
        for call in calls:
            call.done(Outcome("begun"))

    def stop(self, call: Call, reason: str) -> bool:
        return False

    def abandon(self, call: Call) -> None: ...

    def shutdown(self, timeout: float) -> None: ...


@pytest.fixture
def clock():
    return StillClock(START)


@pytest.fixture
def executor():
    return Refusing()


@pytest.fixture
def scheduler(clock, executor):
    made = Scheduler(clock=clock, executors={"mine": executor})
    made.add(print, id="job", executor="mine")
    made.add(lambda: "done", id="other")
    yield made
    made.shutdown(0)


def test_calls_that_come_back_are_tried_again_after_a_second_one_at_a_time(scheduler, clock, executor):
    runs = [scheduler.run_now("job") for _ in range(5)]
    assert scheduler.run_due() == 1.0
    assert executor.submitted == [5]
    clock.move(900_000)
    assert scheduler.run_due() == pytest.approx(0.1)
    assert executor.submitted == [5]
    for number in range(1, 4):
        clock.move(1_000_000)
        assert scheduler.run_due() == 1.0
        assert executor.submitted == [5] + [1] * number
    executor.has_threads = True
    clock.move(1_000_000)
    scheduler.run_due()
    assert executor.submitted == [5, 1, 1, 1, 1, 4]
    assert {scheduler.get_run(run_id).status for run_id in runs} == {"succeeded"}


def test_it_is_said_once_and_health_tells_until_it_is_over(scheduler, clock, executor, caplog):
    scheduler.run_now("job")
    for number in range(3):
        scheduler.run_due()
        assert scheduler.health().without_threads == ("mine",)
        assert caplog.text.count("executor.no_thread") == (1 if number else 0)  # at first the interpreter may be ending
        clock.move(1_000_000)
    assert "there are too many" in caplog.text
    executor.has_threads = True
    scheduler.run_due()
    assert scheduler.health().without_threads == ()
    assert caplog.text.count("executor.threads_back") == 1


def test_other_executors_begin_jobs_meanwhile(scheduler, executor):
    scheduler.run_now("job")
    for _ in range(2):
        other = scheduler.run_now("other")
        scheduler.run_due()
        assert scheduler.get_run(other).status == "succeeded"
    assert executor.submitted == [1]


def test_where_nothing_waits_for_a_thread_nothing_is_tried(scheduler, clock, executor):
    run_id = scheduler.run_now("job")
    scheduler.run_due()
    scheduler.cancel(run_id)
    scheduler.run_due()
    clock.move(5_000_000)
    assert scheduler.run_due() > 1.0
    assert executor.submitted == [1]


def test_a_shutdown_waits_for_no_thread(scheduler, clock, executor):
    run_id = scheduler.run_now("job")
    scheduler.run_due()
    clock.move(5_000_000)
    scheduler.shutdown(0)
    assert executor.submitted == [1]
    assert scheduler.get_run(run_id).status == "queued"


@pytest.mark.parametrize("kind", ["thread", "asyncio"])
def test_a_started_scheduler_does_not_spin_for_want_of_threads(kind, monkeypatch):
    refused = []

    def job():
        return "begun"

    async def coroutine():
        return "begun"

    def refuse(thread):
        refused.append(monotonic())
        raise RuntimeError("can't start new thread")

    scheduler = Scheduler()
    scheduler.add(job if kind == "thread" else coroutine, id="job")
    scheduler.start()
    with monkeypatch.context() as machine:
        machine.setattr(threading.Thread, "start", refuse)
        run_id = scheduler.run_now("job")
        assert until(lambda: len(refused) >= 3)
        assert scheduler.health().without_threads == (kind,)
    assert refused[2] - refused[0] > 1.9
    assert until(lambda: scheduler.get_run(run_id).result == "begun")
    outcomes = [attempt.outcome for attempt in scheduler.get_run(run_id).attempts]
    assert (outcomes[:3], outcomes[-1]) == (["interrupted"] * 3, "succeeded")
    scheduler.shutdown(1)
