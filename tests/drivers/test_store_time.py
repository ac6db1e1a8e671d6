"""How far the store's clock is from a node's, when the answer takes its time."""

from types import SimpleNamespace
from typing import Any

import pytest
from tests.hand_clock import HandClock

from rota.drivers.store_time import store_ahead

SECOND = 1_000_000
DAY = 86_400 * SECOND


def ahead(skew: float, *, on_the_way: float = 0.0, on_the_way_back: float = 0.0) -> float:
    """What a node makes of a store whose clock is `skew` seconds ahead, in seconds."""
    clock = HandClock()

    def now() -> int:
        clock.seconds += on_the_way
        said = clock.now() + round(skew * SECOND)
        clock.seconds += on_the_way_back
        return said

    store: Any = SimpleNamespace(now=now)
    return store_ahead(store, clock) / SECOND


@pytest.mark.parametrize(("skew", "told"), [(0, 0), (0.9, 0), (-0.9, 0), (2, 2), (-180, -180), (180, 180)])
def test_clocks_that_are_off_are_told_apart(skew, told):
    assert ahead(skew) == told


@pytest.mark.parametrize("delay", [{"on_the_way": 10}, {"on_the_way_back": 10}])
def test_a_slow_answer_does_not_put_a_clock_off_that_is_right(delay):
    assert ahead(0, **delay) == 0


@pytest.mark.parametrize("delay", [{"on_the_way": 10}, {"on_the_way_back": 10}])
def test_a_slow_answer_makes_nobody_late(delay):
    assert ahead(-180, **delay) >= -180
    assert ahead(180, **delay) >= 180


class SteppedClock(HandClock):
    """A clock that somebody sets forward by a day while the store is asked for the first time."""

    stepped = 0

    def now(self) -> int:
        return super().now() + self.stepped


def test_a_clock_that_is_set_while_the_store_is_asked_says_nothing_of_the_store():
    clock = SteppedClock()
    questions = []

    def now() -> int:
        questions.append(HandClock.now(clock))
        clock.seconds += 10
        clock.stepped = DAY
        return questions[-1]

    ahead = store_ahead(SimpleNamespace(now=now), clock)  # type: ignore[arg-type]  # all of a store that is asked
    assert clock.now() + ahead <= HandClock.now(clock)  # not a day late
    assert ahead == pytest.approx(-DAY, abs=10 * SECOND)
    assert len(questions) == 2


def test_a_clock_that_is_set_all_the_time_is_not_asked_for_ever():
    clock = SteppedClock()
    questions = []

    def now() -> int:
        questions.append(None)
        clock.stepped += DAY
        return HandClock.now(clock)

    store_ahead(SimpleNamespace(now=now), clock)  # type: ignore[arg-type]  # as above
    assert 1 < len(questions) < 10
