"""Windows: the span of time a run answers for, without gap and without double."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stories.worlds import START, at, minutes

from rota import Retry, Scheduler, StateError
from rota.testing import FakeClock, simulate

RESTARTING = pytest.mark.worlds("driven-memory", "driven-sqlite", "manual-memory", "manual-sqlite")


def windows(records):
    return [(minutes(r.window.start), minutes(r.window.end)) for r in records]


def breakable(world, **options):
    """A job that fails until the list that comes with it is cleared."""
    broken = [True]

    @world.scheduler.interval(**options)
    def job():
        if broken:
            raise ValueError

    return job, broken


def test_the_first_window_starts_at_the_previous_tick_and_the_next_where_it_ended(world):
    @world.scheduler.interval(minutes=1)
    def job():
        pass

    world.start()
    world.advance(minutes=3)
    assert windows(world.runs(job)) == [(0, 1), (1, 2), (2, 3)]


def test_windows_grow_over_failures_the_first_one_included(world):
    @world.scheduler.interval(minutes=1)
    def job(run):
        if minutes(run.scheduled_for) in (1, 2, 4):
            raise ValueError

    world.start()
    world.advance(minutes=5)
    assert windows(world.runs(job)) == [(0, 1), (0, 2), (0, 3), (3, 4), (3, 5)]


@RESTARTING
def test_windows_grow_over_an_outage(world):
    @world.scheduler.interval(minutes=1)
    def job():
        pass

    world.start()
    world.advance(minutes=2)
    world.stop()
    world.advance(minutes=5)
    world.start()
    world.advance(minutes=1)
    ran = [r for r in world.runs(job) if r.status == "succeeded"]
    assert windows(ran) == [(0, 1), (1, 2), (2, 7), (7, 8)]


def test_a_window_is_kept_by_every_attempt(world):
    seen = []

    @world.scheduler.interval(minutes=1, retry=Retry(wait_initial=150, wait_jitter=0, attempts=2), max_runs=1)
    def job(run):
        seen.append((run.window.start, run.window.end))
        raise ValueError

    world.start()
    world.advance(minutes=6)
    assert seen == [(START, at(minutes=1))] * 2


def test_run_now_takes_its_part_of_the_chain(world):
    @world.scheduler.interval(minutes=2)
    def job():
        pass

    world.start()
    world.advance(minutes=3)
    world.scheduler.run_now(job)
    world.advance(minutes=1)
    assert sorted(windows(world.runs(job))) == [(0, 2), (2, 3), (3, 4)]


def test_a_run_now_before_any_success_starts_at_the_previous_tick(world):
    @world.scheduler.interval(minutes=2)
    def job():
        pass

    world.start()
    world.advance(minutes=3, seconds=30)
    world.scheduler.reschedule(job, world.scheduler.jobs["job"].trigger)
    world.scheduler.run_now(job)
    world.advance()
    assert windows(world.runs(job)) == [(0, 2), (2, 3.5)]


def test_a_run_now_beside_the_first_tick_answers_for_its_window_too():
    scheduler = Scheduler()

    @scheduler.cron("0 * * * *", timeout=1_200)
    def job():
        pass

    with simulate(scheduler, start=START) as sim:
        sim.takes(job, minutes=30)
        sim.advance(minutes=70)
        sim.takes(job, minutes=1)
        scheduler.run_now(job)
        sim.advance(minutes=60)
        ended = [(run.origin, run.status, *windows([run])) for run in sim.runs(job)]
    assert ended == [
        ("tick", "timed_out", (0, 60)),
        ("run_now", "succeeded", (0, 70)),
        ("tick", "succeeded", (70, 120)),
    ]


def test_an_enqueued_run_has_no_window(world):
    @world.scheduler.interval(minutes=2)
    def job(run):
        return run.window is None

    world.start()
    run_id = world.scheduler.enqueue(job)
    world.advance()
    record = world.scheduler.get_run(run_id)
    assert (record.window, record.result) == (None, True)


@pytest.mark.parametrize(
    "options", [{"catch_up": "all"}, {"catch_up": "skip"}, {"overlap": "allow"}, {"overlap": "replace"}]
)
def test_elsewhere_windows_go_from_tick_to_tick(world, options):
    @world.scheduler.interval(minutes=1, **options)
    def job(run):
        raise ValueError

    world.start()
    world.advance(minutes=3)
    assert windows(world.runs(job)) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize(
    "other", [{"overlap": "allow"}, {"overlap": "replace"}, {"catch_up": "all"}, {"catch_up": "skip"}]
)
def test_windows_join_again_when_options_let_them(world, other):
    @world.scheduler.interval(minutes=1)
    def job(run):
        if minutes(run.scheduled_for) in (6, 7):
            raise ValueError

    world.start()
    world.advance(minutes=2)
    world.scheduler.update(job, **other)
    world.advance(minutes=3)
    world.scheduler.update(job, overlap="skip", catch_up="latest")
    world.advance(minutes=3)
    assert windows(world.runs(job)) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (5, 7), (5, 8)]


@pytest.mark.worlds("driven-memory", "driven-sqlite", "simulated")
@pytest.mark.parametrize("is_broken", [False, True])
def test_a_tick_that_waits_when_its_windows_cease_to_join_does_nothing_twice(world, is_broken):
    @world.scheduler.interval(minutes=1, overlap="queue", max_runs=3)
    async def job(run):
        await asyncio.sleep(150)
        if is_broken and minutes(run.scheduled_for) == 2:
            raise ValueError

    world.start()
    world.advance(minutes=4, seconds=10)
    assert world.told(job)[1:] == [(2, "running"), (3, "skipped"), (4, "queued")]
    assert windows(world.runs(job)[-1:]) == [(1, 4)]
    world.scheduler.update(job, catch_up="skip")
    world.advance(minutes=10)
    assert windows(world.runs(job, status="succeeded"))[-1] == ((1, 4) if is_broken else (2, 4))


def test_a_run_whose_windows_do_not_join_is_replayed_whatever_has_succeeded_since(world):
    job, broken = breakable(world, minutes=1, overlap="allow")
    world.start()
    world.advance(minutes=1)
    broken.clear()
    world.advance(minutes=1)
    [dead] = world.scheduler.dead_letters(job)
    assert world.scheduler.explain(job, dead.scheduled_for).hint == "replay() gives it fresh attempts."
    world.scheduler.replay(dead.id)
    world.advance()
    assert windows(world.runs(job, status="succeeded")) == [(0, 1), (1, 2)]


def test_a_backfill_goes_from_tick_to_tick_and_leaves_the_chain_alone(world):
    @world.scheduler.interval(minutes=1)
    def job(run):
        if run.origin == "tick" and minutes(run.scheduled_for) == 2:
            raise ValueError

    world.start()
    world.advance(minutes=2)
    world.scheduler.backfill(job, at(minutes=-2), at(minutes=3))
    world.advance(minutes=1)
    backfilled = [r for r in world.runs(job) if r.origin == "backfill"]
    assert windows(backfilled) == [(-3, -2), (-2, -1), (-1, 0), (1, 2)]
    assert windows([world.runs(job)[-1]]) == [(1, 3)]


@pytest.mark.worlds("driven-memory", "driven-sqlite", "simulated")
def test_a_queued_window_starts_where_the_run_before_it_has_ended(world):
    @world.scheduler.interval(minutes=1, overlap="queue", max_runs=3)
    async def job(run):
        await asyncio.sleep(90)
        if minutes(run.scheduled_for) == 2:
            raise ValueError

    world.start()
    world.advance(minutes=10)
    ran = [r for r in world.runs(job) if r.status != "skipped"]
    assert [(minutes(r.scheduled_for), r.status) for r in ran] == [(1, "succeeded"), (2, "failed"), (3, "succeeded")]
    assert windows(ran) == [(0, 1), (1, 2), (1, 3)]


@pytest.mark.worlds("driven-sqlite")
def test_windows_join_though_each_node_remembers_another_state_of_the_job(world):
    """What a node knows of a job may be old; the claim has what the store knows."""
    other = world.another()

    def job():
        pass

    for scheduler in (world.scheduler, other):
        scheduler.interval(minutes=1, id="job")(job)
        scheduler.start()
    for seconds in (70, 50, 100, 20, 35, 80):
        world.advance(seconds=seconds)
        other.run_now("job")
    world.advance(minutes=1)
    other.shutdown(0)
    ran = sorted(windows(world.runs("job")))
    assert len(ran) > 10
    assert [start for start, _ in ran[1:]] == [end for _, end in ran[:-1]]


def test_replay_of_a_window_since_covered_is_refused_without_force(world):
    job, broken = breakable(world, minutes=1)
    world.start()
    world.advance(minutes=1)
    [dead] = world.scheduler.dead_letters(job)
    broken.clear()
    world.advance(minutes=1)
    with pytest.raises(StateError, match="force=True"):
        world.scheduler.replay(dead.id)
    world.scheduler.replay(dead.id, force=True)
    world.advance()
    assert world.scheduler.get_run(dead.id).status == "succeeded"


def test_replay_of_a_window_of_which_a_part_was_covered_since_is_refused(world):
    job, broken = breakable(world, minutes=1, max_runs=2)
    world.start()
    world.advance(minutes=2)
    second, first = world.scheduler.dead_letters(job)
    assert windows([first, second]) == [(0, 1), (0, 2)]
    broken.clear()
    world.scheduler.replay(first.id)
    world.advance()
    with pytest.raises(StateError, match="covered up to 2026-01-01T00:01:00Z since"):
        world.scheduler.replay(second.id)


@pytest.mark.parametrize("force", [False, True])
def test_of_two_replays_of_the_same_window_one_runs_unless_forced(world, force):
    told = []
    job, broken = breakable(world, minutes=1, max_runs=2)
    world.start()
    world.advance(minutes=2)
    broken.clear()
    world.scheduler.listen(lambda event: told.append((event.kind, event.run.scheduled_for)))
    second, first = world.scheduler.dead_letters(job)
    for dead in (first, second):
        world.scheduler.replay(dead.id, force=force)
    world.advance(seconds=2)
    [one, other] = [world.scheduler.get_run(dead.id) for dead in (first, second)]
    assert (one.status, len(one.attempts)) == ("succeeded", 2)
    if force:
        assert (other.status, len(other.attempts)) == ("succeeded", 2)
    else:
        assert (other.status, other.reason, len(other.attempts)) == ("cancelled", "covered", 1)
        assert {kind for kind, tick in told if tick == other.scheduled_for} <= {"run_ended"}, "no attempt was made"
        assert "later runs had covered its window" in world.scheduler.explain(job, other.scheduled_for).verdict
        world.scheduler.replay(other.id, force=True)
        world.advance(seconds=2)
        assert world.scheduler.get_run(other.id).status == "succeeded"


@pytest.mark.worlds("driven-memory", "driven-sqlite")
def test_that_a_window_was_joined_is_the_end_of_no_attempt(world, caplog):
    told = []

    @world.scheduler.interval(minutes=1, overlap="queue", max_runs=2)
    async def job():
        await asyncio.sleep(90)

    world.scheduler.listen(lambda event: told.append(minutes(event.run.scheduled_for)), "attempt_ended")
    world.start()
    world.advance(minutes=5)
    assert windows(world.runs("job")) == [(0, 1), (1, 2)]
    assert told == [1, 2]
    assert "run.running" not in caplog.text


def test_replay_of_a_window_not_covered_since_is_fine(world):
    job, broken = breakable(world, minutes=1, max_runs=1)
    world.start()
    world.advance(minutes=1)
    broken.clear()
    world.scheduler.replay(world.scheduler.dead_letters(job)[0].id)
    world.advance()
    assert windows(world.runs(job, status="succeeded")) == [(0, 1)]


def test_a_failed_backfill_is_replayed_though_its_window_was_covered_before(world):
    broken = [True]

    @world.scheduler.interval(minutes=1)
    def job(run):
        if broken and run.origin == "backfill":
            raise ValueError

    world.start()
    world.advance(minutes=2)
    world.scheduler.backfill(job, at(minutes=-1), at(minutes=0))
    world.advance()
    broken.clear()
    [dead] = world.scheduler.dead_letters(job)
    world.scheduler.replay(dead.id)
    world.advance()
    assert world.scheduler.get_run(dead.id).status == "succeeded"


POLICIES = st.fixed_dictionaries(
    {
        "overlap": st.sampled_from(["skip", "queue", "allow", "replace"]),
        "catch_up": st.sampled_from(["latest", "latest", "all", "skip"]),
    }
)
"""Options of which half let windows join, more or less."""

CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(1, 400)),
        st.tuples(st.just("outage"), st.integers(1, 300)),
        st.tuples(st.just("fail"), st.integers(1, 3)),
        st.tuples(st.just("takes"), st.integers(0, 150)),
        st.tuples(st.just("change"), POLICIES),
    ),
    max_size=20,
)


@pytest.mark.parametrize("backend", ["memory", "sqlite", "file"])
@settings(max_examples=12)
@given(first=POLICIES, steps=CHANGES)
def test_windows_join_whatever_the_options_were_before(backend, first, steps):
    """What runs by options that let windows join leaves nothing out since the last success, and nothing is done twice,
    though the options change while runs are at work and wait."""
    clock, failures, seconds, joining = FakeClock(START), [0], [0], {}

    async def job(run):
        options = scheduler.jobs["job"].options
        joining[run.scheduled_for] = options.catch_up == "latest" and options.overlap in ("skip", "queue")
        await asyncio.sleep(seconds[0])
        if failures[0]:
            failures[0] -= 1
            raise ValueError

    with TemporaryDirectory() as directory:
        kept_in = {"sqlite": {"store": f"sqlite:///{directory}/s.db"}, "file": {"locks": f"file:///{directory}"}}
        scheduler = Scheduler("windows", clock=clock, **kept_in.get(backend, {}))
        scheduler.interval(minutes=1, id="job", **first)(job)
        scheduler.start()
        for step, how in steps:
            if step == "change":
                scheduler.update("job", **how)
            elif step == "outage":
                scheduler.shutdown(0)
                clock.advance(seconds=how)
                scheduler.start()
            elif step == "advance":
                clock.advance(seconds=how)
            else:
                (failures if step == "fail" else seconds)[0] = how
        scheduler.update("job", overlap="skip", catch_up="latest")
        failures[0] = seconds[0] = 0
        clock.advance(seconds=400)
        happy = sorted(scheduler.runs("job", status="succeeded", limit=10_000), key=lambda run: run.window.end)
        scheduler.shutdown(0)
    assert joining[happy[-1].scheduled_for]
    for before, after in pairwise(happy):
        assert before.window.end <= after.window.start, "nothing is done twice"
        assert before.window.end == after.window.start or not joining[after.scheduled_for], "nothing is left out"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(1, 400)),
        st.tuples(st.just("outage"), st.integers(1, 900)),
        st.tuples(st.just("fail"), st.integers(1, 3)),
        st.tuples(st.just("run_now"), st.just(0)),
        st.tuples(st.just("pause"), st.integers(1, 300)),
    ),
    max_size=15,
)


@settings(max_examples=60)
@given(
    every=st.integers(20, 200),
    jitter=st.sampled_from([None, 15]),
    overlap=st.sampled_from(["skip", "queue"]),
    attempts=st.integers(1, 2),
    steps=STEPS,
)
def test_whatever_happens_succeeded_windows_join_and_every_tick_is_accounted_for(
    every, jitter, overlap, attempts, steps
):
    """C1 to C4 of the contract, over random schedules, failures, outages, pauses and asked-for runs."""
    clock = FakeClock(START)
    scheduler = Scheduler(clock=clock)
    failures, fences = [0], []
    retry = Retry(attempts=attempts, wait_initial=40, wait_jitter=0)

    @scheduler.interval(seconds=every, jitter=jitter, overlap=overlap, retry=retry)
    def job(run):
        assert run.scheduled_for is None or run.now() >= run.scheduled_for
        fences.append(run.lease.fence)
        if failures[0]:
            failures[0] -= 1
            raise ValueError

    scheduler.start()
    for step, amount in steps:
        if step == "advance":
            clock.advance(seconds=amount)
        elif step == "outage":
            scheduler.shutdown(0)
            clock.advance(seconds=amount)
            scheduler.start()
            clock.advance()
        elif step == "fail":
            failures[0] = amount
        elif step == "run_now":
            if attempts > 1:
                continue  # its window and that of a waiting retry overlap: both keep theirs
            scheduler.run_now(job)
            clock.advance(seconds=1)
        else:
            scheduler.pause(job)
            clock.advance(seconds=amount)
            scheduler.resume(job)
    failures[0] = 0
    clock.advance(seconds=2 * every + 100)
    records = scheduler.runs(job, limit=10_000)
    scheduler.shutdown(0)

    assert fences == sorted(set(fences))
    happy = sorted((r.window.start, r.window.end) for r in records if r.status == "succeeded")
    assert all(before[1] == after[0] for before, after in pairwise(happy))
    ticks = [r for r in records if r.origin == "tick"]
    covered = []
    for record in ticks:
        first = record.window.start if record.count > 1 else record.scheduled_for
        assert record.finished_at is None or record.finished_at >= record.scheduled_for
        covered += scheduler.next_fires(job, record.count, after=first - timedelta(seconds=1))
    assert sorted(covered) == scheduler.next_fires(job, len(covered), after=START)
