"""What an ended attempt makes of its run: the table of `judge`, and what a death or a late return makes of it."""

from __future__ import annotations

import asyncio

import pytest

from rota import GiveUp, Retry, RetryAfter, RunCancelled, Snooze
from rota.core.options import make_options
from rota.core.outcome import ErrorText, NotBegun, Outcome
from rota.core.run import RunRow, record_of
from rota.core.verdict import (
    MOST_ATTEMPTS,
    Ended,
    begun_window,
    died,
    ended_unstarted,
    handed_back,
    judge,
    reopened,
    thread_returned,
)

NOW = 1_000_000_000
SECOND = 1_000_000
STEADY = {"retry": Retry(attempts=3, wait_initial=5, wait_jitter=0)}
RERUN = {"on_crash": "rerun"}


def row(**changes) -> RunRow:
    made = RunRow("id", "job", "tick", "running", 1, 2, scheduled_for=2, window_start=1, window_end=2)
    made.attempt, made.token, made.fence, made.started_at, made.attempt_started_at = 1, "token", 7, 3, 3
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def judged(outcome: Outcome, options=None, row=None, **ended):
    made = row or globals()["row"]()
    return judge(make_options(options or {}, "job"), made, Ended(outcome, NOW, **ended))


def raised(error: BaseException, **facts) -> Outcome:
    return Outcome(None, error, **facts)


def told(swap):
    """Status, attempt's outcome, cost, seconds to wait, reason."""
    new = swap.row
    attempts = record_of(new).attempts
    wait = (new.due - NOW) / SECOND if new.status in ("waiting", "queued") else None
    return new.status, attempts[-1].outcome, new.spent, wait, new.reason


@pytest.mark.parametrize(
    ("outcome", "options", "ended", "expected"),
    [
        pytest.param(Outcome(), {}, {}, ("succeeded", "succeeded", 1, None, ""), id="returned"),
        pytest.param(raised(OSError("x")), {}, {}, ("failed", "failed", 1, None, ""), id="raised"),
        pytest.param(
            raised(SystemExit()), STEADY, {}, ("failed", "failed", 1, None, "not retried for this error"), id="exit"
        ),
        pytest.param(
            raised(OSError("x")), STEADY, {}, ("waiting", "failed", 1, 5, "retry"), id="raised, to be retried"
        ),
        pytest.param(
            Outcome(), {"timeout": 5}, {"timed_out": True}, ("timed_out", "timed_out", 1, None, ""), id="late"
        ),
        pytest.param(
            Outcome(),
            {"timeout": 5, **STEADY},
            {"timed_out": True},
            ("waiting", "timed_out", 1, 5, "retry"),
            id="late, retried",
        ),
        pytest.param(
            raised(asyncio.CancelledError(), forced=True),
            {"timeout": 5},
            {"timed_out": True, "cancel_reason": "timeout"},
            ("timed_out", "timed_out", 1, None, ""),
            id="coroutine stopped at its deadline",
        ),
        pytest.param(raised(Snooze(60)), {}, {}, ("waiting", "snoozed", 0, 60, "snoozed"), id="snoozed"),
        pytest.param(
            raised(Snooze(1e300)), {}, {}, ("waiting", "snoozed", 0, 1e10, "snoozed"), id="snoozed beyond time"
        ),
        pytest.param(raised(RetryAfter(60)), {}, {}, ("waiting", "failed", 1, 60, "retry"), id="retry after"),
        pytest.param(raised(GiveUp("no")), STEADY, {}, ("failed", "failed", 1, None, "gave up"), id="gave up"),
        pytest.param(
            raised(RunCancelled("cancel")),
            STEADY,
            {"cancel_reason": "cancel"},
            ("cancelled", "cancelled", 1, None, "cancel"),
            id="stopped itself when cancelled",
        ),
        pytest.param(
            raised(RunCancelled("shutdown")),
            {},
            {"cancel_reason": "shutdown"},
            ("queued", "interrupted", 0, 0, "shutdown"),
            id="stopped itself at a shutdown",
        ),
        pytest.param(
            raised(RunCancelled("shutdown")),
            STEADY,
            {},
            ("cancelled", "cancelled", 1, None, "shutdown"),
            id="stopped itself as at a shutdown, unasked",
        ),
        pytest.param(
            raised(NotBegun("shutdown")),
            {},
            {},
            ("queued", "interrupted", 0, 0, "shutdown"),
            id="never begun",
        ),
        pytest.param(
            raised(RunCancelled("lease_lost")),
            {},
            {},
            ("queued", "interrupted", 0, 0, "lease_lost"),
            id="stopped itself before its driver saw that its lease was lost",
        ),
        pytest.param(
            raised(RunCancelled("lease_lost")),
            {},
            {"cancel_reason": "lease_lost"},
            ("queued", "interrupted", 0, 0, "lease_lost"),
            id="stopped itself when its lease was lost",
        ),
        pytest.param(
            raised(asyncio.CancelledError(), forced=True),
            {},
            {"cancel_reason": "lease_lost"},
            ("lost", "interrupted", 1, None, "its lease was lost"),
            id="cut off when its lease was lost",
        ),
        pytest.param(
            raised(TimeoutError(), forced=True),
            {},
            {"cancel_reason": "shutdown"},
            ("lost", "interrupted", 1, None, "cut off by shutdown"),
            id="cut off at a shutdown",
        ),
        pytest.param(
            raised(TimeoutError(), forced=True),
            RERUN,
            {"cancel_reason": "shutdown"},
            ("queued", "interrupted", 1, 0, "rerun"),
            id="cut off at a shutdown, rerun",
        ),
        pytest.param(
            raised(asyncio.CancelledError(), forced=True),
            {},
            {"cancel_reason": "replaced"},
            ("cancelled", "cancelled", 1, None, "replaced"),
            id="coroutine replaced",
        ),
        pytest.param(
            raised(asyncio.CancelledError(), forced=True),
            {},
            {},
            ("lost", "interrupted", 1, None, "its task was cancelled"),
            id="coroutine cancelled by others, or by its own code",
        ),
        pytest.param(
            raised(asyncio.CancelledError(), forced=True),
            STEADY,
            {},
            ("queued", "interrupted", 1, 1, "rerun"),
            id="the same, rerun after a crash",
        ),
        pytest.param(
            raised(OSError()),
            {},
            {"cancel_reason": "cancel"},
            ("failed", "failed", 1, None, ""),
            id="cancelled, failed",
        ),
        pytest.param(
            raised(OSError()),
            STEADY,
            {"cancel_reason": "cancel"},
            ("cancelled", "failed", 1, None, "cancel"),
            id="cancelled: no retry",
        ),
        pytest.param(
            raised(Snooze(5)),
            {},
            {"cancel_reason": "cancel"},
            ("cancelled", "snoozed", 0, None, "cancel"),
            id="cancelled: no snooze",
        ),
        pytest.param(
            Outcome(),
            {},
            {"cancel_reason": "cancel"},
            ("succeeded", "succeeded", 1, None, ""),
            id="cancelled, returned anyway",
        ),
        pytest.param(Outcome(died=True), {}, {}, ("lost", "lost", 1, None, "its process is gone"), id="child died"),
        pytest.param(Outcome(died=True), STEADY, {}, ("queued", "lost", 1, 0, "rerun"), id="child died, to be retried"),
        pytest.param(
            Outcome(died=True),
            RERUN,
            {"cancel_reason": "cancel"},
            ("cancelled", "lost", 1, None, "cancel"),
            id="cancelled, died",
        ),
    ],
)
def test_what_an_ended_attempt_makes_of_its_run(outcome, options, ended, expected):
    assert told(judged(outcome, options, **ended)) == expected


def test_the_last_attempt_decides_the_status():
    spent = row(attempt=3, spent=2)
    assert told(judged(raised(OSError()), STEADY, spent))[0] == "failed"
    assert told(judged(Outcome(), {"timeout": 1, **STEADY}, spent, timed_out=True))[0] == "timed_out"
    assert told(judged(Outcome(died=True), STEADY, spent))[0] == "lost"
    assert told(judged(raised(RetryAfter(1)), {}, spent))[0] == "failed"


def test_an_ended_attempt_lets_go_of_its_lease():
    for outcome in (Outcome(), raised(OSError()), raised(Snooze(1))):
        assert judged(outcome).row.token is None


def test_a_stuck_attempt_keeps_its_lease_until_its_thread_is_back():
    stuck = judged(Outcome(), {"timeout": 1, **STEADY}, timed_out=True, stuck=True)
    assert (stuck.row.status, stuck.row.stuck, stuck.row.token) == ("running", True, "token")
    back = thread_returned(stuck.row, NOW + 5)
    assert (back.row.status, back.row.stuck, back.row.token, back.row.due) == ("waiting", False, None, NOW + 5)


def test_a_stuck_run_without_a_retry_is_final_and_still_held():
    stuck = judged(Outcome(), {"timeout": 1}, timed_out=True, stuck=True)
    assert (stuck.row.status, stuck.row.stuck, stuck.row.token) == ("timed_out", True, "token")
    assert thread_returned(stuck.row, NOW).row.status == "timed_out"


@pytest.mark.parametrize("options", [{}, {"overlap": "queue"}, {"overlap": "allow"}, {"catch_up": "all"}])
def test_a_success_covers_its_window_for_those_that_join_by_then(options):
    assert judged(Outcome(), options).covered == 2
    assert judged(Outcome(), row=row(origin="backfill")).covered is None


def test_a_failure_covers_nothing():
    assert judged(raised(OSError())).covered is None


def test_the_chain_of_windows_begins_where_that_of_a_first_run_that_did_not_succeed_started():
    """So the run after it starts its window there: no gap."""
    assert begun_window(make_options({}, "job"), row()) == died(make_options({}, "job"), row(), NOW).covered == 1
    assert begun_window(make_options({"overlap": "allow"}, "job"), row()) is None
    assert begun_window(make_options({}, "job"), row(origin="backfill")) is None


def test_unhappy_ends_add_to_the_streak_and_a_success_ends_it():
    assert judged(Outcome()).streak == 0
    assert judged(raised(OSError())).streak == 1
    assert judged(raised(OSError()), STEADY).streak is None
    assert judged(raised(RunCancelled()), cancel_reason="cancel").streak is None


def test_an_error_is_kept_as_text_whatever_it_is():
    class Unreadable(Exception):
        def __str__(self):
            raise RuntimeError

    assert record_of(judged(raised(ValueError("why"))).row).error == "ValueError: why"
    assert "cannot be read" in record_of(judged(raised(Unreadable())).row).error
    assert record_of(judged(raised(ValueError())).row).error == "ValueError"
    long = record_of(judged(raised(ValueError("x" * 10**6 + "\0\ud800"))).row)
    assert len(long.error) < 3_000
    assert len(long.attempts[0].traceback) < 20_000
    text = ErrorText("Far", "away", "trace")
    assert record_of(judged(raised(OSError(), text=text)).row).attempts[0].error_type == "Far"


def test_a_result_that_is_not_json_is_not_kept_and_fails_nothing():
    new = judged(Outcome(object())).row
    assert (new.status, new.result) == ("succeeded", None)
    assert "object is not JSON" in new.reason


def test_a_dead_process_leaves_a_lost_run_or_a_rerun():
    lost = died(make_options({}, "job"), row(), NOW)
    assert (lost.row.status, lost.expired, lost.streak) == ("lost", True, 1)
    again = died(make_options(STEADY, "job"), row(), NOW)
    assert (again.row.status, again.row.due, again.row.spent) == ("queued", NOW, 1)
    assert died(make_options({**STEADY, "on_crash": "lost"}, "job"), row(), NOW).row.status == "lost"


def test_a_cancelled_run_whose_process_died_is_not_made_again():
    swap = died(make_options(RERUN, "job"), row(cancel_requested="cancel"), NOW)
    assert (swap.row.status, swap.row.finished_at) == ("cancelled", NOW)


def test_a_stuck_run_whose_process_died_is_free_again():
    final = died(make_options({}, "job"), row(status="timed_out", stuck=True), NOW).row
    assert (final.status, final.stuck, final.token) == ("timed_out", False, None)
    retry = died(make_options(STEADY, "job"), row(stuck=True), NOW).row
    assert (retry.status, retry.stuck, retry.due) == ("waiting", False, NOW)


def test_a_replay_has_fresh_attempts_and_the_next_number():
    new = reopened(row(status="failed", attempt=3, spent=3, error="x", finished_at=5, discarded=True), NOW).row
    assert (new.status, new.attempt, new.spent, new.error, new.finished_at) == ("queued", 3, 0, None, None)
    assert not new.discarded


def test_a_run_handed_back_has_made_no_attempt():
    new = handed_back(row()).row
    assert (new.status, new.attempt, new.token, new.started_at) == ("queued", 0, None, None)


def test_an_unstarted_run_ends_with_its_reason():
    new = ended_unstarted(row(status="waiting"), "cancelled", "cancel", NOW).row
    assert (new.status, new.reason, new.finished_at) == ("cancelled", "cancel", NOW)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [("a\udcffb", "a\\udcffb"), ("a\0b", "a\\0b"), (["no", "text"], "['no', 'text']"), ("", "cancel")],
)
def test_why_a_run_stopped_itself_is_text_that_every_store_can_keep(reason, kept):
    swap = judged(raised(RunCancelled(reason)))
    assert (swap.row.status, swap.row.reason) == ("cancelled", kept)


def test_of_very_many_attempts_the_first_and_the_last_are_kept():
    made = row()
    for number in range(1, MOST_ATTEMPTS + 11):
        made.attempt = number
        made.attempts = judged(raised(Snooze(10)), row=made).row.attempts
    numbers = [attempt.number for attempt in record_of(made).attempts]
    half = MOST_ATTEMPTS // 2
    assert numbers == [*range(1, half + 1), *range(half + 11, MOST_ATTEMPTS + 11)]


def test_the_first_and_the_last_attempts_keep_their_tracebacks():
    made, error = row(), ValueError("no")
    for number in range(1, 31):
        made.attempt = number
        made.attempts = judged(raised(error), {"retry": Retry(attempts=99)}, row=made).row.attempts
    attempts = record_of(made).attempts
    assert [attempt.number for attempt in attempts if attempt.traceback is None] == [*range(11, 21)]
    assert {attempt.error for attempt in attempts} == {"no"}


@pytest.mark.parametrize(
    ("reason", "after"), [("replay", "replay"), ("forced replay", "forced replay"), ("retry", "handed_back")]
)
def test_a_replay_that_is_handed_back_stays_a_replay(reason, after):
    new = handed_back(row(), reason).row
    assert (new.status, new.reason) == ("queued", after)
