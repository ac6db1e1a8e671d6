"""Whether what the demo shows held: each check reads records and files, as anybody could afterwards.

Law: a check says one true or false sentence. None of them trusts what the demo printed on its way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from rota.core.job import Job
from rota.core.run import RunRecord


class Check(NamedTuple):
    """A sentence, and whether it is true."""

    holds: bool
    sentence: str


class Span(NamedTuple):
    """The time for which the demo answers: ticks that were due in it are in the records."""

    start: datetime
    end: datetime


class Life(NamedTuple):
    """From when until when a process of the demo ran the shop."""

    came: datetime
    went: datetime


def answered_for(lives: Sequence[Life], settling: timedelta, began: datetime) -> Span:
    """What the processes had the time to do: one that was there for `settling` has seen to all that was due until so
    long before it went. A process that never came up, or went at once, answers for nothing."""
    settled = [life for life in lives if life.went - life.came >= settling]
    return Span(settled[0].came + settling, settled[-1].went - settling) if settled else Span(began, began)


def check_all(
    jobs: Iterable[Job], runs_of: Callable[[Job], list[RunRecord]], directory: Path, span: Span
) -> list[Check]:
    """Every check of the demo. `runs_of` gives a job's records, newest first."""
    records = {job.id: runs_of(job)[::-1] for job in jobs}
    rollups = [run for run in records["hourly_rollup"] if run.status == "succeeded"]
    return [
        ticks_once(jobs, records, span),
        windows_join(rollups),
        events_counted_once(rollups, directory),
        digests_sent_once(records["send_digest"], directory / "outbox"),
    ]


def ticks_once(jobs: Iterable[Job], records: dict[str, list[RunRecord]], span: Span) -> Check:
    """Each tick of each job, from the first that was seen to the end of the span, is in exactly one record."""
    ticks, wrong = 0, []
    for job in jobs:
        seen = sorted(_ticks_of(run) for run in records[job.id] if run.origin == "tick")
        ticks += sum(count for _, _, count in seen)
        last = seen[-1][1] if seen else span.start
        if any(not _follows(job, before, after) for before, after in pairwise(seen)) or _lacks(job, last, span.end):
            wrong.append(job.id)
    told = f"each tick is in exactly one record: {ticks} ticks"
    return Check(not wrong, told if not wrong else f"{told}, but not those of {', '.join(wrong)}")


def windows_join(rollups: Sequence[RunRecord]) -> Check:
    """Each window begins where the one before it ended."""
    windows = sorted((run.window.start, run.window.end) for run in rollups if run.window is not None)
    holds = all(before[1] == after[0] for before, after in pairwise(windows))
    return Check(holds, f"the {len(windows)} windows of hourly_rollup join: no gap, no overlap")


def events_counted_once(rollups: Sequence[RunRecord], directory: Path) -> Check:
    """The totals in the files add up to the events in the log."""
    if not rollups:
        return Check(True, "no roll-up has been made yet")
    windows = [run.window for run in rollups if run.window is not None]
    start, end = min(window.start for window in windows), max(window.end for window in windows)
    lines = (directory / "events.jsonl").read_text(encoding="utf-8").splitlines()
    in_log = sum(1 for line in lines if start <= datetime.fromisoformat(json.loads(line)["at"]) < end)
    files = (directory / "rollups").glob("*.json")
    in_files = sum(json.loads(file.read_text(encoding="utf-8"))["events"] for file in files)
    return Check(in_log == in_files, f"each event is counted once: {in_log} in the log, {in_files} in the roll-ups")


def digests_sent_once(runs: Sequence[RunRecord], outbox: Path) -> Check:
    """Each digest that succeeded is one mail in the outbox, and no other mail is there but of runs still open."""
    mails = {file.stem for file in outbox.glob("*.json")}
    sent = [_mail_of(run) for run in runs if run.status == "succeeded"]
    may_be_sent = {_mail_of(run) for run in runs if run.is_open}
    holds = len(sent) == len(set(sent)) and set(sent) <= mails <= set(sent) | may_be_sent
    return Check(holds, f"each digest is sent once: {len(sent)} runs succeeded, {len(mails)} mails in the outbox")


def _ticks_of(run: RunRecord) -> tuple[datetime, datetime, int]:
    """The first and last tick that a record stands for, and how many they are."""
    assert run.scheduled_for is not None
    if run.status in ("skipped", "missed") and run.count > 1 and run.window is not None:
        return run.window.start, run.window.end, run.count
    return run.scheduled_for, run.scheduled_for, 1


def _follows(job: Job, before: tuple[datetime, datetime, int], after: tuple[datetime, datetime, int]) -> bool:
    assert job.trigger is not None
    return job.trigger.next_after(before[1]) == after[0]


def _lacks(job: Job, last: datetime, end: datetime) -> bool:
    """Whether there is a tick after `last` and up to `end`."""
    following = None if job.trigger is None else job.trigger.next_after(last)
    return following is not None and following <= end


def _mail_of(run: RunRecord) -> str:
    _, address, edition = run.args
    return f"{edition}-{address}"
