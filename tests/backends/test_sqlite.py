"""What is particular to a store in an SQLite file: the file, its versions, and what goes wrong with it."""

import contextlib
import os
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from rota import Scheduler
from rota.backends import sqlite_connection, sqlite_schema
from rota.backends import sqlite_statements as sql
from rota.backends.file_systems import network_type
from rota.backends.rules import RARE
from rota.backends.urls import directory_path, sqlite_path
from rota.core.run import DEAD_LETTERS, OPEN, UNHAPPY, RunRow
from rota.errors import ConfigurationError, LockBackendError, StoreError
from rota.locks import SQLiteLocks
from rota.ports import JobSeen
from rota.stores import SQLiteStore
from rota.testing.faults import FaultyLocks

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /mnt/nfs nfs4 rw 0 0
//server/share /mnt/with\\040space cifs rw 0 0
/dev/sdb1 /mnt/nfs/local xfs rw 0 0
overlay /containers overlay rw 0 0
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rota.db"


@pytest.fixture
def store(path):
    store = SQLiteStore(path, "tests")
    yield store
    store.close()


def test_urls_and_paths(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert sqlite_path("sqlite:///rota.db") == str(tmp_path / "rota.db")
    assert sqlite_path("sqlite:////var/rota.db") == "/var/rota.db"
    assert sqlite_path(Path("rota.db")) == str(tmp_path / "rota.db")
    assert directory_path("file:///var/lock") == "/var/lock"
    assert directory_path("file:////var/lock") == "/var/lock"
    assert directory_path("file:locks") == directory_path("locks") == str(tmp_path / "locks")


@pytest.mark.parametrize(
    "url", [":memory:", "sqlite://", "sqlite:///:memory:", "sqlite://host/x.db", "postgresql://x/y", "sqlite:///x?a=1"]
)
def test_urls_that_name_no_file(url):
    with pytest.raises(ConfigurationError):
        SQLiteStore(url, "tests")


def test_a_relative_path_stays_where_it_was(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore("sqlite:///rota.db", "tests")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.open()
    store.close()
    assert (tmp_path / "rota.db").exists()


def test_nothing_is_touched_before_it_is_opened(store, path):
    assert not path.exists()


def test_a_missing_directory(tmp_path):
    with pytest.raises(StoreError, match=r"directory .* does not exist"):
        SQLiteStore(tmp_path / "missing" / "rota.db", "tests").open()


def test_network_file_systems():
    assert network_type("/mnt/nfs/deep/er", MOUNTS) == "nfs4"
    assert network_type("/mnt/with space", MOUNTS) == "cifs"
    assert network_type("/mnt/nfs/local/x", MOUNTS) is None
    assert network_type("/mnt/nfsother", MOUNTS) is None
    assert network_type("/containers/x", MOUNTS) is None
    assert network_type("/home", "") is None


def test_a_network_file_system_is_refused(store, monkeypatch):
    monkeypatch.setattr("rota.backends.sqlite_connection.network_type", lambda path: "nfs4")
    with pytest.raises(StoreError, match="nfs4"):
        store.open()


def test_without_create_tables_a_missing_file_is_not_made(store, path):
    for call in (lambda: store.open(create_tables=False), store.runs, lambda: store.pause("job", "")):
        with pytest.raises(StoreError, match="rota db upgrade") as caught:
            call()
        assert not caught.value.unreachable
    assert not path.exists()


def test_a_file_that_is_locked_for_too_long_is_unreachable(path):
    SQLiteStore(path, "space").open()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="ask again") as caught:
            SQLiteStore(path, "space", timeout=0.05).open()
    assert caught.value.unreachable
    assert caught.value.nothing_done


def test_what_was_waited_for_the_turn_among_threads_is_not_waited_again_among_processes(store, monkeypatch):
    store.open()
    asked, file = [], store._file
    (connection,) = file._idle
    connection.set_trace_callback(asked.append)

    class Clock:
        """Four of the five seconds pass before the turn has come."""

        answers = iter([100.0])

        def monotonic(self):
            return next(self.answers, 104.0)

    monkeypatch.setattr(sqlite_connection, "SYSTEM", Clock())
    store.put_value("scope", "key", "1")
    assert asked[:3] == ["PRAGMA busy_timeout=1000", "BEGIN IMMEDIATE", "PRAGMA busy_timeout=5000"]


def test_a_lock_that_is_not_to_be_waited_for_costs_one_wait_for_the_file(path):
    store = SQLiteStore(path, "space", timeout=0.05)
    store.open()
    locks = FaultyLocks(store.locks)
    scheduler = Scheduler("space", store=store, locks=locks)
    with scheduler.lock("first"):
        locks.calls.clear()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(LockBackendError) as caught, scheduler.lock("second"):
                pass
    assert caught.value.nothing_done
    assert locks.calls == ["acquire", "release"]  # and the first is given back, at the end of its block


def test_without_create_tables_a_file_of_others_is_left_alone(store, path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(StoreError, match="rota db upgrade"):
        store.open(create_tables=False)
    store.open()
    SQLiteStore(path, "again").open(create_tables=False)


def test_a_newer_file_that_older_rotas_can_work_with_is_used_as_it_is(store, path):
    store.open()
    store.close()
    set_meta(path, "version", 99)
    SQLiteStore(path, "tests").open()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT value FROM rota_meta WHERE name = 'version'").fetchone() == (99,)
    connection.close()


def test_a_newer_file_that_they_cannot_work_with_is_left_alone(store, path):
    store.open()
    store.close()
    set_meta(path, "version", 99)
    set_meta(path, "compatible_from", 98)
    for fresh in (SQLiteStore(path, "tests"), SQLiteStore(path, "tests")):
        with pytest.raises(StoreError, match=r"newer Rota.*upgrade"):
            fresh.open()


def test_an_older_file_is_upgraded_in_one_transaction(store, path, monkeypatch):
    store.open()
    store.sync_jobs([JobSeen("job", "signature")])
    store.close()
    more = (*sqlite_schema.MIGRATIONS, ("CREATE TABLE rota_more (x)",))
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", more)
    monkeypatch.setattr(sqlite_schema, "VERSION", 2)
    again = SQLiteStore(path, "tests")
    with pytest.raises(StoreError, match="rota db upgrade"):
        again.open(create_tables=False)
    again.open()
    again.open(create_tables=False)
    assert again.job_states(["job"])[0] is not None
    again.close()


def test_a_failed_upgrade_leaves_the_file_as_it_was(store, path, monkeypatch):
    store.open()
    store.close()
    more = (*sqlite_schema.MIGRATIONS, ("CREATE TABLE rota_more (x)", "CREATE NONSENSE"))
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_schema, "MIGRATIONS", more)
        patched.setattr(sqlite_schema, "VERSION", 2)
        broken = SQLiteStore(path, "tests")
        with pytest.raises(StoreError):
            broken.open()
        broken.close()
    again = SQLiteStore(path, "tests")
    again.open()
    again.close()


def set_meta(path, name, value):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE rota_meta SET value = ? WHERE name = ?", (value, name))
    connection.commit()
    connection.close()


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_a_file_that_is_no_database(store, path, content):
    path.write_bytes(content)
    if content:
        with pytest.raises(StoreError, match="Nothing was reset"):
            store.open()
        assert path.read_bytes() == content
    else:
        store.open()


def test_a_damaged_file(store, path):
    store.open()
    store.sync_jobs([JobSeen(f"job-{number}", "signature" * 50) for number in range(500)])
    store.close()
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 2 : 4096 * 40] = os.urandom(4096 * 38)
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"rota\.db"):
        SQLiteStore(path, "tests").sync_jobs([JobSeen(f"job-{number}", "signature") for number in range(500)])


def test_a_file_that_was_deleted_is_not_silently_made_anew(store, path):
    store.open()
    store.sync_jobs([JobSeen("job", "signature")])
    store.close()
    for each in path.parent.iterdir():
        each.unlink()
    with pytest.raises(StoreError, match="cannot be opened"):
        store.job_states(["job"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written(store, path):
    store.open()
    store.close()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    with pytest.raises(StoreError):
        store.pause("job", "why")
    path.parent.chmod(0o700)


def test_a_full_disk_is_told(store):
    store.open()

    def fill(connection):
        connection.execute("PRAGMA max_page_count = 40")
        connection.executemany(
            "INSERT INTO rota_logs (space, run_id, line) VALUES (1, 'x', ?)", [("x" * 4000,) for _ in range(200)]
        )

    with pytest.raises(StoreError, match="full"):
        store._file.write(fill)
    assert list(store.logs("x")) == []


def test_namespaces_share_a_file_unseen(path):
    first, second = SQLiteStore(path, "first"), SQLiteStore(path, "second")
    for store in (first, second):
        store.open()
    state = first.sync_jobs([JobSeen("job", "signature")])[0]
    first.put_value("scope", "key", "1")
    assert second.job_states(["job"]) == [None]
    assert second.value("scope", "key") is None
    assert first.locks.acquire("name", "one", 30.0) is not None
    assert second.locks.acquire("name", "two", 30.0) is not None
    assert first.job_states(["job"]) == [state]
    first.close()
    second.close()


def test_the_locks_of_a_store_are_those_of_its_namespace(store, path):
    store.open()
    assert store.locks.acquire("name", "one", 30.0) is not None
    locks = SQLiteLocks(path, "tests")
    assert locks.acquire("name", "two", 30.0) is None
    locks.close()


def test_names_without_number_leave_no_rows_behind(store, path):
    store.open()
    other = SQLiteLocks(path, "other")
    for number in range(100):
        for locks in (store.locks, other):
            assert locks.acquire(f"name {number}", "token", 30.0).fence == 1
            assert locks.release(f"name {number}", "token")
    assert store.locks.acquire("held", "token", 30.0) is not None
    assert store.locks.acquire("name 7", "token", 30.0).fence == 2
    assert store.locks.release("name 7", "token")
    while store.locks.forget_locks(30):
        pass
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT space, count(*) FROM rota_locks GROUP BY space ORDER BY 2").fetchall()
        floors = dict(connection.execute("SELECT name, fence_floor FROM rota_spaces"))
    assert [count for _, count in kept] == [1, 100]
    assert floors == {"tests": 2, "other": 0}
    assert store.locks.acquire("name 8", "token", 30.0).fence == 3
    other.close()


def test_in_tables_that_were_made_anew_nothing_is_written_under_an_old_number(store, path):
    store.sync_jobs([JobSeen("job", "signature")])
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f"DROP TABLE {table}")
        connection.commit()
    SQLiteStore(path, "another").open()
    store.put_value("scope", "key", "1")
    store.sync_jobs([JobSeen("job", "signature")])
    assert store.locks.acquire("name", "token", 30.0) is not None
    other = SQLiteStore(path, "another")
    assert (other.value("scope", "key"), other.job_states(["job"])) == (None, [None])
    assert other.locks.acquire("name", "other", 30.0) is not None
    assert store.value("scope", "key") == "1"
    other.close()


def test_locks_raise_their_own_error(tmp_path):
    with pytest.raises(LockBackendError, match="does not exist"):
        SQLiteLocks(tmp_path / "missing" / "rota.db").acquire("name", "token", 30.0)


def test_every_commit_is_durable(store):
    store.open()
    pragmas = {
        name: store._file.read(lambda connection, name=name: connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("journal_mode", "synchronous")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_connections_are_shared_by_threads_and_few_stay_open(store):
    store.open()
    threads = [threading.Thread(target=store.put_value, args=("scope", f"{n}", "1")) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(store.values("scope")) == 40
    assert len(store._file._idle) <= 8


def test_polling_and_claiming_look_through_no_table(store):
    store.open()
    looked_at = (sql.LIVE, sql.WORKING, sql.IN_LANES, sql.READY, sql.EXPIRED, sql.RUNS, sql.HELD)
    for statement in (*looked_at, sql.NEXT_DUE, sql.NEXT_EXPIRY):
        plan = store._file.read(
            lambda connection, statement=statement: connection.execute(
                f"EXPLAIN QUERY PLAN {statement}", ["1"] * statement.count("?")
            ).fetchall()
        )
        details = [step[3] for step in plan]
        assert not any(detail.startswith("SCAN rota_runs") for detail in details), (statement, details)


@pytest.mark.parametrize(
    ("statuses", "indexes"),
    [
        (DEAD_LETTERS, {"rota_runs_rare"}),
        (UNHAPPY, {"rota_runs_rare"}),
        (OPEN, {"rota_runs_due", "rota_runs_held", "INTEGER PRIMARY KEY"}),
        (("failed", "succeeded"), {"rota_runs_time"}),
    ],
)
def test_open_runs_and_dead_letters_are_found_without_looking_at_what_has_succeeded(store, statuses, indexes):
    store.open()
    statement, parameters = sql.search(1, None, statuses, None, None, None, False)
    assert indexes_of(store, statement, [*parameters, 10]) == indexes


def test_open_runs_are_counted_without_looking_at_what_has_succeeded(store):
    store.open()
    assert indexes_of(store, sql.COUNT_OPEN, [1, 1]) == {"rota_runs_due", "rota_runs_held"}


def test_what_ended_rarely_is_pruned_without_looking_at_what_has_succeeded(store):
    store.open()
    assert indexes_of(store, sql.ENDED_RARELY, [1, "[]", "failed", 1, 1, 1]) == {"rota_runs_rare"}
    assert indexes_of(store, sql.ENDED, [1, "[]", "succeeded", 1, 1, 1]) == {"rota_runs_time"}


def test_open_runs_and_rare_ones_are_found_by_their_status(store):
    store.open()
    store.sync_jobs([JobSeen("job", "signature")])
    statuses = [*OPEN, *RARE, "succeeded"]
    rows = [RunRow(f"{number}", "job", "run_now", status, number, 1) for number, status in enumerate(statuses)]
    rows[statuses.index("running")].token = "token"
    store.add(rows)
    for asked in (OPEN, RARE, DEAD_LETTERS, ("queued", "failed"), ()):
        assert {found.status for found in store.runs(statuses=asked)} == set(asked)
        assert {found.status for found in store.runs("job", statuses=asked)} == set(asked)
    assert store.prune(None, dict.fromkeys([*RARE, "succeeded"], 2**60)) == len(RARE) + 1
    assert {found.status for found in store.runs()} == OPEN


def indexes_of(store, statement, parameters):
    """The indexes by which SQLite means to find runs."""
    plan = store._file.read(
        lambda connection: connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    )
    found = [re.search(r"rota_runs USING (?:INDEX )?(rota_\w+|INTEGER PRIMARY KEY)", step[3]) for step in plan]
    return {match[1] for match in found if match}


def test_a_file_that_lacks_an_index_is_told_with_its_remedy(store, path):
    store.open()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX rota_runs_rare")
    with pytest.raises(StoreError, match="lacks tables of Rota, or has old ones; run `rota db upgrade"):
        store.runs(statuses=["failed"])
