"""The watermarks of jobs in locks: which ticks this process has won, and where the fleet stands.

Theory. A job's watermark is known here as a pair. `mark` is where it stands in the locks, as last heard. `base` is
where this process goes on from: what lies after `base` and up to `mark` was won by this process and is still to be
written down. The engine is shown `base`, so it plans from there, and a tick that was won once is not asked for again.

Law: a tick is won by the one compare-and-set that moves the watermark past it. A tick of which it is not known whether
this process won it (the answer got lost, and the watermark has moved) is in doubt and not run: once is more than twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rota.core.effects import JobSeen, JobState, TickClaim
from rota.core.run import RunRow
from rota.ports import Claim, ClaimAnswer, LockBackend

NOWHERE: Final = -1
"""A watermark that no job has: a claim from there is refused, and the refusal tells where it stands."""


class _Stand(NamedTuple):
    """`mark=None`: the locks have not been told of the job yet. `won`: the rows that stand for what was won."""

    base: int
    mark: int | None
    won: tuple[RunRow, ...] = ()


class ClaimedTicks:
    """By claim id. One thread at a time."""

    def __init__(self, locks: LockBackend, namespace: str) -> None:
        self._locks = locks
        self._namespace = namespace
        self._stands: dict[str, _Stand] = {}
        # Claims that the locks were given and have not answered.
        self._unanswered: dict[str, list[TickClaim]] = {}
        self.given_up: list[RunRow] = []
        """Rows of ticks that were won here and not written down before others went on: nobody will run them."""
        self.in_doubt: list[TickClaim] = []
        """Claims that were perhaps won here: nobody will say, and they are not run."""

    def declare(self, jobs: Sequence[tuple[JobSeen, JobState]]) -> None:
        """Find out where the jobs stand; one that the locks have not seen, or whose trigger they have not seen yet or
        the store has seen changed, starts where the store has it."""
        definitions = self._locks.claim([Claim(self._definition(*job), None, job[1].watermark) for job in jobs])
        sightings = self._locks.claim([Claim(self._tick(job_id), None, mark) for job_id, mark in _marks(jobs)])
        moves: list[Claim] = []
        for (_, state), definition, sighting in zip(jobs, definitions, sightings, strict=True):
            self._learn(state.job_id, sighting, state.watermark)
            is_new = definition.verdict == "claimed" or state.watermark > state.first_seen
            mark = self._stands[state.job_id].mark
            if is_new and mark is not None and mark < state.watermark:
                moves.append(Claim(self._tick(state.job_id), mark, state.watermark))
        self._move_up(jobs, moves)

    def view(self, state: JobState) -> JobState:
        """The state as the engine is to plan by it."""
        stand = self._stands.get(state.job_id)
        return state if stand is None else state.replaced(watermark=stand.base)

    def look(self, claim: TickClaim) -> bool:
        """Ask where the job stands; whether that was news."""
        answer = self._locks.claim([Claim(self._tick(claim.job_id), NOWHERE, claim.tick)])[0]
        before = self._stands.get(claim.job_id)
        self._lose(claim, answer)
        return self._stands.get(claim.job_id) != before

    def claim(self, claims: Sequence[TickClaim]) -> list[ClaimAnswer | None]:
        """In order: `None` for a tick that is ours, now or since an earlier claim, else why it is not."""
        answers: list[ClaimAnswer | None] = [self._known(claim) for claim in claims]
        asked = [index for index, answer in enumerate(answers) if answer is None and not self._is_ours(claims[index])]
        asks = [self._ask(claims[index]) for index in asked]
        try:
            answered = self._locks.claim(asks) if asks else ()
        except BaseException:  # whatever they raise, they may have carried it out
            for index in asked:
                self._unanswered.setdefault(claims[index].job_id, []).append(claims[index])
            raise
        for index, answer in zip(asked, answered, strict=True):
            answers[index] = self._answered(claims[index], answer)
        return answers

    def dispose(self, claim: TickClaim) -> None:
        """The claim has been written down."""
        stand = self._stands[claim.job_id]
        self._stands[claim.job_id] = stand._replace(base=max(stand.base, claim.tick))

    def _known(self, claim: TickClaim) -> ClaimAnswer | None:
        """A claim that was planned from elsewhere is refused unasked."""
        stand = self._stands.get(claim.job_id)
        if stand is None:
            self._stands[claim.job_id] = _Stand(_previous(claim), None)
        elif stand.base != claim.previous:
            return ClaimAnswer("taken", stand.base, claim.tick)
        return None

    def _is_ours(self, claim: TickClaim) -> bool:
        mark = self._stands[claim.job_id].mark
        return mark is not None and claim.tick <= mark

    def _ask(self, claim: TickClaim) -> Claim:
        return Claim(self._tick(claim.job_id), self._stands[claim.job_id].mark, claim.tick)

    def _answered(self, claim: TickClaim, answer: ClaimAnswer) -> ClaimAnswer | None:
        if answer.verdict == "claimed":
            self._unanswered.pop(claim.job_id, None)
            self._stands[claim.job_id] = self._stands[claim.job_id]._replace(mark=claim.tick, won=claim.rows)
            return None
        if answer.verdict == "taken":
            self._lose(claim, answer)
        return answer

    def _lose(self, claim: TickClaim, answer: ClaimAnswer) -> None:
        """Others have moved it, or nobody knows it any more."""
        stand = self._stands.get(claim.job_id)
        if stand is not None and answer.watermark == stand.mark:
            return
        if answer.watermark is None:
            self._stands[claim.job_id] = _Stand(_previous(claim) if stand is None else stand.base, None)
            return
        self._go_on_from(claim.job_id, answer.watermark)

    def _go_on_from(self, job_id: str, watermark: int) -> None:
        """Others have moved it there, or an unanswered claim of ours. What was won here and is not written down is
        given up."""
        stand = self._stands.get(job_id)
        if stand is not None and stand.mark is not None and stand.base < stand.mark:
            self.given_up += stand.won
        self.in_doubt += [claim for claim in self._unanswered.pop(job_id, ()) if claim.tick <= watermark]
        self._stands[job_id] = _Stand(watermark, watermark)

    def _learn(self, job_id: str, sighting: ClaimAnswer, otherwise: int) -> None:
        """What a declaration was answered. What this process has won already stays won."""
        stand = self._stands.get(job_id)
        if sighting.watermark is None:
            self._stands.setdefault(job_id, _Stand(otherwise, None))
        elif stand is None or stand.mark != sighting.watermark:
            self._go_on_from(job_id, sighting.watermark)

    def _move_up(self, jobs: Iterable[tuple[JobSeen, JobState]], moves: Sequence[Claim]) -> None:
        if not moves:
            return
        job_ids = {self._tick(state.job_id): state.job_id for _, state in jobs}
        for move, answer in zip(moves, self._locks.claim(moves), strict=True):
            job_id = job_ids[move.name]
            if answer.verdict == "claimed":
                self._unanswered.pop(job_id, None)
            if answer.watermark is not None:
                self._go_on_from(job_id, answer.watermark)

    def _tick(self, job_id: str) -> str:
        return f"{self._namespace}/tick/{job_id}"

    def _definition(self, seen: JobSeen, state: JobState) -> str:
        digest = hashlib.sha256(seen.signature.encode()).hexdigest()[:32]
        return f"{self._namespace}/trigger/{digest}/{state.job_id}"


def _marks(jobs: Iterable[tuple[JobSeen, JobState]]) -> Iterable[tuple[str, int]]:
    return ((state.job_id, state.watermark) for _, state in jobs)


def _previous(claim: TickClaim) -> int:
    assert claim.previous is not None
    return claim.previous
