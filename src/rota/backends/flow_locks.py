"""Locks in tables: leases and claims by name.

Law: a lease ends by the clock of the tables. Fences grow for ever: in the transaction that deletes rows of locks which
nobody holds, the floor of the namespace is raised to their fences, and a name without a row begins above the floor.
"""

from __future__ import annotations

from collections.abc import Sequence

from rota.backends.checks import checked_ttl, name_bytes
from rota.backends.rules import judge_claim
from rota.backends.transaction import LockTransaction, Space
from rota.ports import Claim, ClaimAnswer, Grant, Guarantee


class TransactionalLocks:
    """Locks in one namespace."""

    def __init__(self, space: Space[LockTransaction]) -> None:
        self._space = space

    @property
    def guarantee(self) -> Guarantee:
        return "correctness"

    def acquire(self, name: str, token: str, ttl: float) -> Grant | None:
        key, ttl = name_bytes(name), checked_ttl(ttl)

        def work(tx: LockTransaction) -> Grant | None:
            fence, holder = tx.lock(key)
            if holder is None:
                fence += 1
            elif holder != token:
                return None
            tx.set_lock(key, fence, token, ttl)
            return Grant(fence, ttl)

        return self._space.write(work)

    def renew(self, name: str, token: str, ttl: float) -> bool:
        key, ttl = name_bytes(name), checked_ttl(ttl)

        def work(tx: LockTransaction) -> bool:
            fence, holder = tx.lock(key)
            if holder != token:
                return False
            tx.set_lock(key, fence, token, ttl)
            return True

        return self._space.write(work)

    def release(self, name: str, token: str) -> bool:
        key = name_bytes(name)

        def work(tx: LockTransaction) -> bool:
            fence, holder = tx.lock(key)
            if holder != token:
                return False
            tx.set_lock(key, fence, None, None)
            return True

        return self._space.write(work)

    def forget_locks(self, limit: int = 1000) -> bool:
        found = self._space.read(lambda tx: tx.free_locks(limit))
        if found:
            self._space.write(lambda tx: tx.delete_locks(found))
        return len(found) == limit

    def claim(self, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        keys = [name_bytes(claim.name) for claim in claims]

        def work(tx: LockTransaction) -> list[ClaimAnswer]:
            watermarks = tx.watermarks(keys)
            moment = tx.moment
            moved: dict[bytes, int] = {}
            answers: list[ClaimAnswer] = []
            for key, claim in zip(keys, claims, strict=True):
                answer = judge_claim(claim, watermarks.get(key), moment)
                if answer.verdict == "claimed":
                    moved[key] = watermarks[key] = claim.tick
                answers.append(answer)
            if moved:
                tx.set_watermarks(moved)
            return answers

        return self._space.write_judged(work)

    def close(self) -> None:
        self._space.close()
