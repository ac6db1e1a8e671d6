"""Starting, stopping and starting again, from wherever it is asked for; and what is left behind: nothing."""

import asyncio
import gc
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.waiting import LONGER, PATIENCE, until

from rota import RunCancelled, Scheduler, StateError
from rota.drivers.calls import AttemptCall
from rota.drivers.settings import FORCE_BEFORE_END
from rota.errors import StoreError
from rota.stores import SQLiteStore
from rota.testing.faults import FaultyStore

pytestmark = pytest.mark.any_versions


def scheduler_on(tmp_path, **given):
    return Scheduler("stories", store=f"sqlite:///{tmp_path}/rota.db", **{"shutdown_timeout": LONGER, **given})


def test_start_is_idempotent_and_says_whether_it_runs(tmp_path, monkeypatch):
    scheduler = scheduler_on(tmp_path)
    assert scheduler.start() is True
    assert scheduler.start() is True
    assert scheduler.health().alive
    scheduler.shutdown()
    assert not scheduler.health().alive
    monkeypatch.setenv("ROTA_AUTOSTART", "never")
    assert scheduler.start() is False
    assert "ROTA_AUTOSTART" in scheduler.health().why


def test_health_tells_what_keeps_the_engine_from_turning(tmp_path, monkeypatch):
    scheduler = scheduler_on(tmp_path)
    scheduler.start()
    engine = scheduler._host.node.engine

    def broken():
        raise RuntimeError("boom")

    with monkeypatch.context() as patched:
        patched.setattr(engine, "turn", broken)
        engine.post(None)
        assert until(lambda: not scheduler.health().alive)
        assert scheduler.health().why == "its own code failed with RuntimeError('boom')"
    engine.post(None)
    assert until(lambda: scheduler.health().alive)
    assert scheduler.health().why == ""
    scheduler.shutdown()


def test_a_scheduler_that_was_shut_down_starts_again_and_goes_on(tmp_path):
    scheduler = scheduler_on(tmp_path)
    ran = threading.Semaphore(0)
    scheduler.add(ran.release, id="job")
    for _ in range(3):
        scheduler.start()
        scheduler.run_now("job")
        assert ran.acquire(timeout=PATIENCE)
        scheduler.shutdown()
    assert {run.status for run in scheduler.runs("job")} == {"succeeded"}
    assert len(scheduler.runs("job")) == 3


def test_shutdown_before_start_and_a_second_one_do_nothing(tmp_path):
    scheduler = scheduler_on(tmp_path)
    assert scheduler.shutdown() == scheduler.shutdown(0)
    scheduler.start()
    scheduler.shutdown()
    began = time.monotonic()
    report = scheduler.shutdown()
    assert (report.finished, report.interrupted, report.abandoned) == ((), (), ())
    assert time.monotonic() - began < PATIENCE


def test_the_second_way_of_running_is_refused_while_the_first_goes_on(tmp_path):
    scheduler = scheduler_on(tmp_path)
    scheduler.start()
    with pytest.raises(StateError):
        scheduler.run()
    with pytest.raises(StateError):
        scheduler.run_due()
    with pytest.raises(StateError):
        asyncio.run(scheduler.serve())
    assert scheduler.health().alive
    scheduler.shutdown()


def test_a_start_that_fails_leaves_it_stopped_and_may_be_tried_again(tmp_path):
    store = FaultyStore(SQLiteStore(f"{tmp_path}/rota.db", "stories"), error=StoreError)
    scheduler = Scheduler("stories", store=store)
    store.fail_next("beat")
    with pytest.raises(StoreError):
        scheduler.start()
    assert not scheduler.health().alive
    assert scheduler.start() is True
    assert scheduler.health().alive
    scheduler.shutdown()


@pytest.mark.parametrize("shape", ["thread", "coroutine"])
def test_a_job_that_shuts_the_scheduler_down_is_finished_and_recorded(tmp_path, shape):
    scheduler = scheduler_on(tmp_path)
    if shape == "thread":

        def last(run):
            scheduler.shutdown()
            return run.cancel_reason or (until(lambda: run.cancelled) and run.cancel_reason)
    else:

        async def last(run):
            await scheduler.aclose()
            while not run.cancelled:  # noqa: ASYNC110  # a job is told by this flag alone
                await asyncio.sleep(0.01)
            return run.cancel_reason

    scheduler.add(last, id="last")
    run_id = scheduler.run_now("last")
    began = time.monotonic()
    scheduler.start()
    assert until(lambda: scheduler.get_run(run_id).status == "succeeded")
    assert scheduler.get_run(run_id).result == "shutdown"
    scheduler._host.finish()
    assert time.monotonic() - began < PATIENCE
    assert not scheduler.health().alive


@pytest.mark.parametrize("refusal", ["can't create new thread at", "cannot schedule new futures after"])
def test_a_job_that_an_ending_interpreter_refuses_a_thread_was_interrupted(tmp_path, refusal):
    scheduler = scheduler_on(tmp_path)
    begun = threading.Event()

    def refused(run):
        begun.set()
        until(lambda: run.cancelled)
        raise RuntimeError(f"{refusal} interpreter shutdown")

    scheduler.add(refused, id="refused", on_crash="rerun")
    run_id = scheduler.run_now("refused")
    scheduler.start()
    assert begun.wait(PATIENCE)
    assert scheduler.shutdown().interrupted == (run_id,)
    run = scheduler.get_run(run_id)
    assert (run.status, run.attempts[0].outcome) == ("queued", "interrupted")


def test_a_scheduler_that_no_thread_can_be_started_for_says_so(tmp_path, monkeypatch):
    scheduler = scheduler_on(tmp_path)

    def refuse(_thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StateError, match="no thread to run in"):
            scheduler.start()
    assert not scheduler.health().alive
    assert scheduler.start() is True
    scheduler.shutdown()


def test_a_job_under_run_due_may_shut_the_scheduler_down(tmp_path):
    scheduler = scheduler_on(tmp_path)
    scheduler.add(lambda: scheduler.shutdown().finished == (), id="last")
    run_id = scheduler.run_now("last")
    scheduler.run_due()
    scheduler._host.finish()
    assert scheduler.get_run(run_id).status == "succeeded"


def test_a_hook_may_shut_the_scheduler_down(tmp_path):
    scheduler = scheduler_on(tmp_path)
    over = threading.Event()
    scheduler.add(lambda: None, id="job")
    scheduler.listen(lambda event: (scheduler.shutdown(), over.set()), "run_ended")
    scheduler.run_now("job")
    scheduler.start()
    assert over.wait(PATIENCE)
    assert not scheduler.health().alive


def test_threads_that_start_and_stop_it_at_once_leave_it_in_one_piece(tmp_path):
    scheduler = scheduler_on(tmp_path)
    errors = []

    def churn(number):
        try:
            for _ in range(5):
                (scheduler.start if number % 2 else scheduler.shutdown)()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    [thread.join(PATIENCE) for thread in threads]
    scheduler.shutdown()
    assert errors == []
    assert scheduler.start() is True
    scheduler.shutdown()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_a_thousand_starts_and_shutdowns_leave_nothing_behind(tmp_path):
    schedulers = [Scheduler(), scheduler_on(tmp_path)]
    for scheduler in schedulers:
        scheduler.add(lambda: None, id="job")
        scheduler.start()
        scheduler.shutdown()
    gc.collect()
    threads, files = threading.active_count(), open_files()
    for number in range(1000):
        scheduler = schedulers[number % 20 == 0]
        scheduler.start()
        scheduler.shutdown()
    gc.collect()
    assert until(lambda: threading.active_count() <= threads), threading.enumerate()
    assert open_files() <= files


def test_importing_rota_starts_nothing_and_opens_nothing(tmp_path):
    program = """
import sys, threading
before = set(sys.modules)
opened = []
watched = ("sqlite3.connect", "socket.__new__")
sys.addaudithook(lambda name, args: opened.append((name, args)) if name in watched else None)
import rota
from rota import Scheduler
scheduler = Scheduler("quiet", store="sqlite:///quiet.db")
@scheduler.cron("0 2 * * *")
def job(): ...
assert threading.active_count() == 1
assert opened == [], opened
loaded = set(sys.modules) - before
assert not {"asyncio", "multiprocessing", "structlog", "croniter", "dateutil"} & loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=PATIENCE)
    assert list(tmp_path.iterdir()) == []


def test_a_shutdown_that_finds_nothing_at_work_is_quick(tmp_path):
    scheduler = scheduler_on(tmp_path)
    scheduler.start()
    began = time.monotonic()
    scheduler.shutdown()
    assert time.monotonic() - began < PATIENCE


def test_the_report_tells_what_finished_was_interrupted_and_was_abandoned(tmp_path):
    scheduler = scheduler_on(tmp_path)
    let_go, begun = threading.Event(), threading.Semaphore(0)

    def finishes(run):
        begun.release()
        until(lambda: run.cancelled)

    def stops(run):
        begun.release()
        until(lambda: run.cancelled)
        run.check_cancelled()

    async def is_cut_off(run):
        begun.release()
        await asyncio.sleep(LONGER)

    def goes_on(run):
        begun.release()
        let_go.wait(LONGER)

    ids = {}
    for func in (finishes, stops, is_cut_off, goes_on):
        scheduler.add(func, id=func.__name__)
        ids[func.__name__] = scheduler.run_now(func.__name__)
    scheduler.start()
    assert all(begun.acquire(timeout=PATIENCE) for _ in ids)
    began = time.monotonic()
    report = scheduler.shutdown(timeout=FORCE_BEFORE_END + 1)
    assert time.monotonic() - began < PATIENCE
    let_go.set()
    assert report.finished == (ids["finishes"],)
    assert set(report.interrupted) == {ids["stops"], ids["is_cut_off"]}
    assert report.abandoned == (ids["goes_on"],)
    status = {name: scheduler.get_run(run_id).status for name, run_id in ids.items()}
    assert status == {"finishes": "succeeded", "stops": "queued", "is_cut_off": "lost", "goes_on": "lost"}
    assert [attempt.outcome for attempt in scheduler.get_run(ids["stops"]).attempts] == ["interrupted"]


def test_a_run_that_stopped_itself_costs_nothing_and_another_process_takes_it_at_once(tmp_path):
    first, second = (scheduler_on(tmp_path, lease_ttl=LONGER) for _ in range(2))
    begun, done = threading.Event(), threading.Event()

    def stops(run):
        begun.set()
        until(lambda: run.cancelled)
        run.check_cancelled()

    first.add(stops, id="job")
    second.add(lambda run: done.set(), id="job")
    run_id = first.run_now("job")
    first.start()
    assert begun.wait(PATIENCE)
    first.shutdown()
    second.start()
    assert done.wait(PATIENCE)
    assert until(lambda: second.get_run(run_id).status == "succeeded")
    assert [attempt.outcome for attempt in second.get_run(run_id).attempts] == ["interrupted", "succeeded"]
    second.shutdown()


@pytest.mark.parametrize(("on_crash", "status"), [("rerun", "queued"), ("lost", "lost"), (None, "lost")])
def test_a_coroutine_cut_off_by_shutdown_follows_on_crash_at_once(tmp_path, on_crash, status):
    scheduler = scheduler_on(tmp_path)
    begun = threading.Event()

    async def endless(run):
        begun.set()
        await asyncio.sleep(LONGER)

    scheduler.add(endless, id="job", on_crash=on_crash)
    run_id = scheduler.run_now("job")
    scheduler.start()
    assert begun.wait(PATIENCE)
    report = scheduler.shutdown(timeout=FORCE_BEFORE_END + 0.5)
    assert report.interrupted == (run_id,)
    assert scheduler.get_run(run_id).status == status


def test_force_comes_well_before_the_end(tmp_path, monkeypatch):
    """How long before it to the second is told by the fake clock."""
    monkeypatch.setattr("rota.drivers.node.FORCE_BEFORE_END", PATIENCE)
    monkeypatch.setattr("rota.drivers.node.GRACE", 0)
    scheduler = scheduler_on(tmp_path, shutdown_timeout=PATIENCE + 1)
    times = {}
    begun = threading.Event()

    async def patient(run):
        begun.set()
        try:
            await asyncio.sleep(LONGER)
        except asyncio.CancelledError:
            times["forced"] = time.monotonic()
            raise

    scheduler.add(patient, id="job")
    scheduler.run_now("job")
    scheduler.start()
    assert begun.wait(PATIENCE)
    began = time.monotonic()
    scheduler.shutdown()
    assert 0.9 <= times["forced"] - began < PATIENCE


def test_a_ctrl_c_at_the_very_beginning_of_shutdown_hurries_it_too(tmp_path, monkeypatch):
    scheduler = scheduler_on(tmp_path)
    begun, let_go = threading.Event(), threading.Event()
    scheduler.add(lambda: (begun.set(), let_go.wait(LONGER)), id="job")
    run_id = scheduler.run_now("job")
    scheduler.start()
    assert begun.wait(PATIENCE)

    ask_to_stop = AttemptCall.ask_to_stop

    def pressed(call, reason):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        ask_to_stop(call, reason)

    monkeypatch.setattr(AttemptCall, "ask_to_stop", pressed)
    with pytest.raises(KeyboardInterrupt):
        scheduler.shutdown()
    assert not scheduler.health().alive
    assert scheduler.get_run(run_id).status == "lost"
    let_go.set()


def test_a_time_for_shutdown_that_no_clock_can_wait_is_only_long():
    driven_by_hand = Scheduler("stories")
    driven_by_hand.add(lambda: None, id="job")
    driven_by_hand.run_due()
    assert driven_by_hand.shutdown(1e10).abandoned == ()

    threaded = Scheduler("stories", shutdown_timeout=1e10)
    threaded.start()
    threaded._host.finish()  # as the interpreter does at its end
    assert not threaded.health().alive


def test_the_environment_sets_the_time_for_shutdown(tmp_path, monkeypatch):
    monkeypatch.setenv("ROTA_SHUTDOWN_TIMEOUT", "0.5")
    scheduler = Scheduler("stories", store=f"sqlite:///{tmp_path}/rota.db")
    begun, let_go = threading.Event(), threading.Event()
    scheduler.add(lambda: (begun.set(), let_go.wait(LONGER)), id="job")
    run_id = scheduler.run_now("job")
    scheduler.start()
    assert begun.wait(PATIENCE)
    began = time.monotonic()
    assert scheduler.shutdown().abandoned == (run_id,)
    assert time.monotonic() - began < 10  # the default is 20
    let_go.set()


@pytest.mark.parametrize("given", [19.0, 20.0])
def test_a_time_for_shutdown_in_code_counts_even_where_it_is_the_default(monkeypatch, given):
    monkeypatch.setenv("ROTA_SHUTDOWN_TIMEOUT", "300")
    assert Scheduler(shutdown_timeout=given)._host.runtime.settings.shutdown_timeout == given
    assert Scheduler()._host.runtime.settings.shutdown_timeout == 300.0


def test_a_run_waiting_in_the_pool_when_shutdown_comes_is_queued_again_at_no_cost(tmp_path):
    scheduler = scheduler_on(tmp_path, max_workers=1)
    begun = threading.Event()

    def first(run):
        begun.set()
        until(lambda: run.cancelled)

    scheduler.add(first, id="first")
    scheduler.add(lambda: None, id="later")
    scheduler.run_now("first")
    scheduler.start()
    assert begun.wait(PATIENCE)
    run_id = scheduler.run_now("later")
    scheduler.shutdown()
    later = scheduler.get_run(run_id)
    assert later.status == "queued"


def test_the_run_knows_why_it_is_to_stop(tmp_path):
    scheduler = scheduler_on(tmp_path)
    begun, said = threading.Event(), []

    def job(run):
        begun.set()
        until(lambda: run.cancelled)
        said.append(run.cancel_reason)
        try:
            run.check_cancelled()
        except RunCancelled as error:
            said.append(error.reason)

    scheduler.add(job, id="job")
    scheduler.run_now("job")
    scheduler.start()
    assert begun.wait(PATIENCE)
    scheduler.shutdown()
    assert said == ["shutdown", "shutdown"]


def test_a_shutdown_tells_the_log_what_it_waits_for(tmp_path, caplog):
    caplog.set_level("INFO", "rota")
    scheduler, at_work = scheduler_on(tmp_path), threading.Event()

    @scheduler.job()
    def export(run):
        at_work.set()
        until(lambda: run.cancelled)
        run.check_cancelled()

    scheduler.start()
    run_id = scheduler.run_now(export)
    assert at_work.wait(PATIENCE)
    assert scheduler.shutdown(LONGER).interrupted == (run_id,)
    [said] = [record.getMessage() for record in caplog.records if "scheduler.stopping" in record.getMessage()]
    assert "['export']" in said
    assert f"timeout_s={LONGER}" in said
