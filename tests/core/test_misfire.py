"""`misfire.plan`: which of the due ticks runs, which are passed over, and in what words.

Law: the table is written in minutes, so that it can be read against the contract: a tick first seen over 30 s late is
late; `skip`, `latest` and `all` say what becomes of late ones.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.core.misfire import LATE, LOOK_AHEAD, Plan, due_of, plan
from rota.core.options import make_options
from rota.triggers import Interval
from rota.triggers.base import Trigger

SECOND = 1_000_000
MINUTE = 60 * SECOND
MINUTELY = Interval(timedelta(minutes=1))


def planned(
    now: float, *, first: int = 1, seen: float | None = None, paused: bool = False, trigger: Trigger = MINUTELY, **given
) -> Plan:
    """The plan at `now`, in minutes, for the ticks from minute `first` on, first seen at `seen` (now)."""
    at, seen_at = int(now * MINUTE), int((now if seen is None else seen) * MINUTE)
    return plan(trigger, make_options(given, "job"), "job", first * MINUTE, seen_at, at, paused=paused)


def minutes(plan: Plan) -> tuple[object, object]:
    """The tick that runs, and (first, last, how many, status, reason) of those that do not."""
    passed = plan.passed
    told = passed and (passed.first // MINUTE, passed.last // MINUTE, passed.ticks, passed.status, passed.reason)
    return None if plan.tick is None else plan.tick // MINUTE, told


@pytest.mark.parametrize(
    ("options", "now", "tick", "passed"),
    [
        pytest.param({}, 1.0, 1, None, id="on time"),
        pytest.param({}, 1.5, 1, None, id="30 s are not late"),
        pytest.param({"catch_up": "skip"}, 1.5, 1, None, id="30 s are not late for skip either"),
        pytest.param(
            {"catch_up": "skip"}, 1.51, None, (1, 1, 1, "missed", "too_late"), id="skip: a late one is missed"
        ),
        pytest.param({"catch_up": "skip"}, 5.0, 5, (1, 4, 4, "missed", "too_late"), id="skip: the last is on time"),
        pytest.param({"catch_up": "skip"}, 5.6, None, (1, 5, 5, "missed", "too_late"), id="skip: all are late"),
        pytest.param({}, 5.6, 5, (1, 4, 4, "missed", "passed_over"), id="latest: one run for the newest"),
        pytest.param({"catch_up": "all"}, 5.6, 1, None, id="all: the oldest first"),
        pytest.param(
            {"catch_up": "all", "max_catch_up": 2}, 5.6, 4, (1, 3, 3, "missed", "passed_over"), id="all: the newest two"
        ),
        pytest.param({"max_lateness": 0.000001}, 1.0, 1, None, id="max_lateness: not late at all"),
        pytest.param({"max_lateness": 10}, 1.2, None, (1, 1, 1, "missed", "too_late"), id="max_lateness under 30 s"),
        pytest.param({"max_lateness": 60}, 5.6, 5, (1, 4, 4, "missed", "too_late"), id="max_lateness: newest is young"),
        pytest.param(
            {"max_lateness": 30}, 5.6, None, (1, 5, 5, "missed", "too_late"), id="max_lateness: none is young"
        ),
        pytest.param(
            {"catch_up": "all", "max_lateness": 120}, 5.6, 4, (1, 3, 3, "missed", "too_late"), id="all: the young ones"
        ),
    ],
)
def test_what_becomes_of_due_ticks(options, now, tick, passed):
    assert minutes(planned(now, **options)) == (tick, passed)


def test_a_plan_marks_everything_up_to_its_tick_and_knows_the_next():
    made = planned(5.6)
    assert (made.mark, made.following) == (5 * MINUTE, 6 * MINUTE)


def test_a_tick_is_a_catch_up_only_if_it_was_seen_late():
    assert not planned(1.4).is_catch_up
    assert planned(1.6).is_catch_up
    assert planned(1.6, catch_up="all").in_order


def test_waiting_for_a_worker_is_not_lateness():
    """Seen on time and started an hour later: nothing is passed over, each gets its turn."""
    made = planned(60.0, seen=1.0)
    assert minutes(made) == (1, None)
    assert not made.is_catch_up


def test_all_counts_what_it_has_run_already_out_of_the_newest_so_many():
    """A second look, after the first of three, does not cut again."""
    assert minutes(planned(5.6, first=4, seen=5.6, catch_up="all", max_catch_up=2)) == (4, None)


@pytest.mark.parametrize("options", [{}, {"catch_up": "skip"}, {"catch_up": "all"}, {"max_lateness": 1}])
def test_ticks_of_a_paused_job_are_skipped_whatever_the_options(options):
    assert minutes(planned(5.6, paused=True, **options)) == (None, (1, 5, 5, "skipped", "paused"))


@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_a_year_of_seconds_is_disposed_of_in_batches_that_leave_the_right_ones(catch_up):
    secondly, now = Interval(timedelta(seconds=1)), 3 * LOOK_AHEAD * SECOND + 45 * SECOND
    options = make_options({"catch_up": catch_up, "max_catch_up": 7, "max_lateness": 40}, "job")
    tick, ran, counted = SECOND, [], 0
    while tick is not None and tick <= now:
        made = plan(secondly, options, "job", tick, now, now, paused=False)
        counted += made.passed.ticks if made.passed else 0
        if made.tick is not None:
            ran.append(made.tick // SECOND)
        tick = made.following
    total = now // SECOND
    # 30 s old is not late, so `skip` runs the last 31, `all` those and the seven newest late ones.
    expected = {"skip": 31, "latest": 1, "all": 38}[catch_up]
    assert ran == list(range(total - expected + 1, total + 1))
    assert counted == total - expected


@given(
    first=st.integers(1, 50),
    length=st.integers(0, 300),
    seen_before=st.integers(0, 400),
    options=st.fixed_dictionaries(
        {},
        optional={
            "catch_up": st.sampled_from(["skip", "latest", "all"]),
            "max_catch_up": st.integers(1, 5),
            "max_lateness": st.integers(1, 200),
            "jitter": st.integers(0, 90),
        },
    ),
    every=st.integers(1, 70),
    paused=st.booleans(),
)
def test_every_due_tick_is_disposed_of_exactly_once(first, length, seen_before, options, every, paused):
    trigger, checked = Interval(timedelta(seconds=every)), make_options(options, "job")
    tick = trigger.next_tick(first * SECOND)
    begin = due_of(trigger, checked, "job", tick)
    now = begin + length * SECOND
    seen = max(begin, now - seen_before * SECOND)
    disposed, limit = [], 0
    expected = []
    while due_of(trigger, checked, "job", tick) <= now:
        expected.append(tick)
        tick = trigger.next_tick(tick)
    tick = expected[0]
    while tick is not None and due_of(trigger, checked, "job", tick) <= now:
        made = plan(trigger, checked, "job", tick, seen, now, paused=paused)
        if made.passed is not None:
            span = [at for at in expected if made.passed.first <= at <= made.passed.last]
            assert len(span) == made.passed.ticks
            disposed += span
        if made.tick is not None:
            assert not paused
            assert made.due == due_of(trigger, checked, "job", made.tick) <= now
            disposed.append(made.tick)
        assert made.mark == disposed[-1]
        tick = made.following
        limit += 1
        assert limit < 1_000
    assert disposed == expected


@given(seconds=st.integers(0, 10_000), jitter=st.floats(0, 200), every=st.integers(1, 100))
def test_jitter_lies_between_the_tick_and_the_next_and_is_the_same_everywhere(seconds, jitter, every):
    trigger, options = Interval(timedelta(seconds=every)), make_options({"jitter": jitter}, "job")
    tick = trigger.next_tick(seconds * SECOND)
    due = due_of(trigger, options, "job", tick)
    assert tick <= due <= tick + min(jitter * SECOND, every * SECOND)
    assert due < trigger.next_tick(tick)
    assert due == due_of(Interval(timedelta(seconds=every)), make_options({"jitter": jitter}, "job"), "job", tick)


def test_jitter_differs_from_job_to_job_and_from_tick_to_tick():
    options = make_options({"jitter": 50}, "job")
    spread = {due_of(MINUTELY, options, job, tick * MINUTE) % MINUTE for job in ("a", "b") for tick in range(20)}
    assert len(spread) == 40
    assert max(spread) - min(spread) > 25 * SECOND


def test_late_is_the_thirty_seconds_of_the_contract():
    assert LATE == 30 * SECOND
