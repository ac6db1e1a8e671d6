"""The overlap rule: a due tick against the live tick runs of its job."""

from __future__ import annotations

import pytest

from rota.core.effects import Live
from rota.core.options import make_options
from rota.core.overlap import decide, skip_reason

RUNNING = Live("1", "running", False, 1)
QUEUED = Live("2", "queued", False, 2)
WAITING = Live("3", "waiting", False, 3)
STUCK = Live("4", "timed_out", True, 4)


@pytest.mark.parametrize(
    ("overlap", "live", "decision"),
    [
        ("skip", (), "start"),
        ("queue", (), "start"),
        ("replace", (), "start"),
        ("allow", (RUNNING, RUNNING), "start"),
        ("skip", (RUNNING,), "skip"),
        ("skip", (QUEUED,), "skip"),
        ("skip", (WAITING,), "skip"),
        ("skip", (STUCK,), "skip"),
        ("queue", (RUNNING,), "queue"),
        ("queue", (WAITING,), "queue"),
        ("queue", (RUNNING, QUEUED), "skip"),
        ("replace", (RUNNING,), "replace"),
        ("replace", (WAITING,), "replace"),
        ("replace", (RUNNING, QUEUED), "replace"),
    ],
)
def test_a_tick_against_live_runs(overlap, live, decision):
    assert decide(make_options({"overlap": overlap}, "job"), live, in_order=False) == decision


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
def test_a_tick_caught_up_in_order_waits_instead_of_being_skipped(overlap):
    assert decide(make_options({"overlap": overlap}, "job"), (RUNNING,), in_order=True) == "wait"


def test_a_skip_names_the_stuck_run_where_there_is_one():
    assert skip_reason((RUNNING,)) == "overlap"
    assert skip_reason((RUNNING, STUCK)) == "stuck"
