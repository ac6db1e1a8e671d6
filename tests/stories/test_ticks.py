"""Ticks: once each, in order, on the grid; what becomes of those that cannot run at once, or could not in time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.stories.worlds import START, at, minutes

from rota import Retry
from rota.triggers import Once

RESTARTING = pytest.mark.worlds("driven-memory", "driven-sqlite", "manual-memory", "manual-sqlite")


def test_every_tick_runs_once_in_order_and_is_recorded(world):
    seen = []

    @world.scheduler.interval(minutes=1)
    def job(run):
        seen.append((run.scheduled_for, run.now()))

    world.start()
    world.advance(minutes=5)
    assert seen == [(at(minutes=n), at(minutes=n)) for n in range(1, 6)]
    assert world.told(job) == [(n, "succeeded") for n in range(1, 6)]


def test_ticks_before_a_job_was_first_seen_do_not_exist_for_it(world):
    @world.scheduler.cron("0 0 * * *")
    def job():
        pass

    world.start()
    assert world.runs(job) == []
    assert job() is None


@RESTARTING
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"catch_up": "skip"}, [(9, "missed", 9)]),
        ({}, [(8, "missed", 8), (9, "succeeded", 1)]),
        ({"catch_up": "all"}, [(n, "succeeded", 1) for n in range(1, 10)]),
        ({"catch_up": "all", "max_catch_up": 2}, [(7, "missed", 7), (8, "succeeded", 1), (9, "succeeded", 1)]),
        ({"max_lateness": 20}, [(9, "missed", 9)]),
    ],
)
def test_after_an_outage_late_ticks_are_caught_up_as_the_job_says(world, options, expected):
    ran = []

    @world.scheduler.interval(minutes=1, **options)
    def job(run):
        ran.append(minutes(run.scheduled_for))
        assert run.is_catch_up

    world.start()
    world.stop()
    world.advance(minutes=9, seconds=45)
    world.start()
    assert [(minutes(r.scheduled_for), r.status, r.count) for r in world.runs(job)] == expected
    assert ran == [minute for minute, status, _ in expected if status == "succeeded"]
    world.advance(seconds=15)
    assert minutes(world.runs(job)[-1].scheduled_for) == 10


@RESTARTING
def test_ticks_not_run_are_one_missed_record_with_count_window_and_reason(world):
    @world.scheduler.interval(minutes=1, catch_up="skip")
    def job():
        pass

    world.start()
    world.advance(minutes=2)
    world.stop()
    world.advance(days=3, seconds=40)
    world.start()
    missed = world.runs(job)[-1]
    assert (missed.status, missed.reason, missed.count) == ("missed", "too_late", 3 * 24 * 60)
    assert missed.scheduled_for == missed.window.end == at(hours=72, minutes=2)
    assert missed.window.start == at(minutes=3)
    assert missed.started_at is None
    assert missed.finished_at == at(hours=72, minutes=2, seconds=40)
    assert world.runs(status="unhappy") == [missed]


@RESTARTING
def test_a_completed_tick_is_not_fired_again_after_a_restart(world):
    ran = []

    @world.scheduler.interval(minutes=1)
    def job(run):
        ran.append(minutes(run.scheduled_for))

    world.start()
    world.advance(minutes=1)
    for _ in range(3):
        world.stop()
        world.start()
    assert ran == [1]


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow", "replace"])
def test_jitter_delays_the_start_and_nothing_else(world, overlap):
    starts, facts = {}, []

    @world.scheduler.interval(minutes=1, jitter=40, overlap=overlap)
    def job(run):
        starts[run.scheduled_for] = run.now()
        facts.append((run.key, run.window.end, run.lateness))

    world.start()
    world.advance(minutes=6)
    assert list(starts) == [at(minutes=n) for n in range(1, 6)] or list(starts) == [at(minutes=n) for n in range(1, 7)]
    assert all(timedelta(0) <= started - tick < timedelta(seconds=40) for tick, started in starts.items())
    assert len({started - tick for tick, started in starts.items()}) > 1
    assert facts[0] == ("job@2026-01-01T00:01:00Z", at(minutes=1), 0)


def test_a_greater_max_runs_does_not_bring_back_ticks_that_are_past(world):
    @world.scheduler.interval(minutes=1, max_runs=2)
    def job():
        pass

    world.start()
    world.advance(minutes=10)
    world.scheduler.update(job, max_runs=4)
    world.advance(minutes=5)
    assert world.told(job) == [(1, "succeeded"), (2, "succeeded"), (11, "succeeded"), (12, "succeeded")]


def test_max_runs_counts_ticks_claimed_to_run(world):
    @world.scheduler.interval(minutes=1, max_runs=3)
    def job():
        raise ValueError

    world.start()
    world.advance(minutes=10)
    assert world.told(job) == [(1, "failed"), (2, "failed"), (3, "failed")]
    assert world.scheduler.jobs["job"].next_fire is None
    world.scheduler.run_now(job)
    world.advance(seconds=1)
    assert len(world.runs(job)) == 4


def test_start_is_inclusive_and_end_exclusive(world):
    @world.scheduler.interval(minutes=1, start=at(minutes=3), end="2026-01-01T00:06:00Z")
    def job():
        pass

    world.start()
    world.advance(minutes=10)
    assert world.told(job) == [(3, "succeeded"), (4, "succeeded"), (5, "succeeded")]


def test_a_job_without_a_trigger_runs_only_when_asked(world):
    @world.scheduler.job()
    def job(run):
        return [run.origin, run.scheduled_for, run.window, run.key == run.id]

    world.start()
    world.advance(hours=1)
    assert world.runs() == []
    run_id = world.scheduler.run_now(job)
    world.advance()
    assert world.scheduler.get_run(run_id).result == ["run_now", None, None, True]


def test_once_runs_once(world):
    @world.scheduler.once(at(minutes=5))
    def job():
        pass

    world.start()
    world.advance(hours=1)
    assert world.told(job) == [(5, "succeeded")]
    assert world.scheduler.jobs["job"].next_fire is None


def test_once_already_past_at_first_sight_is_missed_with_a_warning(world, caplog):
    @world.scheduler.once("2025-12-31T23:00", tz="Europe/Paris")
    def job():
        raise AssertionError

    world.start()
    world.advance(minutes=1)
    [record] = world.runs(job)
    assert (record.status, record.reason, record.count) == ("missed", "before_first_seen", 1)
    assert record.scheduled_for == START - timedelta(hours=2)
    if world.can_restart:
        world.stop()
        world.start()
        assert len(world.runs(job)) == 1
    assert world.scheduler.explain(job).reason == "before_first_seen"
    assert "past when it was first seen" in caplog.text


def test_once_that_is_put_into_the_past_while_it_runs_is_missed_with_a_warning(world, caplog):
    @world.scheduler.once(at(hours=5))
    def job():
        raise AssertionError

    world.start()
    world.advance(hours=1)
    world.scheduler.reschedule(job, Once(at(minutes=30)))
    world.advance(minutes=1)
    [record] = world.runs(job)
    assert (minutes(record.scheduled_for), record.status, record.reason) == (30, "missed", "before_first_seen")
    assert "past when it was first seen" in caplog.text
    world.scheduler.update(job, timeout=5)
    world.advance(hours=10)
    assert world.runs(job) == [record]


def test_once_that_is_put_to_this_very_moment_is_missed(world):
    @world.scheduler.interval(minutes=20)
    def job():
        pass

    world.start()
    world.advance(minutes=30)
    world.scheduler.reschedule(job, Once(at(minutes=30)))
    world.advance(minutes=30)
    assert world.told(job) == [(20, "succeeded"), (30, "missed")]


@RESTARTING
def test_once_that_is_put_into_the_past_while_stopped_is_missed_at_the_next_start(world, caplog):
    @world.scheduler.interval(hours=1)
    def job():
        pass

    world.start()
    world.advance(minutes=61)
    world.stop()
    world.scheduler.reschedule(job, Once(at(minutes=30)))
    world.advance(hours=1)
    for _ in range(2):
        world.start()
        assert world.told(job) == [(30, "missed"), (60, "succeeded")]
        world.stop()
    assert caplog.text.count("past when it was first seen") == 1
    world.scheduler.reschedule(job, Once(at(minutes=60)))
    world.start()
    assert world.told(job) == [(30, "missed"), (60, "succeeded")]


@RESTARTING
def test_once_whose_record_was_pruned_is_not_missed(make):
    world = make(retention=timedelta(hours=1))

    @world.scheduler.once(at(minutes=30))
    def job():
        pass

    @world.scheduler.interval(hours=1)
    def awake():
        pass

    world.start()
    world.advance(hours=3)
    assert world.runs(job) == []
    world.scheduler.update(job, timeout=5)
    world.advance(minutes=1)
    world.stop()
    world.scheduler.reschedule(job, Once(at(minutes=30), tz="Asia/Tokyo"))
    world.start()
    assert world.runs(job) == []


def test_a_changed_trigger_is_not_retroactive(world):
    @world.scheduler.interval(hours=1)
    def job():
        pass

    world.start()
    world.advance(minutes=90)
    world.scheduler.reschedule(job, Once(at(minutes=30)))
    world.advance(minutes=30)
    assert (60, "succeeded") in world.told(job)
    assert (30, "succeeded") not in world.told(job)
    world.scheduler.reschedule(job, Once(at(minutes=150)))
    world.advance(minutes=60)
    assert world.told(job)[-1] == (150, "succeeded")


@RESTARTING
def test_a_trigger_changed_during_an_outage_is_not_retroactive(world):
    from rota.triggers import Interval

    @world.scheduler.interval(hours=1)
    def job():
        pass

    world.start()
    world.advance(minutes=61)
    world.stop()
    world.scheduler.reschedule(job, Interval(timedelta(minutes=10)))
    world.advance(hours=3)
    world.start()
    assert world.told(job) == [(60, "succeeded")]
    world.advance(minutes=10)
    assert world.told(job)[1:] == [(250, "succeeded")]


def test_a_paused_job_records_its_ticks_as_skipped_and_does_not_catch_up(world):
    @world.scheduler.interval(minutes=1, catch_up="all")
    def job():
        pass

    world.start()
    world.advance(minutes=1)
    world.scheduler.pause(job, "too noisy")
    assert world.scheduler.jobs["job"].paused
    world.advance(minutes=2)
    world.scheduler.resume(job)
    assert not world.scheduler.jobs["job"].paused
    world.advance(minutes=1)
    assert world.told(job) == [(1, "succeeded"), (2, "skipped"), (3, "skipped"), (4, "succeeded")]
    assert {r.reason for r in world.runs(job, status="skipped")} == {"paused"}


@RESTARTING
def test_ticks_that_fell_into_a_pause_while_nobody_was_alive_are_not_caught_up(world):
    @world.scheduler.interval(minutes=1, catch_up="all")
    def job():
        pass

    world.start()
    world.stop()
    world.scheduler.pause(job)
    world.advance(minutes=5, seconds=40)
    world.scheduler.resume(job)
    world.advance(minutes=1)
    world.start()
    assert [(minutes(r.scheduled_for), r.status, r.count) for r in world.runs(job)] == [
        (5, "skipped", 5),
        (6, "succeeded", 1),
    ]


def test_a_pause_stops_neither_run_now_nor_a_retry(world):
    @world.scheduler.interval(minutes=1, retry=Retry(wait_jitter=0, wait_initial=90, attempts=2))
    def job(run):
        if run.attempt == 1:
            raise ValueError

    world.start()
    world.advance(minutes=1)
    world.scheduler.pause("job")
    world.scheduler.run_now("job")
    world.advance(minutes=2)
    assert [r.status for r in world.runs(job) if r.count == 1 and r.reason != "paused"] == ["succeeded", "succeeded"]


def test_after_so_many_failures_in_a_row_a_job_is_paused_with_the_reason(world):
    broken = [True]

    @world.scheduler.interval(minutes=1, pause_after_failures=2)
    def job():
        if broken:
            raise ValueError

    world.start()
    world.advance(minutes=3)
    assert [status for _, status in world.told(job)] == ["failed", "failed", "skipped"]
    explanation = world.scheduler.explain(job)
    assert explanation.reason == "paused"
    world.scheduler.resume(job)
    world.advance(minutes=1)
    assert not world.scheduler.jobs["job"].paused, "resuming begins a new count"
    world.advance(minutes=1)
    assert world.scheduler.jobs["job"].paused
    world.scheduler.resume(job)
    broken.clear()
    world.advance(minutes=2)
    assert [status for _, status in world.told(job)][-2:] == ["succeeded", "succeeded"]


def test_jobs_are_added_changed_and_removed_while_running(world):
    ran = []
    world.start()
    world.advance(seconds=30)

    def job(run, word="first"):
        ran.append((minutes(run.scheduled_for), word))

    world.scheduler.interval(minutes=1)(job)
    world.advance(minutes=1)
    world.scheduler.update(job, kwargs={"word": "second"})
    world.advance(minutes=1)
    world.scheduler.reschedule("job", Once(at(minutes=2, seconds=45)))
    world.advance(minutes=1)
    world.scheduler.remove(job)
    world.advance(minutes=5)
    assert ran == [(1, "first"), (2, "second"), (2.75, "second")]
    assert "job" not in world.scheduler.jobs


def test_a_tick_due_between_removal_and_return_is_caught_up_by_the_rule(world):
    def job():
        pass

    world.scheduler.interval(minutes=1)(job)
    world.start()
    world.advance(minutes=1)
    world.scheduler.remove("job")
    world.advance(minutes=2, seconds=40)
    world.scheduler.interval(minutes=1)(job)
    world.advance(seconds=1)
    assert world.told(job) == [(1, "succeeded"), (2, "missed"), (3, "succeeded")]


def test_run_due_gives_the_seconds_to_the_next_tick(world):
    @world.scheduler.interval(minutes=5)
    def job():
        pass

    world.start()
    world.advance(minutes=1)
    assert world.scheduler.run_due() == pytest.approx(240)
