"""A store in tables, whatever the database: the methods of `rota.ports.Store` as transactions of a `Space`.

Law: each call is one transaction. What is decided in it is decided in `flow`, `flow_jobs` and `rules`, as it is for the
store in memory. Rows that are handed in belong to the store until the call returns; rows that it hands out are the
caller's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rota.backends import flow, flow_jobs, rules
from rota.backends.namespaces import Namespaced
from rota.backends.transaction import Ended, Space, Transaction
from rota.core.run import RunRow
from rota.ports import (
    Begin,
    BeginAnswer,
    Due,
    JobSeen,
    JobState,
    LockBackend,
    NodeRow,
    Renewal,
    Swap,
    SwapAnswer,
    TickAnswer,
    TickClaim,
)


class TransactionalStore(Namespaced):
    """Keeps everything in the tables of a space; its locks are those of the same namespace."""

    _space: Space[Transaction]
    _locks: LockBackend

    @property
    def shared(self) -> bool:
        return True

    @property
    def locks(self) -> LockBackend:
        return self._locks

    def open(self, *, create_tables: bool = True) -> None:
        self._space.open(create=create_tables)

    def close(self) -> None:
        self._space.close()

    def now(self) -> int:
        return self._space.now()

    # Jobs ----------------------------------------------------------------------------------------------------------

    def sync_jobs(self, jobs: Sequence[JobSeen]) -> Sequence[JobState]:
        return self._space.write_judged(lambda tx: flow_jobs.sync(tx, jobs))

    def job_states(self, job_ids: Sequence[str]) -> Sequence[JobState | None]:
        known = self._space.read(lambda tx: tx.jobs(job_ids))
        return [known[job_id].state() if job_id in known else None for job_id in job_ids]

    def pause(self, job_id: str, reason: str | None) -> JobState | None:
        return self._space.write(lambda tx: flow_jobs.pause(tx, job_id, reason))

    # The life of a run ---------------------------------------------------------------------------------------------

    def claim(self, claims: Sequence[TickClaim]) -> Sequence[TickAnswer]:
        return self._space.write_judged(lambda tx: flow.claim(tx, claims))

    def add(self, rows: Sequence[RunRow]) -> Sequence[RunRow]:
        return self._space.write(lambda tx: flow.add(tx, rows))

    def begin(self, asks: Sequence[Begin]) -> Sequence[BeginAnswer]:
        return self._space.write(lambda tx: flow.begin(tx, asks))

    def swap(self, swaps: Sequence[Swap]) -> Sequence[SwapAnswer]:
        return self._space.write(lambda tx: flow.swap(tx, swaps))

    def request_cancel(self, run_id: str, reason: str) -> bool:
        return self._space.write(lambda tx: flow.request_cancel(tx, run_id, reason))

    def renew(self, node: NodeRow, held: Sequence[tuple[str, str]], ttl: float) -> Renewal:
        def work(tx: Transaction) -> Renewal:
            renewal = flow.renew(tx, held, ttl)
            tx.beat(node)
            return renewal

        return self._space.write(work)

    # Looking -------------------------------------------------------------------------------------------------------

    def due(self, before: int, limit: int, exclude: Collection[str] = ()) -> Due:
        def work(tx: Transaction) -> Due:
            ready = tx.ready(before, limit, exclude, backfills=False)
            if len(ready) < limit:
                ready += tx.ready(before, limit - len(ready), exclude, backfills=True)
            return Due(ready, tx.expired(limit, exclude))

        return self._space.read(work)

    def run(self, run_id: str) -> RunRow | None:
        return self._space.read(lambda tx: tx.runs([run_id])).get(run_id)

    def runs(
        self,
        job_id: str | None = None,
        *,
        statuses: Collection[str] | None = None,
        origins: Collection[str] | None = None,
        limit: int = 100,
        before: int | None = None,
        since: int | None = None,
        discarded: bool | None = None,
    ) -> Sequence[RunRow]:
        return self._space.read(lambda tx: tx.search(job_id, statuses, origins, before, since, discarded, limit))

    def count_open(self) -> Mapping[str, int]:
        return self._space.read(lambda tx: tx.count_open())

    def runs_of_ticks(self, job_id: str, first: int, last: int) -> Sequence[RunRow]:
        return self._space.read(lambda tx: tx.runs_of_ticks(job_id, first - rules.QUEUED_EARLY, first, last))

    def discard(self, run_id: str) -> bool:
        return self._space.write(lambda tx: flow.discard(tx, run_id))

    # Values, logs, nodes -------------------------------------------------------------------------------------------

    def values(self, scope: str) -> Mapping[str, str]:
        return self._space.read(lambda tx: tx.values(scope))

    def put_value(
        self, scope: str, key: str, value: str, *, ttl: float | None = None, holder: str | None = None
    ) -> bool:
        def work(tx: Transaction) -> bool:
            if holder is not None and not tx.holds(rules.scoped_run(scope) or "", holder):
                return False
            tx.put_value(scope, key, value, None if ttl is None else rules.expiry(tx.moment, ttl))
            return True

        return self._space.write(work)

    def value(self, scope: str, key: str) -> str | None:
        return self._space.read(lambda tx: tx.value(scope, key))

    def delete_value(self, scope: str, key: str) -> None:
        self._space.write(lambda tx: tx.delete_value(scope, key))

    def set_progress(self, run_id: str, token: str, progress: str) -> bool:
        def work(tx: Transaction) -> bool:
            if not tx.holds(run_id, token):
                return False
            tx.set_progress(run_id, progress)
            return True

        return self._space.write(work)

    def logs(self, run_id: str) -> Sequence[str]:
        return self._space.read(lambda tx: tx.logs(run_id))

    def beat(self, node: NodeRow) -> None:
        self._space.write(lambda tx: tx.beat(node))

    def nodes(self) -> Sequence[NodeRow]:
        return self._space.read(lambda tx: tx.nodes())

    def prune(
        self, job_id: str | None, keep_from: Mapping[str, int], limit: int = 1000, exclude: Collection[str] = ()
    ) -> int:
        def look(tx: Transaction) -> list[Ended]:
            """Without holding up the writers: what is found is looked at again when it is deleted."""
            found: list[Ended] = []
            for status, until in keep_from.items():
                found += tx.ended(job_id, exclude, status, until, limit - len(found))
            return found

        def delete(tx: Transaction) -> int:
            return tx.delete_runs(ended)

        ended = self._space.read(look)
        return self._space.write(delete) if ended else 0

    def forget(self, seen_since: int, limit: int = 1000) -> bool:
        def work(tx: Transaction) -> bool:
            tx.delete_nodes(seen_since)
            return tx.delete_values_over(limit) == limit

        return self._space.write(work)
