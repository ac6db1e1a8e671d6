"""The life of a run in tables: claimed or added, begun, renewed, swapped.

Law: functions of an open transaction, which judge a whole batch by `rules` on what they loaded at its start and write
it down at its end, so that a batch costs a handful of statements. A transaction may be done again, so what is handed in
is not changed by it, but for what a second time would change in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rota.backends import flow_jobs, rules
from rota.backends.rules import JobFacts, RunStanding
from rota.backends.transaction import Transaction
from rota.core.run import OPEN, RunRow
from rota.errors import StoreError
from rota.ports import Begin, BeginAnswer, Renewal, Swap, SwapAnswer, TickAnswer, TickClaim


class _AtWork:
    """How many runs of jobs and of lanes are at work, within a batch."""

    def __init__(self, tx: Transaction, asks: Iterable[Begin], rows: Iterable[RunRow]) -> None:
        limited = {ask.job_id for ask in asks if ask.job_limit is not None}
        lanes = {row.lane for row in rows if row.lane is not None}
        self._jobs = tx.at_work(limited) if limited else {}
        self._lanes = tx.at_work_in(lanes) if lanes else {}

    def is_busy(self, row: RunRow, job: JobFacts, ask: Begin) -> bool:
        in_lane = 0 if row.lane is None else self._lanes.get(row.lane, 0)
        return rules.is_busy(row, job, ask, self._jobs.get(row.job_id, 0), in_lane)

    def add(self, row: RunRow) -> None:
        self._jobs[row.job_id] = self._jobs.get(row.job_id, 0) + 1
        if row.lane is not None:
            self._lanes[row.lane] = self._lanes.get(row.lane, 0) + 1


class _Claims:
    """A batch of claims on its way."""

    def __init__(self, tx: Transaction, claims: Sequence[TickClaim]) -> None:
        self.jobs = tx.jobs({ask.job_id for ask in claims})
        doubtful = [row.id for ask in claims if self._is_doubtful(ask) for row in ask.rows]
        self.kept: dict[str, RunRow] = tx.runs(doubtful) if doubtful else {}
        starts = [ask.start for ask in claims if ask.start is not None]
        self.at_work = _AtWork(tx, starts, (row for ask in claims for row in ask.rows))
        self.moment = tx.moment
        self.inserts: list[tuple[RunRow, float | None]] = []
        self.moved: dict[str, JobFacts] = {}
        self.replaced: list[str] = []

    def _is_doubtful(self, ask: TickClaim) -> bool:
        """Whether its rows may be known: a claim that was made before, of a watermark kept here, is outdated."""
        job = self.jobs.get(ask.job_id)
        return job is not None and (ask.previous is None or rules.is_outdated(job, ask))

    def judge(self, ask: TickClaim) -> TickAnswer:
        job, now = flow_jobs.of(self.jobs, ask.job_id), self.moment.now
        if ask.rows and ask.rows[0].id in self.kept:
            return TickAnswer("claimed", job.state(), now, rules.begun_before(ask.start, self.kept))
        if rules.is_outdated(job, ask):
            return TickAnswer("taken", job.state(), now)
        if not self.moment.settled:
            return TickAnswer("unsettled", job.state(), now)
        if ask.tick > now:
            return TickAnswer("too_early", job.state(), now)
        begun = self._claim(ask, job)
        return TickAnswer("claimed", job.state(), now, begun)

    def _claim(self, ask: TickClaim, job: JobFacts) -> RunRow | None:
        rules.apply_claim(job, ask)
        self.moved[job.job_id] = job
        self.replaced += ask.cancel
        start, begun = ask.start, None
        for row in ask.rows:
            kept, ttl = row, None
            if start is not None and row.id == start.run_id and not self.at_work.is_busy(row, job, start):
                kept, ttl = row.copy(), start.ttl
                rules.begin(kept, job, start, self.moment.now)
                self.at_work.add(kept)
                begun = kept
            job.note(kept)
            self.kept[row.id] = kept
            self.inserts.append((kept, ttl))
        return begun


def claim(tx: Transaction, claims: Sequence[TickClaim]) -> list[TickAnswer]:
    """Judge each claim and insert the rows of those that hold."""
    batch = _Claims(tx, claims)
    answers = [batch.judge(ask) for ask in claims]
    if batch.inserts:
        tx.insert(batch.inserts)
    if batch.replaced:
        tx.ask_to_stop(batch.replaced, "replaced", OPEN)
    if batch.moved:
        tx.move_jobs(batch.moved.values())
    return answers


def add(tx: Transaction, new: Sequence[RunRow]) -> list[RunRow]:
    """Insert rows that are not known yet; the rows now kept."""
    if not new:
        return []
    tx.insert_unknown(new)
    kept = tx.runs([row.id for row in new])
    keys = {(row.job_id, row.key) for row in new if row.id not in kept and row.key is not None}
    keyed = tx.keyed(keys) if keys else {}
    answers = [kept.get(row.id) or keyed.get((row.job_id, row.key or "")) for row in new]
    if None in answers:
        raise StoreError("a run of the same key was deleted at this very moment: ask again")
    return [row for row in answers if row is not None]


def begin(tx: Transaction, asks: Sequence[Begin]) -> list[BeginAnswer]:
    """Take each run that may be taken."""
    jobs = tx.jobs({ask.job_id for ask in asks})
    kept = tx.runs([ask.run_id for ask in asks])
    at_work = _AtWork(tx, asks, kept.values())
    now = tx.moment.now
    begun: dict[str, tuple[RunRow, float]] = {}
    moved: dict[str, JobFacts] = {}
    answers: list[BeginAnswer] = []
    for ask in asks:
        row = kept.get(ask.run_id)
        if row is None:
            answers.append(BeginAnswer("gone"))
            continue
        if not rules.was_begun(row, ask):
            refusal = _begin(ask, row, jobs, at_work, now)
            if refusal is not None:
                answers.append(refusal)
                continue
            moved[row.job_id] = jobs[row.job_id]
        begun[row.id] = (row, ask.ttl)
        answers.append(BeginAnswer("begun", row))
    if begun:
        tx.begin(list(begun.values()))
    if moved:
        tx.move_jobs(moved.values())
    return answers


def _begin(ask: Begin, row: RunRow, jobs: dict[str, JobFacts], at_work: _AtWork, now: int) -> BeginAnswer | None:
    if not rules.may_be_begun(row, ask):
        return BeginAnswer("gone")
    job = flow_jobs.of(jobs, row.job_id)
    if at_work.is_busy(row, job, ask):
        return BeginAnswer("busy")
    rules.begin(row, job, ask, now)
    job.note(row)
    at_work.add(row)
    return None


def swap(tx: Transaction, swaps: Sequence[Swap]) -> list[SwapAnswer]:
    """Replace each row that is still as the swap expects it."""
    jobs = tx.jobs({ask.row.job_id for ask in swaps})
    kept = tx.standings([ask.row.id for ask in swaps])
    whole = _whole(tx, swaps, kept)
    replaced: dict[str, RunRow] = {}
    logs: list[tuple[str, str]] = []
    moved: dict[str, JobFacts] = {}
    answers: list[SwapAnswer] = []
    for ask in swaps:
        new, job = ask.row, jobs.get(ask.row.job_id)
        old = kept.get(new.id)
        verdict: Literal["swapped", "lost"] = "lost"
        if old is not None:
            rules.settle_swap(new, old)
        if old is not None and new.status == old.status and new == whole[new.id]:
            verdict = "swapped"  # before: the answer was lost
        elif old is not None and rules.may_be_swapped(old, ask, old.is_over):
            verdict = "swapped"
            kept[new.id] = _standing(new, is_over=old.is_over)
            whole[new.id] = replaced[new.id] = new
            logs += [(new.id, line) for line in ask.logs]
            if job is not None:
                moved[job.job_id] = job
                rules.remember_end(job, ask.covered, ask.streak)
                job.note(new)
        answers.append(SwapAnswer(verdict, None if job is None else job.state()))
    if replaced:
        tx.swap(list(replaced.values()))
    if logs:
        tx.append_logs(logs)
    if moved:
        tx.move_jobs(moved.values())
    return answers


def _whole(tx: Transaction, swaps: Sequence[Swap], kept: Mapping[str, RunStanding]) -> dict[str, RunRow]:
    """The rows that may be what they are to become, by their status: most are not, and need not be read whole."""
    same = [ask.row.id for ask in swaps if ask.row.id in kept and kept[ask.row.id].status == ask.row.status]
    return tx.runs(same) if same else {}


def _standing(row: RunRow, *, is_over: bool) -> RunStanding:
    return RunStanding(row.status, row.token, row.stuck, row.cancel_requested, row.progress, is_over)


def renew(tx: Transaction, held: Sequence[tuple[str, str]], ttl: float) -> Renewal:
    """Extend the leases that are still held; which are lost, and which runs are asked to stop."""
    if not held:
        return Renewal(frozenset(), {})
    leases = tx.leases([run_id for run_id, _ in held])
    mine = [run_id for run_id, token in held if run_id in leases and leases[run_id][0] == token]
    if mine:
        tx.lease(mine, ttl)
    lost = frozenset(run_id for run_id, _ in held).difference(mine)
    reasons = ((run_id, leases[run_id][1]) for run_id in mine)
    return Renewal(lost, {run_id: reason for run_id, reason in reasons if reason is not None})


def request_cancel(tx: Transaction, run_id: str, reason: str) -> bool:
    """Ask a running run to stop."""
    row = tx.runs([run_id]).get(run_id)
    if row is None or row.status != "running":
        return False
    tx.ask_to_stop([run_id], reason, ["running"])
    return True


def discard(tx: Transaction, run_id: str) -> bool:
    """Take a dead letter off the list."""
    row = tx.runs([run_id]).get(run_id)
    if row is None or not rules.is_dead_letter(row):
        return False
    tx.set_discarded(run_id)
    return True
