"""What is refused of what a job asks, and what is not: `run_due()` in `run_due()`, progress, more than there can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.hand_clock import HandClock

from rota import Scheduler, StateError


def test_a_job_that_run_due_waits_for_cannot_wait_for_it() -> None:
    scheduler = Scheduler()

    @scheduler.job()
    def nested() -> str:
        with pytest.raises(StateError, match="a job which run_due"):
            scheduler.run_due()
        return "refused"

    run_id = scheduler.run_now(nested)
    scheduler.run_due()
    assert scheduler.get_run(run_id).result == "refused"
    scheduler.shutdown()


def test_it_may_run_what_is_due_on_another_one() -> None:
    scheduler, other, ran = Scheduler(), Scheduler("other"), []
    other.add(lambda: ran.append("other"), id="there")

    @scheduler.job()
    def nested() -> None:
        other.run_now("there")
        other.run_due()

    scheduler.run_now(nested)
    scheduler.run_due()
    assert ran == ["other"]
    scheduler.shutdown()
    other.shutdown()


def test_under_run_due_a_backfill_lets_ticks_go_first() -> None:
    clock = HandClock(1_000_000_000.0)
    scheduler, begun = Scheduler(clock=clock), []

    @scheduler.interval(minutes=1)
    def job(run) -> None:  # type: ignore[no-untyped-def]  # as users write it
        begun.append(run.origin)
        if run.origin == "backfill":
            clock.seconds += 25

    scheduler.run_due()
    now = datetime.fromtimestamp(clock.seconds, UTC)
    scheduler.backfill(job, now - timedelta(minutes=7), now - timedelta(minutes=1, seconds=1))
    scheduler.run_due()
    assert begun.count("backfill") == 6
    assert begun.count("tick") == 3
    assert begun.index("tick") <= 3
    assert not scheduler.runs(job, status="missed")
    scheduler.shutdown()


def test_progress_is_told_in_numbers_and_text() -> None:
    scheduler = Scheduler()

    @scheduler.job()
    def tells(run) -> None:  # type: ignore[no-untyped-def]  # as users write it
        for given, word in ((("x",), "done"), ((1, True), "total"), ((1, 2, 3), "note")):
            with pytest.raises(ValueError, match=f"progress: {word} is"):
                run.progress(*given)
        run.progress(1.5, 3, "half")

    run_id = scheduler.run_now(tells)
    scheduler.run_due()
    run = scheduler.get_run(run_id)
    assert (run.status, run.progress["done"]) == ("succeeded", 1.5)
    scheduler.shutdown()


def test_more_records_may_be_asked_for_than_a_store_can_count(tmp_path: Path) -> None:
    scheduler = Scheduler("many", store=f"sqlite:///{tmp_path}/rota.db")
    assert scheduler.runs(limit=2**70) == []
