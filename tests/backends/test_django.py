"""What is particular to the databases of a Django project: where they are, whose connections are used, how the tables
come to be."""

import asyncio
import io
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command
from django.db import connections, router, transaction
from django.db.migrations.recorder import MigrationRecorder
from tests import django_project

from rota.backends.django import _ProjectDatabase
from rota.backends.schema_versions import VERSION, Standing
from rota.backends.sqlite_connection import SQLiteFile
from rota.backends.sqlite_schema import prepare
from rota.core.run import RunRow
from rota.errors import ConfigurationError, StoreError
from rota.locks import DjangoLocks
from rota.ports import Claim, JobSeen
from rota.stores import DjangoStore

WITHOUT_SETTINGS = """
from rota.errors import ConfigurationError
from rota.stores import DjangoStore

store = DjangoStore()
try:
    store.open()
except ConfigurationError as error:
    print(error)
"""

FORKS_AT_FIRST_USE = """
import os
import sys
import threading

import django
from django.conf import settings
from tests.waiting import until

from rota.backends.django import _ProjectDatabase
from rota.backends.fork_safety import _registry
from rota.stores import DjangoStore

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}})
django.setup()
make, is_making, has_forked = _ProjectDatabase._made, threading.Event(), threading.Event()

def make_in_a_fork(database):
    is_making.set()
    until(lambda: _registry._mutex.locked() or has_forked.is_set())
    return make(database)

_ProjectDatabase._made = make_in_a_fork
store = DjangoStore()
opening = threading.Thread(target=store.open)
opening.start()
is_making.wait()
child = os.fork()
if child == 0:
    _ProjectDatabase._made = make
    store.nodes()
    os._exit(0)
has_forked.set()
opening.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), store.nodes())
"""

KINDS = [
    pytest.param("postgresql", marks=pytest.mark.requires_service("postgresql")),
    pytest.param("mysql", marks=pytest.mark.requires_service("mysql")),
    "sqlite",
]


class Elsewhere:
    """A router that has Rota's tables in another database."""

    def allow_migrate(self, db, app_label, **hints):
        return app_label != "rota"


@pytest.fixture(params=KINDS)
def alias(request: pytest.FixtureRequest, tmp_path) -> Iterator[str]:
    """A database in which there is nothing yet."""
    if request.param == "sqlite":
        alias = django_project.alias_of_file(tmp_path / "django.db")
        yield alias
        connections[alias].close()
        return
    with django_project.fresh(request.param) as alias:
        yield alias


@pytest.fixture
def file_alias(tmp_path) -> Iterator[str]:
    alias = django_project.alias_of_file(tmp_path / "django.db")
    yield alias
    connections[alias].close()


@pytest.fixture
def made() -> Iterator[Callable[..., DjangoStore]]:
    """Makes stores, and closes them at the end."""
    stores: list[DjangoStore] = []

    def make(*arguments: str) -> DjangoStore:
        stores.append(DjangoStore(*arguments))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def row(run_id: str) -> RunRow:
    return RunRow(run_id, "job", "run_now", "queued", 1, 1)


def test_a_store_and_locks_work(alias, made):
    store, locks = made(alias, "space"), DjangoLocks(alias, "space")
    store.open()
    (state,) = store.sync_jobs([JobSeen("job", "signature")])
    assert abs(state.watermark - store.now()) < 60_000_000
    assert [kept.id for kept in store.add([row("a"), row("b")])] == ["a", "b"]
    assert {kept.id for kept in store.due(2, 10).ready} == {"a", "b"}
    assert made(alias, "other").runs() == []

    grant = locks.acquire("name", "token", 30.0)
    assert grant is not None
    assert store.locks.acquire("name", "another", 30.0) is None
    assert locks.renew("name", "token", 30.0)
    assert locks.release("name", "token")
    assert [answer.verdict for answer in locks.claim([Claim("job", None, 1)])] == ["claimed"]
    locks.close()


def test_without_tables_it_says_what_to_run(alias, made):
    with pytest.raises(StoreError, match="lacks tables of Rota"):
        made(alias).open(create_tables=False)


def test_no_connection_of_djangos_is_used(alias, made):
    store = made(alias)
    store.open()
    store.sync_jobs([JobSeen("job", "signature")])
    assert connections[alias].connection is None
    with transaction.atomic(using=alias):
        connections[alias].ensure_connection()
        store.add([row("kept")])
        transaction.set_rollback(True, using=alias)
    connections[alias].close()
    assert store.run("kept") is not None


def test_it_may_be_called_on_a_loop(alias, made):
    store = made(alias)

    async def call() -> None:
        store.open()
        assert store.run("unknown") is None

    asyncio.run(call())


def test_the_settings_are_asked_when_it_is_opened(tmp_path, made):
    store = made("later", "space")
    with pytest.raises(ConfigurationError, match="has no 'later'"):
        store.open()
    django_project.add("later", ENGINE="django.db.backends.sqlite3", NAME=tmp_path / "first.db")
    store.open()
    store.sync_jobs([JobSeen("job", "signature")])
    django_project.add("later", ENGINE="django.db.backends.sqlite3", NAME=tmp_path / "second.db")
    assert store.job_states(["job"]) != [None]
    store.open()
    assert store.job_states(["job"]) == [None]


@pytest.mark.requires_service("postgresql")
def test_in_a_test_run_of_djangos_it_is_in_the_test_database(made):
    with django_project.fresh("postgresql") as alias:
        own = connections[alias].settings_dict["NAME"]
        store = made(alias)
        connections[alias].creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            store.open(create_tables=False)
            store.sync_jobs([JobSeen("job", "signature")])
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT current_database(), count(*) FROM rota_jobs")
                assert cursor.fetchone() == (f"test_{own}", 1)
        finally:
            store.close()
            connections[alias].creation.destroy_test_db(own, verbosity=0)


@pytest.mark.requires_service("postgresql")
def test_a_role_is_taken_as_django_takes_it(made):
    with django_project.fresh("postgresql") as alias:
        django_project.add(alias, **{**connections.settings[alias], "OPTIONS": {"assume_role": "pg_monitor"}})
        with pytest.raises(StoreError, match="permission denied for schema public"):
            made(alias).open()


def test_a_database_in_memory_is_refused(made):
    for name in (":memory:", "file:memorydb_default?mode=memory&cache=shared"):
        with pytest.raises(ConfigurationError, match="lives in memory"):
            made(django_project.alias_of_file(name)).open()


def test_a_database_of_another_kind_is_refused():
    with pytest.raises(ConfigurationError, match="keeps no tables in"):
        DjangoLocks(django_project.add("dummy", ENGINE="django.db.backends.dummy", NAME="")).acquire("a", "b", 1.0)
    with pytest.raises(ConfigurationError, match="'broken' of the Django project cannot be used"):
        DjangoLocks(django_project.add("broken", ENGINE="no.such.backend", NAME="")).acquire("a", "b", 1.0)


@pytest.mark.requires_service("postgresql")
def test_a_driver_that_is_not_known_is_refused(monkeypatch):
    alias = django_project.alias_of("postgresql")
    monkeypatch.setattr(type(connections[alias]), "Database", types.ModuleType("pg8000"))
    with pytest.raises(ConfigurationError, match="spoken to through pg8000; Rota can through psycopg, "):
        DjangoLocks(alias).acquire("a", "b", 1.0)


def test_without_settings_it_can_be_made_and_not_opened():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SETTINGS], capture_output=True, text=True, check=True, timeout=60
    )
    assert "settings of the Django project cannot be read" in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_another_thread_uses_it_for_the_first_time_holds_up_neither(tmp_path):
    program = [sys.executable, "-W", "ignore", "-c", FORKS_AT_FIRST_USE, str(tmp_path / "django.db")]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0 []\n"


def test_of_two_threads_that_use_it_first_both_get_the_same_database(file_alias, made, monkeypatch):
    make, both = _ProjectDatabase._made, threading.Barrier(2)

    def make_together(database):
        both.wait(60)
        return make(database)

    monkeypatch.setattr(_ProjectDatabase, "_made", make_together)
    database, found = made(file_alias)._database, []
    threads = [threading.Thread(target=lambda: found.append(database.opened())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [database.opened()] * 2


def test_migrate_makes_the_tables_that_the_store_finds(alias, made):
    for _ in range(2):
        call_command("migrate", database=alias, verbosity=0)
    assert ("rota", "0001_initial") in MigrationRecorder(connections[alias]).applied_migrations()
    store = made(alias)
    store.open(create_tables=False)
    connections[alias].close()


def test_migrate_finds_the_tables_that_the_store_made(alias, made):
    store = made(alias)
    store.open()
    store.sync_jobs([JobSeen("job", "signature")])
    call_command("migrate", database=alias, verbosity=0)
    assert store.job_states(["job"]) != [None]
    connections[alias].close()


@pytest.mark.requires_service("mysql")
def test_migrate_takes_up_what_broke_off(made):
    with django_project.fresh("mysql") as alias:
        with connections[alias].cursor() as cursor:
            cursor.execute("CREATE TABLE rota_meta (name VARCHAR(64) NOT NULL PRIMARY KEY, value BIGINT NOT NULL)")
        call_command("migrate", database=alias, verbosity=0)
        made(alias).open(create_tables=False)
        connections[alias].close()


def test_sqlmigrate_shows_the_statements(alias):
    said = io.StringIO()
    call_command("sqlmigrate", "rota", "0001", database=alias, stdout=said)
    assert "CREATE TABLE rota_runs" in said.getvalue()
    assert "'compatible_from'" in said.getvalue()
    connections[alias].close()


def test_there_is_a_migration_for_every_version_and_none_is_missing(file_alias, tmp_path):
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
    call_command("migrate", database=file_alias, verbosity=0)
    file = SQLiteFile(tmp_path / "django.db")
    assert prepare(file, create=False) == Standing.at(VERSION)
    file.close()


def test_there_is_no_way_back(file_alias):
    call_command("migrate", database=file_alias, verbosity=0)
    with pytest.raises(Exception, match="is not reversible"):
        call_command("migrate", "rota", "zero", database=file_alias, verbosity=0)


def test_a_router_may_keep_the_tables_out(file_alias, monkeypatch, made):
    monkeypatch.setattr(router, "routers", [Elsewhere()])
    call_command("migrate", database=file_alias, verbosity=0)
    with pytest.raises(StoreError, match="lacks tables of Rota"):
        made(file_alias).open(create_tables=False)
