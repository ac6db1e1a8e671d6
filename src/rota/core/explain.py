"""Why a job did or did not run at an instant: a verdict, the reason in one fixed word, the evidence and a hint.

Law: pure; the facts are brought. Reasons are the words of `REASONS`, so that programs may act on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, cast

from rota.core.effects import JobState
from rota.core.options import JobOptions
from rota.core.run import DEAD_LETTERS, RunRow, attempts_of, rfc3339
from rota.core.verdict import PROCESS_GONE, is_covered
from rota.triggers.base import Trigger, from_micros

REASONS: Final = (
    "ran",
    "running",
    "waiting",
    "not_a_tick",
    "before_first_seen",
    "nobody_alive",
    "store_down",
    "unknown_here",
    "paused",
    "overlap",
    "stuck",
    "too_late",
    "passed_over",
    "cancelled",
    "pruned",
)

NOBODY_ALIVE: Final = "no scheduler that shares this store was alive then"
NOBODY_NOW: Final = "no scheduler that shares this store is alive now"
NOT_WRITTEN_DOWN: Final = "it was claimed in the locks, and who claimed it wrote no record of it into this store"
AFTER_A_LOST_CLAIM: Final = (
    "Its process died in between, or did not hear the answer of the locks: backfill() runs the tick. Or it ran in a "
    "process that has a store of its own."
)
COVERED: Final = "when it was replayed, later runs had covered its window"
DO_IT_AGAIN: Final = "replay(force=True) does that work again."
START_ONE: Final = "Start one; what then becomes of the tick is up to catch_up."


@dataclass(frozen=True, slots=True)
class Explanation:
    """`verdict`: one plain sentence. `reason`: one of the fixed words. `evidence`: the facts it rests on. `hint`: what
    to do about it, or an empty text. `at`: the instant explained."""

    verdict: str
    reason: str
    evidence: tuple[str, ...]
    hint: str
    at: datetime | None = None


class NodeSpan(NamedTuple):
    """When a node was alive, as far as its row tells."""

    id: str
    started_at: int
    last_seen: int


class Facts(NamedTuple):
    """What is known about a job and a tick.

    `before`: the tick runs that were made before a tick that was skipped for one of them, newest first. `lease`:
    microseconds after which the runs of a dead process are taken over. `due`: when the tick is due, which jitter makes
    later than the tick itself. `claims_apart`: ticks are claimed in locks apart from the store."""

    job_id: str
    trigger: Trigger | None
    at: int
    state: JobState | None
    rows: Sequence[RunRow]
    nodes: Sequence[NodeSpan]
    keep_from: int | None
    now: int
    options: JobOptions
    before: Sequence[RunRow] = ()
    lease: int = 0
    due: int = 0
    claims_apart: bool = False


def explain(facts: Facts) -> Explanation:
    """The explanation for the instant `facts.at`: by its record, else by the first of the table that applies."""
    shown = rfc3339(facts.at)
    row = telling_row(facts.rows)
    if row is not None:
        return _by_row(facts, row, shown)
    for applies in _WITHOUT_A_RECORD:
        explanation = applies(facts, shown)
        if explanation is not None:
            return explanation
    return _not_disposed(facts, shown)


def _by_row(facts: Facts, row: RunRow, shown: str) -> Explanation:
    evidence = [f"run {row.id}: {row.status}{f' ({row.reason})' if row.reason else ''}"]
    if row.started_at is not None:
        evidence.append(f"started {rfc3339(row.started_at)} on {row.node}")
    if row.error:
        evidence.append(row.error)
    if row.status == "running" or row.stuck:
        return _at_work(facts, row, shown, evidence)
    if row.status in ("queued", "waiting"):
        return _say(facts, "waiting", f"The run of {shown} has not ended: {_awaited(facts, row)}.", evidence, "")
    if row.status == "cancelled":
        why, hint = (f": {COVERED}", DO_IT_AGAIN) if row.reason == "covered" else ("", "")
        return _say(facts, "cancelled", f"The run of {shown} was cancelled{why}.", evidence, hint)
    if row.status in ("skipped", "missed"):
        return _passed_over(facts, row, shown, evidence)
    return _say(facts, "ran", f"It ran for {shown} and {_ending(row)}.", evidence, _after_failure(facts, row))


def _at_work(facts: Facts, row: RunRow, shown: str, evidence: list[str]) -> Explanation:
    word = "stuck" if row.stuck else "running"
    gone = [node for node in facts.nodes if node.id == row.node and node.last_seen < facts.now]
    if gone:
        evidence.append(f"{row.node} was not heard of again, by {rfc3339(gone[0].last_seen)} at the latest")
        text = "its process has not been heard of for a while"
        hint = "Where it is gone, the next process that declares the job takes the run over, by on_crash."
    else:
        text, hint = "its thread does not return" if row.stuck else "it is at work", ""
    return _say(facts, word, f"The run of {shown} has begun: {text}.", evidence, hint)


def _awaited(facts: Facts, row: RunRow) -> str:
    if row.status == "waiting":
        return f"its next attempt is due {rfc3339(row.due)}"
    return f"it is due {rfc3339(row.due)}" if row.due > facts.now else "it waits for its turn"


def _passed_over(facts: Facts, row: RunRow, shown: str, evidence: list[str]) -> Explanation:
    texts = {
        "paused": ("the job was paused", _after_pause(facts)),
        "overlap": ("the run before it was still at work", _after_overlap(facts, row)),
        "stuck": (
            "a run before it had timed out and its thread did not return",
            "Look for what that thread waits for.",
        ),
        "too_late": ("it was first seen too late", "catch_up and max_lateness decide what is too late."),
        "passed_over": ("it was late, and a newer tick ran instead", _after_passing_over(facts)),
        "unrecorded": (NOT_WRITTEN_DOWN, AFTER_A_LOST_CLAIM),
        "before_first_seen": ("it was past when the store first saw the job, or its present trigger", ""),
    }
    why, hint = texts.get(row.reason, (row.reason, ""))
    if row.count > 1:
        evidence.append(f"one of {row.count} ticks in this record")
    if skipped_for_a_run(row):
        evidence += [_standing(run) for run in _in_the_way(facts, row)]
    if row.reason in ("too_late", "passed_over") and not _alive_then(facts):
        evidence.append(NOBODY_ALIVE)
    reason = row.reason if row.reason in REASONS else "passed_over"
    return _say(facts, reason, f"It did not run at {shown}: {why}.", evidence, hint)


def skipped_for_a_run(row: RunRow | None) -> bool:
    """Whether the record is of a tick that was skipped for a run before it."""
    return row is not None and row.status == "skipped" and row.reason in ("overlap", "stuck")


def _in_the_way(facts: Facts, skipped: RunRow) -> list[RunRow]:
    """The runs that were live when the tick was skipped for them."""
    return [
        run
        for run in facts.before
        if run.id != skipped.id and (run.stuck or run.finished_at is None or run.finished_at >= skipped.queued_at)
    ]


def _standing(run: RunRow) -> str:
    begun = f", begun {rfc3339(run.started_at)} on {run.node}" if run.started_at is not None else ""
    ended = f", ended {rfc3339(run.finished_at)}" if run.finished_at is not None else ""
    return f"in its way: run {run.id}: {run.status}{begun}{ended}"


def _after_overlap(facts: Facts, skipped: RunRow) -> str:
    if any(_was_dead(facts, run, skipped.queued_at) for run in _in_the_way(facts, skipped)):
        return "The process of that run had died; a smaller lease_ttl lets the next one run sooner."
    if facts.options.overlap == "queue":
        return 'One waits already; overlap="allow" would run it.'
    return 'overlap="queue" or "allow" would run it.'


def _after_passing_over(facts: Facts) -> str:
    if facts.options.catch_up == "all":
        return "A greater max_catch_up runs more of them; backfill() runs those that were left out."
    return 'catch_up="all" runs each.'


def _was_dead(facts: Facts, run: RunRow, at: int) -> bool:
    """Whether the process that held the run at that instant had died: it lost the run within a lease from then."""
    lost = [cast(int, one["finished_at"]) for one in attempts_of(run) if one["error"] == PROCESS_GONE]
    if run.status == "running":
        lost += [node.last_seen for node in facts.nodes if node.id == run.node and node.last_seen < facts.now]
    return any(at <= taken_over <= at + facts.lease for taken_over in lost)


def _after_pause(facts: Facts) -> str:
    is_paused = facts.state is not None and facts.state.paused_at is not None
    return "resume() lets it go on." if is_paused else "It was resumed since; backfill() runs what the pause left out."


def _not_a_tick(facts: Facts, shown: str) -> Explanation | None:
    trigger = facts.trigger
    if trigger is None or trigger.previous_tick(facts.at + 1) == facts.at:
        return None
    before, after = trigger.previous_tick(facts.at), trigger.next_tick(facts.at)
    evidence = [trigger.describe()]
    evidence.append(f"the tick before: {'none' if before is None else rfc3339(before)}")
    evidence.append(f"the tick after: {'none' if after is None else rfc3339(after)}")
    return _say(facts, "not_a_tick", f"{shown} is not a tick of {facts.job_id!r}.", evidence, "")


def _used_up(facts: Facts, shown: str) -> Explanation | None:
    state = facts.state
    most = facts.options.max_runs
    if state is None or most is None or state.claimed < most or facts.at <= state.watermark:
        return None
    verdict, hint = f"It does not run at {shown}: its max_runs are used up.", "A greater max_runs lets it go on."
    return _say(facts, "not_a_tick", verdict, [f"max_runs={most}"], hint)


def _never_seen(facts: Facts, shown: str) -> Explanation | None:
    state = facts.state
    if state is not None and facts.at > state.first_seen:
        return None
    evidence = [f"first seen: {'never' if state is None else rfc3339(state.first_seen)}"]
    if facts.at > facts.now:
        hint = "It begins with the first tick after a scheduler that declares it is started on this store."
        return _say(facts, "waiting", f"{shown} lies ahead.", evidence, hint)
    if facts.trigger is not None and facts.trigger.next_tick(facts.now) is None:
        evidence.append("its schedule is over: no tick lies ahead")
    verdict = f"It did not run at {shown}: the store had not seen the job yet."
    hint = "Ticks before a job is first seen do not exist for it; backfill() runs them."
    return _say(facts, "before_first_seen", verdict, evidence, hint)


def _pruned(facts: Facts, shown: str) -> Explanation | None:
    keep_from = facts.keep_from
    if facts.state is None or keep_from is None or facts.at >= keep_from or facts.at > facts.state.watermark:
        return None
    verdict = f"What became of {shown} is no longer known: its record was pruned."
    evidence = [f"records are kept from {rfc3339(keep_from)}"]
    return _say(facts, "pruned", verdict, evidence, "A longer retention keeps them longer.")


def _paused(facts: Facts, shown: str) -> Explanation | None:
    state = facts.state
    if state is None or state.paused_at is None:
        return None
    evidence = [state.pause_in_words()]
    return _say(facts, "paused", f"It does not run at {shown}: the job is paused.", evidence, "resume() lets it go on.")


_WITHOUT_A_RECORD: Final = (_not_a_tick, _used_up, _never_seen, _pruned, _paused)


def _not_disposed(facts: Facts, shown: str) -> Explanation:
    state = facts.state
    assert state is not None
    evidence = [f"every tick up to {rfc3339(state.watermark)} is disposed of"]
    if facts.at > facts.now:
        return _say(facts, "waiting", f"{shown} lies ahead.", evidence, "")
    if facts.due > facts.now:
        return _say(facts, "waiting", f"{shown} is put off by jitter, to {rfc3339(facts.due)}.", evidence, "")
    alive = _alive_then(facts)
    if not alive:
        evidence.append(NOBODY_ALIVE)
        return _say(
            facts, "nobody_alive", f"It did not run at {shown}: nobody was there to run it.", evidence, START_ONE
        )
    evidence.append(f"alive then: {', '.join(node.id for node in alive)}")
    if facts.at <= state.watermark:
        return _not_recorded(facts, shown, evidence)
    if not any(node.last_seen >= facts.now for node in facts.nodes):
        verdict = f"It did not run at {shown}: who was there then is gone, and did not come to it."
        return _say(facts, "nobody_alive", verdict, [*evidence, NOBODY_NOW], START_ONE)
    return _say(
        facts, "waiting", f"{shown} is due and not claimed yet: it waits for a worker or its turn.", evidence, ""
    )


def _not_recorded(facts: Facts, shown: str, evidence: list[str]) -> Explanation:
    if facts.claims_apart:
        verdict = f"What became of {shown} is not known here: {NOT_WRITTEN_DOWN}."
        return _say(facts, "pruned", verdict, evidence, AFTER_A_LOST_CLAIM)
    return _say(facts, "pruned", f"What became of {shown} is not in the records.", evidence, "")


def _alive_then(facts: Facts) -> list[NodeSpan]:
    return [node for node in facts.nodes if node.started_at <= facts.at <= node.last_seen]


def telling_row(found: Sequence[RunRow]) -> RunRow | None:
    """The row that tells most about the tick: one that ran before one that was passed over, the newest of equals."""
    rows = sorted(found, key=lambda row: (row.status not in ("skipped", "missed"), row.queued_at))
    return rows[-1] if rows else None


def _ending(row: RunRow) -> str:
    return {"timed_out": "timed out", "lost": "was lost with its process"}.get(row.status, row.status)


def _after_failure(facts: Facts, row: RunRow) -> str:
    if row.status not in DEAD_LETTERS:
        return ""
    if facts.state is not None and is_covered(facts.options, row, facts.state.covered_until):
        return f"Later runs have covered its window since; {DO_IT_AGAIN}"
    return "replay() gives it fresh attempts."


def _say(facts: Facts, reason: str, verdict: str, evidence: Sequence[str], hint: str) -> Explanation:
    return Explanation(verdict, reason, tuple(evidence), hint, from_micros(facts.at))
