"""Several simulated nodes: once per tick in the fleet, and what becomes of the runs of a node that dies."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from rota import AsyncRun, ConfigurationError, Retry, Run, Scheduler, StateError
from rota.testing import simulate
from rota.triggers import Cron, Interval


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler("shop")


def test_each_tick_runs_once_in_the_fleet(scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Interval(timedelta(minutes=1)), id="often")
    with simulate(scheduler, nodes=3, seed=5) as sim:
        sim.advance(hours=4)
        runs = sim.runs()
    ticks = [run.scheduled_for for run in runs]
    assert len(ticks) == len(set(ticks)) == 240
    assert {run.status for run in runs} == {"succeeded"}
    assert {run.node for run in runs} == {"node-0", "node-1", "node-2"}


def test_a_run_whose_thread_does_not_return_keeps_its_lease_until_it_does(scheduler: Scheduler) -> None:
    @scheduler.cron("0 1 * * *", timeout=60, retry=Retry(attempts=2, wait_jitter=0))
    def deaf() -> None: ...

    with simulate(scheduler, start="2026-01-01T00:00Z", nodes=2) as sim:
        sim.takes(deaf, minutes=10)
        sim.advance(hours=2)
        (run,) = sim.runs()
    assert [attempt.outcome for attempt in run.attempts] == ["timed_out", "timed_out"]
    assert [attempt.started_at.minute for attempt in run.attempts] == [0, 10]


def test_the_runs_of_a_node_that_dies_are_taken_over_when_their_lease_is_over(scheduler: Scheduler) -> None:
    calls: list[int] = []

    @scheduler.cron("0 1 * * *", on_crash="rerun")
    def report(run: Run) -> None:
        calls.append(run.attempt)

    with simulate(scheduler, start="2026-01-01T00:00Z", nodes=2) as sim:
        sim.takes(report, minutes=10)
        sim.advance(hours=1, minutes=5)
        (run,) = sim.runs()
        assert run.status == "running"
        holder = int((run.node or "").removeprefix("node-"))
        sim.kill(holder)
        sim.advance(seconds=10)
        assert sim.runs()[0].status == "running"
        sim.advance(seconds=25)
        sim.advance(minutes=10)
        (run,) = sim.runs()
    assert run.status == "succeeded"
    assert [attempt.outcome for attempt in run.attempts] == ["lost", "succeeded"]
    assert run.node == f"node-{1 - holder}"
    assert calls == [1, 2]
    lost = run.attempts[0]
    assert utc("2026-01-01T01:05:10") < lost.finished_at <= utc("2026-01-01T01:05:31")


def test_a_run_without_on_crash_is_lost(scheduler: Scheduler) -> None:
    ends: list[str] = []

    @scheduler.cron("0 1 * * *")
    async def forever() -> None:
        try:
            await asyncio.sleep(7200)
        except BaseException:
            ends.append("noticed")
            raise
        ends.append("went on")

    with simulate(scheduler, nodes=2) as sim:
        sim.advance(hours=1)
        sim.kill(int((sim.runs()[0].node or "")[-1]))
        sim.advance(hours=4)
        assert [run.status for run in sim.runs()] == ["lost"]
        assert ends == []


def test_a_job_can_kill_the_node_it_runs_on(scheduler: Scheduler) -> None:
    calls: list[tuple[int, str]] = []

    @scheduler.cron("0 1 * * *", retry=Retry(attempts=2))
    def deadly(run: Run) -> None:
        calls.append((run.attempt, "began"))
        if run.attempt == 1:
            sim.kill(int((sim.runs(deadly)[0].node or "")[-1]))
        calls.append((run.attempt, "ended"))

    @scheduler.cron("0 2 * * *", retry=Retry(attempts=2))
    async def deadly_too(run: AsyncRun) -> None:
        if run.attempt == 1:
            sim.kill(int((sim.runs(deadly_too)[0].node or "")[-1]))

    with simulate(scheduler, nodes=3) as sim:
        sim.advance(hours=1, minutes=1)
        assert calls == [(1, "began"), (2, "began"), (2, "ended")]
        sim.advance(hours=2)
        assert [run.status for run in sim.runs()] == ["succeeded"] * 2
        assert [len(run.attempts) for run in sim.runs()] == [2, 2]


def test_long_runs_keep_their_lease(scheduler: Scheduler) -> None:
    held: list[bool] = []

    @scheduler.cron("0 1 * * *")
    async def long(run: AsyncRun) -> None:
        for _ in range(100):
            await asyncio.sleep(60)
            held.append(run.lease.held)

    scheduler.add(lambda: None, Cron("0 1 * * *"), id="plain")
    with simulate(scheduler, nodes=2) as sim:
        sim.takes("plain", hours=5)
        sim.advance(hours=8)
        assert {run.status for run in sim.runs()} == {"succeeded"}
    assert held == [True] * 100


def test_a_process_starts_again_in_the_place_of_one_that_died(scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Cron("0 * * * *"), id="hourly", catch_up="all", on_crash="rerun")
    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.takes("hourly", minutes=10)
        sim.advance(hours=1, minutes=5)
        with pytest.raises(StateError, match="alive"):
            sim.restart(0)
        sim.kill(0)
        with pytest.raises(StateError, match="dead"):
            sim.kill(0)
        assert not scheduler.health().alive
        sim.advance(hours=3)
        assert len(sim.runs()) == 1
        sim.restart(0)
        sim.advance(hours=1)
        assert [run.status for run in sim.runs()] == ["succeeded"] * 4 + ["running"]
        assert [run.node for run in sim.runs()] == ["node-0.2"] * 5
        assert [f"{run.scheduled_for:%H:%M}" for run in sim.runs()] == ["01:00", "02:00", "03:00", "04:00", "05:00"]


def test_nodes_are_counted_from_zero(scheduler: Scheduler) -> None:
    with simulate(scheduler, nodes=2) as sim, pytest.raises(ConfigurationError, match="from 0 to 1"):
        sim.kill(2)
    with pytest.raises(ConfigurationError, match="nodes"), simulate(scheduler, nodes=0):
        pass


def test_what_one_node_queued_another_may_run(scheduler: Scheduler) -> None:
    @scheduler.cron("0 1 * * *")
    def asks() -> None:
        for number in range(20):
            scheduler.enqueue("asked", args=[number], delay=number)

    scheduler.add(lambda number: None, id="asked")
    with simulate(scheduler, nodes=2) as sim:
        sim.advance(hours=2)
        asked = sim.runs("asked")
        assert {run.status for run in asked} == {"succeeded"}
        assert {run.node for run in asked} == {"node-0", "node-1"}
        delays = [run.started_at - run.queued_at for run in asked if run.started_at is not None]
        assert delays == [timedelta(seconds=number) for number in range(20)]


def test_replace_asks_the_node_that_runs_to_stop(scheduler: Scheduler) -> None:
    @scheduler.interval(minutes=10, overlap="replace")
    async def slow(run: object) -> None:
        await asyncio.sleep(900)

    with simulate(scheduler, nodes=2, seed=3) as sim:
        sim.advance(minutes=45)
        statuses = [run.status for run in sim.runs()]
    assert statuses == ["cancelled", "cancelled", "cancelled", "running"]


def test_a_quiet_week_of_a_fleet_costs_nothing(scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Cron("0 12 * * *"), id="daily")
    with simulate(scheduler, nodes=3) as sim:
        turns = 0
        for _ in sim.clock.passing(7 * 86_400_000_000):
            turns += 1
        assert len(sim.runs()) == 7
    assert turns < 100


def test_explain_knows_which_nodes_lived(scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Cron("0 * * * *"), id="hourly")
    with simulate(scheduler, start="2026-01-01T00:00Z", nodes=2) as sim:
        sim.advance(hours=1, minutes=30)
        sim.kill(0)
        sim.advance(hours=1)
        assert scheduler.explain("hourly").reason == "ran"
        sim.kill(1)
        sim.advance(hours=2)
        assert scheduler.explain("hourly").reason == "nobody_alive"


def test_explain_knows_that_the_process_of_a_run_is_gone(scheduler: Scheduler) -> None:
    @scheduler.cron("0 * * * *")
    def hourly() -> None: ...

    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.takes(hourly, minutes=30)
        sim.advance(hours=1)
        assert scheduler.explain("hourly").verdict.endswith("has begun: it is at work.")
        sim.kill(0)
        sim.advance(minutes=5)
        told = scheduler.explain("hourly")
        assert told.reason == "running"
        assert told.verdict.endswith("has begun: its process has not been heard of for a while.")
        assert "on_crash" in told.hint


def test_explain_knows_that_the_only_node_is_dead(scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Interval(minutes=10), id="job")
    with simulate(scheduler, start="2026-01-01T00:00Z") as sim:
        sim.advance(minutes=15)
        sim.kill(0)
        sim.advance(minutes=10)
        assert scheduler.explain("job").reason == "nobody_alive"
        sim.restart(0)
        sim.advance(minutes=10)
        assert scheduler.explain("job").reason == "ran"


def test_runs_of_a_job_that_was_removed_can_be_looked_at(scheduler: Scheduler) -> None:
    scheduler.add(lambda: None, Cron("0 * * * *"), id="hourly")
    with simulate(scheduler) as sim:
        sim.advance(hours=2)
        scheduler.remove("hourly")
        assert len(sim.runs("hourly")) == 2


def test_a_node_may_be_named_as_in_the_records(scheduler: Scheduler) -> None:
    @scheduler.interval(minutes=1, on_crash="rerun")
    def tidy() -> None: ...

    with simulate(scheduler, start="2026-01-01T00:00Z", nodes=2) as sim:
        sim.takes(tidy, seconds=50)
        sim.advance(minutes=1, seconds=1)
        [run] = sim.runs(tidy)
        assert run.node is not None
        sim.kill(run.node)
        sim.advance(minutes=3)
        assert [attempt.outcome for attempt in sim.runs(tidy)[0].attempts] == ["lost", "succeeded"]
        assert sim.runs(tidy)[0].node != run.node
        sim.restart(run.node)
        with pytest.raises(ConfigurationError, match=r"no node 'node-7'; .* named as in the records: node-0"):
            sim.kill("node-7")


@pytest.mark.parametrize("overlap", ["skip", "queue"])
@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_each_tick_of_a_short_absence_has_its_turn(catch_up, overlap):
    scheduler = Scheduler()
    scheduler.add(lambda: None, Interval(timedelta(seconds=5)), id="job", catch_up=catch_up, overlap=overlap)
    with simulate(scheduler, start="2026-05-01T00:00:00+00:00") as sim:
        sim.takes("job", seconds=2)
        sim.kill(0)
        sim.advance(seconds=20.5)
        sim.restart(0)
        sim.advance(seconds=9)
        runs = [(run.scheduled_for.second, run.status) for run in sim.runs("job")]
        assert runs[:4] == [(second, "succeeded") for second in (5, 10, 15, 20)]


def test_a_tick_whose_process_is_gone_does_not_wait_for_a_worker():
    scheduler = Scheduler()
    scheduler.add(lambda: None, Interval(timedelta(hours=1)), id="hourly")
    with simulate(scheduler, start="2026-05-01T00:30:00+00:00") as sim:
        sim.advance(minutes=29, seconds=50)
        sim.kill(0)
        sim.advance(minutes=5)
        told = scheduler.explain("hourly", at="2026-05-01T01:00:00+00:00")
        assert told.reason == "nobody_alive"
        assert told.hint.startswith("Start one")
