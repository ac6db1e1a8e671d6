"""Whatever a job or a hook raises or does to its surroundings, its attempt has failed and the loop goes on."""

import asyncio
import threading

import pytest
from tests.waiting import LONGER, until

from rota import GiveUp, RetryAfter, Scheduler, Snooze


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Unpicklable(Exception):
    def __init__(self):
        super().__init__("cannot be pickled")
        self.lock = threading.Lock()


def recurse():
    return recurse()


def cancel_oneself():
    raise asyncio.CancelledError


ERRORS = {
    "SystemExit": lambda: SystemExit(1),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "MemoryError": MemoryError,
    "StopIteration": StopIteration,
    "CancelledError": asyncio.CancelledError,
    "Unspeakable": Unspeakable,
    "Unpicklable": Unpicklable,
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [SystemExit(2), ValueError(1)]),
}


def raises_anything(name):
    if name == "RecursionError":
        recurse()
    error = ERRORS[name]()
    raise error


async def awaits_anything(name):
    await asyncio.sleep(0)
    raises_anything(name)


async def raises_without_awaiting(name):
    raises_anything(name)


@pytest.mark.parametrize("func", [raises_anything, awaits_anything, raises_without_awaiting])
def test_an_error_of_any_kind_ends_its_attempt_alone(tmp_path, func):
    scheduler = Scheduler("errors", store=f"sqlite:///{tmp_path}/rota.db", shutdown_timeout=3)
    scheduler.add(func, id="job")
    scheduler.add(lambda: None, id="after")
    names = [*ERRORS, "RecursionError"]
    runs = {name: scheduler.run_now("job", args=[name]) for name in names}
    scheduler.start()
    assert until(lambda: not scheduler.runs(status=("queued", "running")))
    after = scheduler.run_now("after")
    assert until(lambda: scheduler.get_run(after).status == "succeeded")
    assert scheduler.health().alive
    scheduler.shutdown()
    for name, run_id in runs.items():
        run = scheduler.get_run(run_id)
        assert run.status == "failed", (name, run)
        kind = "RuntimeError" if name == "StopIteration" and func is not raises_anything else name
        assert run.attempts[-1].error_type.endswith(kind)


@pytest.mark.parametrize("name", [*ERRORS, "RecursionError"])
def test_an_error_of_any_kind_comes_back_from_a_process(tmp_path, name, process_scheduler):
    run_id = process_scheduler.run_now("job", args=[name])
    assert until(lambda: process_scheduler.get_run(run_id).status == "failed"), process_scheduler.get_run(run_id)
    assert process_scheduler.get_run(run_id).attempts[-1].error_type.endswith(name)


@pytest.fixture(scope="module")
def process_scheduler(tmp_path_factory):
    store = tmp_path_factory.mktemp("process") / "rota.db"
    scheduler = Scheduler("process", store=f"sqlite:///{store}", shutdown_timeout=3)
    scheduler.add(raises_anything, id="job", executor="process")
    scheduler.start()
    yield scheduler
    scheduler.shutdown()


def test_a_task_that_a_job_leaves_behind_may_raise_system_exit(tmp_path):
    scheduler = Scheduler("left", store=f"sqlite:///{tmp_path}/rota.db", shutdown_timeout=3)
    left = []

    async def leaves():
        async def exits():
            raise SystemExit(3)

        left.append(asyncio.get_running_loop().create_task(exits()))
        await asyncio.sleep(0.05)

    scheduler.add(leaves, id="leaves")
    runs = [scheduler.run_now("leaves") for _ in range(3)]
    scheduler.start()
    assert until(lambda: all(scheduler.get_run(run_id).status == "succeeded" for run_id in runs))
    scheduler.shutdown()
    assert all(isinstance(task.exception(), SystemExit) for task in left)


@pytest.mark.parametrize("timeout", [LONGER, 1e10])
def test_a_shutdown_waits_for_slow_hooks_while_it_has_time(timeout):
    scheduler = Scheduler()
    told, let_go = [], threading.Event()
    scheduler.listen(lambda event: (let_go.wait(LONGER), told.append(event.kind)), "run_ended")
    scheduler.add(lambda: None, id="job")
    scheduler.run_now("job")
    scheduler.run_due()
    threading.Timer(1.5, let_go.set).start()  # longer than the second that hooks have in any case
    scheduler.shutdown(timeout)
    assert told == ["run_ended"]


def test_hooks_that_raise_or_block_delay_nobody(tmp_path):
    scheduler = Scheduler("hooks", store=f"sqlite:///{tmp_path}/rota.db", shutdown_timeout=3)
    told, let_go = [], threading.Event()

    def exits(event):
        told.append(event.kind)
        raise SystemExit

    scheduler.listen(exits)
    scheduler.listen(lambda event: let_go.wait(LONGER), "run_ended")
    scheduler.add(lambda: None, id="job")
    runs = [scheduler.run_now("job") for _ in range(20)]
    scheduler.start()
    assert until(lambda: all(scheduler.get_run(run_id).status == "succeeded" for run_id in runs))
    assert "run_started" in told
    report = scheduler.shutdown()
    assert report.abandoned == ()
    let_go.set()
    assert until(lambda: len([kind for kind in told if kind == "run_ended"]) == 20)


@pytest.mark.parametrize("executor", ["asyncio", "inline"])
def test_a_coroutine_whose_own_task_was_cancelled_has_failed(executor):
    scheduler = Scheduler()

    @scheduler.job(executor=executor)
    async def job():
        part = asyncio.ensure_future(asyncio.sleep(LONGER))
        part.cancel()
        await part

    run_id = scheduler.run_now(job)
    scheduler.run_due()
    run = scheduler.get_run(run_id)
    assert (run.status, run.attempts[0].error_type) == ("failed", "asyncio.exceptions.CancelledError")
    scheduler.shutdown()


@pytest.mark.parametrize("answer", [Snooze(5), RetryAfter(5), GiveUp("why")])
def test_an_answer_that_is_returned_is_told_to_be_raised(answer):
    scheduler = Scheduler()

    async def awaits():
        return answer

    for func in (lambda: answer, awaits):
        run_id = scheduler.run_now(scheduler.add(func, id=func.__name__))
        scheduler.run_due()
        run = scheduler.get_run(run_id)
        assert run.status == "failed"
        assert f"write raise {type(answer).__name__}(…)" in run.error
    scheduler.shutdown()
