"""A store that fails at call 1, 2, 3 …, before its effect or after it: no tick is lost, and none is doubled.

After each story: every due tick ended in exactly one record, no attempt was begun twice, a run that is on record as
succeeded was really made, nothing stays open for ever, and the loop goes on.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from rota import Retry, Scheduler, StoreError
from rota.backends.memory import MemoryStore
from rota.core.run import FINAL
from rota.testing import FakeClock, FaultyStore
from rota.triggers.base import to_micros

pytestmark = pytest.mark.any_versions

START = datetime(2026, 1, 1, tzinfo=UTC)
TICKS_END = START + timedelta(minutes=9)
STORY_END = timedelta(minutes=16)

THINNED = 1 if os.environ.get("ROTA_EXPLORE") else 6
"""Of the stories on a shared store, which is asked each second, one in so many is told; with ROTA_EXPLORE=1 all."""


class World(NamedTuple):
    clock: FakeClock
    memory: MemoryStore
    store: FaultyStore
    scheduler: Scheduler
    begun: Counter[tuple[str, int]]
    ended: set[str]


def make_world(*, shared: bool) -> World:
    clock = FakeClock(START)
    memory = MemoryStore(clock)
    store = FaultyStore(memory, shared=shared)
    scheduler = Scheduler("story", store=store, clock=clock, defaults={"end": TICKS_END})
    world = World(clock, memory, store, scheduler, Counter(), set())
    declare_jobs(world)
    return world


def declare_jobs(world: World) -> None:
    """A job of every kind whose rules could break."""
    scheduler = world.scheduler

    def note(run: Any) -> None:
        world.begun[run.id, run.attempt] += 1

    @scheduler.interval(minutes=1)
    def plain(run: Any) -> None:
        note(run)
        world.ended.add(run.id)

    @scheduler.interval(minutes=2, retry=Retry(attempts=4, wait_initial=5, wait_jitter=0), on_crash="rerun")
    def flaky(run: Any) -> None:
        note(run)
        if run.attempt == 1:
            raise ConnectionError("at first")
        run.checkpoint["done"] = True
        world.ended.add(run.id)

    @scheduler.interval(minutes=1, overlap="queue", on_crash="rerun")
    async def queueing(run: Any) -> None:
        note(run)
        await asyncio.sleep(80)
        world.ended.add(run.id)

    @scheduler.interval(minutes=2, overlap="replace", on_crash="rerun")
    async def replaced(run: Any) -> None:
        note(run)
        await asyncio.sleep(150)
        world.ended.add(run.id)

    @scheduler.interval(minutes=1, overlap="skip", catch_up="all", timeout=90, on_crash="rerun")
    async def timed(run: Any) -> None:
        note(run)
        await asyncio.sleep(100 if run.scheduled_for.minute % 4 == 0 else 10)
        world.ended.add(run.id)

    declare_jobs_that_are_asked_for(world, note)


def declare_jobs_that_are_asked_for(world: World, note: Callable[[Any], None]) -> None:
    scheduler = world.scheduler

    @scheduler.interval(minutes=4, on_crash="rerun")
    def asks(run: Any) -> None:
        note(run)
        for number in range(3):
            scheduler.enqueue("asked", args=[number], key=f"{run.key}:{number}")
        world.ended.add(run.id)

    @scheduler.job(max_running=1, on_crash="rerun")
    async def asked(run: Any, number: int) -> None:
        note(run)
        await asyncio.sleep(3)
        world.ended.add(run.id)


def play(world: World) -> None:
    """Run the story; a call that the test itself makes may be the one that fails."""
    scheduler, clock = world.scheduler, world.clock
    clock.advance(minutes=3, seconds=30)
    attempt(lambda: scheduler.run_now("asked", args=[7]))
    clock.advance(minutes=1)
    attempt(lambda: scheduler.pause("plain", "tidying up"))
    clock.advance(minutes=2)
    attempt(lambda: scheduler.resume("plain"))
    clock.advance_to(START + STORY_END)


def attempt(call: Callable[[], object]) -> None:
    try:
        call()
    except StoreError:
        call()


def check(world: World) -> None:
    """What must be true after every story."""
    problems = [*open_runs(world), *untrue_successes(world), *doubled_attempts(world)]
    for job in world.scheduler.jobs.values():
        if job.trigger is not None:
            problems += badly_kept_ticks(world, job.id, job.trigger)
    assert problems == []
    assert world.scheduler.health().alive
    assert world.scheduler.health().store
    assert_goes_on(world)
    world.scheduler.shutdown()


def open_runs(world: World) -> list[str]:
    return [f"{row.job_id} stays {row.status}" for row in world.memory.runs(limit=10_000) if row.status not in FINAL]


def untrue_successes(world: World) -> list[str]:
    rows = world.memory.runs(limit=10_000)
    return [f"{row.job_id} did not succeed" for row in rows if row.status == "succeeded" and row.id not in world.ended]


def doubled_attempts(world: World) -> list[str]:
    return [
        f"attempt {number} of {run_id} was begun {times} times"
        for (run_id, number), times in world.begun.items()
        if times > 1
    ]


def badly_kept_ticks(world: World, job_id: str, trigger: Any) -> list[str]:
    problems = []
    state = world.memory.job_states([job_id])[0]
    tick = None if state is None else trigger.next_tick(state.first_seen)
    while tick is not None:
        rows = world.memory.runs_of_ticks(job_id, tick, tick)
        if len(rows) != 1:
            problems.append(f"{job_id} has {len(rows)} records of {(tick - to_micros(START)) // 1_000_000} s")
        tick = trigger.next_tick(tick)
    return problems


def assert_goes_on(world: World) -> None:
    """A job declared now runs, and old ones can still be asked for."""
    calls: list[str] = []
    world.scheduler.add(lambda: calls.append("new"), id="new")
    world.scheduler.run_now("new")
    world.clock.advance(minutes=1)
    assert calls == ["new"]


def calls_of_a_story(*, shared: bool) -> list[str]:
    """The names of the store's calls when nothing fails, from the start of the scheduler on."""
    world = make_world(shared=shared)
    world.scheduler.start()
    del world.store.calls[:]
    play(world)
    calls = list(world.store.calls)
    check(world)
    assert {row.status for row in world.memory.runs(limit=10_000)} >= {
        "succeeded",
        "skipped",
        "cancelled",
        "timed_out",
    }
    return calls


def numbers(*, shared: bool) -> list[int]:
    """Which calls are to fail: all of a store of one's own; of a shared one each sixth, and of those that it is asked
    every second each fortieth before that."""
    calls = calls_of_a_story(shared=shared)
    repeated = {"due", "renew", "begin", "job_states"} if shared else set()
    chosen = [number for number, name in enumerate(calls, 1) if name not in repeated or number % 40 == 0]
    return chosen[::THINNED] if shared else chosen


@pytest.mark.parametrize("after", [False, True], ids=["refused", "reply lost"])
@pytest.mark.parametrize("shared", [False, True], ids=["own store", "shared store"])
def test_any_call_may_fail(shared: bool, after: bool) -> None:
    failures = []
    for number in numbers(shared=shared):
        world = make_world(shared=shared)
        world.scheduler.start()
        world.store.fail_at(number, after=after)
        try:
            play(world)
            check(world)
        except AssertionError as error:
            failures.append(f"call {number} ({', '.join(world.store.failed)}): {error}")
    assert not failures, f"{len(failures)} stories went wrong:\n" + "\n".join(failures[:5])


@pytest.mark.parametrize("shared", [False, True], ids=["own store", "shared store"])
@pytest.mark.parametrize("span", [timedelta(seconds=1), timedelta(seconds=20), timedelta(seconds=70)])
def test_a_store_may_be_down_for_a_while(shared: bool, span: timedelta) -> None:
    failures = []
    for seconds in range(50, 400, 7 * THINNED if shared else 7):
        world = make_world(shared=shared)
        world.scheduler.start()
        world.clock.advance(seconds=seconds)
        world.store.down = True
        world.clock.advance(seconds=span.total_seconds())
        world.store.down = False
        world.clock.advance_to(START + STORY_END)
        try:
            check(world)
        except AssertionError as error:
            failures.append(f"down at {seconds} s: {error}")
    assert not failures, f"{len(failures)} stories went wrong:\n" + "\n".join(failures[:5])


@pytest.mark.parametrize("shared", [False, True], ids=["own store", "shared store"])
def test_a_job_declared_while_the_store_is_down_runs_later(shared: bool) -> None:
    world = make_world(shared=shared)
    world.scheduler.start()
    world.clock.advance(minutes=1, seconds=30)
    world.store.down = True
    calls: list[str] = []

    @world.scheduler.interval(minutes=1)
    def added(run: Any) -> None:
        calls.append("added")
        world.ended.add(run.id)

    world.clock.advance(minutes=2)
    world.store.down = False
    world.clock.advance_to(START + STORY_END)
    check(world)
    assert len(calls) >= 5


def test_ticks_held_back_after_a_clock_step_survive_a_failing_store() -> None:
    world = make_world(shared=False)
    world.scheduler.start()
    world.clock.advance(minutes=1, seconds=30)
    world.clock.step(seconds=40)
    world.clock.advance(seconds=5)
    world.store.fail_next("job_states", times=3)
    world.clock.advance_to(START + STORY_END)
    assert "job_states" in world.store.failed
    check(world)


@pytest.mark.parametrize("method", ["open", "beat", "sync_jobs", "due"])
def test_a_start_that_failed_half_way_is_completed(method: str) -> None:
    world = make_world(shared=False)
    world.store.fail_next(method)
    assert world.scheduler.start()
    play(world)
    check(world)


@pytest.mark.parametrize("shared", [False, True], ids=["own store", "shared store"])
@pytest.mark.parametrize("after", [False, True], ids=["refused", "reply lost"])
@pytest.mark.parametrize("lost", ["claim", "begin"])
def test_looking_up_what_became_of_a_lost_answer_may_fail_too(shared: bool, after: bool, lost: str) -> None:
    for second in ("run", "swap", "now", "job_states"):
        world = make_world(shared=shared)
        world.scheduler.start()
        world.clock.advance(minutes=1, seconds=58)
        world.store.fail_next(lost, after=True)
        while lost not in world.store.failed:
            world.clock.advance(seconds=0.5)
        world.store.fail_next(second, after=after)
        world.clock.advance_to(START + STORY_END)
        check(world)


@pytest.mark.parametrize("after", [False, True], ids=["refused", "reply lost"])
@pytest.mark.parametrize("method", ["claim", "begin", "swap"])
def test_after_one_failed_call_a_run_goes_on_as_soon_as_the_store_answers(method: str, after: bool) -> None:
    clock = FakeClock(START)
    store = FaultyStore(MemoryStore(clock))
    scheduler = Scheduler("story", store=store, clock=clock)

    @scheduler.interval(minutes=10, retry=Retry(wait_initial=1, wait_jitter=0))
    def flaky(run: Any) -> None:
        if run.attempt == 1:
            raise ConnectionError("at first")

    scheduler.start()
    store.fail_next(method, after=after)
    clock.advance(minutes=11)
    [run] = scheduler.runs()
    assert store.failed == [method]
    assert (run.status, [attempt.outcome for attempt in run.attempts]) == ("succeeded", ["failed", "succeeded"])
    scheduler.shutdown()
