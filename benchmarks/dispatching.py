"""Dispatch: so many no-ops fall due at one instant; how many run per second, and how many are lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from benchmarks.cases import Figures, case, scaled

AHEAD = 2.0
"""Seconds before the instant at which the scheduler is started: it shall be at rest by then."""

PATIENCE = 60.0

WORKERS = 100
"""Threads for jobs where a store is measured: what is claimed at once is what there are free workers for, and a round
trip to a server, or a commit, costs as much as many runs."""


class Counter:
    """Counts what has run, and notes when the last one had."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.is_over = threading.Event()
        self.ended_at = 0.0

    def less(self, number: int = 1) -> None:
        """So many more have ended. Called by one thread at a time."""
        self.left -= number
        if self.left <= 0 and not self.is_over.is_set():
            self.ended_at = time.time()
            self.is_over.set()

    def rate(self, count: int, due_at: float) -> Figures:
        """Runs per second from the instant at which they were due."""
        return {"per_s": count / (self.ended_at - due_at)}


def job_that(counter: Counter) -> Callable[[], None]:
    """A plain function that counts itself; threads may do so at the same time."""
    mutex = threading.Lock()

    def run() -> None:
        with mutex:
            counter.less()

    return run


def counting_store(counter: Counter) -> Any:
    """Rota's store in memory, which counts the records of ended runs: later than the functions' return."""
    from rota.stores import MemoryStore

    class CountingStore(MemoryStore):
        def swap(self, swaps: Sequence[Any]) -> Sequence[Any]:
            answers = super().swap(swaps)
            counter.less(len(answers))
            return answers

    return CountingStore()


def no_op() -> None:
    """A job."""


async def async_no_op() -> None:
    """A job for a loop."""


def due_instant(registering: float) -> float:
    """A whole second late enough to have registered by then."""
    return float(int(time.time() + registering + AHEAD) + 1)


@case("dispatch", "rota threads", "rota asyncio")
def rota_dispatch(scale: float, library: str) -> Figures:
    count = scaled(10_000, scale)
    func = async_no_op if library.endswith("asyncio") else no_op
    return asyncio.run(_rota_on_loop(count, func)) if library.endswith("asyncio") else rota_rate(count, func)


def rota_scheduler(count: int, func: Callable[..., object], counter: Counter, due_at: float, **options: Any) -> Any:
    """A scheduler with `count` jobs that fall due at one instant, not started."""
    from rota import Scheduler
    from rota.triggers import Interval

    scheduler = Scheduler("bench", **{"store": lambda: counting_store(counter), **options})
    grid = Interval(timedelta(days=1), anchor=datetime.fromtimestamp(due_at, UTC))
    for number in range(count):
        scheduler.add(func, grid, id=f"job-{number}")
    return scheduler


def rota_rate(count: int, func: Callable[..., object]) -> Figures:
    """Runs per second, recorded, with Rota in its own thread."""
    counter, due_at = Counter(count), due_instant(count / 20_000)
    scheduler = rota_scheduler(count, func, counter, due_at)
    scheduler.start()
    counter.is_over.wait(PATIENCE)
    scheduler.shutdown(1)
    return counter.rate(count, due_at)


async def _rota_on_loop(count: int, func: Callable[..., object]) -> Figures:
    counter, due_at = Counter(count), due_instant(count / 20_000)
    async with rota_scheduler(count, func, counter, due_at):
        await asyncio.to_thread(counter.is_over.wait, PATIENCE)
    return counter.rate(count, due_at)


def apscheduler_jobs(scheduler: Any, count: int, func: Callable[..., object], due_at: float, **options: Any) -> None:
    """Jobs that fall due at one instant."""
    from apscheduler.triggers.interval import IntervalTrigger

    grid = IntervalTrigger(days=1, start_date=datetime.fromtimestamp(due_at, UTC), timezone="UTC")
    for number in range(count):
        scheduler.add_job(func, grid, id=f"job-{number}", **options)


@case("dispatch", "bare engine")
def bare_dispatch(scale: float, library: str) -> Figures:
    """Runs per second of a bare engine, in one thread."""
    from benchmarks.bare import BareEngine, bare_call
    from rota.drivers.engine import SMALL_ROUND

    count = scaled(10_000, scale)
    engine = BareEngine(count)
    began = time.perf_counter()
    for start in range(0, count, SMALL_ROUND):
        rows = engine.begin(engine.job_ids[start : start + SMALL_ROUND])
        for row in rows:
            Context().run(bare_call, row, no_op)
        engine.end(rows)
    return {"per_s": count / (time.perf_counter() - began)}


@case("dispatch", "apscheduler threads")
def apscheduler_threads(scale: float, library: str) -> Figures:
    from apscheduler.schedulers.background import BackgroundScheduler

    count = scaled(10_000, scale)
    counter, due_at = Counter(count), due_instant(count / 10_000)
    scheduler = BackgroundScheduler(timezone="UTC", executors={"default": {"type": "threadpool", "max_workers": 20}})
    apscheduler_jobs(scheduler, count, job_that(counter), due_at, misfire_grace_time=None)
    scheduler.start()
    counter.is_over.wait(PATIENCE)
    scheduler.shutdown()
    return counter.rate(count, due_at)


@case("dispatch", "apscheduler asyncio")
def apscheduler_asyncio(scale: float, library: str) -> Figures:
    return asyncio.run(_apscheduler_on_loop(scaled(10_000, scale)))


async def _apscheduler_on_loop(count: int) -> Figures:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    counter, due_at = Counter(count), due_instant(count / 10_000)

    async def job() -> None:
        counter.less()

    scheduler = AsyncIOScheduler(timezone="UTC")
    apscheduler_jobs(scheduler, count, job, due_at, misfire_grace_time=None)
    scheduler.start()
    await asyncio.to_thread(counter.is_over.wait, PATIENCE)
    scheduler.shutdown()
    return counter.rate(count, due_at)


@case("burst", "rota")
def rota_burst(scale: float, library: str) -> Figures:
    count = scaled(50_000, scale)
    ran = SimpleNamespace(count=0)
    mutex = threading.Lock()

    def job() -> None:
        with mutex:
            ran.count += 1

    figures = rota_rate(count, job)
    return {"lost": count - ran.count, **figures}


@case("burst", "apscheduler")
def apscheduler_burst(scale: float, library: str) -> Figures:
    """With the settings it comes with."""
    from apscheduler.schedulers.background import BackgroundScheduler

    count = scaled(50_000, scale)
    counter, due_at = Counter(count), due_instant(count / 10_000)
    scheduler = BackgroundScheduler(timezone="UTC")
    apscheduler_jobs(scheduler, count, job_that(counter), due_at)
    scheduler.start()
    counter.is_over.wait(due_at - time.time() + 20)
    scheduler.shutdown()
    return {"lost": max(0, counter.left)}
