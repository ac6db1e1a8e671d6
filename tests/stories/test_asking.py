"""Asking: run now, run later, run what was missed; and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.stories.worlds import START, at, minutes

from rota import ConfigurationError, Job, Scheduler, StateError, UnknownJobError
from rota.testing import FakeClock

RESTARTING = pytest.mark.worlds("driven-memory", "driven-sqlite", "manual-memory", "manual-sqlite")
ONE = pytest.mark.worlds("driven-memory")


@pytest.fixture
def job(world):
    @world.scheduler.interval(minutes=2)
    def job(run, word="nothing", *, loud=False):
        return [word, loud]

    return job


def test_run_now_runs_at_once_and_never_eats_a_tick(world, job):
    world.start()
    world.advance(minutes=1)
    run_id = world.scheduler.run_now(job, args=["hello"], kwargs={"loud": True})
    world.advance()
    record = world.scheduler.get_run(run_id)
    assert (record.origin, record.status, record.result) == ("run_now", "succeeded", ["hello", True])
    assert (record.args, record.kwargs) == (("hello",), {"loud": True})
    assert (record.scheduled_for, record.started_at) == (None, at(minutes=1))
    world.advance(minutes=1)
    assert (2, "succeeded") in world.told(job)


@RESTARTING
def test_an_unstarted_scheduler_can_do_everything_but_execute(world, job):
    run_id = world.scheduler.run_now(job)
    world.scheduler.enqueue(job)
    world.scheduler.pause(job)
    assert world.scheduler.get_run(run_id).status == "queued"
    world.start()
    assert world.scheduler.get_run(run_id).status == "succeeded"


def test_enqueue_runs_later(world, job):
    world.start()
    soon = world.scheduler.enqueue(job)
    delayed = world.scheduler.enqueue(job, delay=90)
    spanned = world.scheduler.enqueue(job, delay=timedelta(minutes=2))
    timed = world.scheduler.enqueue(job, at=at(minutes=5))
    world.advance(minutes=6)
    records = [world.scheduler.get_run(run_id) for run_id in (soon, delayed, spanned, timed)]
    assert [minutes(r.started_at) for r in records] == [0, 1.5, 2, 5]
    assert {r.origin for r in records} == {"enqueue"}
    assert {r.window for r in records} == {None}


def test_lateness_of_an_enqueued_run_counts_from_when_it_was_due(world):
    @world.scheduler.job()
    def job(run):
        return run.lateness

    world.start()
    run_id = world.scheduler.enqueue(job, delay=3_600)
    world.advance(hours=2)
    assert world.scheduler.get_run(run_id).result == 0


def test_true_is_another_argument_than_one(world, job):
    world.start()
    world.scheduler.enqueue(job, args=["a"], kwargs={"loud": True}, key="order-7")
    with pytest.raises(ConfigurationError, match=r"order-7.*other arguments"):
        world.scheduler.enqueue(job, args=["a"], kwargs={"loud": 1}, key="order-7")


@pytest.mark.parametrize("stage", ["waiting", "ended"])
def test_the_same_key_is_the_same_run(world, job, stage):
    world.start()
    first = world.scheduler.enqueue(job, args=["a"], kwargs={"loud": True}, delay=10, key="order-7")
    if stage == "ended":
        world.advance(seconds=20)
    assert world.scheduler.enqueue(job, args=["a"], kwargs={"loud": True}, key="order-7") == first
    world.advance(minutes=1)
    assert len(world.runs(job)) == 1
    assert world.runs(job)[0].key == "order-7"
    with pytest.raises(ConfigurationError, match=r"order-7.*other arguments"):
        world.scheduler.enqueue(job, args=["b"], kwargs={"loud": True}, key="order-7")


def test_the_order_of_named_arguments_makes_no_other_run(world):
    @world.scheduler.job()
    def job(a, b):
        pass

    first = world.scheduler.enqueue(job, kwargs={"a": 1, "b": 2}, key="k")
    assert world.scheduler.enqueue(job, kwargs={"b": 2, "a": 1}, key="k") == first


def test_the_same_key_in_another_job_is_another_run(world, job):
    @world.scheduler.job()
    def other():
        pass

    assert world.scheduler.enqueue(job, key="k") != world.scheduler.enqueue(other, key="k")


@pytest.mark.parametrize(
    "wrong", [(1, 2), object(), {1: 2}, float("nan"), datetime.fromisoformat("2026-01-01"), {1, 2}, b"x"]
)
def test_arguments_that_are_not_json_are_a_type_error_when_handed_in(world, job, wrong):
    for call in (world.scheduler.run_now, world.scheduler.enqueue):
        with pytest.raises(TypeError, match="args"):
            call(job, args=[wrong])
        with pytest.raises(TypeError, match="kwargs"):
            call(job, kwargs={"word": wrong})
    assert world.runs() == []


@ONE
def test_what_is_handed_in_is_a_copy(world):
    given, seen = [[1]], []

    @world.scheduler.job()
    def job(value):
        seen.append(list(value))
        value.append(2)

    world.start()
    world.scheduler.enqueue(job, args=given, delay=5)
    given[0].append(9)
    world.advance(seconds=10)
    assert seen == [[1]]


@ONE
def test_a_job_cannot_change_the_arguments_of_its_next_run(world):
    seen = []

    @world.scheduler.interval(minutes=1, args=[[]], kwargs={"named": {}})
    def job(value, named):
        seen.append((list(value), dict(named)))
        value.append(1)
        named["x"] = 1

    world.start()
    world.advance(minutes=2)
    assert seen == [([], {}), ([], {})]


@ONE
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"delay": -1}, "delay"),
        ({"delay": "5"}, "delay"),
        ({"delay": float("inf")}, "delay"),
        ({"delay": 1, "at": START}, "not both"),
        ({"at": datetime.fromisoformat("2026-01-01")}, "naive"),
        ({"at": "2026-01-01"}, "naive"),
        ({"at": "tomorrow"}, "ISO 8601"),
        ({"at": 1_767_225_600}, "aware datetime"),
        ({"key": ""}, "key"),
        ({"key": 7}, "key"),
        ({"args": [1, 2, 3]}, "cannot be called"),
        ({"kwargs": {"wrod": 1}}, "cannot be called"),
        ({"kwargs": {"run": 1}}, "takes the run"),
    ],
)
def test_what_makes_no_sense_is_refused(world, job, options, match):
    with pytest.raises(ConfigurationError, match=match):
        world.scheduler.enqueue(job, **options)


@ONE
def test_arguments_must_come_as_a_list_and_a_dict(world, job):
    with pytest.raises(TypeError, match="list"):
        world.scheduler.enqueue(job, args="text")
    with pytest.raises(TypeError, match="dict"):
        world.scheduler.enqueue(job, kwargs=[1])


@ONE
def test_a_job_is_named_by_its_id_itself_or_its_function(world, job):
    for named in ("job", job, world.scheduler.jobs["job"]):
        assert world.scheduler.run_now(named)
    assert isinstance(world.scheduler.jobs["job"], Job)


@ONE
def test_a_function_with_several_jobs_is_no_name(world, job):
    world.scheduler.interval(minutes=5, id="again")(job)
    with pytest.raises(ConfigurationError, match=r"several jobs.*job, again"):
        world.scheduler.run_now(job)


@ONE
def test_a_bound_method_names_its_job(world):
    class Service:
        def work(self):
            pass

    service = Service()
    world.scheduler.job(id="work")(service.work)
    assert world.scheduler.run_now(service.work)


@ONE
def test_an_unknown_job_names_the_nearest(world, job):
    with pytest.raises(UnknownJobError, match=r"'jbo'.*did you mean 'job'"):
        world.scheduler.run_now("jbo")
    with pytest.raises(UnknownJobError):
        world.scheduler.run_now(len)
    with pytest.raises(LookupError):
        world.scheduler.runs("jbo")


# Backfill -------------------------------------------------------------------------------------------------------------


def test_a_backfill_makes_a_run_for_every_tick_of_the_range_oldest_first(world):
    seen = []

    @world.scheduler.interval(minutes=1)
    def job(run):
        seen.append((minutes(run.scheduled_for), run.origin, run.key))

    world.start()
    made = world.scheduler.backfill(job, at(minutes=-3), at(minutes=0))
    assert len(made) == 3
    assert list(made.ticks) == [at(minutes=m) for m in (-3, -2, -1)]
    world.advance()
    assert [entry[:2] for entry in seen] == [(-3, "backfill"), (-2, "backfill"), (-1, "backfill")]
    assert seen[0][2] == "job@2025-12-31T23:57:00Z"
    assert [world.scheduler.get_run(run_id).status for run_id in made] == ["succeeded"] * 3


def test_a_backfill_leaves_out_what_has_succeeded_and_never_runs_a_tick_twice(world):
    broken, seen = [True], []

    @world.scheduler.interval(minutes=1)
    def job(run):
        seen.append(minutes(run.scheduled_for))
        if broken and minutes(run.scheduled_for) == 2:
            raise ValueError

    world.start()
    world.advance(minutes=3)
    broken.clear()
    assert len(world.scheduler.backfill(job, at(), at(minutes=3, seconds=1), dry_run=True)) == 2
    assert len(world.scheduler.backfill(job, at(), at(minutes=3, seconds=1))) == 2
    assert len(world.scheduler.backfill(job, at(), at(minutes=3, seconds=1))) == 0, "they wait already"
    world.advance()
    assert len(world.scheduler.backfill(job, at(), at(minutes=3, seconds=1))) == 0
    assert seen == [1, 2, 3, 0, 2]
    assert len(world.scheduler.backfill(job, at(), at(minutes=3, seconds=1), only="all", dry_run=True)) == 4


def test_a_backfill_of_what_is_missing_leaves_failures_alone(world):
    @world.scheduler.interval(minutes=1)
    def job():
        raise ValueError

    world.start()
    world.advance(minutes=1)
    made = world.scheduler.backfill(job, at(minutes=-1), at(minutes=1, seconds=1), only="missing", dry_run=True)
    assert [minutes(tick) for tick in made.ticks] == [-1, 0]


@pytest.mark.worlds("driven-memory", "driven-sqlite", "simulated")
@pytest.mark.parametrize("max_running", [1, 3])
def test_a_backfill_runs_so_many_at_once(world, max_running):
    import asyncio

    at_work, most, order = [0], [0], []

    @world.scheduler.interval(minutes=1, max_runs=1)
    async def job(run):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        order.append(minutes(run.scheduled_for))
        await asyncio.sleep(10)
        at_work[0] -= 1

    world.start()
    world.scheduler.backfill(job, at(minutes=-9), at(minutes=0), max_running=max_running)
    world.advance(seconds=50)
    assert most == [max_running]
    assert order == [*range(-9, 0)][: len(order)]
    world.advance(minutes=5)
    assert most[0] <= max_running + 1, "a live tick runs beside them"
    assert sorted(order) == [*range(-9, 0), 1]


@pytest.mark.worlds("driven-memory", "simulated")
def test_a_thousand_backfilled_ticks_go_one_after_the_other(world):
    order = []

    @world.scheduler.interval(minutes=1)
    async def job(run):
        order.append(run.scheduled_for)

    world.start()
    world.scheduler.backfill(job, START - timedelta(minutes=1_000), START)
    world.advance(seconds=10)
    assert len(order) == 1_000
    assert order == sorted(order)


def test_overlap_lateness_and_catch_up_do_not_apply_to_a_backfill(world):
    @world.scheduler.interval(minutes=1, catch_up="skip", max_lateness=1, max_runs=1)
    def job(run):
        return run.is_catch_up

    world.start()
    world.advance(minutes=1)
    world.scheduler.backfill(job, at(minutes=-5), at(minutes=0))
    world.advance()
    assert [r.status for r in world.runs(job)] == ["succeeded"] * 6
    assert {r.result for r in world.runs(job)} == {False}


def test_a_range_older_than_the_retention_is_refused(world, job):
    with pytest.raises(ConfigurationError, match="older than the retention"):
        world.scheduler.backfill(job, START - timedelta(days=31), START)
    world.scheduler.update(job, retention=timedelta(hours=1))
    with pytest.raises(ConfigurationError, match="older than the retention"):
        world.scheduler.backfill(job, START - timedelta(hours=2), START)
    world.scheduler.update(job, retention=None)
    assert len(world.scheduler.backfill(job, START - timedelta(days=31), START, dry_run=True)) == 31 * 24 * 30


@ONE
@pytest.mark.parametrize(
    ("start", "end", "options", "match"),
    [
        (at(), at(), {}, "not after start"),
        (datetime.fromisoformat("2026-01-01"), at(), {}, "naive"),
        (at(hours=-1), at(hours=1), {}, "has not come yet"),
        (at(hours=-1), at(), {"only": "failed"}, "only"),
        (at(hours=-1), at(), {"max_running": 0}, "max_running"),
        (at(hours=-1), at(), {"dry_run": "no"}, "dry_run"),
    ],
)
def test_a_backfill_that_makes_no_sense_is_refused(world, job, start, end, options, match):
    with pytest.raises(ConfigurationError, match=match):
        world.scheduler.backfill(job, start, end, **options)


@ONE
def test_a_job_without_a_trigger_has_nothing_to_backfill(world):
    @world.scheduler.job()
    def job():
        pass

    with pytest.raises(ConfigurationError, match="no trigger"):
        world.scheduler.backfill(job, at(hours=-1), at())


@ONE
def test_what_was_missed_is_backfilled_and_not_replayed(world):
    @world.scheduler.interval(minutes=1, catch_up="skip")
    def job():
        pass

    world.start()
    world.stop()
    world.advance(minutes=5, seconds=40)
    world.start()
    [missed] = world.runs(job)
    with pytest.raises(StateError, match="backfill"):
        world.scheduler.replay(missed.id)
    assert len(world.scheduler.backfill(job, missed.window.start, missed.window.end + timedelta(seconds=1))) == 5
    world.advance()
    assert len(world.runs(job, status="succeeded")) == 5


def test_a_backfill_leaves_ticks_that_nobody_has_looked_at_to_the_schedule():
    clock = FakeClock("2026-01-01T00:30:00+00:00")
    scheduler = Scheduler(clock=clock)

    @scheduler.interval(hours=1)
    def job():
        pass

    start = datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert len(scheduler.backfill(job, start, datetime(2026, 1, 1, tzinfo=UTC), dry_run=True)) == 2
    clock.advance(hours=3)
    backfill = scheduler.backfill(job, start, datetime(2026, 1, 1, 3, tzinfo=UTC))
    assert [tick.hour for tick in backfill.ticks] == [22, 23, 0]
    scheduler.start()
    clock.advance(seconds=1)
    ran = [run.scheduled_for for run in scheduler.runs(job, status="succeeded")]
    assert len(ran) == len(set(ran)) == 4
    scheduler.shutdown()


def test_resume_ends_although_the_clock_has_just_been_stepped():
    clock = FakeClock("2026-01-01T00:30:00+00:00")
    scheduler = Scheduler(clock=clock)

    @scheduler.interval(hours=1)
    def job():
        pass

    scheduler.start()
    scheduler.pause(job)
    clock.step(hours=5)
    scheduler.resume(job)
    assert not scheduler.jobs["job"].paused
    scheduler.shutdown()


@pytest.mark.parametrize("call", ["enqueue", "pause"])
def test_text_that_no_store_can_keep_is_refused_at_once(call):
    scheduler = Scheduler()

    @scheduler.job(id="job")
    def job():
        pass

    with pytest.raises(ConfigurationError, match="lone surrogate"):
        scheduler.enqueue(job, key="\ud800") if call == "enqueue" else scheduler.pause(job, "\ud800")
