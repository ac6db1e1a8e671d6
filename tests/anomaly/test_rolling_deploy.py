"""Two versions of a program at once: the same job with two schedules, on one store."""

import logging
from datetime import UTC, datetime, timedelta

from rota import Scheduler
from rota.stores import MemoryStore
from rota.testing import FakeClock
from rota.testing.faults import FaultyStore

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_both_schedules_run_each_tick_once_and_the_older_version_warns_once(caplog):
    clock, ran = FakeClock(START), []
    store = FaultyStore(MemoryStore(clock), shared=True)

    def version(minutes: int) -> Scheduler:
        scheduler = Scheduler("deploy", store=store, clock=clock)
        scheduler.interval(minutes=minutes, id="job")(lambda run: ran.append((minutes, run.scheduled_for)))
        scheduler.interval(minutes=30, id="same")(lambda: None)
        scheduler.start()
        return scheduler

    def ticks(*grids: int, since: int, to: int) -> list[datetime]:
        return [
            START + timedelta(minutes=minute)
            for minute in range(since + 1, to + 1)
            if any(minute % grid == 0 for grid in grids)
        ]

    with caplog.at_level(logging.WARNING, "rota"):
        old = version(5)
        clock.advance(minutes=11)
        assert [tick for _, tick in ran] == ticks(5, since=0, to=11)
        new = version(7)
        clock.advance(minutes=79)
        assert [tick for _, tick in ran] == ticks(5, since=0, to=11) + ticks(5, 7, since=11, to=90)
        assert {minutes for minutes, _ in ran} == {5, 7}
        old.shutdown()
        ran.clear()
        clock.advance(minutes=60)
        assert ran == [(7, tick) for tick in ticks(7, since=90, to=150)]
        new.shutdown()
    told = [record.getMessage() for record in caplog.records if "trigger.differs" in record.getMessage()]
    assert len(told) == 1
    assert "job_id=job" in told[0]
    assert (
        "job 'job' was declared with another schedule by another process: both schedules run, each tick once, until "
        "every process has the same"
    ) in told[0]


def test_a_new_schedule_in_the_same_process_warns_of_nothing(caplog):
    clock, ran = FakeClock(START), []
    scheduler = Scheduler("deploy", store=FaultyStore(MemoryStore(clock), shared=True), clock=clock)
    scheduler.interval(minutes=5, id="job")(lambda run: ran.append(run.scheduled_for))
    with caplog.at_level(logging.WARNING, "rota"):
        scheduler.start()
        clock.advance(minutes=6)
        scheduler.reschedule("job", scheduler.jobs["job"].trigger | scheduler.jobs["job"].trigger)
        clock.advance(minutes=6)
        scheduler.shutdown()
    assert len(ran) == 2
    assert not caplog.records
