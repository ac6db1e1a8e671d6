"""A scheduler's name is the namespace of what it stores and locks, however its store and its locks are written."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from tests import django_project

from rota import LockHeld, Scheduler
from rota.clock import SystemClock
from rota.drivers.opening import make_locks
from rota.locks import DjangoLocks, RedisLocks, SQLiteLocks, SQLLocks
from rota.stores import MemoryStore, SQLiteStore
from rota.testing import FakeClock, FaultyLocks, FaultyStore

START = datetime(2026, 3, 2, tzinfo=UTC)

SPELLINGS = {
    "url": lambda path: f"sqlite:///{path}/rota.db",
    "object": lambda path: SQLiteStore(path / "rota.db"),
    "callable": lambda path: lambda: SQLiteStore(path / "rota.db"),
    "faulty": lambda path: FaultyStore(SQLiteStore(path / "rota.db")),
}

ONE_OBJECT = {
    "memory": lambda path: MemoryStore(),
    "sqlite": lambda path: SQLiteStore(path / "rota.db"),
    "faulty": lambda path: FaultyStore(MemoryStore()),
}

LOCKS = {
    "url": lambda path: f"sqlite:///{path}/locks.db",
    "object": lambda path: SQLiteLocks(path / "locks.db"),
    "django": lambda path: DjangoLocks(django_project.alias_of_file(path / "locks.db")),
    "callable": lambda path: lambda: SQLiteLocks(path / "locks.db"),
    "faulty": lambda path: FaultyLocks(SQLiteLocks(path / "locks.db")),
}

SERVERS = [
    pytest.param(name, kind, marks=pytest.mark.requires_service(name))
    for name, kind in (("postgresql", SQLLocks), ("mysql", SQLLocks), ("redis", RedisLocks))
]


def started(name, store, clock, ran, locks=None):
    scheduler = Scheduler(name, store=store, locks=locks, clock=clock)

    @scheduler.interval(minutes=1)
    def tidy():
        ran.append(name)

    scheduler.start()
    return scheduler


@pytest.fixture
def clock():
    return FakeClock(START)


@pytest.fixture
def ran():
    return []


def assert_strangers(first, second, clock, ran):
    clock.advance(minutes=2)
    assert sorted(ran) == ["bills", "bills", "shop", "shop"]
    first.pause("tidy")
    assert not second.jobs["tidy"].paused
    assert not {run.id for run in first.runs()} & {run.id for run in second.runs()}
    with first.lock("till"), second.lock("till"):
        pass


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_schedulers_of_two_names_share_a_file_without_seeing_each_other(spelling, tmp_path, clock, ran):
    first, second = (started(name, SPELLINGS[spelling](tmp_path), clock, ran) for name in ("shop", "bills"))
    assert_strangers(first, second, clock, ran)


@pytest.mark.parametrize("kind", ONE_OBJECT)
def test_schedulers_of_two_names_share_a_store_without_seeing_each_other(kind, tmp_path, clock, ran):
    store = ONE_OBJECT[kind](tmp_path)
    first, second = (started(name, store, clock, ran) for name in ("shop", "bills"))
    assert_strangers(first, second, clock, ran)


@pytest.mark.parametrize("kind", ONE_OBJECT)
def test_a_third_scheduler_finds_what_the_one_of_its_name_left_in_the_store(kind, tmp_path, clock, ran):
    store = ONE_OBJECT[kind](tmp_path)
    for name in ("shop", "bills"):
        started(name, store, clock, ran)
    clock.advance(minutes=1)
    assert len(Scheduler("bills", store=store, clock=clock).runs()) == 1


@pytest.mark.parametrize("kind", ONE_OBJECT)
def test_the_object_itself_shows_the_records_of_the_first(kind, tmp_path, clock, ran):
    store = ONE_OBJECT[kind](tmp_path)
    first, second = (started(name, store, clock, ran) for name in ("shop", "bills"))
    clock.advance(minutes=1)
    (kept,) = store.runs()
    assert kept.id == first.runs()[0].id != second.runs()[0].id


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_schedulers_of_one_name_are_one_fleet_however_each_writes_its_store(spelling, tmp_path, clock, ran):
    first = started("shop", SPELLINGS[spelling](tmp_path), clock, ran)
    second = started("shop", f"sqlite:///{tmp_path}/rota.db", clock, ran)
    clock.advance(minutes=2)
    assert ran == ["shop", "shop"]
    assert first.runs() == second.runs()


def test_a_namespace_that_was_given_goes_before_the_name(tmp_path, clock, ran):
    for name in ("shop", "bills"):
        started(name, SQLiteStore(tmp_path / "rota.db", "common"), clock, ran)
    clock.advance(minutes=2)
    assert len(ran) == 2


def test_a_store_that_was_opened_before_goes_by_the_name_all_the_same(tmp_path, clock, ran):
    store = SQLiteStore(tmp_path / "rota.db")
    store.open()
    started("shop", store, clock, ran)
    clock.advance(minutes=1)
    assert len(Scheduler("shop", store=f"sqlite:///{tmp_path}/rota.db", clock=clock).runs()) == 1


@pytest.mark.parametrize("spelling", LOCKS)
def test_schedulers_of_one_name_are_one_fleet_however_each_writes_its_locks(spelling, tmp_path, clock, ran):
    first = started("shop", MemoryStore(), clock, ran, f"sqlite:///{tmp_path}/locks.db")
    second = started("shop", MemoryStore(), clock, ran, LOCKS[spelling](tmp_path))
    clock.advance(minutes=2)
    assert ran == ["shop", "shop"]
    with first.lock("till"), pytest.raises(LockHeld), second.lock("till"):
        pass


@pytest.mark.parametrize("spelling", LOCKS)
def test_schedulers_of_two_names_share_locks_without_seeing_each_other(spelling, tmp_path, clock, ran):
    locks = LOCKS[spelling](tmp_path)
    first, second = (started(name, MemoryStore(), clock, ran, locks) for name in ("shop", "bills"))
    assert_strangers(first, second, clock, ran)


def test_a_namespace_that_locks_were_given_goes_before_the_name(tmp_path, clock):
    locks = SQLiteLocks(tmp_path / "locks.db", "common")
    assert make_locks(locks, "shop", clock).acquire("till", "first", 30.0) is not None
    assert make_locks(locks, "bills", clock).acquire("till", "second", 30.0) is None


@pytest.mark.parametrize(("server", "kind"), SERVERS)
def test_locks_on_a_server_go_by_the_name_too(server, kind, service_url):
    shop, bills = uuid4().hex, uuid4().hex
    locks = kind(service_url(server))
    assert make_locks(service_url(server), shop, SystemClock()).acquire("till", "first", 30.0) is not None
    assert make_locks(locks, shop, SystemClock()).acquire("till", "second", 30.0) is None
    assert make_locks(locks, bills, SystemClock()).acquire("till", "second", 30.0) is not None
