"""What a job may ask of the scheduler that calls it, and tell of its run, and what not."""

from __future__ import annotations

import pytest

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
