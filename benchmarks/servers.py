"""Servers: a thousand due at once, kept on Redis or in an SQL database, as durable as the server is told to be.

The server is the one that `tests.services` gives: that of ROTA_TEST_REDIS_URL, say, or one that a wheel brings.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests import services

from benchmarks.cases import Figures, case, scaled
from benchmarks.dispatching import PATIENCE, WORKERS, Counter, apscheduler_jobs, due_instant, no_op, rota_scheduler


class CountingStore:
    """Hands every call on to `store`, counts the calls, each of which is one round trip, and the records of ended
    runs."""

    def __init__(self, store: Any, counter: Counter) -> None:
        self._store = store
        self._counter = counter
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            answers = found(*args, **kwargs)
            if name == "swap":
                self._counter.less(len(answers))
            return answers

        return call


def rota_on(store: Any, count: int, sent: list[str] | None = None) -> Figures:
    """Runs per second from due to the last record, and round trips per run: calls, or what has been `sent`."""
    counter, due_at = Counter(count), due_instant(1.0)
    counting = CountingStore(store, counter)
    scheduler = rota_scheduler(count, no_op, counter, due_at, store=counting, max_workers=WORKERS)
    scheduler.start()
    threading.Event().wait(due_at - time.time() - 0.5)
    before = counting.calls if sent is None else len(sent)
    counter.is_over.wait(PATIENCE)
    trips = (counting.calls if sent is None else len(sent)) - before
    scheduler.shutdown(1)
    return {**counter.rate(count, due_at), "round_trips": trips / count}


@case("redis", "rota")
def rota(scale: float, library: str) -> Figures:
    """Claims, leases and records in scripts."""
    from rota.stores import RedisStore

    with services.opened():
        return rota_on(RedisStore(services.url("redis"), uuid4().hex), scaled(1_000, scale))


def rota_in_sql(server: str, count: int) -> Figures:
    """Claims, leases and records in transactions; each statement and each commit is a round trip."""
    from sqlalchemy import event

    from rota.backends import sql_transaction
    from rota.stores import SQLStore

    sent: list[str] = []
    with services.opened():
        store = SQLStore(services.url(server), uuid4().hex)
        engine = store._space._database.engine  # noqa: SLF001  # what goes over the wire is counted at its engine
        event.listen(engine, "before_cursor_execute", lambda *sending: sent.append(sending[2]))
        event.listen(engine, "commit", lambda _: sent.append("COMMIT"))
        several = sql_transaction.send_at_once

        def send_at_once(*arguments: Any) -> Any:
            sent.append("several at once")
            return several(*arguments)

        sql_transaction.send_at_once = send_at_once
        return rota_on(store, count, sent)


@case("postgresql", "rota")
def rota_in_postgresql(scale: float, library: str) -> Figures:
    """On PostgreSQL."""
    return rota_in_sql("postgresql", scaled(1_000, scale))


@case("mysql", "rota")
def rota_in_mysql(scale: float, library: str) -> Figures:
    """On MySQL or MariaDB."""
    return rota_in_sql("mysql", scaled(1_000, scale))


_apscheduler_counter = Counter(0)
_mutex = threading.Lock()


def counted() -> None:
    """A job that a job store can name."""
    with _mutex:
        _apscheduler_counter.less()


def apscheduler_on(store: Any, count: int) -> Figures:
    """The same with APScheduler, which keeps schedules and no records."""
    from apscheduler.schedulers.background import BackgroundScheduler

    due_at = time.time() + 1
    _apscheduler_counter.left = count
    executors = {"default": {"type": "threadpool", "max_workers": WORKERS}}
    scheduler = BackgroundScheduler(jobstores={"default": store}, executors=executors, timezone="UTC")
    scheduler.start(paused=True)
    due = datetime.fromtimestamp(due_at, UTC)
    apscheduler_jobs(scheduler, count, counted, due_at, misfire_grace_time=None, next_run_time=due)
    began = time.time()
    scheduler.resume()
    _apscheduler_counter.is_over.wait(PATIENCE)
    scheduler.shutdown()
    return _apscheduler_counter.rate(count, max(began, due_at))


@case("redis", "apscheduler")
def apscheduler(scale: float, library: str) -> Figures:
    """With its Redis job store."""
    from apscheduler.jobstores.redis import RedisJobStore
    from redis import ConnectionPool

    with services.opened():
        pool = ConnectionPool.from_url(services.url("redis"))
        return apscheduler_on(RedisJobStore(connection_pool=pool), scaled(1_000, scale))


def apscheduler_in_sql(server: str, count: int) -> Figures:
    """With its SQLAlchemy job store."""
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore

    from rota.backends.sql_engine import chosen_url

    with services.opened():
        return apscheduler_on(SQLAlchemyJobStore(str(chosen_url(services.url(server)))), count)


@case("postgresql", "apscheduler")
def apscheduler_in_postgresql(scale: float, library: str) -> Figures:
    """On PostgreSQL."""
    return apscheduler_in_sql("postgresql", scaled(1_000, scale))


@case("mysql", "apscheduler")
def apscheduler_in_mysql(scale: float, library: str) -> Figures:
    """On MySQL or MariaDB."""
    return apscheduler_in_sql("mysql", scaled(1_000, scale))
