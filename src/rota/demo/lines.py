"""What is said of a happening: one line of plain text, at most 90 columns wide.

Law: pure. An event goes in; a line, or `None` for what is not worth one, comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import shorten

from rota.core.run import RunRecord
from rota.ports import Event

WIDTH = 90
UNSHOWN = frozenset({"visitors"})
"""Jobs that run so often that their lines would hide the others."""

SKIPPED = {
    "overlap": "the run before it is still at work",
    "stuck": "a run before it does not return",
    "paused": "the job is paused",
}


def line(seconds: float, who: str, what: str, text: str = "") -> str:
    """One line: when, who, what, and the particulars, cut to the width."""
    return _line(f"{seconds:5.1f} s", who, what, text)


def heading() -> str:
    """What the columns of a line are."""
    return _line("time", "who", "what", "particulars")


def _line(when: str, who: str, what: str, text: str) -> str:
    head = f"{when:>7}  {who:<15}  {what:<8}"
    room = WIDTH - len(head) - 2
    return f"{head}  {shorten(text, room, placeholder=' …')}".rstrip()


def line_of(event: Event, seconds: float) -> str | None:
    """The line of an event."""
    run = event.run
    if run is None or run.job_id in UNSHOWN:
        return None
    said = _of_attempt(event, run) if event.kind == "attempt_ended" else _of_run(run)
    return None if said is None else line(seconds, run.job_id, *said)


def _of_attempt(event: Event, run: RunRecord) -> tuple[str, str] | None:
    attempt = event.attempt
    if attempt is None or not run.is_open:
        return None
    if attempt.outcome == "lost":
        return "lost", f"attempt {attempt.number} died with its process; now attempt {attempt.number + 1}"
    if attempt.outcome == "interrupted":
        return "stopped", "at a safe point; it goes on with the next start"
    return "retry", f"after attempt {attempt.number}: {attempt.error}"


def _of_run(run: RunRecord) -> tuple[str, str] | None:
    if run.status == "succeeded":
        again = f" (attempt {len(run.attempts)})" if len(run.attempts) > 1 else ""
        return "ran", f"{run.result or ''}{again}"
    if run.status == "skipped":
        return "skipped", SKIPPED.get(run.reason, run.reason)
    if run.status == "missed":
        return "missed", f"{run.count} {'tick' if run.count == 1 else 'ticks'}: nobody was there to run them"
    return run.status.upper(), _why(run)


def _why(run: RunRecord) -> str:
    last = run.attempts[-1].error if run.attempts else None
    return last or run.error or run.reason


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows below a head: the first column to the left, the others to the right."""
    cells = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
