"""A job that forks: its child is a process of its own, and does not go on as a worker or an engine of its parent's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.anomaly.programs import Program

pytestmark = pytest.mark.any_versions


def test_the_child_of_a_job_that_forks_ends_with_the_call(tmp_path: Path) -> None:
    text = """
scheduler = Scheduler("signals")

def child_of(end):
    pid = os.fork()
    if pid == 0:
        return end()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def leave(code):
    raise SystemExit(code)

@scheduler.job()
def thread():
    return [child_of(lambda: leave(3)), child_of(lambda: leave("why")), child_of(lambda: 1 / 0)]

@scheduler.job()
def returning():
    return child_of(lambda: None)

@scheduler.job()
async def coroutine():
    return child_of(lambda: leave(3))

scheduler.start()
for job in (thread, returning, coroutine):
    run_id = scheduler.run_now(job)
    while scheduler.get_run(run_id).is_open:
        time.sleep(0.005)
    say(scheduler.get_run(run_id).result)
scheduler.shutdown()
run_id = scheduler.run_now(thread)
scheduler.run_due()
say(scheduler.get_run(run_id).result)
"""
    with Program(tmp_path, text) as program:
        assert program.end() == 0, program.stderr
        assert program.lines == ["[3, 1, 1]", "0", "3", "[3, 1, 1]"]
        assert program.stderr.count("ZeroDivisionError: division by zero") == 2


def test_so_does_the_child_of_a_process_job_and_its_run_is_the_parents(tmp_path: Path) -> None:
    text = """
import logging, multiprocessing

def doubled(number):
    return 2 * number

scheduler = Scheduler("forks")

@scheduler.job(executor="process")
def forks(run):
    codes = []
    for end in (lambda: None, lambda: 1 / 0, lambda: run.checkpoint.update(by="child"), lambda: sys.exit(3)):
        pid = os.fork()
        if pid == 0:
            logging.getLogger("child").error("said by the child")
            return end()
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    run.checkpoint.update(by="parent")
    return codes

@scheduler.job(executor="process")
def pool():
    with multiprocessing.get_context("fork").Pool(2) as workers:
        return workers.map(doubled, [1, 2, 3])

if __name__ == "__main__":
    scheduler.start()
    run_ids = [scheduler.run_now(job) for job in (forks, pool, forks)]
    for run_id in run_ids:
        while scheduler.get_run(run_id).is_open:
            time.sleep(0.005)
        run = scheduler.get_run(run_id)
        say(run.status, run.result, len(scheduler.logs(run_id)))
    scheduler.shutdown()
"""
    with Program(tmp_path, text) as program:
        assert program.end() == 0, program.stderr
        assert program.lines == [
            "succeeded [0, 1, 1, 3] 0",
            "succeeded [2, 4, 6] 0",
            "succeeded [0, 1, 1, 3] 0",
        ], program.stderr
        assert "StateError: this process was forked by the job" in program.stderr


def test_what_any_job_forks_does_not_hold_its_run_and_writes_nothing_to_it(tmp_path: Path) -> None:
    text = """
import asyncio, inspect, multiprocessing

scheduler = Scheduler("forks", store="sqlite:///rota.db")

def told(use):
    try:
        given = use()
        return asyncio.run(given) if inspect.iscoroutine(given) else given
    except Exception as error:
        return type(error).__name__

def looks(run, writes, pipe):
    pipe.send([run.lease.held, run.cancel_reason, *map(told, writes)])

def in_a_child(run, writes):
    ours, theirs = multiprocessing.Pipe()
    looks(run, [], theirs)
    child = multiprocessing.get_context("fork").Process(target=looks, args=(run, writes, theirs))
    child.start()
    child.join()
    return [ours.recv(), ours.recv()]

def in_a_plain_function(run):
    def write():
        run.checkpoint["by"] = "child"
    return in_a_child(run, [write, lambda: run.progress(1), lambda: run.step("pay", int), run.lease.assert_held])

async def in_a_coroutine(run):
    writes = [lambda: run.checkpoint.set("by", "child"), lambda: run.progress(1), lambda: run.step("pay", int)]
    return in_a_child(run, [*writes, run.lease.assert_held])

jobs = [
    scheduler.add(in_a_plain_function, id="thread"),
    scheduler.add(in_a_plain_function, id="inline", executor="inline"),
    scheduler.add(in_a_plain_function, id="process", executor="process"),
    scheduler.add(in_a_coroutine, id="asyncio"),
]
if __name__ == "__main__":
    scheduler.start()
    for job in jobs:
        run_id = scheduler.run_now(job)
        while scheduler.get_run(run_id).is_open:
            time.sleep(0.005)
        run = scheduler.get_run(run_id)
        say(job.id, run.result, run.progress)
    scheduler.shutdown()
"""
    errors = ["StateError", "StateError", "StateError", "LeaseLost"]
    seen = [[True, None], [False, "lease_lost", *errors]]
    with Program(tmp_path, text) as program:
        assert program.end() == 0, program.stderr
        assert program.lines == [f"{name} {seen} None" for name in ("thread", "inline", "process", "asyncio")]


def test_a_child_whose_streams_are_held_by_a_thread_of_the_parents_ends_all_the_same(tmp_path: Path) -> None:
    text = """
scheduler = Scheduler("forks")

@scheduler.job()
def forks():
    class Held:
        def flush(self):
            threading.Event().wait()
    pid = os.fork()
    if pid == 0:
        sys.stdout = Held()
        sys.exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

run_id = scheduler.run_now(forks)
scheduler.run_due()
say(scheduler.get_run(run_id).result)
"""
    with Program(tmp_path, text) as program:
        assert program.end() == 0, program.stderr
        assert program.lines == ["3"]
