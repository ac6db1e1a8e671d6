"""What `rota demo` says of a happening, and whether its checks would notice if something were lost or done twice."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rota import RunRecord, Scheduler
from rota.core.run import Attempt, Window
from rota.demo import show
from rota.demo.checks import (
    Life,
    Span,
    answered_for,
    digests_sent_once,
    events_counted_once,
    ticks_once,
    windows_join,
)
from rota.demo.flask_app import jobs as shop_jobs
from rota.demo.lines import WIDTH, line, line_of, table
from rota.ports import Event

START = datetime(2026, 3, 2, 10, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def record(tick: float | None = None, status: str = "succeeded", **facts: Any) -> RunRecord:
    known = {
        "id": "1",
        "job_id": "poll",
        "schedule_id": None,
        "key": None,
        "origin": "tick",
        "count": 1,
        "window": None,
    }
    known |= {"reason": "", "queued_at": START, "started_at": None, "finished_at": None, "node": None, "args": ()}
    known |= {"kwargs": {}, "result": None, "error": None, "progress": None, "attempts": (), "status": status}
    scheduled_for = None if tick is None else at(tick)
    return RunRecord(**{**known, "scheduled_for": scheduled_for, **facts})


def attempt(number: int, outcome: str, error: str | None = None) -> Attempt:
    return Attempt(number, outcome, None, error, None, 1, START, START)


def window(start: float, end: float) -> Window:
    return Window(at(start), at(end))


# Lines ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "run", "said"),
    [
        ("run_ended", record(result="5 events"), "  1.0 s  poll             ran       5 events"),
        (
            "run_ended",
            record(result="x", attempts=(attempt(1, "failed"), attempt(2, "succeeded"))),
            "  1.0 s  poll             ran       x (attempt 2)",
        ),
        ("run_ended", record(status="skipped", reason="overlap"), "skipped   the run before it is still at work"),
        ("run_ended", record(status="missed", count=7), "missed    7 ticks: nobody was there to run them"),
        ("run_ended", record(status="failed", error="m.E: no", attempts=(attempt(1, "failed", "no"),)), "FAILED    no"),
    ],
)
def test_the_end_of_a_run_is_a_line(kind: str, run: RunRecord, said: str) -> None:
    told = line_of(Event(kind, START, None, run), 1.0)
    assert told is not None
    assert told.endswith(said)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("failed", "retry     after attempt 1: busy"),
        ("lost", "lost      attempt 1 died with its process; now attempt 2"),
        ("interrupted", "stopped   at a safe point; it goes on with the next start"),
    ],
)
def test_an_attempt_that_is_not_the_last_is_a_line(outcome: str, said: str) -> None:
    told = line_of(Event("attempt_ended", START, None, record(status="waiting"), attempt(1, outcome, "busy")), 1.0)
    assert told is not None
    assert told.endswith(said)


def test_what_a_run_told_or_hides_is_no_line() -> None:
    ended = record(status="failed")
    assert line_of(Event("attempt_ended", START, None, ended, attempt(1, "failed", "no")), 1.0) is None
    assert line_of(Event("run_ended", START, None, replace(ended, job_id="visitors")), 1.0) is None
    assert line_of(Event("store_down", START), 1.0) is None


def test_a_line_is_cut_to_the_width() -> None:
    assert len(line(1.0, "poll", "ran", "word " * 50)) <= WIDTH


def test_a_table_aligns_its_columns() -> None:
    assert table(("job", "runs"), [("poll", "12")]) == ["job   runs", "poll    12"]


# Checks --------------------------------------------------------------------------------------------------------------


def poll_job() -> Any:
    scheduler = Scheduler()
    scheduler.interval(seconds=2, id="poll")(lambda: None)
    return scheduler.jobs["poll"]


def test_ticks_that_follow_each_other_are_once_each() -> None:
    missed = record(10, "missed", count=3, window=window(6, 10))
    records = {"poll": [record(0), record(2, "skipped"), record(4), missed, record(12), record(None, origin="enqueue")]}
    check = ticks_once([poll_job()], records, Span(at(0), at(13)))
    assert check.holds
    assert "7 ticks" in check.sentence


@pytest.mark.parametrize("ticks", [(0, 2, 2, 4), (0, 4), (0, 2), ()], ids=["twice", "lost", "lost last", "none at all"])
def test_a_tick_that_ran_twice_or_was_lost_is_noticed(ticks: tuple[int, ...]) -> None:
    check = ticks_once([poll_job()], {"poll": [record(tick) for tick in ticks]}, Span(at(0), at(5)))
    assert not check.holds
    assert "poll" in check.sentence


@pytest.mark.parametrize(
    ("lives", "first", "last"),
    [
        ([Life(at(1), at(20))], 3, 18),
        ([Life(at(1), at(9)), Life(at(11), at(20))], 3, 18),
        ([Life(at(1), at(9)), Life(at(19), at(20))], 3, 7),
        ([Life(at(1), at(2)), Life(at(5), at(20))], 7, 18),
        ([Life(at(1), at(2))], 0, 0),
        ([], 0, 0),
    ],
    ids=["one", "two", "the second came late", "the first went at once", "went at once", "none came up"],
)
def test_processes_answer_for_the_time_that_they_were_there(lives: list[Life], first: float, last: float) -> None:
    assert answered_for(lives, timedelta(seconds=2), at(0)) == Span(at(first), at(last))


def test_a_gap_between_windows_is_noticed() -> None:
    assert windows_join([record(2, window=window(0, 2)), record(6, window=window(2, 6))]).holds
    assert not windows_join([record(2, window=window(0, 2)), record(6, window=window(4, 6))]).holds


def test_an_event_that_was_not_counted_is_noticed(tmp_path: Path) -> None:
    log = [{"at": at(second).isoformat()} for second in (0, 1, 3, 9)]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in log), encoding="utf-8")
    (tmp_path / "rollups").mkdir()
    rollup = tmp_path / "rollups" / "1.json"
    rollup.write_text('{"events": 3}', encoding="utf-8")
    runs = [record(4, window=window(0, 4))]
    assert events_counted_once(runs, tmp_path).holds
    rollup.write_text('{"events": 2}', encoding="utf-8")
    assert not events_counted_once(runs, tmp_path).holds


def test_a_mail_that_is_missing_or_too_many_is_noticed(tmp_path: Path) -> None:
    run = record(args=(1, "ada@example.org", "e1"))
    assert not digests_sent_once([run], tmp_path).holds
    (tmp_path / "e1-ada@example.org.json").touch()
    assert digests_sent_once([run], tmp_path).holds
    assert not digests_sent_once([run, run], tmp_path).holds
    assert digests_sent_once([replace(run, status="waiting")], tmp_path).holds
    assert not digests_sent_once([], tmp_path).holds


# Without Flask -------------------------------------------------------------------------------------------------------


def test_without_flask_it_says_that_there_is_no_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(show, "has_flask", lambda: False)
    show.Show(5, tmp_path, "http://127.0.0.1:1/").introduce()
    said = capsys.readouterr().out
    assert "Flask is not installed" in said
    assert "http:" not in said


def test_every_job_is_introduced() -> None:
    assert set(show.DESCRIPTIONS) == set(shop_jobs.scheduler.jobs)


def test_a_checkout_that_keeps_no_links_has_the_example_all_the_same(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    for part in ("src/rota", "examples/flask_app"):
        shutil.copytree(checkout / part, tmp_path / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    link = tmp_path / "src/rota/demo/flask_app"
    shutil.rmtree(link) if link.is_dir() and not link.is_symlink() else link.unlink()
    link.write_text("../../../examples/flask_app")
    program = "from rota.demo.flask_app import jobs; print(jobs.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).samefile(tmp_path / "examples/flask_app/jobs.py")
