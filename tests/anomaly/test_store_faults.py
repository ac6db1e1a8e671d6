"""A store that is down, slow, locked, read-only, full or damaged: nothing is begun, the loop goes on, it comes back."""

import contextlib
import logging
import os
import sqlite3
import threading
import time
from itertools import pairwise
from unittest.mock import patch

import pytest
from tests.anomaly.programs import Program, assert_sound, ledger
from tests.waiting import LONGER, PATIENCE, until

from rota import BackendError, Scheduler, StoreError
from rota.backends import sqlite_connection
from rota.drivers.housekeeping import POLL_BATCH
from rota.locks import MemoryLocks
from rota.stores import MemoryStore, SQLiteStore
from rota.testing import FakeClock
from rota.testing.faults import FaultyLocks, FaultyStore
from rota.triggers import Interval

pytestmark = pytest.mark.any_versions


def faulty(tmp_path, **given):
    store = FaultyStore(SQLiteStore(f"{tmp_path}/rota.db", "faults"), **given)
    return store, Scheduler("faults", store=store, shutdown_timeout=3, lease_ttl=5)


@pytest.mark.parametrize("error", [None, RuntimeError], ids=["as a store says it", "as it never should"])
def test_a_store_that_is_down_at_its_ticks_is_caught_up_once(tmp_path, caplog, error):
    store, scheduler = faulty(tmp_path, **({} if error is None else {"error": error}))
    ran = []
    scheduler.interval(seconds=1, id="job", overlap="allow")(lambda run: ran.append(run.scheduled_for))
    with caplog.at_level(logging.WARNING, "rota"):
        scheduler.start()
        assert until(lambda: len(ran) >= 1)
        store.down = True
        assert until(lambda: not scheduler.health().store)
        time.sleep(2.5)  # two ticks come due meanwhile
        during = len(ran)
        health = scheduler.health()
        assert (health.alive, health.store) == (True, False)
        store.down = False
        assert until(lambda: len(ran) >= during + 3)
    assert scheduler.health().store
    scheduler.shutdown()
    assert len(ran) == len(set(ran))
    gaps = {(after - before).total_seconds() for before, after in pairwise(sorted(ran))}
    assert gaps == {1.0}
    events = [record.getMessage().split()[0] for record in caplog.records]
    assert events.count("store.down") == 1
    assert events.count("store.back") == 1


def test_an_idle_scheduler_says_once_that_its_store_is_down_and_tells_hooks(tmp_path, caplog):
    store, scheduler = faulty(tmp_path)
    kinds = []
    scheduler.listen(lambda event: kinds.append(event.kind), "store_down", "store_back")
    scheduler.cron("0 0 1 1 *", id="yearly")(lambda: None)
    scheduler.start()
    with caplog.at_level(logging.INFO, "rota"):
        store.down = True
        assert until(lambda: len(store.failed) >= 5)  # looked at each second, and renewed by
        assert kinds == ["store_down"]
        store.down = False
        assert until(lambda: kinds == ["store_down", "store_back"])
    scheduler.shutdown()
    events = [record.getMessage().split()[0] for record in caplog.records]
    assert [events.count(event) for event in ("store.down", "store.trouble", "store.back")] == [1, 0, 1]
    assert events.count("lease.renewal_failed") <= 1


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow"])
def test_ticks_of_a_short_outage_are_not_skipped_for_one_another(overlap):
    clock, store = FakeClock("2026-01-01T00:00Z"), FaultyStore(MemoryStore())
    scheduler = Scheduler("short", store=store, clock=clock)
    scheduler.cron("* * * * * *", seconds=True, id="tick", overlap=overlap)(lambda: None)
    scheduler.start()
    clock.advance(seconds=5)
    store.down = True
    clock.advance(seconds=12)
    store.down = False
    clock.advance(seconds=5)
    runs = scheduler.runs("tick", limit=100)
    assert {run.status for run in runs} == {"succeeded"}
    assert sorted(run.scheduled_for.second for run in runs) == [*range(1, 23)]


class Choosy(MemoryStore):
    """Refuses to write down how one run has ended, whatever is asked for with it."""

    refused: str | None = None

    def swap(self, swaps):
        if any(swap.row.id == self.refused for swap in swaps):
            raise StoreError("this row is too large")
        return super().swap(swaps)


def test_one_row_that_the_store_refuses_does_not_stop_the_others(caplog):
    clock = FakeClock("2026-01-01T00:00Z")
    store = Choosy()
    scheduler = Scheduler("choosy", store=FaultyStore(store, shared=True), clock=clock, lease_ttl=5)
    scheduler.cron("* * * * * *", seconds=True, id="tick")(lambda: None)
    scheduler.job(id="large", on_crash="lost")(lambda: None)
    scheduler.start()
    run_id = store.refused = scheduler.run_now("large")
    clock.advance(minutes=2)
    before = len(scheduler.runs("tick", status="succeeded", limit=1_000))
    clock.advance(minutes=1)
    assert len(scheduler.runs("tick", status="succeeded", limit=1_000)) == before + 60
    assert scheduler.get_run(run_id).status == "running"
    assert [record.getMessage().split()[0] for record in caplog.records].count("run.not_recorded") == 1
    scheduler.shutdown()
    store.refused = None
    again = Scheduler("choosy", store=FaultyStore(store, shared=True), clock=clock, lease_ttl=5)
    again.job(id="large", on_crash="lost")(lambda: None)
    again.start()
    clock.advance(seconds=10)
    assert again.get_run(run_id).status == "lost"
    again.shutdown()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("args", "{bad"),
        ("args", "[" * 100_000),
        ("kwargs", "{bad"),
        ("attempts", "no"),
        ("attempt", "x"),
        ("scheduled_for", "x"),
        ("due", "x"),
    ],
)
@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_damaged_row_is_told_of_and_left_alone_and_the_other_runs_go_on(tmp_path, caplog, column, value, status):
    clock, url = FakeClock("2026-01-01T00:00Z"), f"sqlite:///{tmp_path}/rota.db"
    scheduler = Scheduler("damaged", store=url, clock=clock)
    run_id = scheduler.enqueue(scheduler.job(id="job")(lambda: None))
    ran = []
    scheduler.interval(minutes=1, id="tick")(lambda: ran.append("tick"))
    with contextlib.closing(sqlite3.connect(f"{tmp_path}/rota.db")) as database, database:
        database.execute(f"UPDATE rota_runs SET {column} = ?, status = ?", (value, status))
        if status == "running":
            database.execute("UPDATE rota_runs SET token = 'dead', lease_boot = 'before', lease_until = 0")
    scheduler.start()
    clock.advance(minutes=3)
    assert ran == ["tick"] * 3
    assert scheduler.health().store
    scheduler.run_now("job")
    clock.advance(minutes=1)
    assert scheduler.runs("job", limit=1)[0].status == "succeeded"
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("run.damaged")]
    assert len(told) == (column != "due" or status == "running")  # what is never due is never looked at
    assert all(run_id in text and column in text and repr(value[:100]) in text for text in told)
    if column != "attempt" and (column, status) != ("due", "running"):  # no record shows these
        with pytest.raises(StoreError, match=f"{run_id}.* of table rota_runs.*its {column} is '"):
            scheduler.runs()
    scheduler.shutdown()


def test_more_damaged_rows_than_are_looked_for_at_once_keep_no_run_from_going_on(tmp_path):
    clock = FakeClock("2026-01-01T00:00Z")
    scheduler = Scheduler("damaged", store=f"sqlite:///{tmp_path}/rota.db", clock=clock)
    scheduler.job(id="job")(lambda: None)
    for _ in range(POLL_BATCH + 1):
        scheduler.enqueue("job")
    with contextlib.closing(sqlite3.connect(f"{tmp_path}/rota.db")) as database, database:
        database.execute("UPDATE rota_runs SET args = '{bad'")
    run_id = scheduler.enqueue("job")
    scheduler.start()
    clock.advance(minutes=1)
    assert scheduler.get_run(run_id).status == "succeeded"
    scheduler.shutdown()


def test_a_damaged_row_that_is_mended_is_worked_off(tmp_path):
    clock = FakeClock("2026-01-01T00:00Z")
    scheduler = Scheduler("damaged", store=f"sqlite:///{tmp_path}/rota.db", clock=clock)
    run_id = scheduler.enqueue(scheduler.job(id="job")(lambda: None))
    with contextlib.closing(sqlite3.connect(f"{tmp_path}/rota.db")) as database:
        database.execute("UPDATE rota_runs SET attempt = 'x'")
        database.commit()
        scheduler.start()
        clock.advance(minutes=1)
        assert scheduler.get_run(run_id).status == "queued"
        database.execute("UPDATE rota_runs SET attempt = 0")
        database.commit()
    clock.advance(minutes=1)
    assert scheduler.get_run(run_id).status == "succeeded"
    assert not scheduler._host.node.engine.damaged
    scheduler.shutdown()


def test_a_job_removed_or_changed_while_the_store_was_down_does_not_come_back_as_it_was(tmp_path):
    store, scheduler = faulty(tmp_path)
    ran = []
    scheduler.start()
    store.down = True
    assert until(lambda: not scheduler.health().store)
    scheduler.add(lambda: ran.append("removed"), Interval(seconds=1), id="removed")
    scheduler.add(lambda: ran.append("old"), Interval(seconds=1), id="changed")
    assert until(lambda: store.failed.count("sync_jobs") >= 2)
    scheduler.remove("removed")
    scheduler.add(lambda: ran.append("new"), Interval(seconds=1), id="changed", replace=True)
    store.down = False
    assert until(lambda: ran.count("new") >= 3)
    scheduler.shutdown()
    assert set(ran) == {"new"}


@pytest.mark.parametrize("method", ["begin", "swap"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "reply lost"])
def test_a_call_that_fails_once_doubles_nothing_and_leaves_nothing_open(tmp_path, method, after):
    store, scheduler = faulty(tmp_path)
    starts = []
    scheduler.add(lambda run: starts.append((run.id, run.attempt)), id="job")
    scheduler.start()
    store.fail_next(method, after=after)
    runs = [scheduler.run_now("job") for _ in range(5)]
    assert until(lambda: all(scheduler.get_run(run_id).status == "succeeded" for run_id in runs))
    scheduler.shutdown()
    assert len(starts) == len(set(starts)) == 5


def test_a_file_locked_by_somebody_else_keeps_the_loop_alive(tmp_path):
    scheduler = Scheduler("faults", store=f"sqlite:///{tmp_path}/rota.db", shutdown_timeout=3)
    ran = []
    scheduler.interval(seconds=1, id="job", catch_up="all")(lambda run: ran.append(run.scheduled_for))
    scheduler.start()
    assert until(lambda: ran)
    other = sqlite3.connect(f"{tmp_path}/rota.db", isolation_level=None, timeout=5)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(2)  # the file stays locked while two ticks come due
    other.execute("ROLLBACK")
    other.close()
    count = len(ran)
    assert until(lambda: len(ran) >= count + 2)
    scheduler.shutdown()
    assert ran == sorted(set(ran))


def test_a_file_that_can_be_read_and_not_written_is_down_until_it_can_be_written(tmp_path):
    clock = FakeClock("2026-01-01T00:00:30+00:00")
    store = SQLiteStore(f"{tmp_path}/rota.db", "faults", clock, timeout=0.02)
    scheduler = Scheduler("faults", store=store, clock=clock)
    ran, told = [], []
    scheduler.interval(minutes=1, id="job")(lambda run: ran.append(run.scheduled_for))
    scheduler.listen(lambda event: told.append(event.kind), "store_down", "store_back")
    scheduler.start()
    other = sqlite3.connect(f"{tmp_path}/rota.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    clock.advance(seconds=45)
    assert (told, scheduler.health().store, ran) == (["store_down"], False, [])
    other.execute("ROLLBACK")
    other.close()
    clock.advance(seconds=5)
    assert (told, scheduler.health().store, len(ran)) == (["store_down", "store_back"], True, 1)
    scheduler.shutdown()


@pytest.mark.parametrize("shared", [False, True], ids=["own store", "shared store"])
def test_locks_that_do_not_answer_are_down_until_they_do(caplog, shared):
    clock = FakeClock("2026-01-01T00:00:30+00:00")
    store, locks = FaultyStore(MemoryStore(clock), shared=shared), FaultyLocks(MemoryLocks(clock))
    scheduler = Scheduler("faults", store=store, locks=locks, clock=clock)
    ran, told = [], []
    scheduler.interval(minutes=1, id="job")(lambda run: ran.append(run.scheduled_for.minute))
    scheduler.listen(lambda event: told.append(event.kind), "store_down", "store_back")
    scheduler.start()
    clock.advance(minutes=1)
    locks.down = True
    clock.advance(minutes=1)
    health = scheduler.health()
    assert (told, health.store, health.locks, ran) == (["store_down"], True, False, [1])
    assert "the locks do not answer, nothing is begun until they do" in caplog.text
    locks.down = False
    clock.advance(seconds=5)
    assert (told, scheduler.health().locks, ran) == (["store_down", "store_back"], True, [1, 2])
    scheduler.shutdown()


def test_health_asks_store_and_locks_at_once(monkeypatch):
    store = FaultyStore(MemoryStore(), shared=True)
    scheduler = Scheduler("faults", store=store)
    both_asked = threading.Barrier(2, timeout=20)

    def answer(*_, **__):
        both_asked.wait()
        return {}

    monkeypatch.setattr(store, "count_open", answer)
    monkeypatch.setattr(store.locks, "release", answer)
    health = scheduler.health()
    assert (health.store, health.locks) == (True, True)


def test_health_opens_a_store_that_does_not_answer_once():
    store = FaultyStore(MemoryStore(), shared=True)
    scheduler = Scheduler("faults", store=store)
    with patch.object(store, "open", side_effect=StoreError("it is down")) as opened:
        health = scheduler.health()
    assert (health.store, health.locks, opened.call_count) == (False, False, 1)


@pytest.mark.parametrize("is_replaced", [False, True], ids=["deleted", "replaced"])
def test_a_file_that_is_gone_under_a_running_scheduler_is_told_of(tmp_path, caplog, monkeypatch, is_replaced):
    monkeypatch.setattr(sqlite_connection, "LOOK_INTERVAL", 0.0)
    path, clock = tmp_path / "rota.db", FakeClock("2026-01-01T00:00:30+00:00")
    scheduler = Scheduler("faults", store=SQLiteStore(path, "faults", clock), clock=clock)
    ran = []
    scheduler.interval(minutes=1, id="job")(lambda run: ran.append(run.scheduled_for))
    scheduler.start()
    clock.advance(minutes=1)
    assert len(ran) == 1
    for file in tmp_path.glob("rota.db*"):
        file.rename(tmp_path / f"away-{file.name}")
    if is_replaced:
        another = SQLiteStore(path, "faults")
        another.open()
        another.close()
    clock.advance(minutes=2)
    health = scheduler.health()
    assert (len(ran), health.alive, health.store) == (1, True, False)
    assert "was deleted or replaced while it was in use" in caplog.text
    with pytest.raises(StoreError, match="restart this process to use what is there now"):
        scheduler.runs()
    for file in tmp_path.glob("away-*"):
        file.replace(tmp_path / file.name.removeprefix("away-"))
    clock.advance(minutes=1)
    assert scheduler.health().store
    assert len(ran) > 1
    scheduler.shutdown()


def test_a_store_that_hangs_keeps_neither_shutdown_nor_other_schedulers_waiting(tmp_path):
    store, scheduler = faulty(tmp_path)
    let_go = threading.Event()
    hangs = threading.Event()

    def hang(original):
        def call(*args, **kwargs):
            if hangs.is_set():
                let_go.wait(LONGER)
            return original(*args, **kwargs)

        return call

    for name in ("claim", "due", "renew", "beat", "swap", "begin"):
        setattr(store, name, hang(getattr(store, name)))
    other, ran = Scheduler(shutdown_timeout=1), []
    other.interval(seconds=1, id="job")(lambda run: ran.append(run.lateness))
    scheduler.interval(seconds=1, id="job")(lambda: None)
    scheduler.start()
    other.start()
    hangs.set()
    ran.clear()
    assert until(lambda: len([lateness for lateness in ran if lateness < 1]) >= 2)
    began = time.monotonic()
    scheduler.shutdown(timeout=1)
    assert time.monotonic() - began < PATIENCE
    let_go.set()
    other.shutdown()


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_file_is_refused_and_not_reset(tmp_path, content):
    path = tmp_path / "rota.db"
    path.write_bytes(content)
    scheduler = Scheduler("faults", store=f"sqlite:///{path}")
    scheduler.interval(seconds=1, id="job")(lambda: None)
    with pytest.raises(BackendError, match="Nothing was reset"):
        scheduler.start()
    assert path.read_bytes() == content
    assert not scheduler.health().alive


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory_is_told_of(tmp_path):
    tmp_path.chmod(0o500)
    scheduler = Scheduler("faults", store=f"sqlite:///{tmp_path}/rota.db")
    with pytest.raises(BackendError, match="opened"):
        scheduler.start()
    tmp_path.chmod(0o700)


def test_a_full_disk_begins_nothing_and_goes_on_when_there_is_room(tmp_path):
    with Program(
        tmp_path,
        """
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        scheduler = Scheduler("full", store="sqlite:///rota.db", shutdown_timeout=3)

        @scheduler.interval(seconds=1, catch_up="all")
        def each(run):
            note(run, "start")

        def ledger_size():
            return os.path.getsize("ledger") if os.path.exists("ledger") else 0

        def wait(is_so):
            end = time.monotonic() + 60
            while not is_so() and time.monotonic() < end:
                time.sleep(0.01)

        scheduler.start()
        wait(ledger_size)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize("ledger"), hard))
        wait(lambda: scheduler._host.node.engine.performer.is_down)
        before = ledger_size()
        time.sleep(2)  # time in which nothing is to be written
        say("full", ledger_size() == before, scheduler.health().alive)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        wait(lambda: ledger_size() > before + 200)
        scheduler.shutdown()
        say("over")
        """,
    ) as program:
        assert program.end(250) == 0, program.stderr
        assert program.lines == ["full True True", "over"], program.stderr
        assert "Traceback" not in program.stderr
    entries = ledger(tmp_path)
    assert_sound(entries)
    seconds = sorted(entry.tick[17:19] for entry in entries)
    assert len(seconds) >= 4
