"""What the main thread does under `run()` when signals come, without any being sent."""

from __future__ import annotations

import signal
import time

import pytest
from tests.hand_clock import HandClock

from rota.drivers.hosting.blocking import IMPATIENT_AFTER, wait_for_the_end
from rota.drivers.signals import StopSignals


class Scripted(StopSignals):
    """Signals that come one after the other, each at its time, each with those that come along."""

    def __init__(self, clock: HandClock, *script: tuple[float, list[int]]) -> None:
        super().__init__()
        self._clock = clock
        self._script = iter(script)

    def wait(self) -> bool:
        self._clock.seconds, numbers = next(self._script, (self._clock.seconds, []))
        for number in numbers:
            self._handle(number, None)
        if not numbers:
            self.end()
        return super().wait()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def told(clock: HandClock, *script: tuple[float, list[int]]) -> list[str]:
    words: list[str] = []
    with Scripted(clock, *script) as signals:
        wait_for_the_end(signals, lambda: words.append("shutdown"), lambda: words.append("hurry"), clock.monotonic)
    return words


INT, TERM = signal.SIGINT, signal.SIGTERM


def test_the_first_one_shuts_down(clock):
    assert told(clock, (0, [TERM])) == told(clock, (0, [INT])) == ["shutdown"]


def test_a_second_ctrl_c_well_after_the_first_hurries(clock):
    assert told(clock, (0, [INT]), (IMPATIENT_AFTER, [INT])) == ["shutdown", "hurry"]
    assert told(clock, (0, [TERM]), (IMPATIENT_AFTER, [INT])) == ["shutdown", "hurry"]


def test_one_that_a_wrapper_passes_on_hurries_nobody(clock):
    assert told(clock, (0, [INT]), (0.9 * IMPATIENT_AFTER, [INT])) == ["shutdown"]


def test_a_second_sigterm_hurries_nobody(clock):
    assert told(clock, (0, [TERM]), (60, [TERM])) == ["shutdown"]


@pytest.mark.parametrize("numbers", [[INT, TERM], [TERM, INT]])
def test_a_ctrl_c_counts_whatever_comes_along(clock, numbers):
    assert told(clock, (0, [TERM]), (60, numbers), (61, [TERM])) == ["shutdown", "hurry"]


def test_the_end_may_be_told_when_nobody_waits_any_more(clock):
    with Scripted(clock) as signals:
        pass
    signals.end()
    assert signals.wait()


def test_what_the_shutdown_raises_is_raised_when_it_is_over():
    def fail() -> None:
        raise ZeroDivisionError

    class Waiting(StopSignals):
        asked = False

        def wait(self) -> bool:
            if not self.asked:
                self.asked = True
                self._handle(TERM, None)
            return super().wait()

    with Waiting() as signals, pytest.raises(ZeroDivisionError):
        wait_for_the_end(signals, fail, lambda: None)

    with Waiting() as signals, pytest.raises(ZeroDivisionError):
        wait_for_the_end(signals, lambda: (signals.end(), time.sleep(0.05), fail()), lambda: None)
