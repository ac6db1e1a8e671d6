"""Several schedulers of one name on one store in memory, in one process: each hears what is asked for at the others."""

import threading
from datetime import timedelta

import pytest
from tests.waiting import LONGER, PATIENCE, until

from rota import Scheduler
from rota.drivers import neighbours
from rota.stores import MemoryStore
from rota.testing import FakeClock
from rota.triggers import Interval

START = "2026-01-01T00:00:00Z"


class Pair:
    """Two schedulers on one store, as two factories of one program may make them, and whose function began a run."""

    def __init__(self, clock=None, **options):
        self.store = MemoryStore(clock)
        self.ran = []
        self.let_go = threading.Event()
        self.asking, self.working = (Scheduler("pair", store=self.store, clock=clock) for _ in range(2))
        self.of = {"asking": self.asking, "working": self.working}
        for name, scheduler in self.of.items():
            scheduler.add(lambda name=name: self.ran.append(name), id="quick", **options)

    def add_slow(self, trigger=None, **options):
        def slow(run, name):
            self.ran.append(name)
            while not self.let_go.wait(0.01):
                run.check_cancelled()

        for name, scheduler in self.of.items():
            scheduler.add(slow, trigger, id="slow", kwargs={"name": name}, **options)

    def start(self):
        for scheduler in self.of.values():
            assert scheduler.start()


@pytest.fixture
def pair():
    made = Pair()
    yield made
    made.let_go.set()
    for scheduler in made.of.values():
        scheduler.shutdown(2)


@pytest.fixture
def clock():
    return FakeClock(START)


def test_what_is_asked_for_at_one_begins_at_the_other_at_once(clock):
    pair = Pair(clock)
    pair.working.start()
    pair.asking.run_now("quick")
    pair.asking.enqueue("quick")
    clock.advance()
    assert pair.ran == ["working", "working"]


def test_what_is_put_off_at_one_begins_at_the_other_when_it_is_due(clock):
    pair = Pair(clock)
    pair.working.start()
    pair.asking.enqueue("quick", delay=timedelta(minutes=5))
    clock.advance(minutes=4)
    assert pair.ran == []
    clock.advance(minutes=1)
    assert pair.ran == ["working"]


def test_what_is_cancelled_at_one_does_not_begin_at_the_other(clock):
    pair = Pair(clock)
    pair.working.start()
    run_id = pair.asking.enqueue("quick", delay=60)
    assert pair.asking.cancel(run_id)
    clock.advance(minutes=2)
    assert pair.ran == []


def test_each_run_is_run_once_where_both_are_started(clock):
    pair = Pair(clock)
    pair.start()
    for _ in range(10):
        pair.asking.run_now("quick")
        pair.working.enqueue("quick", delay=1)
        clock.advance(seconds=1)
    assert len(pair.ran) == 20
    assert {run.status for run in pair.working.runs()} == {"succeeded"}


def test_schedulers_of_other_names_hear_nothing(clock):
    pair = Pair(clock)
    pair.working.start()
    other = Scheduler("other", store=pair.store, clock=clock)
    other.add(lambda: pair.ran.append("other"), id="quick")
    other.run_now("quick")
    clock.advance()
    assert pair.ran == []


def test_an_idle_day_of_both_is_one_move(clock):
    pair = Pair(clock)
    pair.start()
    clock.advance()
    turns = []
    for scheduler in pair.of.values():
        turn = scheduler._host.node.engine.turn
        scheduler._host.node.engine.turn = lambda turn=turn: turns.append(1) or turn()
    clock.advance(days=1)
    assert len(turns) < 10


def test_a_run_at_work_is_told_at_once_that_the_other_has_cancelled_it(pair):
    pair.add_slow()
    pair.working.start()
    run_id = pair.asking.run_now("slow")
    assert until(lambda: pair.ran)
    assert pair.asking.cancel(run_id)
    assert until(lambda: pair.asking.get_run(run_id).status == "cancelled")


def test_what_stops_for_the_shutdown_of_one_goes_on_at_the_other(pair):
    pair.add_slow()
    pair.start()
    run_id = pair.asking.run_now("slow")
    assert until(lambda: pair.ran)
    [first] = pair.ran
    pair.of[first].shutdown(PATIENCE)
    assert until(lambda: len(pair.ran) == 2)
    assert set(pair.ran) == {"asking", "working"}
    pair.let_go.set()
    assert until(lambda: pair.working.get_run(run_id).status == "succeeded")


def test_a_tick_that_waits_for_a_run_of_the_other_begins_when_that_has_ended(pair):
    pair.add_slow(Interval(timedelta(seconds=1)), overlap="queue")
    pair.asking.start()
    assert until(lambda: pair.ran)
    pair.working.start()
    pair.asking.remove("slow")  # it does not begin another one, and what it runs goes on
    assert until(lambda: pair.working.runs("slow", status="queued"))
    pair.let_go.set()
    assert until(lambda: "working" in pair.ran)


def test_a_run_that_takes_longer_than_a_lease_is_not_taken_over_by_the_other(pair):
    told = []

    def long():
        told.append(1)
        pair.let_go.wait(LONGER)

    for scheduler in pair.of.values():
        scheduler.configure(lease_ttl=1.0)
        scheduler.add(long, id="long", max_running=1)
        scheduler.start()
    first, second = (pair.asking.run_now("long") for _ in range(2))  # the second has both look into the store
    assert until(lambda: told)
    later = pair.asking.enqueue("quick", delay=3)
    assert until(lambda: pair.asking.get_run(later).status == "succeeded")
    assert len(told) == 1
    pair.let_go.set()
    assert until(lambda: {pair.asking.get_run(run_id).status for run_id in (first, second)} == {"succeeded"})
    assert len(told) == 2


def test_one_that_is_over_is_told_nothing_more(clock):
    pair = Pair(clock)
    pair.start()
    assert len(neighbours.on(pair.store)) == 2
    pair.working.shutdown()
    assert len(neighbours.on(pair.store)) == 1
