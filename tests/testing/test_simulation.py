"""`simulate`: the app's own scheduler on simulated time."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota import (
    AsyncRun,
    ConfigurationError,
    GiveUp,
    LockHeld,
    Retry,
    Run,
    Scheduler,
    Snooze,
    StateError,
    UnknownJobError,
)
from rota.ports import Event
from rota.testing import simulate
from rota.testing.simulation import Simulation
from rota.triggers import Cron, Interval, Once


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler("shop")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("rota")]


def statuses(sim: Simulation, job: Any = None) -> list[str]:
    return [run.status for run in sim.runs(job)]


# Time ----------------------------------------------------------------------------------------------------------------


def test_a_backup_survives_the_spring_gap(scheduler: Scheduler) -> None:
    @scheduler.cron("0 2 * * *", tz="Europe/Berlin")
    def nightly_backup() -> None: ...

    with simulate(scheduler, start="2026-03-28T00:00+01:00") as sim:
        sim.advance(days=2)
        assert [r.scheduled_for.hour for r in sim.runs("nightly_backup") if r.scheduled_for] == [1, 1]


def test_a_year_of_hourly_runs_is_all_on_record(scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Cron("0 * * * *"), id="hourly")
    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.advance(days=365)
        runs = sim.runs("hourly")
    assert len(runs) == 8_760
    ticks = [run.scheduled_for for run in runs]
    assert ticks == [utc("2026-01-01T01:00") + timedelta(hours=n) for n in range(8_760)]
    assert all(run.started_at == run.finished_at == run.scheduled_for for run in runs)
    assert {run.status for run in runs} == {"succeeded"}


def test_time_stops_at_everything_that_is_due_in_order(scheduler: Scheduler) -> None:
    seen: list[tuple[str, str]] = []
    scheduler.add(lambda run: seen.append(("a", f"{run.now():%H:%M}")), Interval(timedelta(minutes=20)), id="a")
    scheduler.add(lambda run: seen.append(("b", f"{run.now():%H:%M}")), Interval(timedelta(minutes=30)), id="b")
    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.advance(hours=1)
        assert sim.now == utc("2026-01-01T01:00")
    assert seen[:3] == [("a", "00:20"), ("b", "00:30"), ("a", "00:40")]
    assert sorted(seen[3:]) == [("a", "01:00"), ("b", "01:00")]


def test_advance_to_takes_aware_instants_and_wall_times_of_a_zone(scheduler: Scheduler) -> None:
    with simulate(scheduler, start="2026-03-28T00:00+01:00") as sim:
        sim.advance_to("2026-03-29T04:00", tz="Europe/Paris")
        assert sim.now == utc("2026-03-29T02:00")
        sim.advance_to(datetime(2026, 3, 29, 5, tzinfo=UTC))
        assert sim.now == utc("2026-03-29T05:00")
        with pytest.raises(ConfigurationError, match="naive"):
            sim.advance_to("2026-03-30T00:00")
        with pytest.raises(ConfigurationError, match="does not go back"):
            sim.advance_to("2026-03-01T00:00Z")
        with pytest.raises(ConfigurationError, match="negative"):
            sim.advance(hours=-1)
        with pytest.raises(ConfigurationError, match="timedelta"):
            sim.advance(fortnights=1)
        for days in (1e12, float("nan")):
            with pytest.raises(ConfigurationError, match="no span of time"):
                sim.advance(days=days)


def test_a_start_needs_a_zone(scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match="naive"), simulate(scheduler, start="2026-01-01T00:00"):
        pass
    assert scheduler.start() in (True, False)
    scheduler.shutdown()


def test_a_retry_waits_in_simulated_time(scheduler: Scheduler) -> None:
    @scheduler.cron("0 3 * * *", retry=Retry(attempts=3, wait_initial=60, wait_jitter=0))
    def flaky(run: object) -> None:
        raise ConnectionError("no route")

    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.advance(hours=3)
        assert statuses(sim) == ["waiting"]
        sim.advance(hours=1)
        (run,) = sim.runs()
    assert run.status == "failed"
    assert [f"{attempt.started_at:%H:%M:%S}" for attempt in run.attempts] == ["03:00:00", "03:01:00", "03:03:00"]


def test_asked_for_runs_are_made_by_the_next_advance(scheduler: Scheduler) -> None:
    calls: list[object] = []
    scheduler.add(calls.append, id="send", args=["tick"])
    with simulate(scheduler) as sim:
        scheduler.run_now("send")
        scheduler.enqueue("send", args=["later"], delay=60)
        assert calls == []
        sim.advance()
        assert calls == ["tick"]
        sim.advance(seconds=59)
        assert calls == ["tick"]
        sim.advance(seconds=1)
        assert calls == ["tick", "later"]
        assert [run.origin for run in sim.runs()] == ["run_now", "enqueue"]


def test_run_due_works_in_a_simulation(scheduler: Scheduler) -> None:
    calls: list[str] = []
    scheduler.add(lambda: calls.append("x"), id="x")
    with simulate(scheduler):
        scheduler.run_now("x")
        scheduler.run_due()
        assert calls == ["x"]


# What is replaced ----------------------------------------------------------------------------------------------------


def test_everything_is_put_back(scheduler: Scheduler) -> None:
    told: list[Event] = []
    scheduler.add(lambda: None, Cron("0 * * * *"), id="hourly")
    scheduler.listen(told.append)
    assert scheduler.runs() == []
    store, listeners = scheduler._host.runtime.store, list(scheduler._host.listeners)
    with simulate(scheduler) as sim:
        sim.advance(hours=3)
        assert len(scheduler.runs()) == 3
        assert scheduler.next_fires("hourly", 1) == [utc("2026-01-01T04:00")]
    assert scheduler._host.runtime.store is store
    assert scheduler._host.listeners == listeners
    assert scheduler.runs() == []
    assert told == []
    assert len(sim.runs()) == 3
    assert scheduler.next_fires("hourly", 1)[0] != utc("2026-01-01T04:00")
    with pytest.raises(StateError, match="over"):
        sim.advance(hours=1)


def test_everything_is_put_back_after_an_error(scheduler: Scheduler) -> None:
    with pytest.raises(ZeroDivisionError), simulate(scheduler):
        raise ZeroDivisionError
    assert not scheduler._host.is_used
    assert scheduler._host.node is None


def test_an_unused_scheduler_can_still_be_configured(scheduler: Scheduler) -> None:
    with simulate(scheduler) as sim:
        sim.advance(hours=1)
    scheduler.configure(max_workers=3)


def test_a_started_scheduler_is_refused(scheduler: Scheduler) -> None:
    scheduler.start()
    try:
        with pytest.raises(StateError, match="started"), simulate(scheduler):
            pass
        assert scheduler.health().alive
    finally:
        scheduler.shutdown()


def test_simulations_are_not_nested(scheduler: Scheduler) -> None:
    with simulate(scheduler) as outer:
        with pytest.raises(StateError), simulate(scheduler):
            pass
        outer.advance(hours=1)


def test_start_in_a_block_changes_nothing(scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Cron("0 * * * *"), id="hourly")
    with simulate(scheduler) as sim:
        assert scheduler.start()
        assert scheduler.health().alive
        sim.advance(hours=1)
        assert len(sim.runs()) == 1


def test_jobs_declared_in_the_block_run(scheduler: Scheduler) -> None:
    with simulate(scheduler, nodes=2) as sim:
        sim.advance(minutes=30)
        scheduler.add(lambda: None, Cron("0 * * * *"), id="late")
        sim.advance(hours=2)
        sim.assert_ran("late", times=2)
        scheduler.remove("late")
        sim.advance(hours=2)
        assert len(sim.runs()) == 2


def test_listeners_added_in_the_block_are_told_inline(scheduler: Scheduler) -> None:
    told: list[str] = []
    scheduler.add(lambda: None, Cron("0 * * * *"), id="hourly")
    with simulate(scheduler) as sim:
        scheduler.listen(lambda event: told.append(event.kind))
        sim.advance(hours=1)
    assert told == ["run_started", "attempt_ended", "run_ended"]


def test_a_jobs_own_calls_go_to_the_simulation(scheduler: Scheduler) -> None:
    charged: list[int] = []

    @scheduler.idempotent(key="charge:{number}")
    def charge(number: int) -> int:
        charged.append(number)
        return number * 2

    @scheduler.job()
    def send(number: int) -> None: ...

    @scheduler.cron("0 * * * *")
    def hourly() -> int:
        with scheduler.lock("books", ttl=30):
            with pytest.raises(LockHeld), scheduler.lock("books"):
                pass
            scheduler.enqueue(send, args=[7], delay=90, key="seven")
        return charge(1)

    with simulate(scheduler) as sim:
        sim.advance(hours=2)
        assert charged == [1]
        assert [run.result for run in sim.runs(hourly)] == [2, 2]
        assert len(sim.runs(send)) == 1
    assert not scheduler._host.is_used


def test_waiting_for_a_lock_takes_simulated_time(scheduler: Scheduler) -> None:
    waited: list[timedelta] = []

    @scheduler.cron("0 * * * *")
    async def holder() -> None:
        async with scheduler.lock("books", ttl=30):
            await asyncio.sleep(600)

    @scheduler.cron("1 * * * *")
    def patient(run: Run) -> None:
        before = run.now()
        with pytest.raises(LockHeld), scheduler.lock("books", wait=30):
            pass
        waited.append(run.now() - before)

    @scheduler.cron("5 * * * *")
    async def more_patient(run: AsyncRun) -> None:
        before = run.now()
        async with scheduler.lock("books", wait=600) as lease:
            waited.append(run.now() - before)
            assert lease.held

    with simulate(scheduler, start="2025-12-31T23:59Z") as sim:
        sim.advance(minutes=30)
        assert statuses(sim) == ["succeeded"] * 3
    assert waited[0] == timedelta(seconds=30)
    assert timedelta(minutes=5) <= waited[1] < timedelta(minutes=5, seconds=2)


# Executors -----------------------------------------------------------------------------------------------------------


class RemoteExecutor:
    """Must never be asked."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} of a real executor was used")

    capacity = submit = stop = abandon = shutdown = None


def process_job(run: object) -> str:
    return threading.current_thread().name


def test_everything_runs_in_this_thread_whatever_its_executor() -> None:
    executors: dict[str, Any] = {"celery": RemoteExecutor()}
    scheduler = Scheduler("shop", executors=executors)
    for name in ("thread", "process", "inline", "celery"):
        scheduler.add(process_job, Cron("0 * * * *"), id=name, executor=name)

    async def coroutine() -> str:
        await asyncio.sleep(1)
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    for name in ("asyncio", "inline", "celery"):
        scheduler.add(coroutine, Cron("0 * * * *"), id=f"async-{name}", executor=name)
    with simulate(scheduler) as sim:
        sim.advance(hours=1, seconds=1)
        assert {run.result for run in sim.runs()} == {threading.current_thread().name}
        assert len(sim.runs()) == 7


def test_coroutines_sleep_in_step_with_ticks_and_with_one_another(scheduler: Scheduler) -> None:
    seen: list[tuple[str, str]] = []

    @scheduler.cron("0 0 * * *")
    async def long(run: AsyncRun) -> None:
        for _ in range(3):
            await asyncio.sleep(3600)
            seen.append(("long", f"{run.now():%H:%M}"))

    @scheduler.cron("30 * * * *")
    async def ticks(run: AsyncRun) -> None:
        seen.append(("ticks", f"{run.now():%H:%M}"))
        await asyncio.sleep(600)
        seen.append(("ticks", f"{run.now():%H:%M}"))

    with simulate(scheduler, start="2025-12-31T23:50Z") as sim:
        sim.advance(hours=3, minutes=20)
    assert seen == [
        ("ticks", "00:30"),
        ("ticks", "00:40"),
        ("long", "01:00"),
        ("ticks", "01:30"),
        ("ticks", "01:40"),
        ("long", "02:00"),
        ("ticks", "02:30"),
        ("ticks", "02:40"),
        ("long", "03:00"),
    ]


def test_timeouts_of_coroutines_are_in_simulated_time(scheduler: Scheduler) -> None:
    ends: list[str] = []

    @scheduler.cron("0 1 * * *", timeout=90)
    async def too_long() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ends.append("cleaned up")

    @scheduler.cron("0 1 * * *")
    async def own_timeout(run: AsyncRun) -> str:
        try:
            async with asyncio.timeout(45):
                await asyncio.Event().wait()
        except TimeoutError:
            return f"{run.now():%H:%M:%S}"
        return "never"

    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.advance(hours=2)
        (timed_out,) = sim.runs(too_long)
        assert timed_out.status == "timed_out"
        assert timed_out.finished_at == utc("2026-01-01T01:01:30")
        assert [run.result for run in sim.runs(own_timeout)] == ["01:00:45"]
    assert ends == ["cleaned up"]


def test_coroutines_at_work_end_with_the_block(scheduler: Scheduler) -> None:
    ends: list[str] = []

    @scheduler.cron("0 1 * * *")
    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("ended")

    with simulate(scheduler) as sim:
        sim.advance(hours=2)
        assert statuses(sim) == ["running"]
    assert ends == ["ended"]
    assert statuses(sim) == ["running"]


def test_jobs_that_raise_anything_end_their_run_only(scheduler: Scheduler) -> None:
    errors = [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GiveUp("no")]

    @scheduler.cron("0 * * * *")
    def raises() -> None:
        raise errors.pop(0)

    with simulate(scheduler) as sim:
        sim.advance(hours=4)
        assert statuses(sim) == ["failed"] * 4


@pytest.mark.parametrize("bound", ["MOST_REPEATS", "MOST_REPEATS_OF_A_RUN"])
def test_a_job_that_snoozes_for_no_time_is_found_out(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(f"rota.testing.executors.{bound}", 50)

    @scheduler.job()
    def again() -> None:
        raise Snooze(0)

    with simulate(scheduler) as sim:
        scheduler.run_now(again)
        sim.advance()
        (run,) = sim.runs(again)
        assert run.status == "failed"
        assert "without time passing" in str(run.error)
        assert len(run.attempts) == 52


def test_many_runs_may_be_tried_again_at_one_instant(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.testing.executors.MOST_REPEATS_OF_A_RUN", 2)

    @scheduler.job(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
    def thrice(run: Run) -> None:
        if run.attempt < 3:
            raise ValueError

    with simulate(scheduler) as sim:
        for _ in range(10):
            scheduler.run_now(thrice)
        sim.advance()
        assert statuses(sim) == ["succeeded"] * 10


# Async tests ---------------------------------------------------------------------------------------------------------


def test_async_tests_advance_too(scheduler: Scheduler) -> None:
    async def main() -> None:
        done = asyncio.Event()
        ticks: list[str] = []

        @scheduler.cron("0 * * * *")
        async def hourly(run: AsyncRun) -> None:
            await asyncio.sleep(60)
            ticks.append(f"{run.now():%H:%M}")
            if len(ticks) == 3:
                done.set()

        async def beside() -> int:
            await done.wait()
            return len(ticks)

        with simulate(scheduler) as sim:
            task = asyncio.create_task(beside())
            await sim.aadvance(hours=5, minutes=1)
            assert ticks == ["01:01", "02:01", "03:01", "04:01", "05:01"]
            assert task.done()
            assert await task < 5
            sim.advance(hours=1)
            assert len(ticks) == 6
            assert asyncio.current_task() is not None
            assert asyncio.get_running_loop().is_running()
            assert await scheduler.aio.runs() == scheduler.runs()

    asyncio.run(main(), debug=True)


def test_async_with_scheduler_in_a_block_is_the_simulated_one(scheduler: Scheduler) -> None:
    async def main() -> None:
        scheduler.add(lambda: None, Cron("0 * * * *"), id="hourly")
        with simulate(scheduler) as sim:
            async with scheduler:
                await sim.aadvance(hours=2)
                assert len(sim.runs()) == 2

    asyncio.run(main())


# Steering ------------------------------------------------------------------------------------------------------------


def test_takes_gives_a_plain_function_a_duration(scheduler: Scheduler) -> None:
    calls: list[str] = []

    @scheduler.interval(minutes=5)
    def slow(run: Run) -> None:
        calls.append(f"{run.now():%H:%M}")

    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.takes(slow, minutes=12)
        sim.advance(minutes=20)
        assert statuses(sim) == ["succeeded", "skipped", "skipped", "running"]
        assert calls == ["00:05", "00:20"]
        assert sim.runs()[0].finished_at == utc("2026-01-01T00:17")


@pytest.mark.parametrize(("executor", "stuck"), [("thread", True), ("process", False)])
def test_what_takes_too_long_times_out(scheduler: Scheduler, executor: str, stuck: bool) -> None:
    scheduler.add(process_job, Cron("0 * * * *"), id="slow", timeout=60, executor=executor)
    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.takes("slow", minutes=90)
        sim.advance(hours=1, minutes=2)
        assert scheduler.health().stuck == stuck
        sim.advance(hours=1)
        assert statuses(sim) == ["timed_out", "skipped" if stuck else "timed_out"]
        sim.advance(hours=1)
        assert scheduler.health().stuck == stuck
        assert statuses(sim)[2:] == ["timed_out"]
        assert sim.runs()[0].finished_at == utc("2026-01-01T01:01")


def test_functions_that_take_time_bind_workers() -> None:
    scheduler = Scheduler("shop", max_workers=2)
    for name in "abc":
        scheduler.add(lambda: None, Cron("0 1 * * *"), id=name)
    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        for name in "abc":
            sim.takes(name, minutes=10)
        sim.advance(hours=2)
        assert [f"{run.started_at:%H:%M}" for run in sim.runs()] == ["01:00", "01:00", "01:10"]


def test_shutdown_waits_in_simulated_time(scheduler: Scheduler) -> None:
    @scheduler.cron("0 1 * * *")
    async def forever() -> None:
        await asyncio.Event().wait()

    scheduler.add(lambda: None, Cron("0 1 * * *"), id="short")
    scheduler.add(lambda: None, Cron("0 1 * * *"), id="long")
    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.takes("short", seconds=5)
        sim.takes("long", seconds=500)
        sim.advance(hours=1)
        report = scheduler.shutdown(timeout=20)
        ids = {run.job_id: run.id for run in sim.runs()}
        assert report.finished == (ids["short"],)
        assert report.interrupted == (ids["forever"],)
        assert report.abandoned == (ids["long"],)
        assert sim.now == utc("2026-01-01T01:00:20")
        assert {run.job_id: run.status for run in sim.runs()} == {
            "forever": "lost",
            "long": "lost",
            "short": "succeeded",
        }


def test_a_run_is_cancelled_by_hand(scheduler: Scheduler) -> None:
    @scheduler.job()
    async def forever() -> None:
        await asyncio.Event().wait()

    with simulate(scheduler) as sim:
        run_id = scheduler.run_now(forever)
        sim.advance(minutes=1)
        assert scheduler.cancel(run_id)
        sim.advance()
        assert statuses(sim) == ["cancelled"]


def test_replace_calls_another_function_with_the_same_arguments(scheduler: Scheduler) -> None:
    seen: list[object] = []

    @scheduler.cron("0 * * * *", args=[1], kwargs={"name": "x"})
    def plain(number: int, name: str) -> None:
        raise AssertionError

    @scheduler.cron("0 * * * *")
    async def coroutine() -> None:
        raise AssertionError

    async def awaited(run: AsyncRun, number: int, name: str) -> None:
        await run.progress(1)
        seen.append((number, name))

    def called(run: Run) -> None:
        run.progress(1)
        seen.append(run.job_id)

    with simulate(scheduler) as sim:
        sim.replace(plain, awaited)
        sim.replace("coroutine", called)
        sim.advance(hours=1)
        assert set(statuses(sim)) == {"succeeded"}
        assert scheduler.jobs["plain"].func is plain
        scheduler.run_now(plain, args=[2])
        sim.advance()
    assert seen == [(1, "x"), "coroutine", (2, "x")]
    with pytest.raises(ConfigurationError), simulate(scheduler) as sim:
        sim.replace(plain, "no function")  # type: ignore[arg-type]  # refused


def test_fail_lets_a_job_raise_whatever_arguments_it_is_called_with(scheduler: Scheduler) -> None:
    scheduler.add(lambda _number, *, word: None, id="plain")

    @scheduler.job(id="coroutine")
    async def coroutine(run: AsyncRun, number: int, word: str) -> None: ...

    with simulate(scheduler) as sim:
        for job in ("plain", "coroutine"):
            sim.fail(job, ConnectionError("down"))
            run_id = scheduler.run_now(job, args=[1], kwargs={"word": "x"})
            sim.advance()
            assert scheduler.get_run(run_id).error == "ConnectionError: down"


def test_fail_lets_the_next_attempts_raise(scheduler: Scheduler) -> None:
    calls: list[int] = []

    @scheduler.cron("0 1 * * *", retry=Retry(attempts=3, on=ConnectionError, wait_jitter=0))
    def sync(run: Run) -> None:
        calls.append(run.attempt)

    with simulate(scheduler) as sim:
        sim.fail(sync, ConnectionError("down"), times=2)
        sim.advance(hours=2)
        (run,) = sim.runs(sync)
        assert run.status == "succeeded"
        assert [attempt.outcome for attempt in run.attempts] == ["failed", "failed", "succeeded"]
        assert run.attempts[0].error == "down"
        assert calls == [3]
        with pytest.raises(ConfigurationError):
            sim.fail(sync, "no error")  # type: ignore[arg-type]  # refused
        with pytest.raises(UnknownJobError):
            sim.fail("sink", ValueError)


def test_assert_ran_says_what_ran(scheduler: Scheduler) -> None:
    @scheduler.cron("0 2 * * *")
    def backup() -> None: ...

    scheduler.add(lambda: None, id="never")
    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.advance(days=2)
        sim.assert_ran(backup)
        sim.assert_ran("backup", at="2026-01-01T02:00Z")
        sim.assert_ran(scheduler.jobs["backup"], at=[utc("2026-01-01T02:00"), utc("2026-01-02T02:00")], times=2)
        with pytest.raises(AssertionError) as caught:
            sim.assert_ran(backup, at=utc("2026-01-01T03:00"))
        assert str(caught.value).splitlines() == [
            "'backup' did not run at 2026-01-01T03:00:00Z",
            "its runs:",
            "    2026-01-01T02:00:00Z, succeeded",
            "    2026-01-02T02:00:00Z, succeeded",
        ]
        with pytest.raises(AssertionError, match="ran 2 times, not 3"):
            sim.assert_ran(backup, times=3)
        with pytest.raises(AssertionError, match="there are no runs of it"):
            sim.assert_ran("never")
        sim.assert_ran("never", times=0)
        with pytest.raises(ConfigurationError, match="naive"):
            sim.assert_ran(backup, at=datetime(2026, 1, 1, 2))  # noqa: DTZ001  # it is refused


def test_a_tick_that_was_missed_did_not_run(scheduler: Scheduler) -> None:
    with simulate(scheduler, start="2026-01-02T00:00Z") as sim:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.add(lambda: None, Once(utc("2026-01-01T00:00")), id="past")
            sim.advance()
        assert statuses(sim, "past") == ["missed"]
        with pytest.raises(AssertionError, match="missed"):
            sim.assert_ran("past")


def test_what_would_leave_the_process_is_held(scheduler: Scheduler) -> None:
    with simulate(scheduler) as sim:
        assert (sim.alerts, sim.pings, sim.handed_over) == ([], [], [])
        assert sim.scheduler is scheduler


# Repeatable ----------------------------------------------------------------------------------------------------------


def story(seed: int, nodes: int) -> str:
    scheduler = Scheduler("shop")

    @scheduler.interval(minutes=7, jitter=120, retry=Retry(attempts=3))
    def flaky(run: Run) -> str:
        assert run.scheduled_for is not None
        if run.scheduled_for.minute % 3 == 0 and run.attempt == 1:
            raise ValueError("every third")
        return f"{run.attempt}"

    @scheduler.cron("*/10 * * * *", overlap="queue")
    async def slow() -> None:
        await asyncio.sleep(700)

    @scheduler.cron("*/5 * * * *")
    def asks() -> None:
        scheduler.enqueue("asked", delay=30)

    scheduler.add(lambda: None, id="asked")
    with simulate(scheduler, nodes=nodes, seed=seed) as sim:
        sim.advance(hours=2)
        return "\n".join(repr(run) for run in sim.runs())


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_same_schedule_gives_the_same_record(nodes: int) -> None:
    first = story(seed=7, nodes=nodes)
    assert story(seed=7, nodes=nodes) == first
    assert story(seed=8, nodes=nodes) != first
    assert "node-0" in first


def test_an_app_is_made_before_it_is_simulated(scheduler: Scheduler) -> None:
    with (
        simulate(scheduler),
        pytest.raises(StateError, match=r"too late: the scheduler is in use; call it before simulate\(\)"),
    ):
        scheduler.configure(tz="Europe/Paris")
    scheduler.configure(tz="Europe/Paris")
