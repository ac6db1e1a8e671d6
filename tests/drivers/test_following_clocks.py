"""A scheduler with a clock of its own: stores and locks that were given none go by it; a server's time does not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests import django_project

from rota import ConfigurationError, Scheduler
from rota.clock import SYSTEM
from rota.locks import DjangoLocks, FileLocks, MemoryLocks, SQLiteLocks
from rota.ports import FollowsClock
from rota.stores import DjangoStore, MemoryStore, SQLiteStore
from rota.testing import FakeClock, FaultyLocks, FaultyStore

DAY = 86_400_000_000
PAST, FUTURE = "2016-03-01T23:59+00:00", "2066-03-01T23:59+00:00"

STORES = {
    "memory": lambda path: MemoryStore(),
    "sqlite": lambda path: SQLiteStore(path / "rota.db"),
    "django": lambda path: DjangoStore(django_project.alias_of_file(path / "django.db")),
    "faulty": lambda path: FaultyStore(MemoryStore()),
    "callable": lambda path: lambda: SQLiteStore(path / "rota.db"),
}
LOCKS = {
    "memory": lambda path: MemoryLocks(),
    "file": lambda path: FileLocks(path / "locks"),
    "sqlite": lambda path: SQLiteLocks(path / "locks.db"),
    "django": lambda path: DjangoLocks(django_project.alias_of_file(path / "django.db")),
    "faulty": lambda path: FaultyLocks(MemoryLocks()),
}


def runs_at_midnight(clock: FakeClock, **backends: object) -> int:
    """How many ticks of a daily job are recorded in the two minutes around midnight."""
    scheduler = Scheduler("shop", clock=clock, **backends)
    scheduler.cron("0 0 * * *")(nightly)
    scheduler.start()
    clock.advance(minutes=2)
    scheduler.shutdown()
    return sum(run.count for run in scheduler.runs("nightly"))


def nightly() -> None: ...


@pytest.mark.parametrize("start", [PAST, FUTURE])
@pytest.mark.parametrize("store", STORES)
def test_a_store_goes_by_the_clock_of_its_scheduler(store: str, start: str, tmp_path: Path) -> None:
    assert runs_at_midnight(FakeClock(start), store=STORES[store](tmp_path)) == 1


@pytest.mark.parametrize("start", [PAST, FUTURE])
@pytest.mark.parametrize("locks", LOCKS)
def test_so_do_locks(locks: str, start: str, tmp_path: Path) -> None:
    assert runs_at_midnight(FakeClock(start), locks=LOCKS[locks](tmp_path)) == 1


def test_locks_of_such_a_store_are_leased_by_that_clock() -> None:
    clock = FakeClock(PAST)
    scheduler = Scheduler("shop", store=(store := MemoryStore()), clock=clock)
    scheduler.runs()
    assert store.locks.acquire("name", "first", 30) is not None
    clock.advance(seconds=29)
    assert store.locks.acquire("name", "second", 30) is None
    clock.advance(seconds=1)
    assert store.locks.acquire("name", "second", 30) is not None


def test_a_store_of_several_tests_goes_by_the_clock_of_the_last() -> None:
    store = MemoryStore()
    assert runs_at_midnight(FakeClock(PAST), store=store) == 1
    assert runs_at_midnight(FakeClock(FUTURE), store=store) > 1  # with the ticks that were missed in fifty years


def test_a_scheduler_on_the_systems_clock_brings_a_store_back_to_it() -> None:
    store = MemoryStore()
    runs_at_midnight(FakeClock(FUTURE), store=store)
    scheduler = Scheduler("shop", store=store)
    scheduler.runs()
    assert abs(store.now() - SYSTEM.now()) < DAY


def test_a_clock_that_a_store_was_given_stays(tmp_path: Path) -> None:
    clock = FakeClock(PAST)
    store = SQLiteStore(tmp_path / "rota.db", "shop", clock)
    assert isinstance(store, FollowsClock)
    store.follow_clock(FakeClock(FUTURE))
    assert store.now() == clock.now()


@pytest.mark.requires_service("postgresql")
def test_a_server_that_keeps_its_own_time_is_refused_at_once(service_url: Callable[[str], str]) -> None:
    scheduler = Scheduler("shop", store=service_url("postgresql"), clock=FakeClock(PAST))
    with pytest.raises(ConfigurationError, match=r"shows 2016-03-01T23:59:00Z, but SQLStore keeps a time of its own"):
        scheduler.start()


@pytest.mark.requires_service("postgresql")
def test_so_is_one_of_a_django_project() -> None:
    with django_project.fresh("postgresql") as alias:
        scheduler = Scheduler("shop", store=DjangoStore(alias), clock=FakeClock(PAST))
        with pytest.raises(ConfigurationError, match="but DjangoStore keeps a time of its own"):
            scheduler.start()
