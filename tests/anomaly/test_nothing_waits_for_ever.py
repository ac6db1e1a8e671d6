"""Ticks, asked-for runs, retries, cancellations, replays and kills at random: when it is over, no run still waits."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from rota import Retry, Scheduler, StateError
from rota.core.run import OPEN
from rota.testing import simulate

OVERLAPS = {"queue": (None, 1, 2), "skip": (None, 1, 2), "allow": (None, 1, 2), "replace": (None,)}
STEPS = 25


def random_scheduler(random: Random) -> Scheduler:
    scheduler = Scheduler("random")
    overlap = random.choice(["queue", *OVERLAPS])
    options: dict[str, Any] = {"overlap": overlap}
    limit = random.choice(OVERLAPS[overlap])
    if limit is not None:
        options["max_running"] = limit
    options["retry"] = Retry(attempts=3, wait_initial=random.choice([30, 90, 200]), wait_jitter=0)
    scheduler.interval(minutes=1, id="job", on_crash="rerun", end=datetime(2026, 1, 1, 0, 20, tzinfo=UTC), **options)(
        lambda: None
    )
    return scheduler


def do_something(random: Random, scheduler: Scheduler, simulation: Any, living: list[int]) -> None:
    what = random.choice(["fail", "take", "run_now", "cancel", "replay", "kill"])
    if what == "fail":
        simulation.fail("job", RuntimeError("x"), times=random.choice([1, 2]))
    elif what == "take":
        simulation.takes("job", seconds=random.choice([0, 20, 70, 130]))
    elif what == "run_now":
        scheduler.run_now("job")
    elif what == "kill":
        if len(living) > 1:
            simulation.kill(living.pop(random.randrange(len(living))))
    else:
        ask, statuses = (scheduler.cancel, OPEN) if what == "cancel" else (scheduler.replay, {"failed", "cancelled"})
        known = [run.id for run in scheduler.runs("job") if run.status in statuses]
        if known:
            with suppress(StateError):
                ask(random.choice(known))


@pytest.mark.parametrize("seed", range(60))
def test_when_all_is_over_no_run_is_left_open(seed):
    random = Random(seed)
    scheduler = random_scheduler(random)
    living = list(range(random.choice([1, 1, 2, 3])))
    with simulate(scheduler, start="2026-01-01T00:00:30Z", nodes=len(living)) as simulation:
        for _ in range(STEPS):
            do_something(random, scheduler, simulation, living)
            simulation.advance(seconds=random.choice([5, 15, 40, 65]))
        simulation.advance(hours=2)
        assert [
            (run.origin, run.scheduled_for, run.status) for run in simulation.runs("job") if run.status in OPEN
        ] == []
