"""Held leases are renewed in time, each on its own, by a thread that exists only while there is something to renew."""

import os
import threading

import pytest
from tests.hand_clock import HandClock

from rota.clock import SystemClock
from rota.drivers import renewal as renewal_module
from rota.drivers.renewal import Renewal

DEADLINE = 60.0


class Counted:
    def __init__(self, interval: float, *, error: Exception | None = None) -> None:
        self.interval = interval
        self.error = error
        self.times = 0
        self.renewed = threading.Event()

    def renew(self) -> None:
        self.times += 1
        self.renewed.set()
        if self.error is not None:
            raise self.error


def by_hand() -> tuple[Renewal, HandClock]:
    clock = HandClock()
    return Renewal(clock, threaded=False), clock


def test_each_is_renewed_at_its_own_interval():
    renewal, clock = by_hand()
    slow, quick = Counted(10.0), Counted(4.0)
    renewal.add(slow)
    renewal.add(quick)
    for _ in range(20):
        clock.seconds += 1
        renewal.renew_due(clock.seconds)
    assert (slow.times, quick.times) == (2, 5)


def test_next_due_tells_when_to_turn_the_crank():
    renewal, _ = by_hand()
    assert renewal.next_due() is None
    one = Counted(10.0)
    renewal.add(one)
    assert renewal.next_due() == 1_010.0
    assert renewal.renew_due(1_009.9) == 0
    assert renewal.renew_due(1_010.5) == 1
    assert renewal.next_due() == 1_020.5
    renewal.remove(one)
    renewal.remove(one)
    assert renewal.next_due() is None


def test_the_longest_due_is_renewed_first():
    renewal, _ = by_hand()
    order = []

    class Named(Counted):
        def renew(self) -> None:
            order.append(self.interval)

    for interval in (9.0, 3.0, 6.0):
        renewal.add(Named(interval))
    renewal.renew_due(1_100.0)
    assert order == [3.0, 6.0, 9.0]


def test_one_that_raises_is_logged_tried_again_soon_and_keeps_no_other_from_its_turn(caplog):
    renewal, _ = by_hand()
    broken, sound = Counted(8.0, error=RuntimeError("no answer")), Counted(9.0)
    renewal.add(broken)
    renewal.add(sound)
    assert renewal.renew_due(1_009.0) == 2
    assert sound.times == 1
    assert caplog.messages == ["lease.renewal_failed error_type=RuntimeError error='no answer'"]
    assert renewal.next_due() == 1_011.0


def test_an_outage_is_logged_once_and_the_next_one_again(caplog):
    renewal, _ = by_hand()
    one = Counted(8.0, error=RuntimeError("no answer"))
    renewal.add(one)
    for now in (1_008.0, 1_010.0, 1_012.0):
        assert renewal.renew_due(now) == 1
    assert len(caplog.messages) == 1
    error, one.error = one.error, None
    renewal.renew_due(1_014.0)
    one.error = error
    renewal.renew_due(1_022.0)
    assert len(caplog.messages) == 2


def test_one_may_remove_itself_while_it_is_renewed():
    renewal, _ = by_hand()

    class Once(Counted):
        def renew(self) -> None:
            renewal.remove(self)
            raise RuntimeError("gone")

    renewal.add(Once(1.0))
    renewal.renew_due(1_001.0)
    assert renewal.next_due() is None


def test_a_child_after_a_fork_holds_nothing():
    renewal, _ = by_hand()
    renewal.add(Counted(1.0))
    renewal.after_fork_in_child()
    assert renewal.next_due() is None


# The thread ------------------------------------------------------------------------------------------------------


@pytest.fixture
def threaded():
    renewal = Renewal(SystemClock())
    yield renewal
    renewal.stop()


def until_no_thread(renewal: Renewal) -> bool:
    thread = renewal._thread
    if thread is not None:
        thread.join(DEADLINE)
    return renewal._thread is None


def test_there_is_no_thread_before_there_is_something_to_renew(threaded):
    assert threaded._thread is None
    threaded.add(Counted(60.0))
    assert threaded._thread.daemon


def test_a_thread_renews_again_and_again(threaded):
    one = Counted(0.01)
    threaded.add(one)
    for _ in range(3):
        assert one.renewed.wait(DEADLINE)
        one.renewed.clear()


def test_the_thread_ends_when_nothing_is_left_and_starts_again(threaded):
    one = Counted(0.01)
    threaded.add(one)
    assert one.renewed.wait(DEADLINE)
    threaded.remove(one)
    assert until_no_thread(threaded)
    two = Counted(0.01)
    threaded.add(two)
    assert two.renewed.wait(DEADLINE)


def test_what_is_due_earlier_wakes_a_thread_that_sleeps_for_longer(threaded):
    threaded.add(Counted(3_600.0))
    quick = Counted(0.01)
    threaded.add(quick)
    assert quick.renewed.wait(DEADLINE)


def test_many_short_runs_start_one_thread(threaded, monkeypatch):
    started = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: (started.append(self), start(self)))
    for _ in range(200):
        one = Counted(60.0)
        threaded.add(one)
        threaded.remove(one)
    assert len(started) == 1


def test_additions_while_the_thread_signs_off_are_not_missed(threaded):
    for _ in range(300):
        one = Counted(0.001)
        threaded.add(one)
        assert one.renewed.wait(DEADLINE)
        threaded.remove(one)


def test_one_that_blocks_is_not_waited_for_by_remove(threaded):
    entered, leave = threading.Event(), threading.Event()

    class Blocking(Counted):
        def renew(self) -> None:
            entered.set()
            leave.wait(DEADLINE)

    one = Blocking(0.01)
    threaded.add(one)
    assert entered.wait(DEADLINE)
    threaded.remove(one)
    leave.set()
    assert until_no_thread(threaded)


def test_stop_ends_the_thread_at_once(threaded):
    threaded.add(Counted(3_600.0))
    thread = threaded._thread
    threaded.stop()
    assert not thread.is_alive()
    assert threaded.next_due() is None


def test_no_wait_is_longer_than_30_seconds(threaded, monkeypatch):
    waits = []
    waited = threading.Event()
    wait = threaded._changed.wait
    monkeypatch.setattr(threaded._changed, "wait", lambda seconds: (waits.append(seconds), waited.set(), wait(seconds)))
    threaded.add(Counted(3_600.0))
    assert waited.wait(DEADLINE)
    threaded.stop()
    assert waits == [renewal_module.LONGEST_WAIT] == [30.0]


def test_a_thread_that_cannot_be_started_is_logged_and_tried_again(threaded, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("no more threads")))
        threaded.add(Counted(60.0))
    assert "no more threads" in caplog.text
    one = Counted(0.01)
    threaded.add(one)
    assert one.renewed.wait(DEADLINE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_start_its_own_thread(threaded):
    threaded.add(Counted(60.0))
    child = os.fork()
    if child == 0:
        threaded.after_fork_in_child()
        one = Counted(0.01)
        threaded.add(one)
        os._exit(0 if one.renewed.wait(DEADLINE) and threaded._thread is not None else 1)
    assert os.waitpid(child, 0)[1] == 0
