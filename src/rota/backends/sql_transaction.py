"""A transaction in PostgreSQL or MySQL/MariaDB: what is loaded and written in it.

Law: the server's clock alone is asked, once a transaction and after what is judged by it has been locked. A writing
transaction locks what it loads: jobs first, then runs, each in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable

from rota.backends import rules
from rota.backends import sql_statements as sql
from rota.backends.embedded_clock import Moment
from rota.backends.rules import JobFacts, RunStanding
from rota.backends.sql_batches import Batch, Statement
from rota.backends.sql_connection import can_send_at_once, send, send_at_once
from rota.backends.sql_tables import escaped, key_hash, unescaped
from rota.backends.transaction import Ended
from rota.core.run import RunRow
from rota.ports import Live, NodeRow


class SpaceGoneError(Exception):
    """The tables were made anew since the number of the namespace was looked up."""


class SQLTransaction:
    """The connection, the family of the database and the number of the namespace. `last` takes what is to be sent with
    the commit; without it, this transaction only looks."""

    def __init__(
        self,
        connection: Connection,
        family: str,
        space: int,
        clock: Callable[[int], int],
        last: list[Statement] | None = None,
    ) -> None:
        self._connection = connection
        self._family = family
        self._space = space
        self._clock = clock
        self._last: list[Statement] = [] if last is None else last
        self._locks = last is not None
        self._moment: Moment | None = None

    @property
    def moment(self) -> Moment:
        # Not a `cached_property`: until Python 3.12 all threads share its mutex, even across a fork.
        return self._moment or self._note(server_now(self._connection, self._family))

    def _note(self, server_time: int) -> Moment:
        if self._moment is None:
            now = self._clock(server_time)
            self._moment = Moment(now, now / 1_000_000, True, now)
        return self._moment

    def _do(self, statement: Executable, **parameters: object) -> Any:
        send(self._connection, self._last)
        return self._connection.execute(statement, {"in_space": self._space, **parameters})

    def _put(self, statements: Mapping[str, Executable], *rows: Mapping[str, object]) -> None:
        send(self._connection, self._last)
        number = {"space": self._space, "in_space": self._space}
        self._connection.execute(statements[self._family], [{**number, **row} for row in rows])

    def _see_space(self) -> None:
        if not self._all(sql.IS_THERE):
            raise SpaceGoneError

    def _all(self, statement: Executable, **parameters: object) -> Sequence[Any]:
        found: Sequence[Any] = self._do(statement, **parameters).all()
        return found

    def _rows(self, statement: Executable, **parameters: object) -> list[RunRow]:
        return [sql.row_of(columns) for columns in self._all(statement, **parameters)]

    def _write(self, batch: Batch, rows: Iterable[Sequence[object]]) -> None:
        self._last += batch.of(self._family, self._space, rows)

    def _until(self, ttl: float) -> int:
        """A lease of `ttl` seconds from now, as it is stored."""
        return self.moment.now + round(ttl * 1_000_000)

    def _is_over(self, lease_until: int | None) -> bool:
        return lease_until is None or lease_until <= self.moment.now

    # Jobs

    def alone(self) -> None:
        self._all(sql.ALONE)

    def jobs(self, job_ids: Iterable[str]) -> dict[str, JobFacts]:
        ids = sorted(set(job_ids))
        if not ids:
            return {}
        found, live = self._jobs_and_live(ids)
        known = {columns[0]: JobFacts(*columns) for columns in found}
        for now, job_id, run_id, tick, status, stuck in live:
            self._note(now)
            if job_id in known:
                known[job_id].note_loaded(Live(run_id, status, stuck, tick or 0))
        return known

    def _jobs_and_live(self, ids: Sequence[str]) -> Sequence[Sequence[Any]]:
        if not self._locks or not can_send_at_once(self._connection):
            found = self._all(sql.JOBS[self._locks], ids=ids)
            return found, self._all(sql.LIVE[self._family], ids=ids)
        escaped_ids = [escaped(job_id) for job_id in ids]
        self._last += [(statement, (self._space, escaped_ids)) for statement in sql.JOBS_AND_LIVE]
        answers = send_at_once(self._connection, self._last)
        return [[_unescaped(columns) for columns in answer] for answer in answers]

    def move_jobs(self, jobs: Collection[JobFacts]) -> None:
        self._write(sql.MOVE_JOBS, map(sql.moved, jobs))

    def write_jobs(self, jobs: Collection[JobFacts]) -> None:
        self._write(sql.WRITE_JOBS, map(sql.written, jobs))

    def renames(self, job_ids: Iterable[str]) -> dict[str, str]:
        return _pairs(self._all(sql.RENAMES, ids=sorted(job_ids)))

    def set_rename(self, job_id: str, earlier_id: str) -> None:
        self._put(sql.SET_RENAME, {"job_id": job_id, "earlier_id": earlier_id})

    def delete_rename(self, job_id: str) -> None:
        self._do(sql.DELETE_RENAME, job=job_id)

    # Runs

    def runs(self, run_ids: Iterable[str]) -> dict[str, RunRow]:
        found = self._rows(sql.RUNS[self._locks], ids=sorted(set(run_ids)))
        return {row.id: row for row in found}

    def standings(self, run_ids: Iterable[str]) -> dict[str, RunStanding]:
        found = self._all(sql.STANDINGS[self._locks], ids=sorted(set(run_ids)))
        return {
            run_id: RunStanding(status, token, stuck, cancel, progress, self._is_over(until))
            for run_id, status, token, stuck, cancel, progress, until in found
        }

    def leases(self, run_ids: Iterable[str]) -> dict[str, tuple[str, str | None]]:
        found = self._all(sql.LEASES, ids=sorted(set(run_ids)))
        return {run_id: (token, cancel) for run_id, token, cancel, until in found if not self._is_over(until)}

    def holds(self, run_id: str, token: str) -> bool:
        return bool(self._all(sql.HOLDS, id=run_id, token=token))

    def keyed(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], RunRow]:
        found = self._rows(sql.KEYED, jobs=sorted({job for job, _ in keys}), keys=sorted({key for _, key in keys}))
        return {(row.job_id, row.key or ""): row for row in found}

    def at_work(self, job_ids: Collection[str]) -> dict[str, int]:
        return _pairs(self._all(sql.AT_WORK, ids=sorted(job_ids)))

    def at_work_in(self, lanes: Collection[str]) -> dict[str, int]:
        return _pairs(self._all(sql.AT_WORK_IN, ids=sorted(lanes)))

    def insert(self, rows: Sequence[tuple[RunRow, float | None]]) -> None:
        values = ((*sql.inserted(row), None if ttl is None else self._until(ttl)) for row, ttl in rows)
        self._write(sql.INSERT, values)

    def insert_unknown(self, rows: Sequence[RunRow]) -> None:
        self._write(sql.INSERT_UNKNOWN, map(sql.inserted, rows))

    def begin(self, rows: Sequence[tuple[RunRow, float]]) -> None:
        values = ((*sql.begun(row), self._until(ttl)) for row, ttl in rows)
        self._write(sql.BEGIN, values)

    def swap(self, rows: Sequence[RunRow]) -> None:
        self._write(sql.SWAP, map(sql.swapped, rows))

    def lease(self, run_ids: Sequence[str], ttl: float) -> None:
        self._do(sql.LEASE, ids=sorted(run_ids), until=self._until(ttl))

    def ask_to_stop(self, run_ids: Sequence[str], reason: str, statuses: Collection[str]) -> None:
        self._do(sql.ASK_TO_STOP, ids=sorted(run_ids), statuses=sorted(statuses), why=reason)

    def set_discarded(self, run_id: str) -> None:
        self._do(sql.DISCARD, run=run_id)

    def set_progress(self, run_id: str, progress: str) -> None:
        self._do(sql.PROGRESS, run=run_id, text=progress)

    def ready(self, before: int, limit: int, exclude: Collection[str], *, backfills: bool) -> list[RunRow]:
        return self._rows(sql.but(sql.READY[backfills], exclude), before=before, limit=limit)

    def expired(self, limit: int, exclude: Collection[str]) -> list[RunRow]:
        return self._rows(sql.but(sql.EXPIRED, exclude), now=self.moment.now, limit=limit)

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
        return self._rows(sql.search(job_id, statuses, origins, before, since, discarded, limit))

    def count_open(self) -> dict[str, int]:
        return _pairs(self._all(sql.COUNT_OPEN))

    def runs_of_ticks(self, job_id: str, queued_from: int, first: int, last: int) -> list[RunRow]:
        return self._rows(sql.OF_TICKS, job=job_id, queued_from=queued_from, first=first, last=last)

    def ended(
        self, job_id: str | None, exclude: Collection[str], status: str, keep_from: int, limit: int
    ) -> list[Ended]:
        statement = sql.ended(job_id, exclude, status)
        found = self._all(statement, status=status, keep_from=keep_from, limit=limit)
        return [(run_id, status) for (run_id,) in found]

    def delete_runs(self, runs: Sequence[Ended]) -> int:
        still = {(run_id, status) for run_id, status in self._all(sql.STILL_ENDED, ids=sorted(dict(runs)))}
        ids = sorted(run_id for run_id, status in runs if (run_id, status) in still)
        if ids:
            self._do(sql.DELETE_RUNS, ids=ids)
            self._do(sql.DELETE_SCOPES, scopes=[rules.run_scope(run_id) for run_id in ids])
            self._do(sql.DELETE_LOGS, ids=ids)
        return len(ids)

    # Values, logs, nodes

    def values(self, scope: str) -> dict[str, str]:
        return _pairs(self._all(sql.VALUES, scope=scope, now=self.moment.now))

    def value(self, scope: str, key: str) -> str | None:
        found: str | None = self._do(sql.VALUE, scope=scope, hash=key_hash(key), now=self.moment.now).scalar()
        return found

    def put_value(self, scope: str, key: str, value: str, until: int | None) -> None:
        row = {"scope": scope, "key_hash": key_hash(key), "key": key, "value": value, "until": until}
        self._put(sql.PUT_VALUE, row)

    def delete_value(self, scope: str, key: str) -> None:
        self._do(sql.DELETE_VALUE, in_scope=scope, hash=key_hash(key))

    def delete_values_over(self, limit: int) -> int:
        return int(self._do(sql.DELETE_OVER[self._family], now=self.moment.now, limit=limit).rowcount)

    def append_logs(self, lines: Sequence[tuple[str, str]]) -> None:
        self._write(sql.APPEND_LOGS, lines)

    def logs(self, run_id: str) -> list[str]:
        return [line for (line,) in self._all(sql.LOGS, run=run_id)]

    def beat(self, node: NodeRow) -> None:
        self._put(sql.BEAT, node._asdict())

    def nodes(self) -> list[NodeRow]:
        return [NodeRow(*found) for found in self._all(sql.NODES)]

    def delete_nodes(self, before: int) -> None:
        self._do(sql.DELETE_NODES, before=before)

    # Locks

    def lock(self, name: bytes) -> tuple[int, str | None]:
        found = self._all(sql.LOCK, name=name)
        while not found:  # again, where the row that stood in the way of this one is deleted at this moment
            self._put(sql.ADD_LOCK, {"name": name, "fence": 0})
            found = self._all(sql.LOCK, name=name)
        fence, token, until = found[0]
        # Looked up when the row is this transaction's: then whoever deleted an earlier one has raised the floor.
        fence = fence or self._fence_floor()
        return fence, None if token is None or self._is_over(until) else token

    def _fence_floor(self) -> int:
        found = self._all(sql.FENCE_FLOOR)
        if not found:
            raise SpaceGoneError
        return int(found[0][0])

    def set_lock(self, name: bytes, fence: int, token: str | None, ttl: float | None) -> None:
        until = None if ttl is None else self._until(ttl)
        self._do(sql.SET_LOCK, key=name, new_fence=fence, new_token=token, until=until)

    def free_locks(self, limit: int) -> list[bytes]:
        return [bytes(name) for (name,) in self._all(sql.FREE_LOCKS, now=self.moment.now, limit=limit)]

    def delete_locks(self, names: Sequence[bytes]) -> None:
        self.alone()
        found = self._all(sql.LOCKS, ids=sorted(names))
        free = {bytes(name): fence for name, fence, token, until in found if token is None or self._is_over(until)}
        if free:
            self._do(sql.RAISE_FENCE_FLOOR, fence=max(free.values()))
            self._do(sql.DELETE_LOCKS, ids=sorted(free))

    def watermarks(self, names: Iterable[bytes]) -> dict[bytes, int]:
        ids = sorted(set(names))
        found = self._all(sql.WATERMARKS, ids=ids)
        if len(found) < len(ids):
            self._see_space()
            known = {bytes(name) for name, _ in found}
            self._put(sql.ADD_WATERMARK, *({"name": name, "tick": sql.NO_TICK} for name in ids if name not in known))
            found = self._all(sql.WATERMARKS, ids=ids)
        return {bytes(name): tick for name, tick in found if tick != sql.NO_TICK}

    def set_watermarks(self, watermarks: Mapping[bytes, int]) -> None:
        self._put(sql.SET_WATERMARK, *({"name": name, "tick": watermarks[name]} for name in sorted(watermarks)))


def _unescaped(columns: Sequence[Any]) -> Sequence[Any]:
    return [unescaped(value) if isinstance(value, str) else value for value in columns]


def _pairs(found: Sequence[Any]) -> dict[Any, Any]:
    return {one: other for one, other in found}  # noqa: C416  # a row is a sequence, which `dict` does not see


def server_now(connection: Connection, family: str) -> int:
    """The server's clock."""
    return int(connection.execute(sql.NOW[family]).scalar_one())
