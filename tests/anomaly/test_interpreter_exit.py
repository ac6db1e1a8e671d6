"""The interpreter ends with jobs in flight: quietly, in bounded time, and the record says what became of each."""

import os
import sys
import time

import pytest
from tests.anomaly.programs import HEAD, Program
from tests.waiting import until

from rota import Scheduler

pytestmark = pytest.mark.any_versions

JOBS = (
    HEAD
    + """
from concurrent.futures import ThreadPoolExecutor
scheduler = Scheduler("exit", store="sqlite:///rota.db", shutdown_timeout=float(os.environ.get("TIMEOUT", "120")))

@scheduler.job(id="thread")
def in_thread(run):
    say("begun")
    while not run.cancelled:
        time.sleep(0.005)
    run.check_cancelled()

@scheduler.job(id="coroutine")
async def in_coroutine(run):
    say("begun")
    while not run.cancelled:
        await asyncio.sleep(0.005)
    await run.checkpoint.set("far", 1)
    await asyncio.to_thread(str)
    run.check_cancelled()

@scheduler.job(id="process", executor="process")
def in_process(run):
    say("begun")
    while not run.cancelled:
        time.sleep(0.005)
    run.check_cancelled()

@scheduler.job(id="stubborn")
def stubborn():
    say("begun")
    time.sleep(120)

def when_it_ends(run):
    say("begun")
    while not run.cancelled:
        time.sleep(0.005)

@scheduler.job(id="lookup")
async def lookup(run):
    loop = asyncio.get_running_loop()
    await loop.getaddrinfo("127.0.0.1", 80)
    say("begun")
    while not run.cancelled:
        await asyncio.sleep(0.005)
    await loop.getaddrinfo("127.0.0.1", 80)

@scheduler.job(id="pool")
def in_pool(run):
    when_it_ends(run)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(str, range(2)))

@scheduler.job(id="threads")
def in_threads(run):
    when_it_ends(run)
    thread = threading.Thread(target=str)
    thread.start()
    thread.join()

@scheduler.job(id="quick")
def quick():
    return 1

"""
)
STARTS_NO_THREADS = (3, 12) <= sys.version_info < (3, 12, 2)
"""While it ends: these two releases alone."""

START = """
if __name__ == "__main__":
    for name in sys.argv[1:]:
        scheduler.run_now(name)
    scheduler.start()
    while not len(scheduler.runs(status="running")) == len(sys.argv[1:]):
        time.sleep(0.01)
"""


def runs_in(directory):
    return {run.job_id: run for run in Scheduler("exit", store=f"sqlite:///{directory}/rota.db").runs()}


def test_the_main_thread_ends_and_what_stops_itself_is_left_to_others(tmp_path):
    names = ["thread", "process"]
    with Program(tmp_path, START, *names, head=JOBS) as program:
        assert program.end() == 0
        assert program.stderr == ""
    for run in runs_in(tmp_path).values():
        assert (run.status, run.attempts[-1].outcome) == ("queued", "interrupted"), run


def test_a_coroutine_at_exit_gets_to_its_end(tmp_path):
    with Program(tmp_path, START, "coroutine", head=JOBS) as program:
        assert program.end() == 0
        assert program.stderr == ""
    assert runs_in(tmp_path)["coroutine"].attempts[-1].outcome == "interrupted"


@pytest.mark.parametrize("name", ["lookup", "pool", "threads"])
def test_what_a_job_needs_threads_for_it_has_to_its_end(tmp_path, name):
    with Program(tmp_path, START, name, head=JOBS) as program:
        assert program.end() == 0
        assert STARTS_NO_THREADS or program.stderr == ""
    run = runs_in(tmp_path)[name]
    ended_well = (run.status, run.attempts[-1].outcome) == ("succeeded", "succeeded")
    assert ended_well or (STARTS_NO_THREADS and run.attempts[-1].outcome == "interrupted"), run


def test_a_program_that_goes_on_in_another_thread_keeps_its_scheduler(tmp_path):
    text = """
def run_quick():
    run_id = scheduler.run_now("quick")
    while scheduler.get_run(run_id).status != "succeeded":
        time.sleep(0.01)

def go_on():
    threading.main_thread().join()
    run_quick()
    say("went on")

scheduler.start()
run_quick()
threading.Thread(target=go_on).start()
"""
    with Program(tmp_path, text, head=JOBS) as program:
        assert program.end() == 0
        assert program.lines == ["went on"]
        assert program.stderr == ""


def test_a_scheduler_that_is_started_at_exit_runs_or_says_why_not(tmp_path):
    text = """
import atexit
from rota import StateError

scheduler = Scheduler()

def start():
    try:
        say("started", scheduler.start())
    except StateError as error:
        say("refused", error)

atexit.register(start)
"""
    with Program(tmp_path, text) as program:
        assert program.end() == 0
        assert program.lines[0].startswith("refused the scheduler cannot start") or program.lines == ["started True"]
        assert program.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_multiprocessing_child_that_was_made_to_run_jobs_shuts_down(tmp_path):
    text = """
def child():
    scheduler.run_now("thread")
    scheduler.start()
    while not scheduler.runs(status="running"):
        time.sleep(0.01)

if __name__ == "__main__":
    import multiprocessing
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
"""
    with Program(tmp_path, text, head=JOBS, ROTA_AUTOSTART="always") as program:
        assert program.end() == 0
        assert program.stderr == ""
    assert runs_in(tmp_path)["thread"].attempts[-1].outcome == "interrupted"


@pytest.mark.parametrize(
    "way", ["sys.exit(3)", "raise ValueError('main')", "threading.Timer(0.2, say, ['late']).start()"]
)
def test_however_the_main_thread_ends(tmp_path, way):
    with Program(tmp_path, START + f"    {way}\n", "thread", head=JOBS) as program:
        code = program.end()
        assert code == {"s": 3, "r": 1, "t": 0}[way[0]]
        assert program.stderr.count("Traceback") == (way[0] == "r")
    assert runs_in(tmp_path)["thread"].attempts[-1].outcome == "interrupted"


def test_a_thread_that_does_not_stop_costs_no_more_than_the_time_for_shutdown(tmp_path):
    """The default, twenty seconds, is what it would be without."""
    with Program(tmp_path, START, "stubborn", head=JOBS, TIMEOUT="1") as program:
        program.wait_for("begun")
        began = time.monotonic()
        assert program.end() == 0
        assert program.stderr == ""
    assert time.monotonic() - began < 15
    run = runs_in(tmp_path)["stubborn"]
    assert (run.status, run.attempts[-1].outcome) == ("lost", "interrupted")


def test_a_tick_due_while_the_interpreter_ends_is_left_for_others(tmp_path):
    text = """
@scheduler.interval(seconds=1)
def each():
    note = None

@scheduler.job(id="hold")
def hold(run):
    say("begun")
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        time.sleep(0.01)

scheduler.run_now("hold")
scheduler.start()
while not scheduler.runs("hold", status="running"):
    time.sleep(0.01)
"""
    with Program(tmp_path, text, head=JOBS) as program:
        assert program.end() == 0
        assert program.stderr == ""
    runs = Scheduler("exit", store=f"sqlite:///{tmp_path}/rota.db").runs()
    assert {run.status for run in runs if run.job_id == "hold"} == {"succeeded"}
    assert {run.status for run in runs} <= {"succeeded", "queued"}  # queued: begun at that moment, and given back


def test_a_shutdown_on_a_thread_nobody_waits_for_is_waited_for_at_exit(tmp_path):
    text = (
        START
        + """
    threading.Thread(target=scheduler.shutdown, daemon=True).start()
    while scheduler.health().alive:
        time.sleep(0.001)
"""
    )
    with Program(tmp_path, text, "thread", head=JOBS) as program:
        assert program.end() == 0
        assert program.stderr == ""
    assert runs_in(tmp_path)["thread"].attempts[-1].outcome == "interrupted"


def test_a_scheduler_in_memory_with_work_under_way_ends_quietly(tmp_path):
    text = """
scheduler = Scheduler(shutdown_timeout=120)
for number in range(50):
    scheduler.add(lambda run: run.cancelled or time.sleep(0.01), id=f"job-{number}")
scheduler.add(lambda: time.sleep(0.2), id="hook")
scheduler.listen(lambda event: time.sleep(0.001))
for name in list(scheduler.jobs):
    scheduler.run_now(name)
scheduler.start()
"""
    with Program(tmp_path, text) as program:
        assert program.end() == 0
        assert program.stderr == ""


def test_children_of_process_jobs_end_when_their_parent_is_killed(tmp_path):
    text = """
@scheduler.job(id="child", executor="process")
def child():
    say(os.getpid())
    time.sleep(120)

if __name__ == "__main__":
    scheduler.run_now("child")
    scheduler.start()
    time.sleep(120)
"""
    with Program(tmp_path, text, head=JOBS) as program:
        assert until(lambda: program.lines), program.stderr
        child = int(program.lines[0])
        program.process.kill()

        def is_gone():
            try:
                os.kill(child, 0)
            except ProcessLookupError:
                return True
            return False

        assert until(is_gone)
