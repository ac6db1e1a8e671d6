"""On the host's own loop: `serve()`, `async with`, and how they end."""

# ruff: noqa: ASYNC110  # a job is told by a flag, a record is looked up: there is nothing to await

import asyncio
import signal
import threading
import time

import pytest
from tests.waiting import LONGER, PATIENCE, until

from rota import Scheduler
from rota.core import verdict
from rota.drivers.settings import FORCE_BEFORE_END

pytestmark = pytest.mark.any_versions


@pytest.fixture
def scheduler(tmp_path):
    return Scheduler("loop", store=f"sqlite:///{tmp_path}/rota.db", shutdown_timeout=LONGER)


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_coroutines_run_on_the_hosts_loop_and_functions_beside_it(scheduler):
    seen = {}
    scheduler.add(lambda: seen.update(thread=threading.current_thread()), id="plain")

    async def on_loop():
        seen["loop"] = asyncio.get_running_loop()

    scheduler.add(on_loop, id="on_loop")

    async def main():
        before = handlers()
        async with scheduler:
            assert handlers() == before
            for name in ("plain", "on_loop"):
                await scheduler.aio.run_now(name)
            while len(seen) < 2:
                await asyncio.sleep(0.01)
            assert seen["loop"] is asyncio.get_running_loop()
        assert not scheduler.health().alive

    asyncio.run(main())
    assert seen["thread"] is not threading.main_thread()


def test_cancelling_serve_shuts_down_to_the_end_however_often_it_is_cancelled(scheduler):
    async def patient(run):
        while not run.cancelled:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        run.check_cancelled()

    scheduler.add(patient, id="patient")
    run_id = scheduler.run_now("patient")

    async def main():
        served = asyncio.create_task(scheduler.serve())
        while (await asyncio.to_thread(scheduler.get_run, run_id)).status != "running":
            await asyncio.sleep(0.01)
        while not served.done():
            served.cancel()
            await asyncio.sleep(0.05)
        assert served.cancelled()

    asyncio.run(main())
    run = scheduler.get_run(run_id)
    assert (run.status, run.attempts[-1].outcome) == ("queued", "interrupted")


@pytest.mark.parametrize(("on_crash", "status"), [("rerun", "queued"), ("lost", "lost")])
def test_a_coroutine_cut_off_with_its_loop_follows_on_crash(scheduler, monkeypatch, on_crash, status):
    monkeypatch.setattr(verdict, "RERUN_AFTER", int(LONGER * 1_000_000))
    at_work = threading.Event()

    async def wait_for_ever():
        at_work.set()
        await asyncio.sleep(LONGER)

    scheduler.add(wait_for_ever, id="job", on_crash=on_crash)

    async def main():
        serving = asyncio.create_task(scheduler.serve())
        run_id = await scheduler.aio.run_now("job")
        await asyncio.to_thread(at_work.wait, PATIENCE)
        assert not serving.done()
        return run_id  # asyncio.run cancels what is left: the task of serve(), and that of the job

    run = scheduler.get_run(asyncio.run(main()))
    assert run.status == status
    assert [attempt.outcome for attempt in run.attempts] == ["interrupted"]


def test_serve_returns_when_it_is_shut_down_from_elsewhere(scheduler):
    async def main():
        served = asyncio.create_task(scheduler.serve())
        while not scheduler.health().alive:
            await asyncio.sleep(0.01)
        threading.Thread(target=scheduler.shutdown).start()
        await asyncio.wait_for(served, PATIENCE)

    asyncio.run(main())
    assert not scheduler.health().alive


def test_aclose_keeps_to_its_time_and_reports(scheduler):
    async def endless(run):
        await asyncio.sleep(LONGER)

    scheduler.add(endless, id="endless")
    run_id = scheduler.run_now("endless")

    async def main():
        async with scheduler:
            while (await asyncio.to_thread(scheduler.get_run, run_id)).status != "running":
                await asyncio.sleep(0.01)
            began = time.monotonic()
            report = await scheduler.aclose(timeout=FORCE_BEFORE_END + 0.5)
            assert time.monotonic() - began < PATIENCE
            assert report.interrupted == (run_id,)

    asyncio.run(main())


def test_a_full_pool_of_the_host_keeps_no_shutdown_waiting(scheduler):
    let_go = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        blocked = [loop.run_in_executor(None, let_go.wait, LONGER) for _ in range(64)]
        async with scheduler:
            pass
        assert not scheduler.health().alive
        let_go.set()
        await asyncio.gather(*blocked)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_job_that_raises_what_ends_programs_leaves_the_hosts_loop_running(scheduler):
    async def exits():
        raise SystemExit(3)

    async def interrupts():
        raise KeyboardInterrupt

    scheduler.add(exits, id="exits")
    scheduler.add(interrupts, id="interrupts")

    async def main():
        async with scheduler:
            runs = [await scheduler.aio.run_now(name) for name in ("exits", "interrupts")]
            await asyncio.to_thread(until, lambda: all(scheduler.get_run(r).status == "failed" for r in runs))
        return [scheduler.get_run(run_id).status for run_id in runs]

    assert asyncio.run(main()) == ["failed", "failed"]


def test_run_due_calls_functions_here_sees_coroutines_to_their_end_and_tells_the_next_tick(scheduler):
    seen = []
    scheduler.add(lambda: seen.append(threading.current_thread()), id="plain")

    async def slow():
        await asyncio.sleep(0.2)
        seen.append("slow")

    scheduler.add(slow, id="slow")
    scheduler.interval(seconds=3600, id="hourly")(lambda: None)
    for name in ("plain", "slow"):
        scheduler.run_now(name)
    before = time.time()
    seconds = scheduler.run_due()
    assert seen == [threading.main_thread(), "slow"]
    assert (before + seconds) // 3600 < (time.time() + seconds) // 3600, "the full hour is what it told of"
    scheduler.shutdown()


def test_run_due_does_not_wait_for_a_coroutine_that_is_stuck(scheduler, monkeypatch):
    monkeypatch.setattr("rota.drivers.attempts.STOP_GRACE", 100_000)
    let_go = threading.Event()

    async def deaf(run):
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    scheduler.add(deaf, id="deaf", timeout=0.1)
    run_id = scheduler.run_now("deaf")
    began = time.monotonic()
    scheduler.run_due()
    assert time.monotonic() - began < PATIENCE
    assert scheduler.get_run(run_id).status == "timed_out"
    let_go.set()
    scheduler.shutdown()
