"""What an ended attempt makes of its run: the table between a call's outcome and the run's next status.

Law: pure. Everything that decides is in the arguments; the jitter of a wait is a hash. An attempt that costs something
adds to `spent`; a run that has spent its attempts ends.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rota.core.effects import Swap
from rota.core.json_values import result_text, to_text
from rota.core.options import LONGEST_SPAN, JobOptions
from rota.core.outcome import ErrorText, NotBegun, Outcome, describe, message_of
from rota.core.run import DEAD_LETTERS, FINAL, RunRow, attempts_of
from rota.core.values import Value, value
from rota.errors import Answer, RetryAfter, RunCancelled, RunTimeout, Snooze

_STOPPED_BY_HAND: Final = frozenset({"cancel", "replaced"})
_GOES_ON: Final = frozenset({"shutdown", "lease_lost"})
"""Why a run may be asked to stop here and go on elsewhere."""
_NO_FAULT: Final = frozenset({"snoozed", "interrupted", "cancelled"})
GAVE_UP: Final = "gave up"
REPLAY: Final = "replay"
FORCED_REPLAY: Final = "forced replay"
PROCESS_GONE: Final = "the process that ran it is gone"
MOST_ATTEMPTS: Final = 500
"""Attempts that a record keeps, the first and the last ones: of a run that snoozes on and on it is written anew with
each."""
RERUN_AFTER: Final = 1_000_000
"""Microseconds after which a run whose task was cancelled by others is made again: the loop may be about to end."""
TRACEBACKS_AT_EACH_END: Final = 10
"""Attempts, the first and the last ones, that keep their traceback: so a record has a size that every store takes."""


@value
class Ended(Value):
    """How an attempt ended, as its driver saw it.

    `cancel_reason`: why it had been asked to stop, if it had. `timed_out`: its deadline passed first. `stuck`: and its
    thread has not returned yet. `logs`: captured lines. `at`: the instant, in microseconds.
    """

    outcome: Outcome
    at: int
    cancel_reason: str | None = None
    timed_out: bool = False
    stuck: bool = False
    logs: tuple[str, ...] = ()


class _Verdict(NamedTuple):
    outcome: str
    status: str
    cost: int = 1
    due: int | None = None
    reason: str = ""


def judge(options: JobOptions, row: RunRow, ended: Ended) -> Swap:
    """The swap that ends the attempt of `row`."""
    if ended.outcome.error is None and not ended.timed_out and not ended.outcome.died:
        return _success(row, ended)
    verdict = _unless_cancelled(_verdict(options, row, ended), ended.cancel_reason)
    new = row.copy()
    new.status = verdict.status
    new.reason = verdict.reason
    new.spent = row.spent + verdict.cost
    new.stuck = ended.stuck
    if ended.stuck and verdict.status == "waiting":
        new.status = "running"
    error = _error_text(options, ended)
    new.error = _shown_error(verdict, error)
    new.attempts = _with_attempt(row, verdict.outcome, error, ended.at)
    _settle(new, verdict.due, ended.at)
    streak = 1 if new.status in DEAD_LETTERS else None
    return Swap(new, row.status, row.token, streak=streak, logs=ended.logs)


def unjudged(row: RunRow, ended: Ended, fault: Exception) -> Swap:
    """The swap for an attempt of which nothing can be made, since looking at it raised: the run has failed."""
    new = row.copy()
    new.status, new.spent, new.reason, new.stuck = "failed", row.spent + 1, "its outcome could not be read", ended.stuck
    error = describe(Outcome(error=fault))
    new.error = _shown_error(_Verdict("failed", "failed"), error)
    new.attempts = _with_attempt(row, "failed", error, ended.at)
    _settle(new, None, ended.at)
    return Swap(new, row.status, row.token, streak=1, logs=ended.logs)


def thread_returned(row: RunRow, retry_due: int) -> Swap:
    """The swap for a stuck run whose thread has come back: it lets go, and goes on to its next attempt, if any."""
    new = row.copy()
    new.stuck = False
    if row.status == "running":
        new.status, new.due = "waiting", retry_due
    _let_go(new)
    return Swap(new, row.status, row.token)


def died(options: JobOptions, row: RunRow, now: int) -> Swap:
    """The swap of a take-over: the process that held the run is gone."""
    new = row.copy()
    if row.stuck:
        new.stuck = False
        if row.status == "running":
            new.status, new.due = "waiting", now
        _let_go(new)
        return Swap(new, row.status, row.token, expired=True)
    verdict = _unless_cancelled(_crashed(options, row, now, "lost"), row.cancel_requested)
    error = ErrorText("lost", PROCESS_GONE, "")
    new.status, new.spent, new.reason = verdict.status, row.spent + verdict.cost, verdict.reason
    new.error = error.message
    new.attempts = _with_attempt(row, "lost", error, now)
    _settle(new, verdict.due, now)
    streak = 1 if new.status == "lost" else None
    return Swap(new, row.status, row.token, expired=True, covered=begun_window(options, row), streak=streak)


def ended_unstarted(row: RunRow, status: str, reason: str, now: int) -> Swap:
    """The swap that ends a queued or waiting run without another attempt: cancelled, say."""
    new = row.copy()
    new.status, new.reason, new.finished_at = status, reason, now
    return Swap(new, row.status, row.token)


def reopened(row: RunRow, now: int, *, force: bool = False) -> Swap:
    """The swap that replays a run that ended unhappily: fresh attempts; number, checkpoint and steps go on. `force`:
    though its window may be covered when it begins."""
    new = row.copy()
    new.status, new.reason, new.due, new.spent = "queued", FORCED_REPLAY if force else REPLAY, now, 0
    new.finished_at = new.result = new.error = new.cancel_requested = None
    new.discarded = False
    return Swap(new, row.status, row.token)


def _success(row: RunRow, ended: Ended) -> Swap:
    new = row.copy()
    new.status = "succeeded"
    if ended.outcome.value is not None:
        new.result, new.reason = result_text(ended.outcome.value)
    new.spent = row.spent + 1
    new.error = None
    new.finished_at = ended.at
    new.stuck = False
    new.token = None
    if row.attempts is not None or row.attempt != 1:
        new.attempts = _with_attempt(row, "succeeded", None, ended.at)
    # Under options where windows do not join as well: they may join from the next run on.
    covered = None if row.origin == "backfill" else row.window_end
    return Swap(new, row.status, row.token, False, covered, 0, ended.logs)


def is_joined(options: JobOptions, row: RunRow) -> bool:
    """Whether its window starts where the last succeeded one ended; a backfill does again on purpose what is past."""
    return options.windows_join and row.origin != "backfill"


def is_covered(options: JobOptions, row: RunRow, covered_until: int | None) -> bool:
    """Whether later runs have answered for some of its window, which they do where windows join."""
    if covered_until is None or row.window_start is None or not is_joined(options, row):
        return False
    return covered_until > row.window_start


def begun_window(options: JobOptions, row: RunRow) -> int | None:
    """Where the chain of windows stands after a run that did not succeed, if it is the first one or nobody knows: where
    its window started."""
    return row.window_start if is_joined(options, row) else None


def _verdict(options: JobOptions, row: RunRow, ended: Ended) -> _Verdict:
    outcome, error = ended.outcome, ended.outcome.error
    if ended.timed_out:
        return _retry_or(options, row, ended, RunTimeout("timed out"), "timed_out")
    if outcome.died:
        return _crashed(options, row, ended.at, "lost")
    if isinstance(error, RunCancelled) or outcome.forced:
        return _stopped(options, row, ended)
    if isinstance(error, Answer):
        return _answered(options, row, ended, error)
    assert error is not None
    return _retry_or(options, row, ended, error, "failed")


def _unless_cancelled(verdict: _Verdict, why: str | None) -> _Verdict:
    """A run that a person or its successor has cancelled makes no further attempt, however this one ended."""
    if why not in _STOPPED_BY_HAND or verdict.status in FINAL:
        return verdict
    return verdict._replace(status="cancelled", due=None, reason=why or "")


def _stopped(options: JobOptions, row: RunRow, ended: Ended) -> _Verdict:
    """Of an attempt that stopped itself at a safe point, or was stopped by force.

    One that nobody asked to stop is cancelled, whatever reason it gives: begun again at once, it would stop again,
    without end. That its lease is lost it may see before its driver does. By force and for no reason known here it is
    stopped where the host cancels all tasks of its loop, as `asyncio.run` does at its end.
    """
    error, forced = ended.outcome.error, ended.outcome.forced
    why = ended.cancel_reason or (message_of(error) if isinstance(error, RunCancelled) else None)
    was_asked = ended.cancel_reason is not None or isinstance(error, NotBegun) or why == "lease_lost"
    if why in _STOPPED_BY_HAND or not (forced or (was_asked and why in _GOES_ON)):
        return _Verdict("cancelled", "cancelled", reason=why or "cancel")
    if not forced:
        return _Verdict("interrupted", "queued", 0, ended.at, why or "")
    if why is None:
        return _crashed(options, row, ended.at + RERUN_AFTER, "interrupted", "its task was cancelled")
    reason = "its lease was lost" if why == "lease_lost" else "cut off by shutdown"
    return _crashed(options, row, ended.at, "interrupted", reason)


def _answered(options: JobOptions, row: RunRow, ended: Ended, answer: Answer) -> _Verdict:
    """Of an attempt that raised what is to be done next."""
    if isinstance(answer, Snooze):
        return _Verdict("snoozed", "waiting", 0, _later(ended.at, answer.seconds), "snoozed")
    if isinstance(answer, RetryAfter):
        return _retry_after(options, row, ended, answer.seconds)
    return _Verdict("failed", "failed", reason=GAVE_UP)


def _retry_or(options: JobOptions, row: RunRow, ended: Ended, error: BaseException, final: str) -> _Verdict:
    retry = options.retry
    wait = None if retry is None else retry.wait_after(error, row.spent + 1, f"{row.id}:{row.attempt}")
    if wait is None:
        return _Verdict(final, final, reason="" if retry is None else _why_no_more(options, row))
    return _Verdict(final, "waiting", due=_later(ended.at, wait), reason="retry")


def _retry_after(options: JobOptions, row: RunRow, ended: Ended, seconds: float) -> _Verdict:
    if row.spent + 1 >= options.attempt_budget:
        return _Verdict("failed", "failed", reason="out of attempts")
    return _Verdict("failed", "waiting", due=_later(ended.at, seconds), reason="retry")


def _crashed(options: JobOptions, row: RunRow, now: int, outcome: str, reason: str = "its process is gone") -> _Verdict:
    if not options.reruns_after_crash:
        return _Verdict(outcome, "lost", reason=reason)
    if row.spent + 1 >= options.attempt_budget:
        return _Verdict(outcome, "lost", reason="out of attempts")
    return _Verdict(outcome, "queued", due=now, reason="rerun")


def _why_no_more(options: JobOptions, row: RunRow) -> str:
    return "out of attempts" if row.spent + 1 >= options.attempt_budget else "not retried for this error"


def _later(now: int, seconds: float) -> int:
    """What is asked to wait longer than is possible waits as long as is."""
    return now + int(min(seconds, LONGEST_SPAN) * 1_000_000)


def _settle(new: RunRow, due: int | None, now: int) -> None:
    if due is not None:
        new.due = due
    if new.status in FINAL:
        new.finished_at = now
    if not new.stuck and new.status != "running":
        _let_go(new)


def _let_go(new: RunRow) -> None:
    new.token = None
    new.cancel_requested = None


def _error_text(options: JobOptions, ended: Ended) -> ErrorText | None:
    if ended.timed_out:
        return ErrorText("rota.errors.RunTimeout", f"no end within {options.timeout:g} s", "")
    if ended.outcome.died and ended.outcome.text is None:
        return ErrorText("lost", PROCESS_GONE, "")
    return describe(ended.outcome)


def _shown_error(verdict: _Verdict, error: ErrorText | None) -> str | None:
    """What the run's record gives as its error: nothing where nothing went wrong, and a job's own words where it gave
    up."""
    if error is None or verdict.outcome in _NO_FAULT:
        return None
    if verdict.reason == GAVE_UP:
        return error.message or GAVE_UP
    return f"{error.type}: {error.message}" if error.message else error.type


def _with_attempt(row: RunRow, outcome: str, error: ErrorText | None, now: int) -> str:
    entries = attempts_of(row)
    entries.append(
        {
            "number": row.attempt,
            "outcome": outcome,
            "error_type": None if error is None else error.type,
            "error": None if error is None else error.message,
            "traceback": None if error is None or not error.traceback else error.traceback,
            "fence": row.fence,
            "started_at": row.attempt_started_at or row.started_at or now,
            "finished_at": now,
        }
    )
    if len(entries) > 2 * TRACEBACKS_AT_EACH_END:
        entries[-TRACEBACKS_AT_EACH_END - 1]["traceback"] = None
    if len(entries) > MOST_ATTEMPTS:
        del entries[MOST_ATTEMPTS // 2]
    return to_text(entries, "attempts")


def handed_back(row: RunRow, was: str = "") -> Swap:
    """The swap that queues a run again which this process holds but has not started. It is due since when it was, and
    is a replay if it was one: `was` is its reason before it began."""
    reason = was if was in (REPLAY, FORCED_REPLAY) else "handed_back"
    return _unstarted(row, "queued", reason)


def covered_meanwhile(row: RunRow, now: int) -> Swap:
    """The swap that ends a replayed run which this process holds but has not started: its window was covered while it
    waited for its turn."""
    swap = _unstarted(row, "cancelled", "covered")
    swap.row.finished_at = now
    return swap


def _unstarted(row: RunRow, status: str, reason: str) -> Swap:
    new = row.copy()
    new.status, new.attempt, new.reason = status, row.attempt - 1, reason
    new.attempt_started_at = None
    if new.attempt == 0:
        new.started_at = None
    _let_go(new)
    return Swap(new, row.status, row.token)
