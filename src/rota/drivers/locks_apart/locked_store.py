"""A store whose ticks are claimed in locks that were given apart: `Scheduler(store=…, locks=…)`.

Theory. The locks keep the watermark of each job (`claimed_ticks`); the store keeps the rows. A tick is won in the locks
first and then carried out in the store, which is told to take the tick as it is (`TickClaim.previous=None`).

* A store that processes share sees all rows: overlap, limits, leases and fences are decided there, in the transaction
  that writes the row.
* A store of one process, such as memory, sees only the rows of its own: whose turn a job is, and its fences, are leases
  in the locks too (`turns`), and how far its windows are covered is a watermark there (`covered`). Limits, pauses and
  streaks are those of the process.

Law: it is a `Store` itself, so that whoever asks a store, the engine above all, need not know of locks. What fails here
fails as a store does: unknown, asked for again with the same rows or tokens. A tick that was won stays this process's
until it is disposed of, so a claim that failed half way is not taken for somebody else's. In doubt a tick is not run,
and recorded as missed (`unrecorded`): one that this process was not told whether it had won, and, on a store that is
shared, one whose process died between winning it and writing it down.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Literal

from rota.backends.fork_safety import keep_fork_safe
from rota.core.effects import (
    Begin,
    BeginAnswer,
    JobSeen,
    JobState,
    Live,
    Swap,
    SwapAnswer,
    TickAnswer,
    TickClaim,
)
from rota.core.run import RunRow
from rota.drivers.driven import ForeseeingStore
from rota.drivers.locks_apart.claimed_ticks import ClaimedTicks
from rota.drivers.locks_apart.covered import CoveredWindows
from rota.drivers.locks_apart.turns import ELSEWHERE, RUNNING_ELSEWHERE, Turns
from rota.drivers.locks_apart.unrecorded import UnrecordedTicks
from rota.errors import StoreError
from rota.ports import Due, LockBackend, NodeRow, Renewal, Store


class LockedStore:
    """Implements `rota.ports.Store`. `ttl`: seconds for which the turn of a job outlives a process that dies."""

    def __init__(self, store: Store, locks: LockBackend, namespace: str, ttl: float) -> None:
        self._store = store
        self._locks = locks
        self._nothing = f"{namespace}/health"
        self._ticks = ClaimedTicks(locks, namespace)
        self._turns = None if store.shared else Turns(locks, namespace, ttl)
        self._covered = CoveredWindows(locks, namespace)
        self._unrecorded = UnrecordedTicks(store, ttl)
        # The watermarks of the store, as last heard: ticks up to there are written down.
        self._written: dict[str, int] = {}
        # Claims that the store was given and has not answered.
        self._tried: dict[str, TickClaim] = {}
        # The engine claims and declares, and so does whoever resumes a job.
        self._claiming = threading.RLock()
        keep_fork_safe(self)
        # What has nothing to do with claims and leases is the store's own.
        self.open, self.close, self.now = store.open, store.close, store.now
        self.add, self.request_cancel = store.add, store.request_cancel
        self.count_open = store.count_open
        self.run, self.runs, self.runs_of_ticks = store.run, store.runs, store.runs_of_ticks
        self.discard, self.prune, self.forget = store.discard, store.prune, store.forget
        self.values, self.value = store.values, store.value
        self.put_value, self.delete_value = store.put_value, store.delete_value
        self.set_progress, self.logs = store.set_progress, store.logs
        self.nodes = store.nodes
        # What a look at shared rows may find depends on them alone. Besides a store of one process turns are renewed,
        # for runs that wait as well, so there no clock may pass a renewal by.
        if store.shared and isinstance(store, ForeseeingStore):
            foresees = store.seconds_of_quiet
            self.seconds_of_quiet = lambda now: 0.0 if self._unrecorded else foresees(now)

    @property
    def shared(self) -> bool:
        """Other processes claim in the same locks: runs are leased and renewed, whatever the store."""
        return True

    @property
    def rows_are_shared(self) -> bool:
        """Whether the rows, too, are those of all processes."""
        return self._store.shared

    @property
    def locks(self) -> LockBackend:
        """The locks that were given."""
        return self._locks

    def sync_jobs(self, jobs: Sequence[JobSeen]) -> Sequence[JobState]:
        """Declare jobs to the store, and those with ticks to the locks."""
        with self._claiming:
            states = self._store.sync_jobs(jobs)
            self._settle([state.job_id for state in states])
            self._ticks.declare([(seen, state) for seen, state in zip(jobs, states, strict=True) if seen.signature])
            self._record_given_up()
            viewed = [self._view(state) for state in states]
            self._note_unrecorded([(view.job_id, view.watermark) for view in viewed])
            return viewed

    def job_states(self, job_ids: Sequence[str]) -> Sequence[JobState | None]:
        """The store's, with the watermark of the locks."""
        if self._tried:
            with self._claiming:
                self._settle(job_ids)
        return [None if state is None else self._view(state) for state in self._store.job_states(job_ids)]

    def pause(self, job_id: str, reason: str | None) -> JobState | None:
        """The store's, with the watermark of the locks."""
        state = self._store.pause(job_id, reason)
        return None if state is None else self._view(state)

    def claim(self, claims: Sequence[TickClaim]) -> Sequence[TickAnswer]:
        """Win each tick in the locks, see whose turn it is, and carry out in the store what is ours."""
        with self._claiming:
            return self._claim(claims)

    def _claim(self, claims: Sequence[TickClaim]) -> Sequence[TickAnswer]:
        self._settle([claim.job_id for claim in claims])
        asked = [_Asked(claim) for claim in claims]
        if self._turns is not None:
            self._let_late_ones_wait(self._turns, asked)
        self._win(asked)
        if self._turns is not None:
            self._take_turns(self._turns, asked)
            self._join_windows(asked)
        self._carry_out(_open(asked))
        self._say_why_not(asked)
        return [one.answer for one in asked if one.answer is not None]

    def due(self, before: int, limit: int, exclude: Collection[str] = ()) -> Due:
        """The store's; besides, what has been won and not written down for too long is written down."""
        if self._unrecorded:
            with self._claiming:
                self._unrecorded.look(before)
        return self._store.due(before, limit, exclude)

    def begin(self, asks: Sequence[Begin]) -> Sequence[BeginAnswer]:
        """Begin in the store what has its turn."""
        turns = self._turns
        if turns is None:
            return self._store.begin(asks)
        has_turn = [turns.may_begin(ask.run_id) for ask in asks]
        answers = iter(self._store.begin([ask for ask, may in zip(asks, has_turn, strict=True) if may]))
        return [
            self._begun(turns, ask, next(answers)) if may else BeginAnswer("busy")
            for ask, may in zip(asks, has_turn, strict=True)
        ]

    def swap(self, swaps: Sequence[Swap]) -> Sequence[SwapAnswer]:
        """The store's; a run that is over gives its turn back."""
        answers = self._store.swap(swaps)
        if self._turns is not None:
            pairs = zip(swaps, answers, strict=True)
            self._swapped(self._turns, [swap for swap, answer in pairs if answer.verdict == "swapped"])
        return [
            answer if answer.state is None else answer.replaced(state=self._view(answer.state)) for answer in answers
        ]

    def renew(self, node: NodeRow, held: Sequence[tuple[str, str]], ttl: float) -> Renewal:
        """Renew turns, then runs: a turn has run out by the time that the lease of its run has."""
        self._covered.tell_rest()
        lost = set() if self._turns is None else self._turns.renew(self._store.run)
        renewal = self._store.renew(node, held, ttl)
        return renewal._replace(lost=renewal.lost.union(run_id for run_id, _ in held if run_id in lost))

    def beat(self, node: NodeRow) -> None:
        """The store's; a node that stops keeps no turn from others. One that goes on asks the locks for a sign of life
        as well, by giving back what nobody ever holds: without them nothing is claimed."""
        if self._turns is not None and node.stopped_at is not None:
            self._turns.leave_all()
        self._store.beat(node)
        if node.stopped_at is None:
            self._locks.release(self._nothing, "nobody")

    # Across a fork: a child claims afresh, whoever was at it in the parent ------------------------------------------

    def before_fork(self) -> None:
        """Nothing: a claim may take long."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """The thread that was claiming is not here."""
        self._claiming = threading.RLock()

    # A claim, step by step -------------------------------------------------------------------------------------------

    def _let_late_ones_wait(self, turns: Turns, asked: Sequence[_Asked]) -> None:
        """Ticks that are caught up are not won before it is their turn, so that nobody runs a later one first. Who has
        to wait looks where the job stands: it may be this very tick that another process is at work on."""
        for one in asked:
            claim = one.claim
            if claim.start is not None and claim.rows[-1].is_catch_up and turns.take(claim) is not None:
                one.verdict = "taken" if self._ticks.look(claim) else "unsettled"

    def _win(self, asked: Sequence[_Asked]) -> None:
        """The compare-and-set. Of the processes that see a tick come due, one goes on."""
        waiting = _open(asked)
        for one, refusal in zip(waiting, self._ticks.claim([one.claim for one in waiting]), strict=True):
            if refusal is not None:
                one.verdict, one.now = refusal.verdict, refusal.now
                if self._turns is not None:
                    self._turns.put_down(one.claim)
        self._record_given_up()

    def _record_given_up(self) -> None:
        """Ticks that were won here, or perhaps were, and nobody will run."""
        for claim in self._ticks.in_doubt:
            self._unrecorded.note(claim.job_id, claim.tick, claim.rows)
        self._ticks.in_doubt.clear()
        if self._ticks.given_up:
            self._unrecorded.record(self._ticks.given_up, "passed_over", self._store.now())
            self._ticks.given_up.clear()

    def _note_unrecorded(self, stands: Sequence[tuple[str, int]]) -> None:
        """Ticks up to which jobs stand in the locks, where a shared store does not know of them yet."""
        if self._store.shared:
            for job_id, tick in stands:
                if self._written.get(job_id, tick) < tick:
                    self._unrecorded.note(job_id, tick)

    def _look_before(self, ours: Sequence[_Asked]) -> None:
        """See to it that the ticks before these, which others have won, are not forgotten where these go beyond."""
        before = [(one.claim.job_id, one.claim.previous) for one in ours if one.claim.previous is not None]
        unheard = [(job_id, tick) for job_id, tick in before if self._written.get(job_id, tick) < tick]
        if unheard and self._store.shared:
            self.job_states([job_id for job_id, _ in unheard])
            self._note_unrecorded(unheard)

    def _take_turns(self, turns: Turns, asked: Sequence[_Asked]) -> None:
        """Of a job that is at work elsewhere the tick is decided anew, as the overlap rule has it, and stays ours."""
        for one in _open(asked):
            in_the_way = turns.take(one.claim)
            if in_the_way is not None:
                one.verdict, one.elsewhere = "taken", _elsewhere(one.claim, in_the_way)

    def _join_windows(self, asked: Sequence[_Asked]) -> None:
        """A tick whose window was planned before one elsewhere succeeded is planned anew, and stays ours."""
        windowed = [one for one in _open(asked) if one.claim.counts and one.claim.live is not None]
        if windowed:
            news = self._covered.look([one.claim.job_id for one in windowed])
            for one, is_news in zip(windowed, news, strict=True):
                one.verdict = "taken" if is_news else None

    def _carry_out(self, ours: Sequence[_Asked]) -> None:
        """Write down what is ours."""
        if not ours:
            return
        claims = [_own_part(one.claim) for one in ours]
        try:
            self._look_before(ours)
            answers = self._store.claim(claims)
        except BaseException:  # whatever it raises, it may have carried them out
            self._tried.update((one.claim.job_id, one.claim) for one in ours)
            raise
        for one, answer in zip(ours, answers, strict=True):
            if answer.verdict == "claimed":
                self._written_down(one.claim)
            elif self._turns is not None:
                self._turns.put_down(one.claim)
        for one, answer in zip(ours, answers, strict=True):
            begun = self._fenced(one.claim.job_id, answer.begun)
            one.answer = answer.replaced(state=self._view(answer.state), begun=begun)

    def _say_why_not(self, asked: Sequence[_Asked]) -> None:
        refused = [one for one in asked if one.answer is None]
        for one, state in zip(refused, self.job_states([one.claim.job_id for one in refused]), strict=True):
            if state is None:
                raise StoreError(
                    f"the store does not know the job {one.claim.job_id!r}: declare it with sync_jobs first"
                )
            assert one.verdict is not None
            one.answer = TickAnswer(one.verdict, state.replaced(live=state.live + one.elsewhere), one.now)

    def _written_down(self, claim: TickClaim, *, is_over: bool = False) -> None:
        self._ticks.dispose(claim)
        if self._turns is not None and is_over:
            self._turns.put_down(claim)
        elif self._turns is not None:
            self._turns.keep(claim)

    def _settle(self, job_ids: Sequence[str]) -> None:
        """Look up what became of claims that the store did not answer: whether they were carried out, or another
        process has recorded their tick since."""
        for job_id in job_ids if self._tried else ():
            claim = self._tried.get(job_id)
            row = self._store.run(claim.rows[-1].id) if claim is not None and claim.rows else None
            if claim is not None and row is not None:
                self._written_down(claim, is_over=not row.is_live_tick)
            elif claim is not None and self._unrecorded.is_recorded(job_id, claim.tick):
                self._written_down(claim, is_over=True)
            self._tried.pop(job_id, None)

    # Beginning and ending --------------------------------------------------------------------------------------------

    def _view(self, state: JobState) -> JobState:
        """The state as the engine is to plan by it."""
        self._written[state.job_id] = state.watermark
        state = self._ticks.view(state)
        return state if self._turns is None else self._covered.view(state)

    def _swapped(self, turns: Turns, swaps: Sequence[Swap]) -> None:
        """Windows are told before turns are given back."""
        self._covered.tell((swap.row.job_id, swap.covered) for swap in swaps if swap.covered is not None)
        for swap in swaps:
            if not swap.row.is_live_tick:
                turns.leave(swap.row.id)

    def _begun(self, turns: Turns, ask: Begin, answer: BeginAnswer) -> BeginAnswer:
        if answer.verdict != "begun":
            turns.not_begun(ask.run_id)
            return answer
        turns.begun(ask.run_id)
        if answer.row is not None and answer.row.window_end is not None:
            self._covered.look([ask.job_id])
        return answer.replaced(row=self._fenced(ask.job_id, answer.row))

    def _fenced(self, job_id: str, begun: RunRow | None) -> RunRow | None:
        """The row with a fence of all processes; a store of one process knows only its own."""
        if self._turns is None or begun is None:
            return begun
        fenced = begun.copy()
        fenced.fence = self._turns.fence(job_id)
        return fenced


class _Asked:
    """A claim on its way. Open as long as it has neither a `verdict` against it nor an `answer`."""

    __slots__ = ("answer", "claim", "elsewhere", "now", "verdict")

    def __init__(self, claim: TickClaim) -> None:
        self.claim = claim
        self.answer: TickAnswer | None = None
        self.verdict: Literal["claimed", "taken", "too_early", "unsettled"] | None = None
        self.elsewhere: tuple[Live, ...] = ()
        self.now = claim.tick


def _open(asked: Sequence[_Asked]) -> list[_Asked]:
    return [one for one in asked if one.verdict is None and one.answer is None]


def _own_part(claim: TickClaim) -> TickClaim:
    """The claim as the store is to judge it: the watermark is the locks' business, and so are runs elsewhere."""
    live = None if claim.live is None else tuple(run_id for run_id in claim.live if run_id not in ELSEWHERE)
    cancel = tuple(run_id for run_id in claim.cancel if run_id not in ELSEWHERE)
    return claim.replaced(previous=None, live=live, cancel=cancel)


def _elsewhere(claim: TickClaim, in_the_way: Live) -> tuple[Live, ...]:
    """What the tick is to be decided on besides the live runs of this process."""
    known = claim.live is not None and RUNNING_ELSEWHERE.run_id in claim.live
    return (RUNNING_ELSEWHERE, in_the_way) if known and in_the_way is not RUNNING_ELSEWHERE else (in_the_way,)
