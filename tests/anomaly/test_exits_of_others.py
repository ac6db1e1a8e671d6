"""The code of others raises what ends threads: none of Rota's ends by it, and the run that was asked for is made."""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.waiting import until

from rota import Scheduler
from rota.clock import SYSTEM
from rota.drivers.renewal import Renewal
from rota.executors.thread import ThreadExecutor
from rota.locks import MemoryLocks
from rota.stores import MemoryStore
from rota.testing.faults import FaultyLocks, FaultyStore
from rota.triggers import Excluding, Interval

pytestmark = pytest.mark.any_versions

KINDS = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


class Once:
    """Raises when it is first asked in a thread of Rota's."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind
        self.has_raised = False

    def ask(self) -> None:
        if not self.has_raised and threading.current_thread() is not threading.main_thread():
            self.has_raised = True
            raise self.kind


def runs_on(scheduler: Scheduler, break_it: Callable[[], object] = lambda: None) -> None:
    """Break it, then see that a run that was asked for succeeds."""
    scheduler.add(lambda: None, id="job")
    scheduler.start()
    try:
        break_it()
        run_id = scheduler.run_now("job")
        assert until(lambda: scheduler.get_run(run_id).status == "succeeded"), scheduler.health()
        assert until(lambda: scheduler.health().alive)
    finally:
        scheduler.shutdown(0)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", ["begin", "swap"])
def test_a_store(kind, method, after):
    store = FaultyStore(MemoryStore(), error=kind)
    runs_on(Scheduler("exits", store=store), lambda: store.fail_next(method, after=after))
    assert store.failed == [method]


def test_a_store_that_is_asked_for_work(kind):
    store = FaultyStore(MemoryStore(), shared=True, error=kind)
    runs_on(Scheduler("exits", store=store), lambda: (store.fail_next("due"), until(lambda: store.failed)))
    assert store.failed == ["due"]


@pytest.mark.parametrize("method", ["acquire", "claim"])
def test_locks(kind, method):
    locks = FaultyLocks(MemoryLocks(), error=kind)
    scheduler = Scheduler("exits", locks=locks)
    scheduler.add(lambda: None, Interval(timedelta(seconds=1)), id="tick")
    runs_on(scheduler, lambda: (locks.fail_next(method), until(lambda: locks.failed)))
    assert locks.failed == [method]


def test_a_store_and_locks_that_are_asked_how_they_are(kind):
    store, locks = FaultyStore(MemoryStore(), error=kind), FaultyLocks(MemoryLocks(), error=kind)
    scheduler = Scheduler("exits", store=store, locks=locks)
    assert (scheduler.health().store, scheduler.health().locks) == (True, True)
    store.down = locks.down = True
    assert (scheduler.health().store, scheduler.health().locks) == (False, False)


def test_locks_whose_leases_are_renewed(kind):
    once, renewed = Once(kind), threading.Event()

    class Held:
        interval = 0.01

        def renew(self):
            once.ask()
            renewed.set()

    renewal = Renewal(SYSTEM)
    renewal.add(Held())
    assert renewed.wait(60)
    renewal.stop()


def test_the_hosts_logging(kind):
    once = Once(kind)
    handler = logging.Handler()
    handler.emit = lambda record: once.ask()
    log = logging.getLogger("rota")
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        store = FaultyStore(MemoryStore())
        runs_on(Scheduler("exits", store=store), lambda: store.fail_next("begin"))
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    assert once.has_raised


def test_excluded_dates(kind):
    once = Once(kind)

    class Dates:
        def __contains__(self, date):
            once.ask()
            return False

    scheduler = Scheduler()
    scheduler.add(lambda: None, Excluding(Interval(timedelta(seconds=1)), Dates()), id="ticks")
    runs_on(scheduler, lambda: until(lambda: once.has_raised))
    assert once.has_raised


def test_excluded_dates_that_a_run_asks_for_as_its_turn_comes(kind):
    once, let_go = Once(kind), threading.Event()
    once.has_raised = True

    class Dates:
        def __contains__(self, date):
            once.ask()
            return False

    scheduler = Scheduler()
    trigger = Excluding(Interval(timedelta(seconds=1)), Dates())
    scheduler.add(lambda: let_go.wait(60), trigger, id="ticks", overlap="queue", catch_up="all", max_runs=2)
    scheduler.start()
    assert until(lambda: len(scheduler.runs("ticks")) == 2)
    once.has_raised = False
    let_go.set()
    assert until(lambda: [run.status for run in scheduler.runs("ticks")] == ["succeeded"] * 2)
    assert once.has_raised
    scheduler.shutdown(0)


@pytest.mark.parametrize("method", ["capacity", "submit"])
def test_an_executor(kind, method):
    once = Once(kind)
    executor = ThreadExecutor()
    inner = getattr(executor, method)

    def broken(*args):
        once.ask()
        return inner(*args)

    setattr(executor, method, broken)
    scheduler = Scheduler(executors={"mine": executor})
    scheduler.add(lambda: None, id="mine", executor="mine")
    runs_on(scheduler, lambda: scheduler.run_now("mine"))
    assert once.has_raised


def test_where_the_thread_ends_all_the_same_it_is_told_why(monkeypatch, caplog):
    scheduler = Scheduler()
    scheduler.start()
    engine = scheduler._host.node.engine

    def leave(seconds):
        raise SystemExit("over")

    monkeypatch.setattr(engine, "wait", leave)
    engine.post(None)
    assert until(lambda: not scheduler.health().alive)
    assert scheduler.health().why == "its thread has ended with SystemExit: over"
    assert [record.levelname for record in caplog.records if "engine.thread_ended" in record.message] == ["ERROR"]
    scheduler.shutdown(0)
