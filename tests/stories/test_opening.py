"""Opening a scheduler: what it costs the loop that it runs on, and what a forked or renamed part of it sees."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from tests.waiting import PATIENCE

from rota import Scheduler
from rota.core.run import RunRow
from rota.stores import MemoryStore
from rota.testing import FakeClock, FaultyStore

counts_open_files = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")


def files_open_in(directory):
    """Those that this process has open there; what other tests left open may be closed at any time."""
    opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [path for path in opened if path.is_relative_to(directory)]


class SlowToOpen(MemoryStore):
    """A store that is opened only when it is let."""

    def __init__(self):
        super().__init__()
        self.opening, self.let = threading.Event(), threading.Event()

    def open(self, *, create_tables=True):
        self.opening.set()
        assert self.let.wait(PATIENCE)
        super().open(create_tables=create_tables)


def test_the_loop_is_free_while_a_store_is_opened():
    store = SlowToOpen()
    scheduler = Scheduler("app", store=store)

    async def main():
        entering = asyncio.ensure_future(scheduler.__aenter__())
        assert await asyncio.to_thread(store.opening.wait, PATIENCE)
        store.let.set()
        await asyncio.wait_for(entering, PATIENCE)
        assert scheduler.health().alive
        await scheduler.__aexit__(None, None, None)

    asyncio.run(main())
    assert not scheduler.health().alive


def test_a_start_on_a_loop_that_is_cancelled_leaves_nothing_behind():
    store = SlowToOpen()
    scheduler = Scheduler("app", store=store)

    async def main():
        entering = asyncio.ensure_future(scheduler.__aenter__())
        assert await asyncio.to_thread(store.opening.wait, PATIENCE)
        entering.cancel()
        store.let.set()
        with pytest.raises(asyncio.CancelledError):
            await entering

    asyncio.run(main())
    assert not scheduler.health().alive
    assert scheduler.start()
    scheduler.shutdown()


def test_hooks_hear_of_everything_once_however_often_the_store_is_opened():
    told = []
    scheduler = Scheduler(hooks=[told.append])

    @scheduler.job(id="job")
    def job():
        pass

    for _ in range(2):
        scheduler.run_now(job)
        scheduler.run_due()
        scheduler.shutdown()
    assert [event.kind for event in told].count("run_ended") == 2


def test_records_show_the_present_id_of_a_renamed_job():
    scheduler = Scheduler()

    @scheduler.job(id="new", renamed_from="old")
    def job():
        pass

    scheduler.run_now(job)
    scheduler.run_due()
    assert [run.job_id for run in scheduler.runs()] == ["new"]
    scheduler.update(job, renamed_from=None)
    assert [run.job_id for run in scheduler.runs()] == ["old"]
    scheduler.shutdown()


@counts_open_files
def test_a_shutdown_lets_go_of_connections_and_the_next_look_opens_them_again(tmp_path):
    scheduler = Scheduler("app", store=f"sqlite:///{tmp_path}/rota.db")

    @scheduler.job(id="job")
    def job():
        pass

    scheduler.run_now(job)
    scheduler.run_due()
    assert files_open_in(tmp_path)
    scheduler.shutdown()
    assert not files_open_in(tmp_path)
    assert [run.status for run in scheduler.runs()] == ["succeeded"]


@counts_open_files
def test_a_shutdown_of_a_scheduler_that_was_never_started_lets_go_of_connections_too(tmp_path):
    scheduler = Scheduler("app", store=f"sqlite:///{tmp_path}/rota.db")
    scheduler.job(id="job")(lambda: None)
    run_id = scheduler.enqueue("job")
    assert files_open_in(tmp_path)
    assert scheduler.shutdown().finished == ()
    assert not files_open_in(tmp_path)
    assert scheduler.get_run(run_id).status == "queued"
    scheduler.shutdown()


def test_health_of_a_scheduler_that_was_never_used_asks_its_store(tmp_path):
    missing = f"sqlite:///{tmp_path}/missing/rota.db"
    health = Scheduler("app", store=missing).health()
    assert (health.alive, health.store, health.locks) == (False, False, False)

    present = f"sqlite:///{tmp_path}/rota.db"
    other = Scheduler("app", store=present)
    other.add(print, id="job")
    other.enqueue("job", delay=60)
    health = Scheduler("app", store=present).health()
    assert (health.alive, health.store, health.locks, health.orphans) == (False, True, True, 1)


def test_health_counts_all_open_runs_whose_job_is_not_declared_and_loads_none():
    clock = FakeClock("2026-01-01T00:00Z")
    store = FaultyStore(MemoryStore(clock))
    scheduler = Scheduler("app", store=store, clock=clock)
    scheduler.add(lambda: None, id="known")
    scheduler.enqueue("known", delay=60)
    now = clock.now()
    store.add([RunRow(f"{number}", "unknown", "enqueue", "queued", now, now) for number in range(10_001)])
    before = len(store.calls)
    assert scheduler.health().orphans == 10_001
    assert "runs" not in store.calls[before:]


def test_health_of_a_scheduler_in_memory_does_not_count_as_its_first_use():
    scheduler = Scheduler()
    assert scheduler.health().store
    scheduler.configure(name="app")
