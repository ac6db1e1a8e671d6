"""`FakeClock`: a scheduler that is driven by moving its clock."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rota import AsyncRun, ConfigurationError, LockHeld, Retry, Run, Scheduler
from rota.ports import DrivenClock, Due, NodeRow, Renewal
from rota.stores import SQLiteStore
from rota.testing import FakeClock
from rota.triggers import Cron, Interval


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock("2026-03-01T00:00Z")


@pytest.fixture
def scheduler(clock: FakeClock) -> Iterator[Scheduler]:
    scheduler = Scheduler(clock=clock)
    yield scheduler
    scheduler.shutdown()


def test_a_start_is_aware() -> None:
    berlin = datetime(2026, 3, 28, 2, tzinfo=ZoneInfo("Europe/Berlin"))
    assert FakeClock(berlin).time == utc("2026-03-28T01:00")
    assert FakeClock("2026-03-28T02:00+01:00").time == utc("2026-03-28T01:00")
    assert FakeClock("2026-03-28T02:00+01:00").now() == int(utc("2026-03-28T01:00").timestamp()) * 1_000_000
    refused: tuple[Any, ...] = ("2026-03-28T02:00", datetime.fromisoformat("2026-03-28"), "tomorrow", 12)
    for start in refused:
        with pytest.raises(ConfigurationError):
            FakeClock(start)


def test_all_clocks_move_together(clock: FakeClock) -> None:
    before = clock.monotonic(), clock.boottime(), clock.boot_id()
    clock.advance(days=1, seconds=0.5)
    assert clock.time == utc("2026-03-02T00:00:00.500")
    assert clock.monotonic() - before[0] == clock.boottime() - before[1] == 86_400.5
    assert clock.boot_id() == before[2]
    assert isinstance(clock, DrivenClock)


def test_a_step_moves_the_wall_clock_alone(clock: FakeClock) -> None:
    boot = clock.boottime()
    clock.step(hours=2)
    clock.step(hours=-3)
    assert clock.time == utc("2026-02-28T23:00")
    assert clock.boottime() == boot


def test_start_starts_no_thread_and_advance_drives(clock: FakeClock, scheduler: Scheduler) -> None:
    scheduler.add(lambda: threading.current_thread().name, Cron("0 2 * * *"), id="backup")
    before = threading.active_count()
    assert scheduler.start()
    assert scheduler.start()
    clock.advance(days=3)
    assert threading.active_count() == before
    runs = scheduler.runs()
    assert [f"{run.started_at:%d %H:%M}" for run in runs] == ["03 02:00", "02 02:00", "01 02:00"]
    assert {run.result for run in runs} == {threading.current_thread().name}
    assert scheduler.next_fires("backup", 1) == [utc("2026-03-04T02:00")]
    assert scheduler.health().alive
    scheduler.shutdown()
    clock.advance(days=3)
    assert len(scheduler.runs()) == 3
    assert not scheduler.health().alive


def test_two_schedulers_on_one_clock_are_driven_in_order(clock: FakeClock) -> None:
    seen: list[str] = []
    one, two = Scheduler(clock=clock), Scheduler(clock=clock)
    one.add(lambda run: seen.append(f"one {run.now():%H:%M}"), Interval(timedelta(minutes=20)), id="a")

    @two.interval(minutes=30)
    async def b(run: AsyncRun) -> None:
        await asyncio.sleep(300)
        seen.append(f"two {run.now():%H:%M}")

    one.start()
    two.start()
    clock.advance(hours=1, minutes=5)
    assert seen == ["one 00:20", "two 00:35", "one 00:40", "one 01:00", "two 01:05"]
    one.shutdown()
    two.shutdown()


def test_a_job_that_moves_the_clock_takes_that_long(clock: FakeClock, scheduler: Scheduler) -> None:
    @scheduler.cron("0 1 * * *", timeout=3600)
    def slow() -> None:
        clock.advance(minutes=25)

    @scheduler.cron("0 2 * * *", timeout=60)
    def too_slow() -> None:
        clock.advance(minutes=2)

    scheduler.start()
    clock.advance(hours=1)
    assert clock.time == utc("2026-03-01T01:25")
    clock.advance(hours=1)
    runs = {run.job_id: run for run in scheduler.runs()}
    assert runs["slow"].status == "succeeded"
    assert runs["slow"].finished_at == utc("2026-03-01T01:25")
    assert runs["too_slow"].status == "timed_out"


def test_a_job_that_moves_the_clock_past_its_time_is_asked_to_stop(clock: FakeClock, tmp_path: Path) -> None:
    for store in (None, f"sqlite:///{tmp_path / 'rota.db'}"):
        scheduler = Scheduler("shop", store=store, clock=clock)
        said: list[str | None] = []

        @scheduler.job(timeout=90)
        def patient(run: Run, said: list[str | None] = said) -> None:
            while not run.cancelled:
                clock.advance(minutes=1)
                said.append(run.cancel_reason)

        @scheduler.job(timeout=90)
        async def obedient(run: AsyncRun, said: list[str | None] = said) -> None:
            clock.advance(minutes=5)
            said.append(run.cancel_reason)
            run.check_cancelled()

        scheduler.start()
        ids = [scheduler.run_now(patient), scheduler.run_now(obedient)]
        clock.advance()
        assert said == [None, "timeout", "timeout"]
        assert [scheduler.get_run(run_id).status for run_id in ids] == ["timed_out"] * 2
        scheduler.shutdown()


def test_runs_of_one_instant_end_when_they_end(clock: FakeClock, scheduler: Scheduler) -> None:
    @scheduler.cron("0 1 * * *")
    def first() -> None: ...

    @scheduler.cron("0 1 * * *")
    def slow() -> None:
        clock.advance(minutes=25)

    @scheduler.cron("0 1 * * *", timeout=60)
    def third() -> None: ...

    scheduler.start()
    clock.advance(hours=1)
    ended = {run.job_id: (run.status, f"{run.finished_at:%H:%M}") for run in scheduler.runs()}
    assert ended == {
        "first": ("succeeded", "01:00"),
        "slow": ("succeeded", "01:25"),
        "third": ("succeeded", "01:25"),
    }


def test_a_job_that_always_takes_longer_than_its_interval_is_found_out(
    clock: FakeClock, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.testing.clock.MOST_MOVES", 20)

    @scheduler.interval(minutes=10)
    def slow() -> None:
        clock.advance(minutes=25)

    scheduler.start()
    clock.advance(minutes=10)
    newest = scheduler.runs()[0]
    assert newest.status == "failed"
    assert "longer" in str(newest.error)


def test_run_due_runs_what_is_due_now(clock: FakeClock, scheduler: Scheduler) -> None:
    @scheduler.cron("0 * * * *")
    async def hourly() -> None:
        await asyncio.sleep(60)

    assert scheduler.run_due() <= 3600
    clock.advance(hours=1)
    scheduler.run_due()
    assert [run.status for run in scheduler.runs()] == ["running"]
    clock.advance(minutes=1)
    assert [run.status for run in scheduler.runs()] == ["succeeded"]


def test_shutdown_waits_by_the_fake_clock(clock: FakeClock, scheduler: Scheduler) -> None:
    @scheduler.cron("0 * * * *")
    async def quick() -> None:
        await asyncio.sleep(5)

    @scheduler.cron("0 * * * *")
    async def endless() -> None:
        await asyncio.Event().wait()

    scheduler.start()
    clock.advance(hours=1)
    report = scheduler.shutdown(timeout=20)
    assert len(report.finished) == len(report.interrupted) == 1
    assert clock.time == utc("2026-03-01T01:00:17")
    assert scheduler.shutdown() == type(report)()


def test_a_step_forward_is_caught_up_once_it_stands(clock: FakeClock, scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Interval(timedelta(minutes=10)), id="often")
    scheduler.start()
    clock.advance(minutes=15)
    clock.step(hours=1)
    clock.advance(seconds=20)
    assert len(scheduler.runs()) == 1
    clock.advance(minutes=1)
    newest, missed, first = scheduler.runs()
    assert (newest.status, newest.scheduled_for) == ("succeeded", utc("2026-03-01T01:10"))
    assert (missed.status, missed.count) == ("missed", 5)
    assert first.scheduled_for == utc("2026-03-01T00:10")


def test_a_step_back_repeats_no_tick(clock: FakeClock, scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Interval(timedelta(minutes=10)), id="often")
    scheduler.start()
    clock.advance(minutes=25)
    clock.step(minutes=-15)
    clock.advance(minutes=35)
    ticks = [run.scheduled_for for run in scheduler.runs()]
    assert len(ticks) == len(set(ticks))
    assert ticks[0] == utc("2026-03-01T00:40")


def test_a_lock_is_renewed_while_the_clock_moves(clock: FakeClock, scheduler: Scheduler) -> None:
    before = threading.active_count()
    with scheduler.lock("books", ttl=30) as lease:
        clock.advance(hours=1)
        assert lease.held
        with pytest.raises(LockHeld), scheduler.lock("books", wait=60):
            pass
        assert clock.time == utc("2026-03-01T01:01")
    assert threading.active_count() == before


def test_a_shared_store_on_a_fake_clock(clock: FakeClock, tmp_path: Path) -> None:
    held: list[bool] = []
    url = f"sqlite:///{tmp_path / 'rota.db'}"
    schedulers = [Scheduler("shop", store=url, clock=clock) for _ in range(2)]

    def long(run: Run) -> None:
        clock.advance(minutes=5)
        held.append(run.lease.held)

    for scheduler in schedulers:
        scheduler.add(long, Cron("*/10 * * * *"), id="long")
        scheduler.start()
    clock.advance(minutes=31)
    assert [run.status for run in schedulers[0].runs()] == ["succeeded"] * 3
    assert held == [True] * 3
    for scheduler in schedulers:
        scheduler.shutdown()
        scheduler._host.runtime.rest()


class CountingStore(SQLiteStore):
    """Counts what a scheduler does by the way."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        super().__init__(path, "shop", clock)
        self.looks = self.renewals = 0

    def due(self, before: int, limit: int, exclude: Collection[str] = ()) -> Due:
        self.looks += 1
        return super().due(before, limit, exclude)

    def renew(self, node: NodeRow, held: Sequence[tuple[str, str]], ttl: float) -> Renewal:
        self.renewals += 1
        return super().renew(node, held, ttl)


@pytest.fixture(params=[None, "sqlite:///{}/locks.db", "file://{}/locks"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """Locks given apart, or none."""
    return None if request.param is None else request.param.format(tmp_path)


@pytest.fixture
def fleet(clock: FakeClock, tmp_path: Path, locks: str | None) -> Iterator[list[Scheduler]]:
    """Two schedulers on one file and one clock."""
    url = f"sqlite:///{tmp_path / 'rota.db'}"
    schedulers = [Scheduler("shop", store=url, locks=locks, clock=clock) for _ in range(2)]
    yield schedulers
    for scheduler in schedulers:
        scheduler.shutdown()
        scheduler._host.runtime.rest()


def test_a_month_on_a_file_is_not_looked_at_second_by_second(
    clock: FakeClock, tmp_path: Path, locks: str | None
) -> None:
    store = CountingStore(tmp_path / "rota.db", clock)
    scheduler = Scheduler("shop", store=store, locks=locks, clock=clock)
    scheduler.add(lambda: None, Cron("0 2 * * *"), id="daily")
    scheduler.start()
    clock.advance(days=30)
    assert len(scheduler.runs()) == 30
    assert store.looks <= 32
    assert store.renewals == 1
    assert store.nodes()[0].last_seen == clock.now()
    scheduler.shutdown()


def test_what_another_scheduler_asks_for_is_found_within_a_second(clock: FakeClock, fleet: list[Scheduler]) -> None:
    working, asking = fleet
    for scheduler in fleet:
        scheduler.add(lambda: None, id="asked")
    working.start()
    clock.advance(hours=1)
    soon, later = asking.enqueue("asked"), asking.enqueue("asked", delay=86_400.5)
    clock.advance(days=2)
    for run_id, due in ((soon, "01:00:00"), (later, "01:00:00.5")):
        run = asking.get_run(run_id)
        assert run.started_at is not None
        day = utc("2026-03-01T00:00") if run_id == soon else utc("2026-03-02T00:00")
        late = run.started_at - datetime.combine(day, time.fromisoformat(due), UTC)
        assert timedelta(0) <= late <= timedelta(seconds=1)


def test_the_runs_of_a_scheduler_that_is_gone_are_taken_over_in_time(clock: FakeClock, fleet: list[Scheduler]) -> None:
    async def long() -> None:
        await asyncio.sleep(600)

    dying, other = fleet
    for scheduler in fleet:
        scheduler.add(long, Cron("0 1 1 * *"), id="long", on_crash="rerun", tz="UTC")
    dying.start()
    clock.advance(hours=1, minutes=5)
    assert dying._host.node is not None
    dying._host.node.forget_in_child()
    other.start()
    clock.advance(days=1)
    (run,) = other.runs()
    assert [attempt.outcome for attempt in run.attempts] == ["lost", "succeeded"]
    assert run.attempts[1].started_at <= utc("2026-03-01T01:05:31")


def test_a_run_of_a_scheduler_that_lives_is_not_taken_over(clock: FakeClock, fleet: list[Scheduler]) -> None:
    async def long() -> None:
        await asyncio.sleep(600)

    for scheduler in fleet:
        scheduler.add(long, Cron("0 1 1 * *"), id="long", on_crash="rerun")
        scheduler.start()
    clock.advance(days=3)
    (run,) = fleet[0].runs()
    assert [attempt.outcome for attempt in run.attempts] == ["succeeded"]


def test_a_run_that_waits_in_memory_keeps_its_turn_in_locks_while_the_clock_moves(
    clock: FakeClock, tmp_path: Path
) -> None:
    attempts: list[str] = []

    def flaky(name: str) -> None:
        attempts.append(name)
        if len(attempts) == 1:
            raise ValueError

    fleet = [Scheduler("shop", locks=f"file://{tmp_path}/locks", clock=clock) for _ in range(2)]
    for name, scheduler in zip("ab", fleet, strict=True):
        retry = Retry(wait_initial=3_000, wait_max=3_000, wait_jitter=0)
        scheduler.add(flaky, Interval(minutes=10), id="flaky", kwargs={"name": name}, retry=retry)
        scheduler.start()
    clock.advance(minutes=10)
    clock.advance(minutes=45)
    assert len(attempts) == 1
    clock.advance(minutes=5)
    assert len(attempts) == 2
    assert attempts[0] == attempts[1]
    for scheduler in fleet:
        scheduler.shutdown()


def test_a_scheduler_that_is_never_shut_down_warns_of_nothing() -> None:
    clock = FakeClock("2026-03-01T00:00Z")
    scheduler = Scheduler(clock=clock)

    @scheduler.cron("0 * * * *")
    async def endless() -> None:
        await asyncio.sleep(1)

    scheduler.start()
    clock.advance(hours=2, minutes=1)
    del scheduler, clock, endless
    gc.collect()


def test_a_pressed_ctrl_c_ends_the_move_once_the_run_is_recorded(clock: FakeClock, scheduler: Scheduler) -> None:
    @scheduler.cron("0 * * * *")
    def hourly(run: Run) -> None:
        assert run.scheduled_for is not None
        if run.scheduled_for.hour == 2:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    scheduler.start()
    with pytest.raises(KeyboardInterrupt):
        clock.advance(hours=5)
    assert clock.time == utc("2026-03-01T02:00")
    assert [run.status for run in scheduler.runs()] == ["failed", "succeeded"]
    assert signal.getsignal(signal.SIGINT) is handler
    clock.advance(hours=3)
    assert len(scheduler.runs()) == 5


def test_a_clock_that_is_moved_by_hand_drives_in_any_process(
    clock: FakeClock, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["manage.py", "test"])
    monkeypatch.setenv("ROTA_AUTOSTART", "never")
    scheduler.add(lambda: None, Cron("0 * * * *"), id="hourly")
    assert scheduler.start()
    clock.advance(hours=1)
    assert len(scheduler.runs()) == 1


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
def test_the_deadline_that_a_run_sees_is_the_one_that_counts_whatever_is_logged(caplog, level):
    caplog.set_level(level, logger="rota")
    clock = FakeClock("2026-05-01T00:00+00:00")
    scheduler = Scheduler(clock=clock)
    left = []

    def job(run):
        left.append((run.deadline - run.now()).total_seconds())
        clock.advance(seconds=50)

    for number in range(2):
        scheduler.add(job, id=f"job-{number}", timeout=60)
        scheduler.run_now(f"job-{number}")
    scheduler.start()
    clock.advance()
    scheduler.shutdown()
    assert left == [60, 60]


def test_a_restart_may_be_modelled_by_another_clock_that_starts_later(tmp_path):
    def hourly(start):
        clock = FakeClock(start)
        scheduler = Scheduler("restart", store=f"sqlite:///{tmp_path}/rota.db", clock=clock)
        scheduler.cron("0 * * * *", id="job")(lambda: None)
        scheduler.start()
        return clock, scheduler

    clock, scheduler = hourly("2026-01-01T00:00Z")
    clock.advance(hours=2)
    scheduler.shutdown()
    clock, scheduler = hourly("2026-01-01T10:30Z")
    clock.advance()
    missed, newest = scheduler.runs("job", limit=2)[::-1]
    assert (missed.status, missed.count, newest.status) == ("missed", 7, "succeeded")
    assert newest.scheduled_for.hour == 10
    scheduler.shutdown()


def test_what_is_too_old_is_pruned_at_the_end_of_a_move_though_nothing_was_due_on_the_way():
    clock = FakeClock("2026-01-01T00:00Z")
    scheduler = Scheduler(clock=clock)
    scheduler.job(id="asked")(lambda: None)
    scheduler.start()
    scheduler.run_now("asked")
    clock.advance()
    assert len(scheduler.runs()) == 1
    clock.advance(days=31)
    assert scheduler.runs() == []
