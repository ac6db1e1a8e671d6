"""Persistent: a thousand due at once, kept in an SQLite file."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.cases import Figures, case, scaled
from benchmarks.dispatching import PATIENCE, WORKERS, Counter, apscheduler_jobs, due_instant, no_op, rota_scheduler


@case("sqlite", "rota", "rota 100 workers")
def rota(scale: float, library: str) -> Figures:
    """Claims and records durable (`synchronous=FULL`), from due to the last record; with as many threads for jobs as
    Rota starts by itself, and with as many as the servers are measured with."""
    from rota.stores import SQLiteStore

    count = scaled(1_000, scale)
    counter, due_at = Counter(count), due_instant(0.5)

    class CountingStore(SQLiteStore):
        def swap(self, swaps: Sequence[Any]) -> Sequence[Any]:
            answers = super().swap(swaps)
            counter.less(len(answers))
            return answers

    with TemporaryDirectory() as directory:
        path = str(Path(directory, "rota.db"))
        workers = {"max_workers": WORKERS} if library.endswith("workers") else {}
        scheduler = rota_scheduler(count, no_op, counter, due_at, store=lambda: CountingStore(path, "bench"), **workers)
        scheduler.start()
        counter.is_over.wait(PATIENCE)
        scheduler.shutdown(1)
    return counter.rate(count, due_at)


_apscheduler_counter = Counter(0)
_mutex = threading.Lock()


def counted() -> None:
    """A job that a job store can name."""
    with _mutex:
        _apscheduler_counter.less()


@case("sqlite", "apscheduler")
def apscheduler(scale: float, library: str) -> Figures:
    """With its SQLAlchemy job store; it keeps schedules and no records."""
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler

    count = scaled(1_000, scale)
    due_at = time.time() + 1
    _apscheduler_counter.left = count
    with TemporaryDirectory() as directory:
        store = SQLAlchemyJobStore(f"sqlite:///{directory}/jobs.db")
        scheduler = BackgroundScheduler(jobstores={"default": store}, timezone="UTC")
        scheduler.start(paused=True)
        due = datetime.fromtimestamp(due_at, UTC)
        apscheduler_jobs(scheduler, count, counted, due_at, misfire_grace_time=None, next_run_time=due)
        began = time.time()
        scheduler.resume()
        _apscheduler_counter.is_over.wait(PATIENCE)
        scheduler.shutdown()
    return _apscheduler_counter.rate(count, max(began, due_at))


@case("sqlite", "huey")
def huey(scale: float, library: str) -> Figures:
    """A queue, to be worked off by four threads; results are not kept."""
    from huey import SqliteHuey

    count = scaled(1_000, scale)
    counter = Counter(count)
    mutex = threading.Lock()
    with TemporaryDirectory() as directory:
        queue = SqliteHuey(filename=f"{directory}/huey.db", results=False, fsync=True)

        @queue.task()
        def job() -> None:
            with mutex:
                counter.less()

        for _ in range(count):
            job()
        began = time.time()
        workers = [threading.Thread(target=_work_off, args=(queue, counter), daemon=True) for _ in range(4)]
        for worker in workers:
            worker.start()
        counter.is_over.wait(PATIENCE)
        for worker in workers:
            worker.join()
    return counter.rate(count, began)


def _work_off(queue: Any, counter: Counter) -> None:
    while not counter.is_over.is_set():
        task = queue.dequeue()
        if task is None:
            return
        queue.execute(task)
