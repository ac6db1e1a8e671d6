"""The timeline: what is due, in order, and when the next is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rota.core.timeline import SMALL, Timeline

INSTANTS = st.lists(st.integers(0, 1_000))


def test_an_empty_one_has_no_wake_up():
    assert Timeline().next_wakeup() is None


@given(INSTANTS, st.integers(0, 1_000))
def test_what_is_due_comes_off_in_order_of_instant_then_of_arrival(instants, now):
    timeline: Timeline[int] = Timeline()
    items = [*enumerate(instants)]
    for index, due in items:
        timeline.push(due, index)
    expected = sorted((due, index) for index, due in items if due <= now)
    assert list(timeline.pop_due(now)) == expected
    left = [due for _, due in items if due > now]
    assert len(timeline) == len(left)
    assert timeline.next_wakeup() == min(left, default=None)


@given(INSTANTS, st.sets(st.integers(0, 100)))
def test_nobody_wakes_up_for_what_has_gone(instants, gone):
    timeline: Timeline[int] = Timeline()
    for index, due in enumerate(instants):
        timeline.push(due, index)
    first = timeline.first(lambda _, item: item in gone)
    assert first == min((due for index, due in enumerate(instants) if index not in gone), default=None)
    assert timeline.next_wakeup() == first


def test_what_is_pushed_while_popping_and_is_due_comes_off_too():
    timeline: Timeline[str] = Timeline()
    timeline.push(1, "a")
    met = []
    for _, item in timeline.pop_due(5):
        met.append(item)
        if item == "a":
            timeline.push(3, "b")
    assert met == ["a", "b"]


def test_what_has_gone_is_swept_out_when_it_outweighs_the_rest_and_nothing_else_is():
    timeline: Timeline[int] = Timeline()
    gone: set[int] = set()
    for item in range(1_000):
        timeline.push(item % 7, item)
    for item in range(900):
        gone.add(item)
        timeline.note_gone(lambda _, item: item in gone)
        assert len(timeline) <= 2 * (1_000 - len(gone)) + SMALL + 1
    assert [item for _, item in timeline.pop_due(7) if item not in gone] == sorted(
        range(900, 1_000), key=lambda item: item % 7
    )


def test_a_sweep_while_popping_takes_nothing_from_what_is_due():
    timeline: Timeline[int] = Timeline()
    for item in range(1_000):
        timeline.push(item, item)
    met = []
    for _, item in timeline.pop_due(1_000):
        met.append(item)
        timeline.note_gone(lambda _, item: item % 2 == 1)
    assert set(range(0, 1_000, 2)) <= set(met)
    assert met == sorted(met)
