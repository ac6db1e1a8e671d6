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
        assert program.end() == 0
        assert program.lines == ["[3, 1, 1]", "0", "3", "[3, 1, 1]"]
        assert program.stderr.count("ZeroDivisionError: division by zero") == 2
