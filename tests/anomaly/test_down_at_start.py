"""A store, or locks, that are down when a scheduler is started: it comes up, says so, and begins when they answer."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import pytest
from tests import services
from tests.waiting import PATIENCE, until

from rota import ConfigurationError, Scheduler, StoreError
from rota.locks import MemoryLocks
from rota.stores import MemoryStore, SQLiteStore
from rota.testing import FakeClock, FaultProxy, FaultyLocks, FaultyStore
from rota.triggers import Interval

START = "2026-01-01T00:00:00Z"
MINUTELY = Interval(minutes=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture(params=["of its own", "shared"])
def store(request, clock) -> FaultyStore:
    return FaultyStore(MemoryStore(clock), shared=request.param == "shared")


@pytest.fixture
def scheduler(clock, store) -> Iterator[Scheduler]:
    made = Scheduler("app", store=store, clock=clock)
    made.add(lambda: "done", MINUTELY, id="job", catch_up="all")
    yield made
    store.down = False
    made.shutdown(1)


def ticks(scheduler: Scheduler) -> list[tuple[int, str]]:
    """The minute of each tick on record, oldest first, and what became of it."""
    return sorted((run.scheduled_for.minute, run.status) for run in scheduler.runs("job"))


def test_it_comes_up_and_says_once_that_the_store_is_down(scheduler, clock, store, caplog):
    store.down = True
    assert scheduler.start() is True
    clock.advance(minutes=5)
    health = scheduler.health()
    assert (health.alive, health.store) == (True, False)
    store.down = False
    clock.advance(seconds=2)
    assert scheduler.health().store is True
    said = [record.getMessage() for record in caplog.records if "store." in record.getMessage()]
    assert [("store.down" in line, "store.back" in line) for line in said] == [(True, False), (False, True)]
    assert scheduler.start() is True


def test_ticks_of_the_outage_are_caught_up(scheduler, clock, store):
    scheduler.start()
    clock.advance(minutes=1)
    scheduler.shutdown()
    store.down = True
    scheduler.start()
    clock.advance(minutes=4)
    store.down = False
    clock.advance(minutes=1)
    assert ticks(scheduler) == [(minute, "succeeded") for minute in range(1, 7)]


def test_ticks_before_a_store_first_saw_the_job_do_not_exist_for_it(scheduler, clock, store):
    store.down = True
    scheduler.start()
    clock.advance(minutes=3, seconds=30)
    store.down = False
    clock.advance(minutes=2)
    assert ticks(scheduler) == [(4, "succeeded"), (5, "succeeded")]


def test_what_is_asked_for_meanwhile_raises_and_afterwards_runs(scheduler, clock, store):
    store.down = True
    scheduler.start()
    for ask in (scheduler.run_now, scheduler.enqueue, scheduler.pause, scheduler.resume):
        with pytest.raises(StoreError):
            ask("job")
    store.down = False
    run_id = scheduler.run_now("job")  # it answers sooner than it is looked for
    clock.advance(seconds=2)
    assert scheduler.get_run(run_id).status == "succeeded"


def test_jobs_that_are_declared_and_removed_meanwhile_are_taken_up_as_they_are_then(scheduler, clock, store):
    store.down = True
    scheduler.start()
    scheduler.add(lambda: None, MINUTELY, id="new")
    scheduler.reschedule("job", Interval(minutes=2))
    scheduler.add(lambda: None, MINUTELY, id="gone")
    clock.advance(seconds=10)
    scheduler.remove("gone")
    clock.advance(seconds=10)
    store.down = False
    clock.advance(minutes=4)
    assert [len(scheduler.runs(job)) for job in ("new", "job")] == [4, 2]
    assert {run.job_id for run in scheduler.runs()} == {"new", "job"}


@pytest.mark.parametrize("method", ["open", "now", "beat", "sync_jobs", "due"])
def test_an_opening_that_breaks_off_is_done_again(scheduler, clock, store, method):
    store.fail_next(method, times=2)
    assert scheduler.start()
    clock.advance(minutes=2)
    assert [tick for tick in ticks(scheduler) if tick[1] == "succeeded"] == [(1, "succeeded"), (2, "succeeded")]
    assert scheduler.health().store


def test_a_shutdown_meanwhile_leaves_nothing_behind_and_it_may_start_again(scheduler, clock, store):
    store.down = True
    scheduler.start()
    clock.advance(seconds=5)
    calls = len(store.calls)
    assert scheduler.shutdown(5).abandoned == ()
    clock.advance(minutes=5)
    assert len(store.calls) == calls
    assert not scheduler.health().alive
    store.down = False
    assert scheduler.start()
    clock.advance(minutes=1)
    assert ticks(scheduler) == [(6, "succeeded")]


def test_locks_that_are_down_are_waited_for_too(clock, caplog):
    locks = FaultyLocks(MemoryLocks(clock))
    scheduler = Scheduler("app", store=MemoryStore(clock), locks=locks, clock=clock)
    scheduler.add(lambda: None, MINUTELY, id="job")
    locks.down = True
    assert scheduler.start()
    clock.advance(minutes=2, seconds=30)
    health = scheduler.health()
    assert (health.alive, health.store, health.locks) == (True, True, False)
    assert "the locks do not answer" in caplog.text
    locks.down = False
    clock.advance(minutes=1)
    assert scheduler.health().locks
    assert {run.status for run in scheduler.runs("job")} == {"succeeded"}
    scheduler.shutdown()


def test_run_due_raises_as_its_caller_is_there_to_hear_it(store):
    scheduler = Scheduler("app", store=store)
    store.down = True
    with pytest.raises(StoreError):
        scheduler.run_due()
    store.down = False
    scheduler.run_due()
    scheduler.shutdown()


def test_what_a_person_must_mend_raises_from_start(clock):
    wrong = FaultyStore(MemoryStore(clock), error=StoreError)
    wrong.fail_next("open")
    scheduler = Scheduler("app", store=wrong, clock=clock)
    with pytest.raises(StoreError):
        scheduler.start()
    assert not scheduler.health().alive
    assert scheduler.start()
    scheduler.shutdown()


def newer(path: str) -> str:
    SQLiteStore(path, "app").open()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE rota_meta SET value = 99")
    return path


@pytest.mark.parametrize(
    ("make", "options", "says"),
    [
        (lambda path: f"{path}/rota.db", {"create_tables": False}, "rota db upgrade"),
        (lambda path: f"{path}/missing/rota.db", {}, "does not exist"),
        (lambda path: newer(f"{path}/rota.db"), {}, "newer Rota"),
    ],
    ids=["no tables", "no directory", "newer tables"],
)
def test_a_file_that_will_not_do_raises_from_start(tmp_path, make: Callable, options, says):
    scheduler = Scheduler("app", store=f"sqlite:///{make(tmp_path)}", **options)
    with pytest.raises(StoreError, match=says) as caught:
        scheduler.start()
    assert not caught.value.unreachable
    assert not scheduler.health().alive
    scheduler.configure(lease_ttl=60)  # it does not count as used


def test_a_store_that_turns_out_to_lack_tables_is_told_of_once_and_given_none(clock, tmp_path, caplog):
    file = SQLiteStore(tmp_path / "rota.db", clock=clock)
    store = FaultyStore(file)
    scheduler = Scheduler("app", store=store, clock=clock, create_tables=False)
    scheduler.add(lambda: None, MINUTELY, id="job")
    store.down = True
    scheduler.start()
    store.down = False
    clock.advance(minutes=2)
    assert caplog.text.count("rota db upgrade") == 1
    with pytest.raises(StoreError, match="rota db upgrade"):
        scheduler.enqueue("job")
    assert scheduler.health().alive
    SQLiteStore(tmp_path / "rota.db", "app").open()
    clock.advance(minutes=2)
    assert len(scheduler.runs("job")) == 2
    scheduler.shutdown()


class Late(MemoryStore):
    """Cannot be reached at first; the next opening takes until it is let go."""

    def __init__(self):
        super().__init__()
        self.openings = 0
        self.let = threading.Event()

    @property
    def shared(self):
        return True

    def open(self, *, create_tables=True):
        self.openings += 1
        if self.openings == 1:
            error = StoreError("it is not there")
            error.unreachable = True
            raise error
        assert self.let.wait(PATIENCE)


def test_a_store_that_answers_after_the_shutdown_finds_nobody_at_work():
    store = Late()
    scheduler = Scheduler("app", store=store)
    scheduler.start()
    node = scheduler._host.node
    assert until(lambda: store.openings == 2)
    scheduler.shutdown(0)
    store.let.set()
    assert until(lambda: not node._driver._thread.is_alive())
    assert node.renewal.next_due() is None
    assert node.engine.draining


# On real clocks ------------------------------------------------------------------------------------------------------


def in_background(scheduler: Scheduler, meanwhile: Callable[[], None]) -> None:
    scheduler.start()
    meanwhile()
    scheduler.shutdown(1)


def blocking(scheduler: Scheduler, meanwhile: Callable[[], None]) -> None:
    def other() -> None:
        try:
            assert until(lambda: scheduler.health().alive)
            meanwhile()
        finally:
            scheduler.shutdown(1)

    thread = threading.Thread(target=other)
    thread.start()
    scheduler.run()
    thread.join(PATIENCE)


def on_a_loop(scheduler: Scheduler, meanwhile: Callable[[], None]) -> None:
    async def main() -> None:
        async with scheduler:
            await asyncio.to_thread(meanwhile)

    asyncio.run(main())


def served(scheduler: Scheduler, meanwhile: Callable[[], None]) -> None:
    async def main() -> None:
        serving = asyncio.ensure_future(scheduler.serve())
        assert await asyncio.to_thread(until, lambda: scheduler.health().alive)
        await asyncio.to_thread(meanwhile)
        await scheduler.aclose(1)
        await serving

    asyncio.run(main())


@pytest.mark.parametrize("way", [in_background, blocking, on_a_loop, served])
def test_every_way_of_running_comes_up_while_the_store_is_down(way):
    store = FaultyStore(MemoryStore(), shared=True)
    scheduler = Scheduler("app", store=store)
    ran = threading.Event()
    scheduler.add(ran.set, id="job")
    seen = []

    def meanwhile() -> None:
        seen.append((scheduler.health().alive, scheduler.health().store))
        store.down = False
        scheduler.run_now("job")
        seen.append(ran.wait(PATIENCE))

    store.down = True
    way(scheduler, meanwhile)
    assert seen == [(True, False), True]


def with_netloc(url: SplitResult, user: str | None, address: str | None = None) -> str:
    """The same for another user, or at another address."""
    host = address or url.netloc.rpartition("@")[2]
    return url._replace(netloc=host if user is None else f"{user}@{host}").geturl()


@pytest.mark.parametrize("name", ["postgresql", "mysql", "redis"])
def test_a_server_that_refuses_connections_is_waited_for(name, service_url):
    server = urlsplit(service_url(name))
    with FaultProxy(server.hostname or "127.0.0.1", server.port or services.DEFAULT_PORTS[name]) as proxy:
        store = with_netloc(server, server.username, proxy.address)
        scheduler = Scheduler(f"app-{uuid4()}", store=store)
        ran = threading.Event()
        scheduler.add(ran.set, id="job")
        proxy.refuse()
        assert scheduler.start()
        health = scheduler.health()
        assert (health.alive, health.store) == (True, False)
        with pytest.raises(StoreError) as caught:
            scheduler.run_now("job")
        assert caught.value.unreachable
        proxy.restore()
        assert until(lambda: scheduler.health().store)
        scheduler.run_now("job")
        assert ran.wait(PATIENCE)
        scheduler.shutdown(1)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("postgresql", lambda url: with_netloc(url, "nobody:wrong")),
        ("postgresql", lambda url: url._replace(path="/no_such_database").geturl()),
        ("mysql", lambda url: with_netloc(url, "nobody:wrong")),
        ("redis", lambda url: with_netloc(url, ":wrong")),
    ],
    ids=["user of postgresql", "database of postgresql", "user of mysql", "password of redis"],
)
def test_a_server_that_refuses_its_user_raises_from_start(name, change, service_url):
    scheduler = Scheduler("app", store=change(urlsplit(service_url(name))))
    with pytest.raises(StoreError) as caught:
        scheduler.start()
    assert not caught.value.unreachable
    assert not scheduler.health().alive


def test_a_clock_that_the_store_does_not_share_raises_from_start(clock, service_url):
    scheduler = Scheduler("app", store=service_url("redis"), clock=clock)
    with pytest.raises(ConfigurationError, match="keeps a time of its own"):
        scheduler.start()
