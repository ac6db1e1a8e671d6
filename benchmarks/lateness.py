"""Lateness: a thousand jobs, each once a second, one millisecond apart; how late they start, and the CPU it takes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any

from benchmarks.bare import BareEngine, bare_await, bare_call
from benchmarks.cases import Figures, case, scaled

JOBS = 1_000
SETTLE = 1.5
SECONDS = 10.0
PATIENCE = 60.0

Job = Callable[..., object]


class Watch:
    """Notes how late each run starts, once it has been told to begin."""

    def __init__(self) -> None:
        self._late: list[float] = []

    def note(self, phase: float) -> None:
        """A job that is due at `phase` seconds of every second runs now."""
        self._late.append((time.time() - phase) % 1.0)

    async def anote(self, phase: float) -> None:
        """The same on a loop."""
        self.note(phase)

    def begin(self) -> None:
        """Forget what came before."""
        self._late.clear()
        self._cpu = time.process_time()

    def figures(self) -> Figures:
        """Milliseconds at the median and at the 99th percentile, and CPU microseconds a run."""
        cpu, late = time.process_time() - self._cpu, sorted(self._late)
        count = len(late)
        p50, p99 = late[count // 2] * 1e3, late[count * 99 // 100] * 1e3
        return {"p50_ms": p50, "p99_ms": p99, "cpu_us": cpu / count * 1e6, "runs": count}


def rota_jobs(func: Job) -> Any:
    """A scheduler of Rota with the jobs."""
    from rota import Scheduler
    from rota.triggers import Interval

    scheduler = Scheduler()
    for number in range(JOBS):
        phase = number / JOBS
        grid = Interval(timedelta(seconds=1), anchor=datetime.fromtimestamp(phase, UTC))
        scheduler.add(func, grid, id=f"job-{number}", args=[phase])
    return scheduler


def apscheduler_jobs(scheduler: Any, func: Job) -> Any:
    """A scheduler of APScheduler with the jobs."""
    start = int(time.time())
    for number in range(JOBS):
        at = datetime.fromtimestamp(start + number / JOBS, UTC)
        scheduler.add_job(func, "interval", seconds=1, start_date=at, args=[number / JOBS])
    return scheduler


@case("lateness", "rota threads")
def rota_threads(scale: float, library: str) -> Figures:
    watch = Watch()
    scheduler = rota_jobs(watch.note)
    scheduler.start()
    figures = _watched(watch, scale)
    scheduler.shutdown(1)
    return figures


@case("lateness", "bare engine, threads")
def bare_threads(scale: float, library: str) -> Figures:
    """A bare engine in a thread that sleeps until each tick, and another thread that calls the jobs."""
    watch = Watch()
    calls: SimpleQueue[tuple[Any, float] | None] = SimpleQueue()
    ended: deque[Any] = deque()

    def work() -> None:
        while (call := calls.get()) is not None:
            row, phase = call
            Context().run(bare_call, row, watch.note, phase)
            ended.append(row)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    with _bare_turns(ended, lambda row, phase: calls.put((row, phase))):
        figures = _watched(watch, scale)
    if not worker.is_alive():
        raise RuntimeError("the thread that calls the jobs has failed")
    calls.put(None)
    return figures


@case("lateness", "bare engine, asyncio")
def bare_asyncio(scale: float, library: str) -> Figures:
    """The same where a loop awaits the jobs, in tasks."""
    watch, ended = Watch(), deque[Any]()
    tasks: set[asyncio.Task[None]] = set()

    async def attempt(row: Any, phase: float) -> None:
        await bare_await(row, watch.anote, phase)
        ended.append(row)

    async def main() -> Figures:
        loop = asyncio.get_running_loop()

        def begin(row: Any, phase: float) -> None:
            task = loop.create_task(attempt(row, phase), context=Context())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        with _bare_turns(ended, lambda row, phase: loop.call_soon_threadsafe(begin, row, phase)):
            return await asyncio.to_thread(_watched, watch, scale)

    return asyncio.run(main())


@contextmanager
def _bare_turns(ended: deque[Any], begin: Callable[[Any, float], object]) -> Iterator[None]:
    """A thread that wakes up for each tick, has its run begun, and those that have ended recorded."""
    engine, is_over, failures = BareEngine(JOBS), threading.Event(), list[Exception]()

    def turn() -> None:
        try:
            turn_until_over()
        except Exception as error:  # noqa: BLE001  # told by the thread that measures
            failures.append(error)

    def turn_until_over() -> None:
        number = int(time.time() % 1.0 * JOBS) + 1
        second = int(time.time())
        while not is_over.wait(max(0.0, second + number / JOBS - time.time())):
            engine.end([ended.popleft() for _ in range(len(ended))])
            begin(engine.begin([engine.job_ids[number % JOBS]])[0], number % JOBS / JOBS)
            number += 1

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(PATIENCE)
    if failures:
        raise failures[0]


@case("lateness", "apscheduler threads")
def apscheduler_threads(scale: float, library: str) -> Figures:
    from apscheduler.schedulers.background import BackgroundScheduler

    watch = Watch()
    scheduler = apscheduler_jobs(BackgroundScheduler(timezone="UTC"), watch.note)
    scheduler.start()
    figures = _watched(watch, scale)
    scheduler.shutdown(wait=False)
    return figures


@case("lateness", "rota asyncio")
def rota_asyncio(scale: float, library: str) -> Figures:
    async def main() -> Figures:
        watch = Watch()
        async with rota_jobs(watch.anote):
            return await asyncio.to_thread(_watched, watch, scale)

    return asyncio.run(main())


@case("lateness", "apscheduler asyncio")
def apscheduler_asyncio(scale: float, library: str) -> Figures:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    async def main() -> Figures:
        watch = Watch()
        scheduler = apscheduler_jobs(AsyncIOScheduler(timezone="UTC"), watch.anote)
        scheduler.start()
        figures = await asyncio.to_thread(_watched, watch, scale)
        scheduler.shutdown()
        return figures

    return asyncio.run(main())


def _watched(watch: Watch, scale: float) -> Figures:
    time.sleep(SETTLE)
    watch.begin()
    time.sleep(scaled(int(SECONDS), scale))
    return watch.figures()
