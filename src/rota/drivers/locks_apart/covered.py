"""How far the windows of jobs are covered, among processes that do not see one another's rows: watermarks in locks.

Law: the end of the last succeeded window only grows. It is told before the run gives its turn back, and looked at after
a turn is taken, so that the next window begins where the last one has ended, whichever process it was in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rota.core.effects import JobState
from rota.drivers.locks_apart.claimed_ticks import NOWHERE
from rota.errors import LockBackendError
from rota.ports import Claim, LockBackend

TRIES: Final = 5


class CoveredWindows:
    """By claim id. Safe in threads."""

    def __init__(self, locks: LockBackend, namespace: str) -> None:
        self._locks = locks
        self._namespace = namespace
        self._known: dict[str, int] = {}
        self._untold: dict[str, int] = {}

    def view(self, state: JobState) -> JobState:
        """The state with the window of whichever process came last."""
        known = self._known.get(state.job_id)
        if known is None or (state.covered_until is not None and state.covered_until >= known):
            return state
        return state.replaced(covered_until=known)

    def tell(self, ends: Iterable[tuple[str, int]]) -> None:
        """Runs of these jobs have succeeded, with windows that end there. Where the locks do not answer they are told
        later."""
        for job_id, covered in ends:
            self._untold[job_id] = max(covered, self._untold.get(job_id, covered))
        self.tell_rest()

    def tell_rest(self) -> None:
        """Tell what could not be told before."""
        for _ in range(TRIES):
            untold = self._not_known()
            if not untold or not self._move(untold):
                return

    def look(self, job_ids: Sequence[str]) -> list[bool]:
        """Ask how far they are; whether that was news."""
        before = [self._known.get(job_id) for job_id in job_ids]
        answers = self._locks.claim([Claim(self._name(job_id), NOWHERE, 0) for job_id in job_ids])
        for job_id, answer in zip(job_ids, answers, strict=True):
            self._learn(job_id, answer.watermark)
        return [self._known.get(job_id) != known for job_id, known in zip(job_ids, before, strict=True)]

    def _not_known(self) -> list[tuple[str, int]]:
        """What is to be told, less what the locks are known to have."""
        for job_id, covered in list(self._untold.items()):
            known = self._known.get(job_id)
            if known is not None and known >= covered and self._untold.get(job_id) == covered:
                self._untold.pop(job_id, None)
        return list(self._untold.items())

    def _move(self, untold: Sequence[tuple[str, int]]) -> bool:
        """Whether the locks have answered, if only that others have moved on."""
        claims = [Claim(self._name(job_id), self._known.get(job_id), covered) for job_id, covered in untold]
        try:
            answers = self._locks.claim(claims)
        except LockBackendError:
            return False
        is_heard = False
        for (job_id, _), answer in zip(untold, answers, strict=True):
            if answer.verdict in {"claimed", "taken"}:
                is_heard = True
                self._learn(job_id, answer.watermark)
        return is_heard

    def _learn(self, job_id: str, watermark: int | None) -> None:
        if watermark is None:
            self._known.pop(job_id, None)
        else:
            self._known[job_id] = watermark

    def _name(self, job_id: str) -> str:
        return f"{self._namespace}/covered/{job_id}"
