"""Two nodes on one store: one whose clock is off, and one that was held up while the other went on."""

from datetime import timedelta

import pytest

from rota import Retry, Scheduler
from rota.backends.memory import MemoryStore
from rota.testing import FakeClock, FaultyStore
from rota.triggers import Interval
from rota.triggers.base import to_micros

START = "2026-01-01T00:00:00Z"


class Two:
    """A store with a clock of its own, and two nodes on it. `ahead`: by how much the clock of the first is off."""

    def __init__(self, trigger=None, **ahead):
        self.clock = FakeClock(START)
        self.store = MemoryStore(self.clock)
        self.started = []
        self.nodes = [self._node(FakeClock(self.clock.time + timedelta(**ahead)), trigger)]
        self.nodes.append(self._node(FakeClock(START), trigger))

    def _node(self, clock, trigger):
        scheduler = Scheduler("two", store=FaultyStore(self.store, shared=True), clock=clock)
        scheduler.add(lambda: self.started.append(self.clock.time), trigger, id="job")
        scheduler.start()
        return scheduler

    def fail(self):
        raise ValueError("as asked")

    def advance(self, *nodes, **span):
        """Let time pass for the store, and for these nodes; the others are held up."""
        seconds = timedelta(**span).total_seconds()
        for _ in range(round(seconds * 10)):
            self.clock.advance(seconds=0.1)
            for node in nodes:
                node._host.clock.advance(seconds=0.1)


@pytest.mark.parametrize("ahead", [{"days": 1}, {"minutes": 3}, {"minutes": -3}])
def test_a_run_that_is_asked_for_now_begins_now_whatever_the_clock_says(ahead):
    two = Two(**ahead)
    two.nodes[0].run_now("job")
    two.nodes[0].enqueue("job")
    two.advance(two.nodes[1], seconds=3)
    assert len(two.started) == 2


@pytest.mark.parametrize("ahead", [{"minutes": 3}, {"minutes": -3}])
def test_a_node_whose_clock_is_off_runs_its_ticks_on_time(ahead):
    two = Two(Interval(minutes=1), **ahead)
    two.advance(two.nodes[0], seconds=61)
    (started,) = two.started
    assert timedelta() <= started - two.clock.time + timedelta(seconds=1) < timedelta(seconds=0.3)


def test_a_clock_that_jumps_delays_nothing_that_is_asked_for():
    two = Two(Interval(minutes=1))
    two.nodes[0]._host.clock.step(days=1)
    two.advance(two.nodes[0], seconds=1)
    two.nodes[0].enqueue("job")
    two.advance(two.nodes[0], seconds=2)
    assert len(two.started) == 1


def test_a_clock_that_jumps_while_the_store_is_silent_delays_nothing_either():
    two = Two()
    first, second = two.nodes
    first.enqueue("job")
    two.advance(first, seconds=2)
    first._host.clock.step(days=1)
    first._host.runtime.store.fail_next("now", times=2)
    first.enqueue("job")
    two.advance(first, second, seconds=3)
    first.enqueue("job")
    two.advance(second, seconds=2)
    assert len(two.started) == 3


def test_a_clock_that_is_set_while_the_store_answers_delays_no_retry():
    two = Two()
    first = two.nodes[0]
    first.add(two.fail, id="failing", retry=Retry(attempts=2, wait_initial=1, wait_jitter=0))
    first._host.node.turn()
    run_id = first.run_now("failing")
    begin, clock = two.store.begin, first._host.clock

    def begin_slowly(asks):
        clock.step(days=1)
        return begin(asks)

    two.store.begin = begin_slowly
    first._host.clock.advance()
    del two.store.begin
    due = two.store.run(run_id).due
    assert due <= to_micros(two.clock.time) + 2_000_000


def test_ticks_that_others_disposed_of_are_not_disposed_of_again():
    two = Two(Interval(seconds=10))
    held_up, other = two.nodes
    two.advance(other, seconds=75)
    two.advance(seconds=20)
    held_up._host.clock._move(95_000_000)  # as if it had been stopped: time has passed, and it has done nothing
    held_up.pause("job", "to see")
    held_up._host.clock.advance(seconds=1)
    first = to_micros(two.clock.time) - 95_000_000
    ticks = [first + 10_000_000 * number for number in range(1, 10)]
    assert [len(two.store.runs_of_ticks("job", tick, tick)) for tick in ticks] == [1] * len(ticks)
