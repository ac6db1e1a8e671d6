"""An old and a new Rota share a store: the tables are upgraded under an old one that is at work, and it goes on."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing

import pytest
from sqlalchemy import create_engine
from tests import services

from rota.backends.sql_engine import chosen_url
from rota.core.run import RunRow
from rota.ports import Begin, Claim, JobSeen, NodeRow, Store, Swap, TickClaim
from rota.stores import SQLiteStore, SQLStore

NODE = NodeRow("node", "host", 1, 0, last_seen=2**60)
KINDS = [
    pytest.param("postgresql", marks=pytest.mark.requires_service("postgresql")),
    pytest.param("mysql", marks=pytest.mark.requires_service("mysql")),
    "sqlite",
]


class Database:
    """Where the tables are: a file, or a database of the test's own on a server."""

    def __init__(self, kind: str, directory) -> None:
        self.kind = kind
        self._path = directory / "rota.db"
        if kind != "sqlite":
            address = chosen_url(services.url(kind))
            self._server = create_engine(address, isolation_level="AUTOCOMMIT")
            self._name = f"{address.database}_rolling"
            self._drop = f"DROP DATABASE IF EXISTS {self._name}{' WITH (FORCE)' if kind == 'postgresql' else ''}"
            self._do(self._server, [self._drop, f"CREATE DATABASE {self._name}"])
            self._address = address.set(database=self._name)

    def store(self) -> Store:
        """A store as this Rota makes it."""
        if self.kind == "sqlite":
            return SQLiteStore(self._path, "tests")
        return SQLStore(self._address.render_as_string(hide_password=False), "tests")

    def do(self, statements: Iterable[str]) -> list[tuple[object, ...]]:
        """Make statements, as a newer Rota would; the rows of the last."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                return [connection.execute(statement).fetchall() for statement in statements][-1]
        engine = create_engine(self._address, isolation_level="AUTOCOMMIT")
        try:
            return self._do(engine, statements)
        finally:
            engine.dispose()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.kind != "sqlite":
            self._do(self._server, [self._drop])
            self._server.dispose()

    @staticmethod
    def _do(engine, statements: Iterable[str]) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        with engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = [tuple(row) for row in result] if result.returns_rows else []
        return rows


@pytest.fixture(params=KINDS)
def database(request, tmp_path):
    database = Database(request.param, tmp_path)
    yield database
    database.close()


def use(store: Store, number: int) -> None:
    """Every kind of change that a store makes, for the `number`th time."""
    (state,) = store.sync_jobs([JobSeen("new", f"signature {number}", "old")])
    store.pause("old", f"reason {number}")
    store.pause("old", None)
    now = store.now()
    row = RunRow(f"tick-{number}", "old", "tick", "queued", now, now, scheduled_for=state.watermark)
    ask = Begin(row.id, "old", 0, f"token-{number}", "node", 30.0)
    claim = TickClaim("old", None, state.watermark, False, None, (row,), counts=1, start=ask)
    (answer,) = store.claim([claim])
    assert answer.begun is not None
    begun = answer.begun
    enqueued = RunRow(f"enqueued-{number}", "old", "enqueue", "queued", now, now, key=f"key {number}")
    assert [kept.id for kept in store.add([enqueued])] == [enqueued.id]
    assert enqueued.id in {found.id for found in store.due(now, 10).ready}
    assert store.begin([Begin(enqueued.id, "old", 0, "token", "node", 30.0)])[0].verdict == "begun"
    assert store.renew(NODE, [(begun.id, f"token-{number}")], 30.0).lost == frozenset()
    assert store.put_value(f"run:{begun.id}", "key", "1", holder=f"token-{number}")
    assert store.put_value("scope", "key", f"{number}")
    assert store.set_progress(begun.id, f"token-{number}", "{}")
    assert store.request_cancel(enqueued.id, "cancel")
    done = begun.copy()
    done.status, done.token, done.finished_at = "failed", None, now
    assert store.swap([Swap(done, "running", f"token-{number}", streak=1, logs=("{}",))])[0].verdict == "swapped"
    assert store.discard(begun.id)
    assert len(store.logs(begun.id)) == 1
    store.prune("old", {"succeeded": now})
    grant = store.locks.acquire("name", f"token-{number}", 30.0)
    assert grant is not None
    assert grant.fence == number
    assert store.locks.release("name", f"token-{number}")
    assert store.locks.claim([Claim("name", number - 1 if number > 1 else None, number)])[0].verdict == "claimed"


def tables_of(database: Database) -> list[str]:
    tables = ["spaces", "jobs", "renames", "runs", "values", "nodes", "locks", "watermarks"]
    return [f"rota_{table}" for table in [*tables, *(["clock"] if database.kind == "sqlite" else [])]]


def test_an_old_rota_goes_on_and_leaves_alone_what_it_does_not_know(database):
    old = database.store()
    use(old, 1)
    tables = tables_of(database)
    database.do(f"ALTER TABLE {table} ADD COLUMN later INTEGER" for table in tables)
    database.do(f"UPDATE {table} SET later = 7" for table in tables)
    database.do(["UPDATE rota_meta SET value = 2 WHERE name = 'version'"])
    use(old, 2)
    started_now = database.store()
    started_now.open(create_tables=False)
    use(started_now, 3)
    for table in tables:
        assert (7,) in database.do([f"SELECT DISTINCT later FROM {table}"]), table
    assert old.value("scope", "key") == "3"
    old.close()
    started_now.close()
