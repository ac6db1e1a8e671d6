"""When this machine's wall clock is trusted."""

import pytest

from rota.backends.embedded_clock import EmbeddedClock, Sighting, is_worth_keeping
from rota.testing.conformance import ContractClock


def test_time_that_passes_is_settled():
    clock = ContractClock()
    watched = EmbeddedClock(clock)
    for seconds in (0, 1, 3600, 86_400 * 400):
        clock.advance(seconds)
        moment = watched.observe()
        assert moment.settled
        assert moment.now == moment.prudent == clock.now()


@pytest.mark.parametrize("step", [1.5, -1.5, 86_400.0, -86_400.0])
def test_a_step_is_trusted_after_half_a_minute(step):
    clock = ContractClock()
    watched = EmbeddedClock(clock)
    watched.observe()
    clock.step(step)
    assert not watched.observe().settled
    clock.advance(29.9)
    assert not watched.observe().settled
    clock.advance(0.2)
    assert watched.observe().settled


def test_a_clock_being_disciplined_is_followed():
    clock = ContractClock()
    watched = EmbeddedClock(clock)
    for _ in range(100):
        clock.advance(60.0)
        clock.step(0.3)
        assert watched.observe().settled


def test_each_step_begins_the_half_minute_anew():
    clock = ContractClock()
    watched = EmbeddedClock(clock)
    watched.observe()
    clock.step(3600.0)
    watched.observe()
    clock.advance(20.0)
    clock.step(-3600.0)
    watched.observe()
    clock.advance(20.0)
    assert not watched.observe().settled
    clock.advance(10.1)
    assert watched.observe().settled


def test_until_it_is_settled_the_earlier_time_is_prudent():
    clock = ContractClock()
    watched = EmbeddedClock(clock)
    before = watched.observe().now
    clock.step(86_400.0)
    assert watched.observe().prudent == before
    clock.step(-2 * 86_400.0)
    assert watched.observe().prudent == clock.now()


def test_a_reading_that_was_held_up_is_read_again():
    class Held(ContractClock):
        held = 1

        def now(self):
            now = super().now()
            if self.held:
                self.held -= 1
                self.advance(5.0)
            return now

    clock = Held()
    watched = EmbeddedClock(clock)
    watched.observe()
    clock.held = 3
    assert watched.observe().settled


def test_a_new_process_judges_by_what_was_kept():
    clock = ContractClock()
    first = EmbeddedClock(clock)
    first.observe()
    kept = first.last
    clock.advance(100.0)
    assert EmbeddedClock(clock).observe_after(kept).settled
    clock.step(3600.0)
    second = EmbeddedClock(clock)
    assert not second.observe_after(kept).settled
    assert is_worth_keeping(second.last, kept)
    third = EmbeddedClock(clock)
    assert not third.observe_after(second.last).settled


def test_what_this_process_saw_later_counts_more_than_what_was_kept():
    clock = ContractClock()
    watched = EmbeddedClock(clock)
    watched.observe()
    kept = watched.last
    clock.step(3600.0)
    watched.observe()
    clock.advance(31.0)
    assert watched.observe_after(kept).settled


def test_after_a_restart_only_an_earlier_time_is_doubted():
    clock = ContractClock()
    first = EmbeddedClock(clock)
    first.observe()
    rebooted = clock.rebooted()
    assert EmbeddedClock(rebooted).observe_after(first.last).settled
    rebooted.step(-86_400.0)
    assert not EmbeddedClock(rebooted).observe_after(first.last).settled


def test_nothing_is_kept_again_without_need():
    clock = ContractClock()
    watched = EmbeddedClock(clock)
    watched.observe()
    kept = watched.last
    clock.advance(5.0)
    watched.observe_after(kept)
    assert not is_worth_keeping(watched.last, kept)
    assert is_worth_keeping(watched.last, None)
    assert is_worth_keeping(watched.last, Sighting("other", *kept[1:]))
