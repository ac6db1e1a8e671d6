"""Jobs in processes, through the whole engine: their run works there as it does in a thread."""

import functools
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import structlog
from tests.waiting import LONGER, PATIENCE, until

from rota import ConfigurationError, Retry, Scheduler


def works(run, path):
    logging.getLogger("shop").warning("said through logging")
    structlog.get_logger().info("said through structlog", number=run.attempt)
    run.log.info("said through the run", number=1)
    run.progress(run.attempt, 2, "half way")
    paid = run.step("pay", pay, path)
    if run.attempt == 1:
        run.checkpoint["seen"] = {"deep": [1]}
        raise ValueError("again")
    return [run.checkpoint["seen"], paid, run.window is None, run.lease.held, os.getppid()]


def pay(path):
    with open(path, "a") as file:  # noqa: PTH123  # appended to, once
        file.write("paid\n")
    return 42


def not_json():
    return object()


def waits(run):
    while not run.cancelled:
        time.sleep(0.01)
    return run.cancel_reason


def deaf(begun=None):
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if begun is not None:
        Path(begun).touch()
    time.sleep(LONGER)  # until it is killed


def dies():
    os._exit(7)


async def awaits(run):
    import asyncio

    await asyncio.sleep(0.01)
    await run.checkpoint.set("a", 1)
    logging.getLogger("shop").warning("from a coroutine")
    return run.checkpoint["a"]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    store = tmp_path_factory.mktemp("process") / "rota.db"
    scheduler = Scheduler("process", store=f"sqlite:///{store}", shutdown_timeout=3)
    retry = Retry(attempts=2, wait_initial=0.01, wait_jitter=0)
    for func in (not_json, waits, awaits):
        scheduler.add(func, id=func.__name__, executor="process")
    scheduler.add(works, id="works", executor="process", retry=retry)
    scheduler.add(deaf, id="deaf", executor="process", timeout=0.3)
    scheduler.add(dies, id="dies", executor="process", on_crash="rerun", retry=retry)
    scheduler.start()
    yield scheduler
    scheduler.shutdown()


def ended(scheduler, run_id):
    assert until(lambda: scheduler.get_run(run_id).finished_at is not None), scheduler.get_run(run_id)
    return scheduler.get_run(run_id)


def test_checkpoint_progress_step_and_log_work_in_a_child(scheduler, tmp_path):
    path = tmp_path / "paid"
    run = ended(scheduler, scheduler.run_now("works", kwargs={"path": str(path)}))
    assert run.result == [{"deep": [1]}, 42, True, True, os.getpid()]
    assert path.read_text() == "paid\n"
    assert run.progress["note"] == "half way"
    lines = scheduler.logs(run.id)
    assert [line["event"] for line in lines] == 2 * [
        "said through logging",
        "said through structlog",
        "said through the run",
    ]
    times = [line["at"] for line in lines]
    assert times == sorted(times)


def test_a_result_that_is_not_json_keeps_its_reason(scheduler):
    run = ended(scheduler, scheduler.run_now("not_json"))
    assert (run.status, run.result) == ("succeeded", None)
    assert "object is not JSON" in run.reason


def test_a_cancelled_run_is_told_in_its_child(scheduler):
    run_id = scheduler.run_now("waits")
    assert until(lambda: scheduler.get_run(run_id).status == "running")
    scheduler.cancel(run_id)
    assert ended(scheduler, run_id).status in ("cancelled", "succeeded")


def test_a_coroutine_runs_in_a_child(scheduler):
    run = ended(scheduler, scheduler.run_now("awaits"))
    assert (run.status, run.result) == ("succeeded", 1)
    assert [line["event"] for line in scheduler.logs(run.id)] == ["from a coroutine"]


def test_a_process_that_ignores_term_is_killed(scheduler):
    began = time.monotonic()
    run = ended(scheduler, scheduler.run_now("deaf"))
    assert run.status == "timed_out"
    assert time.monotonic() - began < PATIENCE


def test_a_process_that_dies_follows_on_crash(scheduler):
    run = ended(scheduler, scheduler.run_now("dies"))
    assert run.status == "lost"
    assert [attempt.outcome for attempt in run.attempts] == ["lost", "lost"]
    assert "exited with code 7" in run.attempts[0].error


def test_importing_the_child_starts_nothing():
    program = "import rota.executors.child, threading; assert threading.active_count() == 1"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)


def test_a_process_deaf_to_term_is_killed_before_a_shutdown_is_over_and_its_run_is_cut_off(tmp_path):
    scheduler = Scheduler("deaf", store=f"sqlite:///{tmp_path}/rota.db")
    begun = tmp_path / "begun"
    scheduler.add(deaf, id="deaf", args=[str(begun)], executor="process", on_crash="rerun")
    run_id = scheduler.run_now("deaf")
    scheduler.start()
    assert until(begun.exists)
    report = scheduler.shutdown(timeout=4)
    assert report.interrupted == (run_id,)
    run = scheduler.get_run(run_id)
    assert (run.status, run.attempts[-1].outcome) == ("queued", "interrupted")


def asks():
    from rota import StateError

    try:
        MEMORY.run_now("works")
    except StateError as error:
        return str(error)
    return "asked"


MEMORY = Scheduler("memory")
MEMORY.add(works, id="works")


def test_a_process_job_cannot_ask_a_scheduler_whose_runs_are_in_the_memory_of_another_process():
    scheduler = Scheduler()
    scheduler.add(asks, id="asks", executor="process")
    run_id = scheduler.run_now("asks")
    scheduler.run_due()
    assert "give it a store that they share" in scheduler.get_run(run_id).result
    scheduler.shutdown()


def double():
    return "the one declared"


declared_as_double = double


def double():  # the point
    return "another"


@pytest.fixture
def unstarted():
    scheduler = Scheduler(shutdown_timeout=3)
    yield scheduler
    scheduler.shutdown()


@pytest.mark.parametrize("start", [Scheduler.start, Scheduler.run_due, Scheduler.run])
def test_a_process_job_whose_name_leads_to_another_function_keeps_a_scheduler_from_starting(unstarted, start):
    unstarted.add(declared_as_double, executor="process")
    with pytest.raises(ConfigurationError, match=r"job 'double': .*:double names is not the function declared"):
        start(unstarted)
    unstarted.configure(tz="Europe/Paris")
    unstarted.add(double, executor="process", replace=True)
    unstarted.start()
    assert ended(unstarted, unstarted.run_now("double")).result == "another"


def test_a_process_that_only_arms_says_so_too(unstarted, monkeypatch):
    monkeypatch.setenv("ROTA_AUTOSTART", "never")
    unstarted.add(declared_as_double, executor="process")
    with pytest.raises(ConfigurationError, match="double names is not the function declared"):
        unstarted.start()


def shouted(func):
    @functools.wraps(func)
    def call():
        return func().upper()

    return call


def plain():
    return "plain"


declared_as_plain = plain
plain = shouted(shouted(plain))


def test_a_process_job_that_was_decorated_again_is_called_as_it_was_declared(unstarted):
    unstarted.add(declared_as_plain, executor="process")
    unstarted.start()
    assert ended(unstarted, unstarted.run_now(plain)).result == "plain"


def test_a_process_job_of_such_a_name_that_is_declared_later_fails_without_being_called(unstarted):
    unstarted.start()
    unstarted.add(declared_as_double, executor="process")
    run = ended(unstarted, unstarted.run_now("double"))
    assert (run.status, run.attempts[0].error_type) == ("failed", "rota.errors.ConfigurationError")
    assert "Give each function a name of its own" in run.error


def test_a_name_does_not_matter_where_no_process_is_used(rota_clock):
    scheduler = Scheduler(clock=rota_clock)
    scheduler.add(declared_as_double, executor="process")
    scheduler.start()
    run_id = scheduler.run_now("double")
    rota_clock.advance(seconds=1)
    assert scheduler.get_run(run_id).result == "the one declared"
    scheduler.shutdown()
