"""Whose turn a job is among processes that do not see one another's rows: leases in locks, for overlap and for fences.

Theory. Where a job's tick runs exclude one another, the process that has a live one holds the job's *turn* for as long
as the run is live, waiting for a retry included. A tick that queues behind a run of another process holds the *place*
in the queue, of which there is one. Both are renewed with the leases of runs, and are looked after there: a turn whose
run is over, or is not on record, is given back.

Law: what is held here belongs to a row of the store. The lease is taken before the row is written; if the row is not
written, it runs out, or is taken up again with the same token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from rota.core.effects import Live, TickClaim
from rota.core.run import RunRow
from rota.drivers.identity import new_token
from rota.errors import BackendError, LockBackendError
from rota.hooks.logging import logger
from rota.ports import LockBackend

RUNNING_ELSEWHERE: Final = Live("elsewhere/running", "running", False, 0)
QUEUED_ELSEWHERE: Final = Live("elsewhere/queued", "queued", False, 0)
ELSEWHERE: Final = frozenset({RUNNING_ELSEWHERE.run_id, QUEUED_ELSEWHERE.run_id})
"""Stand for the live runs of other processes, of which it is only known that they are there."""

FENCE_TTL: Final = 2.0
"""Seconds after which a process that died while it took a fence is in nobody's way."""

FENCE_TRIES: Final = 100
FENCE_PAUSE: Final = 0.003


class _Turn(NamedTuple):
    """What a live run holds: the lock `name`, or nothing any more (`token=None`: it was lost, or given back)."""

    job_id: str
    name: str
    token: str | None


class Turns:
    """By run id. `ttl`: seconds for which a turn outlives a process that dies. Safe in threads."""

    def __init__(self, locks: LockBackend, namespace: str, ttl: float) -> None:
        self._locks = locks
        self._namespace = namespace
        self._ttl = ttl
        self._turns: dict[str, _Turn] = {}
        # Taken for a run that is not written down yet, by lock: a claim that failed half way goes on with it.
        self._ahead: dict[str, str] = {}

    def take(self, claim: TickClaim) -> Live | None:
        """Take what the claim needs; `None` when that was to be had, else what stands in its way."""
        name = self._needed(claim)
        if name is None:
            return None
        token = self._ahead.setdefault(name, new_token())
        if self._locks.acquire(name, token, self._ttl) is not None:
            return None
        del self._ahead[name]
        return QUEUED_ELSEWHERE if claim.start is None else RUNNING_ELSEWHERE

    def keep(self, claim: TickClaim) -> None:
        """The claim's run was written down: it holds what was taken for it."""
        name = self._needed(claim)
        token = None if name is None else self._ahead.pop(name, None)
        if name is not None and token is not None:
            self._turns[claim.rows[-1].id] = _Turn(claim.job_id, name, token)
        elif name is not None or (claim.live is not None and claim.rows and claim.rows[-1].is_live_tick):
            # Unless it is kept: two threads may find out at once that it was written down, and one has the token.
            self._turns.setdefault(claim.rows[-1].id, _Turn(claim.job_id, name or self._job(claim.job_id), None))

    def put_down(self, claim: TickClaim) -> None:
        """The claim was refused: what was taken for it is given back."""
        name = self._needed(claim)
        token = None if name is None else self._ahead.pop(name, None)
        if name is not None and token is not None:
            self._release(name, token)

    def may_begin(self, run_id: str) -> bool:
        """Take the job's turn for a run that is to begin, if it needs one; `False`: another process has it."""
        turn = self._turns.get(run_id)
        if turn is None:
            return True
        name = self._job(turn.job_id)
        holds_it = turn.name == name and turn.token is not None
        token = turn.token if holds_it and turn.token is not None else self._ahead.setdefault(name, new_token())
        if self._locks.acquire(name, token, self._ttl) is not None:
            return True
        self._ahead.pop(name, None)
        if holds_it:
            self._turns[run_id] = turn._replace(token=None)
        return False

    def begun(self, run_id: str) -> None:
        """The run has begun: it holds the job's turn, and leaves its place in the queue."""
        turn = self._turns.get(run_id)
        token = None if turn is None else self._ahead.pop(self._job(turn.job_id), None)
        if turn is not None and token is not None:
            self._turns[run_id] = _Turn(turn.job_id, self._job(turn.job_id), token)
            if turn.token is not None:
                self._release(turn.name, turn.token)

    def not_begun(self, run_id: str) -> None:
        """The run must wait for another reason: let others have the turn that was just taken for it."""
        turn = self._turns.get(run_id)
        name = None if turn is None else self._job(turn.job_id)
        token = None if name is None else self._ahead.pop(name, None)
        if name is not None and token is not None:
            self._release(name, token)

    def leave(self, run_id: str) -> None:
        """The run is over. Where giving back fails, the next renewal does it."""
        turn = self._turns.get(run_id)
        if turn is not None and (turn.token is None or self._release(turn.name, turn.token)):
            self._turns.pop(run_id, None)

    def leave_all(self) -> None:
        """This process begins nothing any more; its open runs hold nothing."""
        for run_id, turn in list(self._turns.items()):
            if turn.token is not None and self._release(turn.name, turn.token):
                self._turns[run_id] = turn._replace(token=None)

    def renew(self, find: Callable[[str], RunRow | None]) -> set[str]:
        """Renew what is held for runs that `find` knows to be live; the ids of those that have lost it.

        `LockBackendError` where one could not be asked for, when all have had their turn."""
        lost: set[str] = set()
        failure: LockBackendError | None = None
        for run_id, turn in list(self._turns.items()):
            row = find(run_id)
            if row is None or not row.is_live_tick:
                self.leave(run_id)
                continue
            try:
                if turn.token is not None and not self._locks.renew(turn.name, turn.token, self._ttl):
                    self._lose(run_id, turn, lost)
            except LockBackendError as error:
                failure = error
        if failure is not None:
            raise failure
        return lost

    def fence(self, job_id: str) -> int:
        """A number greater than every one before it, for any run of the job in any process."""
        name, token = f"{self._namespace}/fence/{job_id}", new_token()
        for _ in range(FENCE_TRIES):
            grant = self._locks.acquire(name, token, FENCE_TTL)
            if grant is not None:
                self._release(name, token)
                return grant.fence
            threading.Event().wait(FENCE_PAUSE)
        raise LockBackendError(f"the lock {name!r} was held by others for too long")

    def _needed(self, claim: TickClaim) -> str | None:
        """The lock that a claim needs: the job's turn to start, the place in the queue to queue."""
        if claim.live is None or not claim.rows:
            return None
        if claim.start is not None:
            return self._job(claim.job_id)
        is_queued = claim.rows[-1].status == "queued" and not claim.cancel
        return f"{self._namespace}/queue/{claim.job_id}" if is_queued else None

    def _job(self, job_id: str) -> str:
        return f"{self._namespace}/job/{job_id}"

    def _lose(self, run_id: str, turn: _Turn, lost: set[str]) -> None:
        # A run that has ended or begun meanwhile holds something else by now.
        if self._turns.get(run_id) is turn:
            self._turns[run_id] = turn._replace(token=None)
            lost.add(run_id)

    def _release(self, name: str, token: str) -> bool:
        try:
            self._locks.release(name, token)
        except BackendError as error:
            logger().warning("lease.release_failed", lock=name, error_type=type(error).__name__, error=str(error))
            return False
        return True
