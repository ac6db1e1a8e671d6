"""Processes killed and stopped at any moment: every run ends in one honest state, nothing is started twice."""

import os
import random
import signal
import sqlite3
import time
from contextlib import closing, suppress

import pytest
from tests.anomaly.programs import Program, assert_sound, ledger
from tests.waiting import until

from rota import Scheduler

pytestmark = pytest.mark.any_versions

NODE = """
scheduler = Scheduler("fleet", store="sqlite:///rota.db", lease_ttl=2, shutdown_timeout=3)

def work(run):
    note(run, "start")
    time.sleep(0.05)
    note(run, "end")

from rota.triggers import Interval
from datetime import timedelta
every = Interval(timedelta(seconds=1))
scheduler.add(work, every, id="again", on_crash="rerun", retry=Retry(attempts=50), catch_up="all", overlap="allow")
scheduler.add(work, every, id="once", on_crash="lost", catch_up="all", overlap="allow")

@scheduler.job(id="steps", retry=Retry(attempts=50))
def steps(run):
    for number in range(run.checkpoint.get("done", 0), 5):
        note(run, f"step-{number}")
        time.sleep(0.1)
        run.checkpoint["done"] = number + 1

@scheduler.job(id="fails", retry=Retry(attempts=3, wait_initial=0.5, wait_jitter=0))
def fails(run):
    note(run, "start")
    if run.attempt < 3:
        raise ValueError(run.attempt)

scheduler.health()  # imports what run() needs, so that a signal after "ready" finds its handlers
scheduler.runs(limit=1)
say("ready")
scheduler.run()
"""

FINAL = {"succeeded", "lost", "missed", "skipped"}


def looking_at(directory):
    return Scheduler("fleet", store=f"sqlite:///{directory}/rota.db", lease_ttl=2)


def declared(directory):
    """A scheduler that may enqueue the jobs of the programs."""
    scheduler = looking_at(directory)
    for name in ("steps", "fails"):
        scheduler.add(lambda: None, id=name)
    return scheduler


@pytest.mark.parametrize("seed", [1, 2])
def test_processes_killed_at_random_moments_leave_every_run_in_one_honest_state(tmp_path, seed):
    chance = random.Random(seed)
    scheduler = declared(tmp_path)
    asked = [scheduler.enqueue(name) for name in ("steps", "fails") * 2]
    nodes = []

    def started():
        program = Program(tmp_path, NODE)
        nodes.append(program)
        return program

    try:
        victim = started()
        started()
        for _ in range(3):
            victim.wait_for("ready")
            time.sleep(0.3 + chance.random())
            victim.process.kill()
            victim = started()
        victim.wait_for("ready")
        assert until(lambda: all(scheduler.get_run(run_id).status == "succeeded" for run_id in asked)), [
            scheduler.get_run(run_id) for run_id in asked
        ]
        dead = {str(program.process.pid) for program in nodes if program.process.poll() is not None}
        # What the dead held is taken over once their leases have run out.
        assert until(lambda: not [run for run in scheduler.runs(status="running") if run.node.split(":")[1] in dead])
        for program in nodes[1:2] + nodes[-1:]:
            program.send(signal.SIGTERM)
            assert program.end() == 0, program.stderr
    finally:
        for program in nodes:
            program.__exit__()
    entries = ledger(tmp_path)
    assert_sound(entries)
    runs = looking_at(tmp_path).runs(limit=1000)
    for run in runs:
        outcomes = {attempt.outcome for attempt in run.attempts}
        assert run.status in FINAL or (run.status, run.job_id) == ("queued", "again") or "interrupted" in outcomes, run
    ends = {(entry.job, entry.tick) for entry in entries if entry.what == "end"}
    ticks = [run for run in runs if run.origin == "tick" and run.job_id in ("again", "once")]
    for run in ticks:
        # One that ended by its own account succeeded, unless the process was killed before it could be recorded.
        if run.status == "succeeded":
            assert (run.job_id, run.scheduled_for.isoformat()) in ends
        if run.status == "lost":
            assert run.job_id == "once"
    steps = [entry for entry in entries if entry.what.startswith("step-")]
    done = {(entry.tick, entry.what) for entry in steps}
    assert len(done) == 10  # each step of both runs, and none from the beginning again but the one that was cut off
    assert len(steps) - len(done) <= 3 * 2


def stop_between_writes(program, directory):
    """Stop it as a debugger would, but not in the middle of a transaction: its file would be locked for all."""
    with closing(sqlite3.connect(f"{directory}/rota.db", isolation_level=None, timeout=0)) as connection:
        while True:
            program.send(signal.SIGSTOP)
            os.waitid(os.P_PID, program.process.pid, os.WSTOPPED)
            with suppress(sqlite3.OperationalError):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
                return
            program.send(signal.SIGCONT)
            time.sleep(0.01)  # it lets go of the file before it is stopped again


def test_a_process_stopped_for_twice_its_lease_does_no_harm_when_it_goes_on(tmp_path):
    text = """
scheduler = Scheduler("fleet", store="sqlite:///rota.db", lease_ttl=2, shutdown_timeout=3)

@scheduler.job(id="long", on_crash="rerun", retry=Retry(attempts=5))
def long(run):
    note(run, "start")
    say("begun", run.attempt)
    if run.attempt == 1:
        while not run.cancelled:
            time.sleep(0.005)
        say("cancelled", run.cancel_reason, run.lease.held)
        try:
            run.checkpoint["late"] = 1
        except Exception as error:
            say("refused", type(error).__name__)
        try:
            run.progress(1)
        except Exception as error:
            say("refused", type(error).__name__)
        return "from the first"
    time.sleep(0.2)
    return "from the second"

scheduler.run()
"""
    scheduler = looking_at(tmp_path)
    scheduler.add(lambda: None, id="long")
    run_id = scheduler.run_now("long")
    with Program(tmp_path, text) as first:
        first.wait_for("begun 1")
        with Program(tmp_path, text) as second:
            stop_between_writes(first, tmp_path)
            second.wait_for("begun 2")
            first.send(signal.SIGCONT)
            first.wait_for("refused LeaseLost", times=2)
            assert "cancelled lease_lost False" in first.lines
            assert until(lambda: scheduler.get_run(run_id).status == "succeeded")
            for program in (first, second):
                program.send(signal.SIGTERM)
                assert program.end() == 0
    run = scheduler.get_run(run_id)
    assert (run.result, len(run.attempts)) == ("from the second", 2)
    assert [attempt.outcome for attempt in run.attempts] == ["lost", "succeeded"]
    fences = [entry.fence for entry in ledger(tmp_path)]
    assert fences == sorted(set(fences))


def test_a_killed_process_takes_no_waiting_retry_and_no_enqueued_run_with_it(tmp_path):
    text = """
scheduler = Scheduler("fleet", store="sqlite:///rota.db", lease_ttl=2, shutdown_timeout=3)

@scheduler.job(id="flaky", retry=Retry(attempts=2, wait_initial=1.5, wait_jitter=0))
def flaky(run):
    note(run, "start")
    if run.attempt == 1:
        raise ValueError("once")

@scheduler.job(id="later")
def later(run):
    note(run, "start")

if len(sys.argv) > 1:
    scheduler.run_now("flaky")
    scheduler.enqueue("later", delay=1.5)
    scheduler.start()
    while not scheduler.runs("flaky", status="waiting"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
scheduler.run()
"""
    with Program(tmp_path, text, "first") as first:
        assert first.end() == -signal.SIGKILL
    with Program(tmp_path, text) as second:
        store = looking_at(tmp_path)
        assert until(lambda: [run.status for run in store.runs()] == ["succeeded"] * 2), store.runs()
        second.send(signal.SIGTERM)
        assert second.end() == 0
    assert_sound(ledger(tmp_path))
