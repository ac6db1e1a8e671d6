"""The tables in PostgreSQL and MySQL/MariaDB: made, made again, made by many at once, upgraded, refused."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import Engine, create_engine, insert, inspect, make_url, select
from sqlalchemy.exc import IntegrityError
from tests import services
from tests.waiting import until

from rota.backends import schema_versions, sql_migrations, sql_schema, sql_tables, sqlite_schema, sqlite_statements
from rota.backends.rules import RARE
from rota.backends.schema_versions import VERSION, Standing
from rota.backends.sql_migrations import MIGRATIONS, statements
from rota.core.run import OPEN, RunRow, Status
from rota.errors import ConfigurationError, LockBackendError, StoreError
from rota.ports import Claim, JobSeen, NodeRow
from rota.stores import SQLStore

NODE = NodeRow("node", "host", 1, 0, 0)

DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}

TOGETHER = """
import os, sys
from sqlalchemy import create_engine, make_url
from rota.backends import sql_schema

children = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        try:
            sql_schema.prepare(create_engine(sys.argv[1]), create=True)
            os._exit(0)
        finally:
            os._exit(1)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.fixture(
    params=[
        pytest.param("postgresql", marks=pytest.mark.requires_service("postgresql")),
        pytest.param("mysql", marks=pytest.mark.requires_service("mysql")),
    ]
)
def engine(request: pytest.FixtureRequest):
    """An engine on a database in which there is nothing yet."""
    dialect = request.param
    address = make_url(services.url(dialect)).set(drivername=DRIVERS[dialect])
    name = f"{address.database}_schema"
    server = create_engine(address, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine = create_engine(address.set(database=name))
    yield engine
    engine.dispose()
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    server.dispose()


def set_meta(engine: Engine, name: str, value: int) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE rota_meta SET value = {value} WHERE name = '{name}'")


def test_tables_are_made_and_made_again(engine):
    assert sql_schema.prepare(engine, create=True) == Standing(0, 0)
    assert sql_schema.prepare(engine, create=True) == Standing.at(VERSION)
    assert sql_schema.prepare(engine, create=False) == Standing.at(VERSION)


def test_eight_processes_make_them_at_once(engine):
    url = engine.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER, url], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert sql_schema.prepare(engine, create=False) == Standing.at(VERSION)


@pytest.mark.requires_service("postgresql")
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_who_waited_while_another_made_them_finds_them_made(engine):
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with engine.connect() as one, ThreadPoolExecutor(1) as pool:
        asking = sql_schema.asked(one)
        asking(sql_schema._ALONE_IN_POSTGRESQL)
        other = pool.submit(sql_schema.prepare, engine, create=True)
        assert until(lambda: asking(waiting)[0][0])
        sql_schema.upgrade(asking, "postgresql", VERSION)
        one.commit()
        assert other.result(30) == Standing(0, 0)


def test_the_tables_are_those_that_statements_speak_of(engine):
    sql_schema.prepare(engine, create=True)
    found = inspect(engine)
    assert set(found.get_table_names()) == {"rota_meta", *sql_tables.metadata.tables}
    for table in sql_tables.metadata.tables.values():
        made = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert made == {column.name: bool(column.nullable) for column in table.columns}, table.name


def test_texts_come_back_as_they_went_in_and_equal_only_themselves(engine):
    sql_schema.prepare(engine, create=True)
    names = ["a", "a ", "A", "ä", "a\u0308", "\0", "\x1a", "\x1a0", "\x1a\0", "%s'\"\\", "ü" * 512]
    name = sql_tables.spaces.c.name
    with engine.begin() as connection:
        connection.execute(insert(sql_tables.spaces), [{"name": text} for text in names])
        assert set(connection.scalars(select(name))) == set(names)
        for text in names:
            assert connection.scalars(select(name).where(name == text)).all() == [text]
        log = {"space": 1, "run_id": "run", "line": "\0 \x1a 💥"}
        connection.execute(insert(sql_tables.logs), log)
        assert connection.scalar(select(sql_tables.logs.c.line)) == log["line"]


RUN = {
    "space": 1, "job_id": "job", "origin": "tick", "status": "queued", "queued_at": 1, "due": 1, "count": 1,
    "reason": "", "attempt": 0, "spent": 0, "fence": 0, "is_catch_up": False, "stuck": False, "discarded": False,
    "key": None, "token": None,
}  # fmt: skip

COMPUTED = [
    ({}, (1, None, 0, None, None)),
    ({"status": "running", "token": "t"}, (1, 1, None, None, None)),
    ({"status": "failed", "token": "t", "stuck": True}, (1, 1, None, None, "failed")),
    ({"status": "waiting", "token": "t", "stuck": True}, (1, 1, None, None, None)),
    ({"status": "succeeded"}, (None, None, None, None, None)),
    ({"origin": "enqueue", "key": "key"}, (None, None, 0, "key", None)),
    ({"origin": "run_now", "key": "key"}, (None, None, 0, None, None)),
    ({"origin": "backfill", "status": "waiting"}, (None, None, 1, None, None)),
    *(({"status": status}, (None, None, None, None, status)) for status in sorted(RARE)),
]
"""Facts of a run, and its `live`, `held`, `ready`, `enqueued_key` and `rare_status`."""


def test_a_status_is_of_an_open_run_or_rare_or_that_of_most():
    assert RARE.isdisjoint(OPEN)
    assert {*OPEN, *RARE, "succeeded"} == set(get_args(Status))


@pytest.mark.parametrize("texts", [sqlite_schema, sqlite_statements, sql_migrations])
def test_what_is_rare_is_the_same_in_every_text(texts):
    written = re.findall(r"status IN \(([^()]*'failed'[^()]*)\)", Path(texts.__file__).read_text())
    assert [set(re.findall(r"'(\w+)'", statuses)) for statuses in written] == [RARE]


def test_what_the_server_computes_of_a_run(engine):
    sql_schema.prepare(engine, create=True)
    runs = sql_tables.runs
    computed = (runs.c.live, runs.c.held, runs.c.ready, runs.c.enqueued_key, runs.c.rare_status)
    found = select(*computed).order_by(runs.c.number)
    with engine.begin() as connection:
        connection.execute(
            insert(runs), [RUN | facts | {"id": f"{number}"} for number, (facts, _) in enumerate(COMPUTED)]
        )
        assert connection.execute(found).all() == [expected for _, expected in COMPUTED]


def test_a_key_is_unique_among_the_enqueued_runs_of_a_job(engine):
    sql_schema.prepare(engine, create=True)
    enqueued = RUN | {"origin": "enqueue", "key": "key"}
    fine = [
        RUN | {"key": "key"},
        RUN | {"key": "key"},
        enqueued,
        enqueued | {"job_id": "other"},
        enqueued | {"key": "k"},
    ]
    with engine.begin() as connection:
        connection.execute(insert(sql_tables.runs), [run | {"id": f"{number}"} for number, run in enumerate(fine)])
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(sql_tables.runs), enqueued | {"id": "again"})


def test_in_tables_that_were_made_anew_nothing_is_written_under_an_old_number(engine):
    store = SQLStore(engine, "mine", timeout=30)
    store.sync_jobs([JobSeen("job", "signature")])
    old = store._space._number
    with engine.begin() as connection:
        for table in (*sql_tables.metadata.tables, "rota_meta"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    with pytest.raises(StoreError, match="lacks tables of Rota"):
        store.beat(NODE)
    for name in ("another", "third"):
        other = SQLStore(engine, name)
        other.open()
        other.close()
    writes = (
        lambda: store.sync_jobs([JobSeen("job", "signature")]),
        lambda: store.add([RunRow("run", "job", "run_now", "queued", 1, 1)]),
        lambda: store.put_value("scope", "key", "1"),
        lambda: store.beat(NODE),
        lambda: store.locks.acquire("name", "token", 30.0),
        lambda: store.locks.claim([Claim("name", None, 1)]),
    )
    for write in writes:  # each as the first of a process that knows the old number
        store._space._number = store.locks._space._number = old
        write()
    store.beat(NODE)
    assert store.value("scope", "key") == "1"
    store.close()
    with engine.connect() as connection:
        new = connection.scalar(select(sql_tables.spaces.c.id).where(sql_tables.spaces.c.name == "mine"))
        for name in ("jobs", "runs", "values", "nodes", "locks", "watermarks"):
            table = sql_tables.metadata.tables[f"rota_{name}"]
            assert set(connection.scalars(select(table.c.space))) == {new} != {old}, name


def test_without_create_missing_tables_are_an_error_that_says_what_to_run(engine):
    with pytest.raises(StoreError, match="rota db upgrade --store") as raised:
        sql_schema.prepare(engine, create=False)
    assert engine.url.database in str(raised.value)
    with pytest.raises(LockBackendError, match="lacks tables of Rota"):
        sql_schema.prepare(engine, create=False, error=LockBackendError)
    assert inspect(engine).get_table_names() == []


@pytest.fixture
def next_version(monkeypatch):
    """A Rota of the next version, whose tables have one thing more."""

    def apply(*more: str) -> None:
        later = {dialect: (*earlier, more) for dialect, earlier in MIGRATIONS.items()}
        monkeypatch.setattr(sql_migrations, "MIGRATIONS", later)
        for module in (sql_migrations, sql_schema):
            monkeypatch.setattr(module, "VERSION", VERSION + 1)

    return apply


def test_older_tables_are_upgraded_and_keep_what_they_hold(engine, next_version):
    sql_schema.prepare(engine, create=True)
    with engine.begin() as connection:
        connection.execute(insert(sql_tables.spaces), {"name": "mine"})
    next_version(
        "ALTER TABLE rota_spaces ADD COLUMN colour INTEGER", "CREATE INDEX rota_colours ON rota_spaces (colour)"
    )
    with pytest.raises(StoreError, match="rota db upgrade"):
        sql_schema.prepare(engine, create=False)
    assert sql_schema.prepare(engine, create=True) == Standing(VERSION, 1)
    assert sql_schema.prepare(engine, create=False) == Standing(VERSION + 1, 1)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT colour FROM rota_spaces").all() == [(None,)]


def test_an_upgrade_that_breaks_off_is_taken_up_again(engine, next_version):
    sql_schema.prepare(engine, create=True)
    colour, index = "ALTER TABLE rota_spaces ADD COLUMN colour INTEGER", "CREATE INDEX rota_c ON rota_spaces (colour)"
    next_version(colour, index, "CREATE NONSENSE")
    with pytest.raises(Exception, match="NONSENSE"):
        sql_schema.prepare(engine, create=True)
    with engine.connect() as connection:
        assert sql_schema.standing(sql_schema.asked(connection), engine.dialect.name) == Standing(VERSION, 1)
    next_version(colour, index, "CREATE TABLE rota_more (x INTEGER)")
    sql_schema.prepare(engine, create=True)
    assert "rota_more" in inspect(engine).get_table_names()


def test_an_older_rota_works_on_newer_tables_unless_they_say_otherwise(engine):
    sql_schema.prepare(engine, create=True)
    set_meta(engine, "version", VERSION + 5)
    assert sql_schema.prepare(engine, create=True).version == VERSION + 5
    set_meta(engine, "compatible_from", VERSION + 3)
    with pytest.raises(StoreError, match=f"newer Rota .*version {VERSION + 3}; this one knows up to {VERSION}"):
        sql_schema.prepare(engine, create=True)
    with engine.connect() as connection:
        assert sql_schema.standing(sql_schema.asked(connection), engine.dialect.name) == Standing(
            VERSION + 5, VERSION + 3
        )


def test_every_dialect_has_every_version():
    assert {len(migrations) for migrations in MIGRATIONS.values()} == {VERSION}
    assert len(sqlite_schema.MIGRATIONS) == VERSION


def test_compatibility_goes_back_to_the_last_break(monkeypatch):
    monkeypatch.setattr(schema_versions, "BREAKS", (3, 5))
    assert [Standing.at(version).compatible_from for version in (1, 2, 3, 4, 5, 6)] == [1, 1, 3, 3, 5, 5]


@pytest.mark.parametrize(("since", "version"), [(-1, 1), (0, VERSION + 1), (2, 1)])
def test_versions_that_are_not_known(since, version):
    with pytest.raises(ConfigurationError, match="have versions from 0"):
        statements("mysql", since, version)


def test_a_database_of_another_kind():
    with pytest.raises(ConfigurationError, match="keeps no tables in 'oracle'"):
        statements("oracle", 0, 1)
