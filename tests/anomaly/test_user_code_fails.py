"""User code that raises where Rota calls it (triggers, predicates, executors) is the trouble of its own job alone.

After each story: the other jobs ran at every tick, the loop goes on, and nothing stays open for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.waiting import until

from rota import Retry, Scheduler
from rota.executors.thread import ThreadExecutor
from rota.testing import FakeClock, simulate
from rota.triggers import Excluding, Interval

START = datetime(2026, 1, 1, tzinfo=UTC)
INNOCENT = 5


class Holidays:
    """Raises at the calls whose numbers, from 1, are in `bad`, or at all while `is_down`."""

    def __init__(self, bad: range = range(0)) -> None:
        self.bad = bad
        self.is_down = False
        self.calls = 0

    def __contains__(self, _: date) -> bool:
        self.calls += 1
        if self.is_down or self.calls in self.bad:
            raise RuntimeError("the holidays' service is down")
        return False


def with_holidays(holidays: Holidays, **options: Any) -> Scheduler:
    """Five jobs without, and in their midst one with."""
    scheduler = Scheduler("user-code", defaults={"end": START + timedelta(minutes=9)})
    for number in range(INNOCENT):
        scheduler.add(lambda: None, Interval(timedelta(minutes=1)), id=f"innocent{number}")
        if number == 1:
            trigger = Excluding(Interval(timedelta(minutes=1)), holidays)
            scheduler.add(lambda: None, trigger, id="guilty", **options)
    return scheduler


@contextmanager
def started(scheduler: Scheduler) -> Iterator[Scheduler]:
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown(1)


def ran(simulation: Any, job: str) -> list[float]:
    return [(run.scheduled_for - START) / timedelta(minutes=1) for run in simulation.runs(job)]


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("options", [{}, {"jitter": 1e-6}, {"overlap": "allow"}], ids=["plain", "jitter", "allow"])
@pytest.mark.parametrize("call", range(1, 25))
def test_a_trigger_that_raises_once_loses_no_tick_of_any_job(call, options, nodes):
    holidays = Holidays()
    with simulate(with_holidays(holidays, **options), start=START, nodes=nodes) as simulation:
        holidays.bad = range(holidays.calls + call, holidays.calls + call + 1)
        simulation.advance(minutes=15)
        for job in [*(f"innocent{number}" for number in range(INNOCENT)), "guilty"]:
            assert ran(simulation, job) == [1, 2, 3, 4, 5, 6, 7, 8], job
            assert {run.status for run in simulation.runs(job)} == {"succeeded"}, job


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_trigger_that_goes_on_raising_holds_up_its_own_job_alone_and_is_told_of(nodes, caplog):
    holidays = Holidays()
    with simulate(with_holidays(holidays), start=START, nodes=nodes) as simulation:
        simulation.advance(seconds=150)
        holidays.is_down = True
        simulation.advance(seconds=240)
        assert ran(simulation, "guilty") == [1, 2]
        for number in range(INNOCENT):
            assert ran(simulation, f"innocent{number}") == [1, 2, 3, 4, 5, 6]
        holidays.is_down = False
        simulation.advance(minutes=10)
        after = [(run.status, run.count) for run in simulation.runs("guilty")[2:]]
        assert after == [("missed", 4), ("succeeded", 1), ("succeeded", 1)]
        assert ran(simulation, "guilty")[3:] == [7, 8]
    assert [record.message.split()[0] for record in caplog.records].count("trigger.failed") == nodes


def test_a_job_whose_trigger_raises_is_overdue_in_health():
    clock, holidays = FakeClock(START), Holidays()
    scheduler = Scheduler("user-code", clock=clock)
    scheduler.add(lambda: None, Excluding(Interval(timedelta(minutes=1)), holidays), id="guilty")
    with started(scheduler):
        clock.advance(seconds=90)
        holidays.is_down = True
        clock.advance(seconds=120)
        health = scheduler.health()
        assert (health.alive, health.overdue, health.lag) == (True, ("guilty",), pytest.approx(90, abs=1))
        holidays.is_down = False
        clock.advance(seconds=90)
        assert scheduler.health().overdue == ()


class Unsigned(Interval):
    """A trigger of the user's, whose definition cannot be told."""

    def signature(self) -> str:
        raise RuntimeError("it is not JSON")


class Illegible(Interval):
    """A trigger of the user's, whose definition no store can keep."""

    def signature(self) -> str:
        return "every \udcff"


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize(
    ("guilty", "error"),
    [
        (Unsigned, ("RuntimeError", "it is not JSON")),
        (
            Illegible,
            (
                "ConfigurationError",
                r"the signature of its trigger: 'every \\udcff' has a lone surrogate, which no store can keep",
            ),
        ),
    ],
)
def test_a_trigger_without_a_signature_keeps_its_own_job_alone_from_running(nodes, guilty, error, caplog):
    scheduler = Scheduler("user-code")
    for name, kind in (("before", Interval), ("guilty", guilty), ("after", Interval)):
        scheduler.add(lambda: None, kind(minutes=1), id=name)
    with simulate(scheduler, start=START, nodes=nodes) as simulation:
        simulation.advance(minutes=3)
        assert [ran(simulation, name) for name in ("before", "guilty", "after")] == [[1, 2, 3], [], [1, 2, 3]]
        scheduler.reschedule("guilty", Interval(minutes=1))
        simulation.advance(minutes=2)
        assert len(ran(simulation, "guilty")) == 2
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("trigger.failed")]
    assert len(told) == nodes
    assert (
        f"job 'guilty' does not run in this process: its trigger raised {error[0]} when it was asked for its signature"
        f" ({error[1]}); mend it, and start or declare the job again"
    ) in told[0]


class Unaskable(type):
    def __instancecheck__(cls, _: object) -> bool:
        raise RuntimeError("no")


class Picky(Exception, metaclass=Unaskable):
    """Cannot be compared with."""


def raises(_: BaseException) -> bool:
    raise RuntimeError("no")


@pytest.mark.parametrize(
    "retry", [Retry(give_up_on=Picky), Retry(on=Picky), Retry(on=raises)], ids=["give_up_on", "on", "predicate"]
)
def test_a_predicate_that_raises_gives_up_and_the_run_ends_by_its_own_error(retry):
    clock = FakeClock(START)
    scheduler = Scheduler("user-code", clock=clock)

    @scheduler.job(retry=retry)
    def broken():
        raise ValueError("its own")

    with started(scheduler):
        run_id = scheduler.run_now(broken)
        clock.advance(seconds=1)
        run = scheduler.get_run(run_id)
        assert (run.status, run.error, len(run.attempts)) == ("failed", "ValueError: its own", 1)


def test_an_outcome_that_cannot_be_judged_ends_its_run_as_failed(monkeypatch):
    def judge(*_: object) -> None:
        raise RuntimeError("unreadable")

    monkeypatch.setattr("rota.core.lifecycle.judge", judge)
    clock = FakeClock(START)
    scheduler = Scheduler("user-code", clock=clock)
    scheduler.job(id="job")(lambda: None)
    with started(scheduler):
        run_id = scheduler.run_now("job")
        clock.advance(seconds=1)
        run = scheduler.get_run(run_id)
        assert (run.status, run.error) == ("failed", "RuntimeError: unreadable")
        assert run.reason == "its outcome could not be read"


@pytest.mark.faults_of_ours
def test_a_thread_driver_survives_what_it_meets_while_it_waits():
    scheduler, ticks = Scheduler("user-code"), []
    scheduler.add(lambda: ticks.append(1), Interval(timedelta(seconds=0.2)), id="tick", overlap="allow")
    with started(scheduler):
        assert until(lambda: ticks)
        engine = scheduler._host.node.engine
        engine.attempts.ended = lambda _call: 1 / 0  # a fault of ours
        seen = len(ticks)
        assert until(lambda: len(ticks) > seen)
        del engine.attempts.ended
        assert scheduler.health().alive


@pytest.mark.parametrize("method", ["capacity", "submit", "stop", "abandon", "shutdown"])
def test_an_executor_that_raises_is_the_trouble_of_its_own_runs(method):
    class Mine(ThreadExecutor):
        """Raises in one of its methods."""

    def fail(*_: object) -> None:
        raise RuntimeError("the broker is away")

    setattr(Mine, method, fail)
    scheduler, others, go_on = Scheduler("user-code", executors={"mine": Mine(2)}), [], []

    @scheduler.job(executor="mine", timeout=0.2)
    def slow(run):
        until(lambda: go_on)

    scheduler.add(lambda: others.append(1), Interval(timedelta(seconds=0.2)), id="other")
    with started(scheduler):
        run_id = scheduler.run_now(slow)
        expected = "failed" if method == "submit" else "timed_out"
        assert until(lambda: scheduler.get_run(run_id).status == expected)
        seen = len(others)
        assert until(lambda: len(others) > seen)
        health = scheduler.health()
        assert (health.alive, health.store, health.stuck) == (True, True, 0 if method == "submit" else 1)
        go_on.append(1)
        assert until(lambda: not scheduler.health().stuck)
