"""A transaction in an SQLite file: what is loaded and written in it.

Law: `BEGIN IMMEDIATE` has shut out everybody else, so nothing needs to be locked here. A lease ends by the boot clock,
in the boot it was given in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rota.backends import rules
from rota.backends import sqlite_statements as sql
from rota.backends.embedded_clock import Moment
from rota.backends.rules import JobFacts, RunStanding
from rota.backends.transaction import Ended
from rota.core.run import RunRow
from rota.ports import Live, NodeRow

NOT_LEASED = (None, None)


class SQLiteTransaction:
    """What a transaction is made in: the connection, the number of the namespace, and the time."""

    def __init__(self, connection: sqlite3.Connection, space: int, moment: Moment, boot_id: str) -> None:
        self._connection = connection
        self._space = space
        self._boot_id = boot_id
        self.moment = moment

    def _all(self, statement: str, *parameters: object) -> list[Any]:
        return self._connection.execute(statement, (self._space, *parameters)).fetchall()

    def _change(self, statement: str, *parameters: object) -> int:
        return self._connection.execute(statement, (self._space, *parameters)).rowcount

    def _rows(self, statement: str, *parameters: object) -> list[RunRow]:
        return [sql.row_of(columns) for columns in self._connection.execute(statement, (self._space, *parameters))]

    def _until(self, ttl: float) -> tuple[str, float]:
        """A lease of `ttl` seconds from now, as it is stored."""
        return self._boot_id, self.moment.boot + ttl

    def _is_over(self, lease_boot: str | None, lease_until: float | None) -> bool:
        """Whether a stored lease has run out; one of another boot has."""
        return lease_boot != self._boot_id or lease_until is None or lease_until <= self.moment.boot

    # Jobs

    def alone(self) -> None:
        pass

    def jobs(self, job_ids: Iterable[str]) -> dict[str, JobFacts]:
        listed = sql.listed(set(job_ids))
        known = {columns[0]: JobFacts(*columns) for columns in self._all(sql.JOBS, listed)}
        for job_id, run_id, tick, status, stuck in self._all(sql.LIVE, listed):
            if job_id in known:
                known[job_id].note_loaded(Live(run_id, status, stuck == 1, tick if type(tick) is int else 0))
        return known

    def move_jobs(self, jobs: Collection[JobFacts]) -> None:
        self._connection.executemany(sql.MOVE_JOB, [(*sql.moved(job), self._space, job.job_id) for job in jobs])

    def write_jobs(self, jobs: Collection[JobFacts]) -> None:
        self._connection.executemany(sql.SET_JOB, [(self._space, *sql.written(job)) for job in jobs])

    def renames(self, job_ids: Iterable[str]) -> dict[str, str]:
        return dict(self._all(sql.RENAMES, sql.listed(job_ids)))

    def set_rename(self, job_id: str, earlier_id: str) -> None:
        self._change(sql.SET_RENAME, job_id, earlier_id)

    def delete_rename(self, job_id: str) -> None:
        self._change(sql.DELETE_RENAME, job_id)

    # Runs

    def runs(self, run_ids: Iterable[str]) -> dict[str, RunRow]:
        return {row.id: row for row in self._rows(sql.RUNS, sql.listed(run_ids))}

    def standings(self, run_ids: Iterable[str]) -> dict[str, RunStanding]:
        found = self._all(sql.STANDINGS, sql.listed(run_ids))
        return {
            run_id: RunStanding(status, token, bool(stuck), cancel, progress, self._is_over(*lease))
            for run_id, status, token, stuck, cancel, progress, *lease in found
        }

    def leases(self, run_ids: Iterable[str]) -> dict[str, tuple[str, str | None]]:
        found = self._all(sql.HELD, sql.listed(run_ids))
        return {run_id: (token, cancel) for run_id, token, cancel, *lease in found if not self._is_over(*lease)}

    def holds(self, run_id: str, token: str) -> bool:
        return bool(self._all(sql.HOLDS, run_id, token))

    def keyed(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], RunRow]:
        return {key: row for key in keys for row in self._rows(sql.KEYED, *key)}

    def at_work(self, job_ids: Collection[str]) -> dict[str, int]:
        return dict(self._all(sql.WORKING, sql.listed(job_ids)))

    def at_work_in(self, lanes: Collection[str]) -> dict[str, int]:
        return dict(self._all(sql.IN_LANES, sql.listed(lanes)))

    def insert(self, rows: Sequence[tuple[RunRow, float | None]]) -> None:
        space = self._space
        leased = ((row, NOT_LEASED if ttl is None else self._until(ttl)) for row, ttl in rows)
        self._connection.executemany(sql.INSERT, [(*sql.inserted(row), space, *lease) for row, lease in leased])

    def insert_unknown(self, rows: Sequence[RunRow]) -> None:
        parameters = [(*sql.inserted(row), self._space, *NOT_LEASED) for row in rows]
        self._connection.executemany(sql.INSERT_UNKNOWN, parameters)

    def begin(self, rows: Sequence[tuple[RunRow, float]]) -> None:
        parameters = [(*sql.begun(row), *self._until(ttl), self._space, row.id) for row, ttl in rows]
        self._connection.executemany(sql.BEGIN, parameters)

    def swap(self, rows: Sequence[RunRow]) -> None:
        self._connection.executemany(sql.SWAP, [(*sql.swapped(row), self._space, row.id) for row in rows])

    def lease(self, run_ids: Sequence[str], ttl: float) -> None:
        until = self._until(ttl)
        self._connection.executemany(sql.LEASE, [(*until, self._space, run_id) for run_id in run_ids])

    def ask_to_stop(self, run_ids: Sequence[str], reason: str, statuses: Collection[str]) -> None:
        self._connection.execute(sql.CANCEL, (reason, self._space, sql.listed(run_ids), sql.listed(statuses)))

    def set_discarded(self, run_id: str) -> None:
        self._change(sql.DISCARD, run_id)

    def set_progress(self, run_id: str, progress: str) -> None:
        self._connection.execute(sql.PROGRESS, (progress, self._space, run_id))

    def ready(self, before: int, limit: int, exclude: Collection[str], *, backfills: bool) -> list[RunRow]:
        return self._rows(sql.READY, backfills, before, sql.listed(exclude), limit)

    def expired(self, limit: int, exclude: Collection[str]) -> list[RunRow]:
        return self._rows(sql.EXPIRED, self._boot_id, self.moment.boot, sql.listed(exclude), limit)

    def seconds_of_quiet(self, now: int) -> float:
        """Until a run is due or a lease is over."""
        dues = [self._all(sql.NEXT_DUE, is_backfill)[0][0] for is_backfill in (False, True)]
        expiry = self._connection.execute(sql.NEXT_EXPIRY, (self._boot_id, self._space)).fetchone()[0]
        quiet = [(due - now) / 1_000_000 for due in dues if type(due) is int]
        if expiry is not None:
            quiet.append(expiry - self.moment.boot)
        return max(0.0, min(quiet, default=float("inf")))

    def search(
        self,
        job_id: str | None,
        statuses: Collection[str] | None,
        origins: Collection[str] | None,
        before: int | None,
        since: int | None,
        discarded: bool | None,
        limit: int,
    ) -> list[RunRow]:
        found, parameters = sql.search(self._space, job_id, statuses, origins, before, since, discarded)
        return [sql.row_of(columns) for columns in self._connection.execute(found, (*parameters, limit))]

    def count_open(self) -> dict[str, int]:
        return dict(self._all(sql.COUNT_OPEN, self._space))

    def runs_of_ticks(self, job_id: str, queued_from: int, first: int, last: int) -> list[RunRow]:
        return self._rows(sql.OF_TICKS, job_id, queued_from, first, last)

    def ended(
        self, job_id: str | None, exclude: Collection[str], status: str, keep_from: int, limit: int
    ) -> list[Ended]:
        of_all = sql.ENDED_RARELY if status in rules.RARE else sql.ENDED
        statement, of_job = (of_all, ()) if job_id is None else (sql.ENDED_OF_JOB, (job_id,))
        found = self._all(statement, *of_job, sql.listed(exclude), status, keep_from, keep_from, limit)
        return [(run_id, status) for (run_id,) in found]

    def delete_runs(self, runs: Sequence[Ended]) -> int:
        deleted = 0
        for run_id, status in runs:
            if self._change(sql.DELETE_RUN, run_id, status):
                deleted += 1
                self._change(sql.DELETE_SCOPE, rules.run_scope(run_id))
                self._change(sql.DELETE_LOGS, run_id)
        return deleted

    # Values, logs, nodes

    def values(self, scope: str) -> dict[str, str]:
        return dict(self._all(sql.VALUES, scope, self.moment.prudent))

    def value(self, scope: str, key: str) -> str | None:
        found = self._all(sql.VALUE, scope, key, self.moment.prudent)
        return str(found[0][0]) if found else None

    def put_value(self, scope: str, key: str, value: str, until: int | None) -> None:
        self._change(sql.PUT_VALUE, scope, key, value, until)

    def delete_value(self, scope: str, key: str) -> None:
        self._change(sql.DELETE_VALUE, scope, key)

    def delete_values_over(self, limit: int) -> int:
        return self._change(sql.DELETE_OVER, self._space, self.moment.prudent, limit)

    def append_logs(self, lines: Sequence[tuple[str, str]]) -> None:
        self._connection.executemany(sql.APPEND_LOG, [(self._space, run_id, line) for run_id, line in lines])

    def logs(self, run_id: str) -> list[str]:
        return [line for (line,) in self._all(sql.LOGS, run_id)]

    def beat(self, node: NodeRow) -> None:
        self._change(sql.BEAT, *node)

    def nodes(self) -> list[NodeRow]:
        return [NodeRow(*found) for found in self._all(sql.NODES)]

    def delete_nodes(self, before: int) -> None:
        self._change(sql.DELETE_NODES, before)

    # Locks

    def lock(self, name: bytes) -> tuple[int, str | None]:
        found = self._all(sql.LOCK, name)
        fence, token, *lease = found[0] if found else (self._all(sql.FENCE_FLOOR)[0][0], None, None, None)
        return fence, None if token is None or self._is_over(*lease) else token

    def set_lock(self, name: bytes, fence: int, token: str | None, ttl: float | None) -> None:
        lease = NOT_LEASED if ttl is None else self._until(ttl)
        self._change(sql.SET_LOCK, name, fence, token, *lease)

    def free_locks(self, limit: int) -> list[bytes]:
        return [name for (name,) in self._all(sql.FREE_LOCKS, self._boot_id, self.moment.boot, limit)]

    def delete_locks(self, names: Sequence[bytes]) -> None:
        found = {name: self.lock(name) for name in names}
        free = {name: fence for name, (fence, holder) in found.items() if holder is None}
        if free:
            self._connection.execute(sql.RAISE_FENCE_FLOOR, (max(free.values()), self._space))
            self._connection.executemany(sql.DELETE_LOCK, [(self._space, name) for name in free])

    def watermarks(self, names: Iterable[bytes]) -> dict[bytes, int]:
        return {name: found[0][0] for name in names if (found := self._all(sql.WATERMARK, name))}

    def set_watermarks(self, watermarks: Mapping[bytes, int]) -> None:
        parameters = [(self._space, name, tick) for name, tick in watermarks.items()]
        self._connection.executemany(sql.SET_WATERMARK, parameters)
