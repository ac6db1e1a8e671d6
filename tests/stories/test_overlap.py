"""Overlap: ticks against the live runs of their job, and limits on how many are at work."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from tests.stories.worlds import START, at, minutes

from rota import Retry, RetryAfter, Scheduler, Snooze
from rota.stores import MemoryStore
from rota.testing import FakeClock, FaultyStore, simulate
from rota.triggers import Interval

pytestmark = pytest.mark.worlds("driven-memory", "driven-sqlite", "simulated")


def sleeper(seconds, seen=None):
    """A job that takes so long, and notes when it starts and ends."""

    async def job(run):
        start = minutes(run.now())
        await asyncio.sleep(seconds)
        if seen is not None:
            seen.append((minutes(run.scheduled_for), start, minutes(run.now())))

    return job


def test_skip_skips_ticks_while_a_run_is_at_work(world):
    world.scheduler.interval(minutes=1)(sleeper(150))
    world.start()
    world.advance(minutes=7)
    three = ["succeeded", "skipped", "skipped"]
    assert [status for _, status in world.told("job")] == [*three, *three, "running"]
    assert {r.reason for r in world.runs("job", status="skipped")} == {"overlap"}
    assert world.scheduler.explain("job", world.runs("job")[1].scheduled_for).reason == "overlap"


def test_queue_lets_one_wait_and_skips_later_ones(world):
    seen = []
    world.scheduler.interval(minutes=1, overlap="queue", max_runs=4)(sleeper(150, seen))
    world.start()
    world.advance(minutes=20)
    assert [entry[:2] for entry in seen] == [(1, 1), (2, 3.5), (4, 6), (6, 8.5)]
    assert (3, "skipped") in world.told("job")


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
def test_a_run_that_ends_at_the_instant_of_a_tick_is_not_in_its_way(world, overlap):
    seen = []
    world.scheduler.interval(minutes=1, overlap=overlap, max_runs=3)(sleeper(60, seen))
    world.start()
    world.advance(minutes=5)
    assert [entry[:2] for entry in seen] == [(1, 1), (2, 2), (3, 3)]


def test_a_tick_that_has_queued_for_longer_than_max_lateness_is_missed(world):
    world.scheduler.interval(minutes=1, overlap="queue", max_lateness=60, max_runs=2)(sleeper(150))
    world.start()
    world.advance(minutes=10)
    assert world.told("job") == [(1, "succeeded"), (2, "missed")]
    assert world.runs("job")[-1].reason == "too_late"
    assert world.scheduler.explain("job", world.runs("job")[-1].scheduled_for).reason == "too_late"


def test_a_queued_tick_is_missed_at_its_limit_though_the_run_before_it_is_still_at_work(world):
    world.scheduler.interval(minutes=1, overlap="queue", max_lateness=90, max_runs=4)(sleeper(600))
    world.start()
    world.advance(minutes=3, seconds=31)
    assert world.told("job") == [(1, "running"), (2, "missed"), (3, "skipped")]
    missed = world.runs("job")[1]
    assert (missed.reason, round(minutes(missed.finished_at), 2)) == ("too_late", 3.5)
    world.advance(minutes=1)
    assert world.told("job")[-1] == (4, "queued"), "the place is free"


def test_a_queued_tick_has_the_time_that_its_job_gives_it_by_now(world):
    world.scheduler.interval(minutes=1, overlap="queue", max_lateness=90, max_runs=4, id="job")(sleeper(600))
    world.start()
    world.advance(minutes=2, seconds=30)
    world.scheduler.update("job", max_lateness=150)
    world.advance(minutes=1, seconds=30)
    assert world.told("job")[1] == (2, "queued")
    world.advance(minutes=1)
    missed = world.runs("job")[1]
    assert (missed.status, round(minutes(missed.finished_at), 2)) == ("missed", 4.5)


def test_when_a_tick_would_have_been_too_late_is_not_kept_when_it_has_begun():
    clock = FakeClock(START)
    scheduler = Scheduler("story", clock=clock)
    scheduler.interval(minutes=1, overlap="queue", max_lateness=timedelta(days=7))(sleeper(90))
    scheduler.start()
    clock.advance(hours=12)
    assert len(scheduler.runs(status="succeeded", limit=1000)) > 400
    assert len(scheduler._host.node.engine.timeline) < 200
    scheduler.shutdown(0)


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_after_a_short_outage_overlap_decides_about_ticks_behind_a_run_from_before_it(overlap):
    clock, store = FakeClock(START), FaultyStore(MemoryStore())
    scheduler = Scheduler("story", store=store, clock=clock)
    scheduler.interval(minutes=1, id="job", overlap=overlap)(sleeper(600))
    scheduler.start()
    clock.advance(minutes=1, seconds=58)
    store.down = True
    clock.advance(seconds=5)
    store.down = False
    clock.advance(minutes=2)
    second, third = scheduler.runs("job")[-2], scheduler.runs("job")[-3]
    assert (second.status, third.status) == ("skipped" if overlap == "skip" else "queued", "skipped")
    scheduler.shutdown(0)


def test_a_queued_tick_that_is_missed_gives_its_turn_to_the_next(world):
    world.scheduler.interval(minutes=1, overlap="queue", max_lateness=60, max_runs=5)(sleeper(150))
    world.start()
    world.advance(minutes=15)
    assert [status for _, status in world.told("job")] == [*["succeeded", "missed", "skipped"] * 2, "succeeded"]


def test_allow_lets_runs_overlap(world):
    seen = []
    world.scheduler.interval(minutes=1, overlap="allow", max_runs=3)(sleeper(150, seen))
    world.start()
    world.advance(minutes=10)
    assert seen == [(1, 1, 3.5), (2, 2, 4.5), (3, 3, 5.5)]


def test_replace_cancels_the_old_run_and_starts_when_it_has_ended(world):
    seen = []

    @world.scheduler.interval(minutes=1, overlap="replace", max_runs=3)
    async def job(run):
        try:
            await asyncio.sleep(150)
        except asyncio.CancelledError:
            seen.append((minutes(run.scheduled_for), run.cancel_reason))
            await asyncio.sleep(2)
            raise

    world.start()
    world.advance(minutes=10)
    assert seen == [(1, "replaced"), (2, "replaced")]
    records = world.runs(job)
    assert [(r.status, r.reason) for r in records] == [
        ("cancelled", "replaced"),
        ("cancelled", "replaced"),
        ("succeeded", ""),
    ]
    assert records[1].started_at == records[0].finished_at


def test_replace_cancels_a_waiting_retry(world):
    @world.scheduler.interval(minutes=1, overlap="replace", retry=Retry(wait_initial=90, wait_jitter=0), max_runs=2)
    def job(run):
        if minutes(run.scheduled_for) == 1:
            raise ValueError

    world.start()
    world.advance(minutes=5)
    assert world.told(job) == [(1, "cancelled"), (2, "succeeded")]


def test_a_waiting_retry_is_a_live_run(world):
    @world.scheduler.interval(minutes=1, retry=Retry(wait_initial=90, wait_jitter=0))
    def job(run):
        if run.attempt == 1:
            raise ValueError

    world.start()
    world.advance(minutes=3)
    assert world.told(job) == [(1, "succeeded"), (2, "skipped"), (3, "waiting")]


def test_a_queued_tick_waits_for_the_retry_before_it(world):
    order = []

    @world.scheduler.interval(minutes=1, overlap="queue", retry=Retry(wait_initial=90, wait_jitter=0), max_runs=2)
    def job(run):
        order.append((minutes(run.scheduled_for), run.attempt, minutes(run.now())))
        if (minutes(run.scheduled_for), run.attempt) == (1, 1):
            raise ValueError

    world.start()
    world.advance(minutes=5)
    assert order == [(1, 1, 1), (1, 2, 2.5), (2, 1, 2.5)]


def test_max_running_bounds_runs_of_any_origin_and_keeps_their_order(world):
    at_work, most, order = [0], [0], []

    @world.scheduler.job(max_running=2)
    async def job(run, number):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        order.append(number)
        await asyncio.sleep(60)
        at_work[0] -= 1

    world.start()
    for number in range(7):
        world.scheduler.enqueue(job, args=[number])
    world.advance(minutes=10)
    assert most == [2]
    assert order == list(range(7))


def test_ticks_under_allow_wait_for_max_running(world):
    seen = []
    world.scheduler.interval(minutes=1, overlap="allow", max_running=2, max_runs=4)(sleeper(150, seen))
    world.start()
    world.advance(minutes=15)
    assert [entry[:2] for entry in seen] == [(1, 1), (2, 2), (3, 3.5), (4, 4.5)]


def test_a_tick_waits_for_an_asked_for_run_under_max_running(world):
    seen = []
    world.scheduler.interval(minutes=1, max_running=1, max_runs=1)(sleeper(90, seen))
    world.start()
    world.advance(seconds=50)
    world.scheduler.run_now("job")
    world.advance(minutes=5)
    assert [(tick, round(start, 2)) for tick, start, _ in seen] == [(None, 0.83), (1, 2.33)]


@pytest.mark.parametrize("is_early", [True, False], ids=["made before", "made as the places come free"])
def test_ticks_that_wait_go_before_a_backfill_though_two_places_come_free_at_once(world, is_early):
    begun = []

    @world.scheduler.interval(minutes=1, overlap="allow", max_running=2, max_runs=3)
    async def job(run):
        begun.append((run.origin, minutes(run.scheduled_for)))
        await asyncio.sleep(210 if run.origin == "run_now" else 20)
        if run.origin == "run_now" and not is_early:
            await world.scheduler.aio.backfill(job, at(minutes=-1), at(minutes=1), max_running=2)

    world.start()
    for _ in range(2):
        world.scheduler.run_now(job)
    world.advance(seconds=30)
    if is_early:
        world.scheduler.backfill(job, at(minutes=-1), at(minutes=1), max_running=2)
    world.advance(minutes=10)
    assert begun[2:5] == [("tick", 1), ("tick", 2), ("tick", 3)]
    assert {origin for origin, _ in begun[5:]} == {"backfill"}


def test_a_backfill_takes_the_place_that_a_tick_does_not_want_which_waits_for_the_one_before_it(world):
    begun = []

    @world.scheduler.interval(minutes=1, overlap="queue", max_running=2, max_runs=2)
    async def job(run):
        begun.append((run.origin, minutes(run.now())))
        await asyncio.sleep(210 if run.origin == "tick" else 20)

    world.start()
    world.advance(minutes=2)
    world.scheduler.backfill(job, at(minutes=-1), at(minutes=1), max_running=2)
    world.advance(minutes=10)
    assert begun == [("tick", 1), ("backfill", 2), ("backfill", 2 + 1 / 3), ("tick", 4.5)]


def test_asked_for_runs_wait_for_their_turn_and_are_never_skipped(world):
    world.scheduler.interval(minutes=1, max_running=1, max_runs=1)(sleeper(90))
    world.start()
    world.advance(seconds=70)
    asked = [world.scheduler.run_now("job"), world.scheduler.enqueue("job")]
    world.advance(minutes=10)
    assert [world.scheduler.get_run(run_id).status for run_id in asked] == ["succeeded", "succeeded"]


@pytest.mark.worlds("driven-memory", "driven-sqlite")
def test_catch_up_in_order_waits_and_never_skips(world):
    order = []

    @world.scheduler.interval(minutes=1, catch_up="all", max_runs=5)
    async def job(run):
        order.append(minutes(run.scheduled_for))
        await asyncio.sleep(20)

    world.start()
    world.stop()
    world.advance(minutes=5, seconds=50)
    world.start()
    world.advance(minutes=3)
    assert order == [1, 2, 3, 4, 5]
    assert {status for _, status in world.told(job)} == {"succeeded"}


@pytest.mark.worlds("driven-memory", "driven-sqlite")
def test_a_pause_ends_a_catch_up_at_once_though_a_run_is_at_work(world):
    world.scheduler.interval(minutes=1, catch_up="all")(sleeper(600))
    world.start()
    world.stop()
    world.advance(minutes=5, seconds=50)
    world.start()
    world.scheduler.pause("job", "enough")
    world.advance(seconds=2)
    assert world.told("job") == [(1, "running"), (5, "skipped")]
    skipped = world.runs("job")[-1]
    assert (skipped.reason, skipped.count) == ("paused", 4)


@pytest.mark.worlds("driven-memory", "driven-sqlite")
@pytest.mark.parametrize("away", [92, 42, 22], ids=["long", "half late", "short"])
def test_under_catch_up_all_the_last_half_minute_of_an_absence_waits_its_turn_too(world, away):
    order = []

    @world.scheduler.interval(seconds=10, catch_up="all")
    async def job(run):
        order.append(run.scheduled_for)
        await asyncio.sleep(0.3)

    world.start()
    world.advance(seconds=15)
    world.stop()
    world.advance(seconds=away)
    missed = len(order)
    world.start()
    world.advance(seconds=60)
    assert {status for _, status in world.told(job)} == {"succeeded"}
    assert len(order) - missed > 60 // 10
    assert [later - sooner for sooner, later in pairwise(order)] == [timedelta(seconds=10)] * (len(order) - 1)


def test_a_cancelled_run_that_waits_for_its_turn_does_not_hold_up_the_next(world):
    world.scheduler.job(max_running=1)(sleeper(60))
    world.start()
    first, second, third = [world.scheduler.enqueue("job") for _ in range(3)]
    world.advance(seconds=10)
    assert world.scheduler.cancel(second)
    world.advance(minutes=5)
    assert [world.scheduler.get_run(each).status for each in (first, second, third)] == [
        "succeeded",
        "cancelled",
        "succeeded",
    ]


def test_a_retry_that_comes_due_while_another_run_is_at_work_goes_before_the_tick_behind_it(world):
    seen = []

    @world.scheduler.interval(
        minutes=1, overlap="queue", max_running=1, max_runs=2, retry=Retry(wait_initial=90, wait_jitter=0)
    )
    async def job(run):
        seen.append((run.origin, minutes(run.scheduled_for), run.attempt))
        if (minutes(run.scheduled_for), run.attempt) == (1, 1):
            raise ValueError
        await asyncio.sleep(45)

    world.start()
    world.advance(seconds=135)
    world.scheduler.run_now(job)
    world.advance(minutes=5)
    assert seen == [("tick", 1, 1), ("run_now", None, 1), ("tick", 1, 2), ("tick", 2, 1)]


def test_a_tick_queued_behind_a_retry_that_is_cancelled_goes_on(world):
    @world.scheduler.interval(minutes=1, overlap="queue", max_runs=2, retry=Retry(wait_initial=600, wait_jitter=0))
    def job(run):
        if minutes(run.scheduled_for) == 1:
            raise ValueError

    world.start()
    world.advance(seconds=150)
    assert world.told(job) == [(1, "waiting"), (2, "queued")]
    assert world.scheduler.cancel(world.runs(job)[0].id)
    world.advance(minutes=1)
    assert world.told(job) == [(1, "cancelled"), (2, "succeeded")]


@pytest.mark.parametrize(("force", "status"), [(True, "succeeded"), (False, "cancelled")])
def test_a_replayed_tick_waits_until_no_tick_is_at_work(world, force, status):
    """Under `skip` as well: ticks are one at a time unless the job allows more."""
    at_work, most, broken = [0], [0], [True]

    @world.scheduler.interval(minutes=1, max_runs=2)
    async def job(run):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        try:
            if broken:
                broken.clear()
                raise ValueError
            await asyncio.sleep(30)
        finally:
            at_work[0] -= 1

    world.start()
    world.advance(minutes=2, seconds=5)
    [dead] = world.scheduler.dead_letters()
    world.scheduler.replay(dead.id, force=force)
    world.advance(minutes=5)
    assert most == [1]
    assert world.told(job) == [(1, status), (2, "succeeded")], "that of the second minute has covered its window"


def test_runs_that_wait_for_their_turn_outlive_a_change_of_their_job(world):
    order = []

    async def job(number):
        order.append(number)
        await asyncio.sleep(10)

    world.scheduler.job(max_running=1)(job)
    world.start()
    for number in range(6):
        world.scheduler.enqueue(job, args=[number])
    world.advance(seconds=5)
    world.scheduler.update(job, timeout=60)
    world.advance(seconds=10)
    world.scheduler.remove(job)
    world.advance(seconds=20)
    assert order == [0, 1]
    world.scheduler.job(max_running=1)(job)
    world.advance(minutes=2)
    assert order == list(range(6))


@pytest.mark.parametrize("dead", [0, 1])
def test_a_retry_left_by_a_dead_process_is_made_by_the_one_where_the_next_tick_waits(dead):
    scheduler = Scheduler("overlap")

    @scheduler.interval(minutes=1, overlap="queue", max_runs=2, retry=Retry(wait_initial=90, wait_jitter=0))
    def job():
        """Fails once."""

    with simulate(scheduler, start="2026-01-01T00:00:30Z", nodes=2) as simulation:
        simulation.fail(job, ValueError, times=1)
        simulation.advance(seconds=95)
        assert [run.status for run in simulation.runs(job)] == ["waiting", "queued"]
        simulation.kill(dead)
        simulation.advance(minutes=10)
        assert [(run.status, len(run.attempts)) for run in simulation.runs(job)] == [("succeeded", 2), ("succeeded", 1)]


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_run_that_waits_is_replaced_though_the_answer_to_the_claim_is_lost(is_lost):
    clock = FakeClock(START)
    store, begun = FaultyStore(MemoryStore(clock)), []
    scheduler = Scheduler("replaced", clock=clock, store=store)

    @scheduler.interval(minutes=1, overlap="replace")
    def job(run):
        begun.append(minutes(run.scheduled_for))
        if len(begun) == 1:
            raise Snooze(3600)

    scheduler.start()
    clock.advance(minutes=1, seconds=30)
    if is_lost:
        store.fail_next("claim", after=True)
    clock.advance(minutes=1)
    assert begun == [1, 2]
    assert [run.status for run in scheduler.runs(job)] == ["succeeded", "cancelled"]
    scheduler.shutdown()


def test_a_run_whose_attempt_ends_in_a_retry_at_the_instant_of_the_claim_is_replaced():
    clock = FakeClock(START)
    scheduler = Scheduler("replaced", clock=clock, store=MemoryStore(clock))

    def job(run):
        if run.origin == "tick" and run.scheduled_for == START + timedelta(minutes=10):
            raise Snooze(30) if run.attempt == 1 else RetryAfter(500)

    scheduler.add(job, Interval(timedelta(minutes=10)), id="job", overlap="replace")
    scheduler.start()
    clock.advance(minutes=10)
    scheduler.backfill("job", START - timedelta(minutes=20), START - timedelta(minutes=10))
    scheduler.shutdown()
    clock.advance(minutes=10)
    scheduler.start()
    scheduler.update("job", timeout=60)
    clock.advance(minutes=5)
    ticks = [run for run in scheduler.runs("job") if run.origin == "tick" and run.count == 1]
    assert [(minutes(run.scheduled_for), run.status) for run in ticks] == [(20, "succeeded"), (10, "cancelled")]
    scheduler.shutdown()
