"""`Retry`: for what, how often and how long after a failure an attempt is made again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota import ConfigurationError, Retry, Scheduler, Snooze
from rota.core.retry import fraction


class Fault(ValueError):
    pass


def test_attempts_counts_the_first():
    assert Retry(attempts=3).wait_after(Fault(), 2, "seed") is not None
    assert Retry(attempts=3).wait_after(Fault(), 3, "seed") is None
    assert Retry(attempts=1).wait_after(Fault(), 1, "seed") is None


def test_waits_grow_by_the_base_up_to_the_greatest():
    waits = [Retry(attempts=9, wait_jitter=0, wait_max=20).wait_after(Fault(), spent, "seed") for spent in range(1, 8)]
    assert waits == [1, 2, 4, 8, 16, 20, 20]


@given(spent=st.integers(1, 10_000), seed=st.text(), jitter=st.floats(0, 100))
def test_the_jitter_adds_less_than_itself_and_nothing_passes_wait_max(spent, seed, jitter):
    retry = Retry(attempts=10_001, wait_jitter=jitter, wait_initial=3, wait_max=300)
    wait = retry.wait_after(Fault(), spent, seed)
    least = min(300, 3 * 2 ** min(spent - 1, 100))
    assert least <= wait <= min(300, least + jitter)
    assert wait == retry.wait_after(Fault(), spent, seed)


def test_waits_of_whole_numbers_never_end_it():
    retry = Retry(attempts=100_000, wait_initial=1, wait_exp_base=10, wait_max=300, wait_jitter=0)
    assert retry.wait_after(ValueError(), 50_000, "run") == 300


def test_no_wait_stays_no_wait_however_many_attempts_were_made():
    retry = Retry(attempts=100_000, wait_initial=0, wait_jitter=0)
    assert {retry.wait_after(ValueError(), spent, "run") for spent in (1, 1_000, 1_100, 50_000)} == {0}


def test_a_number_beyond_all_others_is_refused():
    for name in ("wait_initial", "wait_max", "wait_exp_base", "wait_jitter"):
        with pytest.raises(ConfigurationError, match=f"Retry: {name} is a finite number"):
            Retry(**{name: 10**400})
    for options in ({"timeout": 10**400}, {"jitter": 10**400}, {"max_lateness": 10**400}):
        with pytest.raises(ConfigurationError, match="three centuries"):
            Scheduler().add(print, id="a", **options)
    for name in ("lease_ttl", "shutdown_timeout"):
        with pytest.raises(ConfigurationError, match="three centuries"):
            Scheduler(**{name: 10**400})
    with pytest.raises(ConfigurationError, match="finite"):
        Snooze(10**400)


def test_only_the_errors_in_on_are_tried_again():
    retry = Retry(on=(OSError, KeyError))
    assert retry.wait_after(KeyError(), 1, "") is not None
    assert retry.wait_after(Fault(), 1, "") is None
    assert Retry().wait_after(SystemExit(), 1, "") is None


def test_give_up_on_wins():
    assert Retry(on=ValueError, give_up_on=Fault).wait_after(Fault(), 1, "") is None
    assert Retry(on=lambda error: True, give_up_on=(Fault,)).wait_after(Fault(), 1, "") is None


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (True, 1.0),
        (False, None),
        (7, 7.0),
        (0, 0.0),
        (2.5, 2.5),
        (1_000, 1_000.0),
        (timedelta(minutes=2), 120.0),
        (None, None),
        ("a truth", 1.0),
        ([], None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        pytest.param(10**400, None, id="an int that is no float"),
    ],
)
def test_a_predicate_says_yes_no_or_how_long(answer, wait):
    assert Retry(on=lambda error: answer, wait_jitter=0).wait_after(Fault(), 1, "") == wait


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_a_predicate_that_raises_gives_up(raised):
    def on(error):
        raise raised

    assert Retry(on=on).wait_after(Fault(), 1, "") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 2.0},
        {"on": "ValueError"},
        {"on": int},
        {"on": (ValueError, "x")},
        {"give_up_on": lambda error: True},
        {"on": lambda: True},
        {"on": lambda error, attempt: True},
        {"wait_initial": -1},
        {"wait_max": float("inf")},
        {"wait_exp_base": 0.5},
        {"wait_jitter": "1"},
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Retry(**wrong)


def test_two_equal_retries_are_equal():
    assert Retry(attempts=4) == Retry(attempts=4)
    assert Retry() != Retry(attempts=4)


def test_the_defaults_are_those_of_the_contract():
    assert Retry() == Retry(3, Exception, (), 1.0, 300.0, 2.0, 1.0)


@given(st.text())
def test_a_fraction_lies_in_zero_to_one(text):
    assert 0 <= fraction(text) < 1
