"""The contracts on PostgreSQL and on MySQL or MariaDB, whichever the server is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, create_engine, make_url
from tests import services

from rota.backends.sql_engine import chosen_url
from rota.locks import SQLLocks
from rota.ports import Clock
from rota.stores import SQLStore
from rota.testing.conformance import LockCapabilities, StoreCapabilities, lock_backend_contract, store_contract

TIMEOUT = 4.0
"""Seconds that a call may take; short, since tests wait for it to be over, and yet enough for a server that is busy."""

BUSY = 30.0
"""The same for calls of many processes at once, on a machine that may be slow."""

PLENTY = 50
"""Names, and cycles of taking and giving back, where many are asked for."""

TABLES = ("rota_jobs", "rota_locks", "rota_runs", "rota_watermarks")


SET_CLOCKS = (
    "test_a_jump_of_a_day_and_back_poisons_no_watermark",
    "test_27_a_restarted_machine_frees",
    "test_40_a_jump_of_a_day_and_back_poisons_no_watermark",
    "test_40_a_program_started_after_the_jump_is_not_fooled",
    "test_40_a_clock_that_stands_for_half_a_minute_is_believed",
)
"""What does not apply: they set a clock that the backend goes by, but a server's is not the client's to set."""


def server_clock(clock: Clock) -> Callable[[int], int]:
    """The clock of a server, on which the time of a test passes, and that nobody sets."""
    ahead = clock.now() - round(clock.boottime() * 1_000_000)
    return lambda _: ahead + round(clock.boottime() * 1_000_000)


def sql_locks(name: str, place: str, clock: Clock | None) -> SQLLocks:
    locks = SQLLocks(services.url(name), place, timeout=TIMEOUT if clock else BUSY)
    if clock is not None:
        locks._space._clock = server_clock(clock)
    return locks


def sql_store(name: str, place: str, clock: Clock | None) -> SQLStore:
    store = SQLStore(services.url(name), place, timeout=TIMEOUT if clock else BUSY)
    if clock is not None:
        store._space._clock = store.locks._space._clock = server_clock(clock)
    return store


def postgresql_locks(place: str, clock: Clock | None) -> SQLLocks:
    return sql_locks("postgresql", place, clock)


def mysql_locks(place: str, clock: Clock | None) -> SQLLocks:
    return sql_locks("mysql", place, clock)


def postgresql_store(place: str, clock: Clock | None) -> SQLStore:
    return sql_store("postgresql", place, clock)


def mysql_store(place: str, clock: Clock | None) -> SQLStore:
    return sql_store("mysql", place, clock)


def read_only_locks(place: str, clock: Clock | None) -> SQLLocks:
    url = make_url(services.url("postgresql")).update_query_dict({"options": "-c default_transaction_read_only=on"})
    return SQLLocks(url.render_as_string(hide_password=False), place, timeout=TIMEOUT)


@contextmanager
def session(name: str) -> Iterator[Connection]:
    """A session of the test's own on the same database."""
    engine = create_engine(chosen_url(services.url(name)), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@contextmanager
def postgresql_locked(place: str) -> Iterator[None]:
    """Another session keeps the tables to itself."""
    with session("postgresql") as connection:
        connection.exec_driver_sql(f"BEGIN; LOCK TABLE {', '.join(TABLES)}")
        try:
            yield
        finally:
            connection.exec_driver_sql("ROLLBACK")


@contextmanager
def mysql_locked(place: str) -> Iterator[None]:
    """Another session keeps the tables to itself."""
    with session("mysql") as connection:
        connection.exec_driver_sql(f"LOCK TABLES {', '.join(f'{table} WRITE' for table in TABLES)}")
        try:
            yield
        finally:
            connection.exec_driver_sql("UNLOCK TABLES")


@contextmanager
def renamed(name: str) -> Iterator[None]:
    """The tables are not what they were."""
    with session(name) as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO moved_{table}")
        try:
            yield
        finally:
            for table in TABLES:
                connection.exec_driver_sql(f"ALTER TABLE moved_{table} RENAME TO {table}")


@contextmanager
def transaction(name: str) -> Iterator[None]:
    """The program reads and writes in a transaction of its own, and takes it back."""
    with session(name) as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT count(*) FROM rota_locks").all()
        connection.exec_driver_sql("INSERT INTO rota_meta (name, value) VALUES ('of the program', 1)")
        yield
        connection.exec_driver_sql("ROLLBACK")


def end_postgresql_sessions(place: str) -> None:
    with session("postgresql") as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def end_mysql_sessions(place: str) -> None:
    with session("mysql") as connection:
        found = connection.exec_driver_sql(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (number,) in found.all():
            connection.exec_driver_sql(f"KILL {number}")


def by_server_clock(contract: type) -> type:
    """The contract less what does not apply."""
    return type(contract.__name__, (contract,), dict.fromkeys(SET_CLOCKS))


TestPostgreSQLLocks = pytest.mark.requires_service("postgresql")(
    by_server_clock(
        lock_backend_contract(
            postgresql_locks,
            LockCapabilities(
                forgets_locks=True,
                names=PLENTY,
                cycles=PLENTY,
                hang=postgresql_locked,
                break_storage=lambda place: renamed("postgresql"),
                end_sessions=end_postgresql_sessions,
                transaction=lambda place: transaction("postgresql"),
                misconfigured=(read_only_locks,),
            ),
        )
    )
)

TestMySQLLocks = pytest.mark.requires_service("mysql")(
    by_server_clock(
        lock_backend_contract(
            mysql_locks,
            LockCapabilities(
                forgets_locks=True,
                names=PLENTY,
                cycles=PLENTY,
                hang=mysql_locked,
                break_storage=lambda place: renamed("mysql"),
                end_sessions=end_mysql_sessions,
                transaction=lambda place: transaction("mysql"),
            ),
        )
    )
)

TestPostgreSQLStore = pytest.mark.requires_service("postgresql")(
    by_server_clock(
        store_contract(
            postgresql_store,
            StoreCapabilities(hang=postgresql_locked, break_storage=lambda place: renamed("postgresql")),
        )
    )
)

TestMySQLStore = pytest.mark.requires_service("mysql")(
    by_server_clock(
        store_contract(mysql_store, StoreCapabilities(hang=mysql_locked, break_storage=lambda place: renamed("mysql")))
    )
)
