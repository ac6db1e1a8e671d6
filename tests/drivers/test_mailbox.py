"""The engine's mailbox: nothing is lost, the order is kept, and who may wait wakes nobody."""

import threading
from queue import Empty

import pytest

from rota.clock import SystemClock
from rota.drivers.mailbox import EARLY, SOON, TIMER_SLACK, Mailbox


def sleeper(mailbox, seconds):
    """A thread that sleeps on the mailbox, once it has begun to; and what is set when it wakes."""
    woken = threading.Event()

    def sleep():
        mailbox.wait(seconds)
        woken.set()

    threading.Thread(target=sleep, daemon=True).start()
    return woken


def asleep(mailbox):
    """Wait until somebody sleeps on it."""
    deadline = threading.Event()
    while mailbox._sleeps_until == float("-inf"):
        assert not deadline.wait(0.001)


def test_messages_are_taken_in_the_order_in_which_they_were_left():
    mailbox = Mailbox(SystemClock())
    mailbox.put(1)
    mailbox.put_soon(2)
    mailbox.put(3)
    assert len(mailbox.messages) == 3
    assert list(mailbox.take()) == [1, 2, 3]
    assert list(mailbox.take()) == []


def test_what_is_left_while_messages_are_taken_is_there_the_next_time():
    mailbox = Mailbox(SystemClock())
    mailbox.put(1)
    taken = []
    for message in mailbox.take():
        taken.append(message)
        mailbox.put(message + 1)
    assert taken == [1]
    assert list(mailbox.take()) == [2]


def test_who_has_mail_does_not_sleep():
    mailbox = Mailbox(SystemClock())
    mailbox.put_soon("an ended call")
    mailbox.wait(1_000)
    assert len(mailbox.messages) == 1


def test_a_sleep_is_never_shorter_than_asked_for():
    mailbox = Mailbox(SystemClock())
    for seconds in (0.00001, 0.0005, 0.001):
        begun_at = SystemClock().monotonic()
        mailbox.wait(seconds)
        assert SystemClock().monotonic() - begun_at >= seconds


def test_a_sleeper_is_woken():
    for put in (Mailbox.put, Mailbox.put_soon):
        mailbox = Mailbox(SystemClock())
        woken = sleeper(mailbox, 1_000)
        asleep(mailbox)
        put(mailbox, "a message")
        assert woken.wait(60)


class StandingClock(SystemClock):
    """Its monotonic time does not move; who waits for it is told so."""

    def __init__(self):
        self.looks = 0

    def monotonic(self):
        self.looks += 1
        assert self.looks < 100
        return 0.0


def test_an_ended_call_does_not_ring_where_a_wake_up_is_near():
    mailbox = Mailbox(StandingClock())
    mailbox._sleeps_until = SOON  # as a sleeper leaves it
    mailbox.put_soon("an ended call")
    assert mailbox._bell.empty()
    mailbox.put("a command")
    assert not mailbox._bell.empty()


class HeardInSleep:
    """A bell that never rings; a call ends while it is listened to, too late to ring it."""

    def __init__(self, mailbox):
        self.mailbox = mailbox
        self.timeouts = []

    def get(self, timeout):
        self.timeouts.append(timeout)
        self.mailbox.messages.append("an ended call")
        raise Empty


def test_who_expects_the_end_of_a_call_looks_for_it_before_the_sleep_is_over(monkeypatch):
    monkeypatch.setattr("rota.drivers.mailbox.SYSTEM", StandingClock())
    mailbox = Mailbox(StandingClock())
    mailbox._bell = HeardInSleep(mailbox)
    mailbox.wait(1.0, for_ends=True)
    assert mailbox._bell.timeouts == pytest.approx([1.0 - EARLY - TIMER_SLACK])
    assert list(mailbox.messages) == ["an ended call"]


def test_where_nothing_has_ended_by_then_it_sleeps_on():
    mailbox = Mailbox(SystemClock())
    begun_at = SystemClock().monotonic()
    mailbox.wait(0.001, for_ends=True)
    assert SystemClock().monotonic() - begun_at >= 0.001


def test_who_expects_no_end_does_not_look(monkeypatch):
    clock = StandingClock()
    monkeypatch.setattr("rota.drivers.mailbox.SYSTEM", clock)
    mailbox = Mailbox(StandingClock())
    mailbox._bell = HeardInSleep(mailbox)
    with pytest.raises(AssertionError):  # it waits for the time to pass
        mailbox.wait(1.0)
    assert mailbox._bell.timeouts == pytest.approx([1.0 - TIMER_SLACK])


def test_of_many_messages_to_a_sleeper_only_the_first_rings():
    mailbox = Mailbox(StandingClock())
    mailbox._sleeps_until = 30.0
    for number in range(10):
        mailbox.put_soon(number)
    assert mailbox._bell.qsize() == 1


def test_nothing_is_missed_when_many_threads_leave_messages_while_one_sleeps_and_takes():
    mailbox = Mailbox(SystemClock())
    each, threads, taken = 2_000, 4, []

    def leave(name):
        for number in range(each):
            (mailbox.put if number % 3 == 0 else mailbox.put_soon)((name, number))

    writers = [threading.Thread(target=leave, args=(name,)) for name in range(threads)]
    for writer in writers:
        writer.start()
    while len(taken) < each * threads:
        mailbox.wait(30)
        taken += mailbox.take()
    for writer in writers:
        writer.join()
    for name in range(threads):
        assert [number for who, number in taken if who == name] == list(range(each))
