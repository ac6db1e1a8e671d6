"""The statements that a store and locks in PostgreSQL and MySQL/MariaDB are made of, and rows as they come out.

Law: each is put together once. Lists of ids are parameters; computed columns are compared with literals, so that the
planner knows which index serves. What is to stay as it was read is locked in the order of its key (`locked`).
"""

# ruff: noqa: S608  # statements are put together from the constants of this file alone

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.sql.dml import Insert

from rota.backends.columns import BEGUN, COLUMNS, JOB, MOVED, SWAPPED
from rota.backends.rules import RARE
from rota.backends.sql_batches import inserting, updating
from rota.backends.sql_tables import jobs, locks, logs, nodes, renames, runs, spaces, values, watermarks
from rota.core.run import OPEN, RunRow

NO_TICK: Final = -(2**62)
"""Stands for the watermark of a name that has none yet: its row is there to be locked."""

_NOW: Final[dict[str, ColumnElement[int]]] = {
    "postgresql": literal_column("CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"),
    "mysql": literal_column("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"),
}
NOW: Final = {family: select(now) for family, now in _NOW.items()}
"""The server's clock, as it reads while the statement is at work."""


def _of(table: Table) -> ColumnElement[bool]:
    return table.c.space == bindparam("in_space")


def _among(column: ColumnElement[Any], name: str = "ids") -> ColumnElement[bool]:
    return column.in_(bindparam(name, expanding=True))


def _is(column: ColumnElement[Any], number: int) -> ColumnElement[bool]:
    return column == literal_column(str(number))


def _by(statement: Select[Any], table: Table, index: str) -> Select[Any]:
    """By an index of MySQL's, whose planner goes by statistics that are old when a table has just been filled."""
    hint = f"FORCE INDEX ({index})"
    return statement.with_hint(table, hint, "mysql").with_hint(table, hint, "mariadb")


def _and_locked(statement: Select[Any]) -> dict[bool, Select[Any]]:
    """As it is for looking (`False`), and locking what it finds (`True`)."""
    return {False: statement, True: statement.with_for_update()}


_SPACE: Final = select(spaces.c.id).where(spaces.c.id == bindparam("in_space")).scalar_subquery()
"""The number of a space, or `NULL`, which no table takes, where the tables were made anew without it."""


def _upsert(table: Table, *, changes: bool = True, checks_space: bool = False) -> dict[str, Insert]:
    """Insert a row, or change the one of the same key, by family. `checks_space`: fail where the space is gone."""
    keys = {column.name for column in table.primary_key}
    changed = [column.name for column in table.columns if column.name not in keys and column.computed is None]
    in_postgresql = postgresql.insert(table)
    in_mysql = mysql.insert(table)
    if checks_space:
        in_postgresql, in_mysql = in_postgresql.values(space=_SPACE), in_mysql.values(space=_SPACE)
    if not changes:
        known = table.c.space if "space" in table.c else table.c.id
        return {
            "postgresql": in_postgresql.on_conflict_do_nothing(),
            "mysql": in_mysql.on_duplicate_key_update({known.name: known}),
        }
    return {
        "postgresql": in_postgresql.on_conflict_do_update(
            index_elements=list(table.primary_key), set_={name: in_postgresql.excluded[name] for name in changed}
        ),
        "mysql": in_mysql.on_duplicate_key_update({name: in_mysql.inserted[name] for name in changed}),
    }


def _live(now: ColumnElement[int]) -> Select[Any]:
    clock = select(now.label("now")).subquery("clock")
    of_jobs = and_(_of(runs), _is(runs.c.live, 1), _among(runs.c.job_id))
    found = select(clock.c.now, runs.c.job_id, runs.c.id, runs.c.scheduled_for, runs.c.status, runs.c.stuck)
    found = found.select_from(clock.outerjoin(runs, of_jobs)).order_by(runs.c.scheduled_for, runs.c.number)
    return _by(found, runs, "rota_runs_live")


# Spaces
ADD_SPACE: Final = _upsert(spaces, changes=False)
SPACE: Final = select(spaces.c.id).where(spaces.c.name == bindparam("name"))
IS_THERE: Final = select(spaces.c.id).where(spaces.c.id == bindparam("in_space"))
ALONE: Final = IS_THERE.with_for_update()

# Locks
ADD_LOCK: Final = _upsert(locks, changes=False)
LOCK: Final = (
    select(locks.c.fence, locks.c.token, locks.c.lease_until)
    .where(_of(locks), locks.c.name == bindparam("name"))
    .with_for_update()
)
SET_LOCK: Final = (
    update(locks)
    .where(_of(locks), locks.c.name == bindparam("key"))
    .values(fence=bindparam("new_fence"), token=bindparam("new_token"), lease_until=bindparam("until"))
)
FENCE_FLOOR: Final = select(spaces.c.fence_floor).where(spaces.c.id == bindparam("in_space"))
FREE_LOCKS: Final = (
    select(locks.c.name)
    .where(_of(locks), or_(locks.c.token.is_(None), locks.c.lease_until <= bindparam("now")))
    .limit(bindparam("limit"))
)
LOCKS: Final = _by(
    select(locks.c.name, locks.c.fence, locks.c.token, locks.c.lease_until)
    .where(_of(locks), _among(locks.c.name))
    .order_by(locks.c.name)
    .with_for_update(),
    locks,
    "PRIMARY",
)
RAISE_FENCE_FLOOR: Final = (
    update(spaces)
    .where(spaces.c.id == bindparam("in_space"))
    .values(fence_floor=func.greatest(spaces.c.fence_floor, bindparam("fence")))
)
DELETE_LOCKS: Final = delete(locks).where(_of(locks), _among(locks.c.name))
ADD_WATERMARK: Final = _upsert(watermarks, changes=False)
WATERMARKS: Final = _by(
    select(watermarks.c.name, watermarks.c.tick)
    .where(_of(watermarks), _among(watermarks.c.name))
    .order_by(watermarks.c.name)
    .with_for_update(),
    watermarks,
    "PRIMARY",
)
SET_WATERMARK: Final = _upsert(watermarks)

# Jobs
JOBS: Final = _and_locked(
    _by(
        select(*(jobs.c[name] for name in JOB)).where(_of(jobs), _among(jobs.c.job_id)).order_by(jobs.c.job_id),
        jobs,
        "PRIMARY",
    )
)
LIVE: Final = {family: _live(now) for family, now in _NOW.items()}
"""The live tick runs of jobs, each after the server's clock; if there are none, the clock alone."""

JOBS_AND_LIVE: Final = (
    f"SELECT {', '.join(JOB)} FROM rota_jobs WHERE space = %s AND job_id = ANY(%s) ORDER BY job_id FOR UPDATE",
    (
        "SELECT clock.now, r.job_id, r.id, r.scheduled_for, r.status, r.stuck "
        f"FROM (SELECT {_NOW['postgresql']} AS now) AS clock LEFT JOIN rota_runs AS r "
        "ON r.space = %s AND r.live = 1 AND r.job_id = ANY(%s) ORDER BY r.scheduled_for, r.number"
    ),
)
"""`JOBS`, locking, and `LIVE` as PostgreSQL's drivers take them, to be sent at once."""

MOVE_JOBS: Final = updating(jobs, "job_id", MOVED)
WRITE_JOBS: Final = inserting(jobs, JOB, "changes")
RENAMES: Final = select(renames.c.job_id, renames.c.earlier_id).where(_of(renames), _among(renames.c.job_id))
SET_RENAME: Final = _upsert(renames, checks_space=True)
DELETE_RENAME: Final = delete(renames).where(_of(renames), renames.c.job_id == bindparam("job"))

# Runs
_ROW: Final = tuple(runs.c[name] for name in COLUMNS)
_STANDING: Final = tuple(
    runs.c[name] for name in ("id", "status", "token", "stuck", "cancel_requested", "progress", "lease_until")
)
RUNS, STANDINGS = (
    _and_locked(_by(select(*columns).where(_of(runs), _among(runs.c.id)).order_by(runs.c.id), runs, "rota_runs_id"))
    for columns in (_ROW, _STANDING)
)
KEYED: Final = select(*_ROW).where(_of(runs), _among(runs.c.job_id, "jobs"), _among(runs.c.enqueued_key, "keys"))
LEASES: Final = _by(
    select(runs.c.id, runs.c.token, runs.c.cancel_requested, runs.c.lease_until)
    .where(_of(runs), _among(runs.c.id), runs.c.token.is_not(None))
    .order_by(runs.c.id)
    .with_for_update(),
    runs,
    "rota_runs_id",
)
HOLDS: Final = (
    select(runs.c.id)
    .where(_of(runs), runs.c.id == bindparam("id"), runs.c.token == bindparam("token"))
    .with_for_update()
)
AT_WORK: Final = (
    select(runs.c.job_id, func.count())
    .where(_of(runs), _is(runs.c.held, 1), _among(runs.c.job_id))
    .group_by(runs.c.job_id)
)
AT_WORK_IN: Final = (
    select(runs.c.lane, func.count()).where(_of(runs), _is(runs.c.held, 1), _among(runs.c.lane)).group_by(runs.c.lane)
)
INSERT: Final = inserting(runs, (*COLUMNS, "lease_until"))
INSERT_UNKNOWN: Final = inserting(runs, COLUMNS, "stays")
BEGIN: Final = updating(runs, "id", (*BEGUN, "lease_until"))
SWAP: Final = updating(runs, "id", SWAPPED)
LEASE: Final = update(runs).where(_of(runs), _among(runs.c.id)).values(lease_until=bindparam("until"))
ASK_TO_STOP: Final = (
    update(runs)
    .where(_of(runs), _among(runs.c.id), _among(runs.c.status, "statuses"))
    .values(cancel_requested=func.coalesce(runs.c.cancel_requested, bindparam("why", type_=runs.c.reason.type)))
)
DISCARD: Final = update(runs).where(_of(runs), runs.c.id == bindparam("run")).values(discarded=True)
PROGRESS: Final = update(runs).where(_of(runs), runs.c.id == bindparam("run")).values(progress=bindparam("text"))
READY: Final = {
    backfills: select(*_ROW)
    .where(_of(runs), _is(runs.c.ready, int(backfills)), runs.c.due <= bindparam("before"))
    .order_by(runs.c.due, runs.c.number)
    .limit(bindparam("limit"))
    for backfills in (False, True)
}
_READY: Final = (_is(runs.c.ready, 0), _is(runs.c.ready, 1))
_READY_OR_HELD: Final = or_(*_READY, _is(runs.c.held, 1))
EXPIRED: Final = (
    select(*_ROW)
    .where(_of(runs), _is(runs.c.held, 1), runs.c.lease_until <= bindparam("now"))
    .order_by(runs.c.lease_until, runs.c.id)
    .limit(bindparam("limit"))
)
_OPEN: Final = union_all(
    _by(select(runs.c.job_id).where(_of(runs), or_(*_READY)), runs, "rota_runs_due"),
    _by(
        select(runs.c.job_id).where(_of(runs), _is(runs.c.held, 1), runs.c.status.in_(sorted(OPEN))),
        runs,
        "rota_runs_held",
    ),
).subquery("open")
COUNT_OPEN: Final = select(_OPEN.c.job_id, func.count()).group_by(_OPEN.c.job_id)
OF_TICKS: Final = (
    select(*_ROW)
    .where(
        _of(runs),
        runs.c.job_id == bindparam("job"),
        runs.c.queued_at >= bindparam("queued_from"),
        runs.c.scheduled_for >= bindparam("first"),
        case((runs.c.count > 1, func.coalesce(runs.c.window_start, runs.c.scheduled_for)), else_=runs.c.scheduled_for)
        <= bindparam("last"),
    )
    .order_by(runs.c.number)
)

# Values, logs, nodes
_VALID: Final = (values.c.until.is_(None)) | (values.c.until > bindparam("now"))
VALUES: Final = select(values.c.key, values.c.value).where(_of(values), values.c.scope == bindparam("scope"), _VALID)
VALUE: Final = select(values.c.value).where(
    _of(values), values.c.scope == bindparam("scope"), values.c.key_hash == bindparam("hash"), _VALID
)
PUT_VALUE: Final = _upsert(values, checks_space=True)
DELETE_VALUE: Final = delete(values).where(
    _of(values), values.c.scope == bindparam("in_scope"), values.c.key_hash == bindparam("hash")
)
APPEND_LOGS: Final = inserting(logs, ("run_id", "line"))
LOGS: Final = select(logs.c.line).where(_of(logs), logs.c.run_id == bindparam("run")).order_by(logs.c.number)
BEAT: Final = _upsert(nodes, checks_space=True)
NODES: Final = (
    select(nodes.c.id, nodes.c.host, nodes.c.pid, nodes.c.started_at, nodes.c.last_seen, nodes.c.stopped_at)
    .where(_of(nodes))
    .order_by(nodes.c.started_at.desc(), nodes.c.id.desc())
)

# Pruning
_FINISHED: Final = func.coalesce(runs.c.finished_at, runs.c.queued_at)
_ENDED: Final = {
    rare: select(runs.c.id)
    .where(
        _of(runs),
        (runs.c.rare_status if rare else runs.c.status) == bindparam("status"),
        runs.c.stuck.is_(False),
        runs.c.queued_at < bindparam("keep_from"),
        bindparam("keep_from") > _FINISHED,
    )
    .limit(bindparam("limit"))
    for rare in (False, True)
}
STILL_ENDED: Final = _by(
    select(runs.c.id, runs.c.status)
    .where(_of(runs), _among(runs.c.id), runs.c.stuck.is_(False))
    .order_by(runs.c.id)
    .with_for_update(),
    runs,
    "rota_runs_id",
)
DELETE_RUNS: Final = delete(runs).where(_of(runs), _among(runs.c.id))
DELETE_SCOPES: Final = delete(values).where(_of(values), _among(values.c.scope, "scopes"))
DELETE_LOGS: Final = delete(logs).where(_of(logs), _among(logs.c.run_id))
DELETE_OVER: Final = {
    "postgresql": text(
        "DELETE FROM rota_values WHERE ctid = ANY (ARRAY (SELECT ctid FROM rota_values "
        "WHERE space = :in_space AND until <= :now LIMIT :limit FOR UPDATE SKIP LOCKED))"
    ),
    "mysql": text("DELETE FROM rota_values WHERE space = :in_space AND until <= :now ORDER BY until LIMIT :limit"),
}
DELETE_NODES: Final = delete(nodes).where(_of(nodes), nodes.c.last_seen < bindparam("before"))

moved = attrgetter("job_id", *MOVED)
"""The values of `MOVE_JOBS`."""

written = attrgetter(*JOB)
"""The values of `WRITE_JOBS`."""

inserted = attrgetter(*COLUMNS)
"""The values of `INSERT_UNKNOWN`; of `INSERT`, without the lease."""

begun = attrgetter("id", *BEGUN)
"""The values of `BEGIN`, without the lease."""

swapped = attrgetter("id", *SWAPPED)
"""The values of `SWAP`."""


def row_of(columns: Sequence[Any]) -> RunRow:
    """A row as it came out of the database."""
    row = RunRow.__new__(RunRow)
    for name, value in zip(COLUMNS, columns, strict=False):
        setattr(row, name, value)
    return row


def but(statement: Select[Any], exclude: Collection[str]) -> Select[Any]:
    """The same, of jobs not in `exclude`."""
    return statement.where(runs.c.job_id.not_in(sorted(exclude))) if exclude else statement


def ended(job_id: str | None, exclude: Collection[str], status: str) -> Select[Any]:
    """The statement that finds runs of a status that may be forgotten, of one job or of all but `exclude`."""
    found = but(_ENDED[status in RARE], exclude)
    return found if job_id is None else found.where(runs.c.job_id == job_id)


def _has_status(statuses: Collection[str]) -> ColumnElement[bool]:
    """Whether a run has one of the statuses, in words that the indexes are made of where they can serve."""
    if RARE.issuperset(statuses):
        return runs.c.rare_status.in_(sorted(statuses))
    has_one = runs.c.status.in_(sorted(statuses))
    return and_(has_one, _READY_OR_HELD) if OPEN.issuperset(statuses) else has_one


def search(
    job_id: str | None,
    statuses: Collection[str] | None,
    origins: Collection[str] | None,
    before: int | None,
    since: int | None,
    discarded: bool | None,
    limit: int,
) -> Select[Any]:
    """The statement that finds runs by these marks, newest first. Open ones are found by the indexes of what is ready
    or held, and dead letters by that of rare statuses, however many have succeeded."""
    marks = (
        None if job_id is None else runs.c.job_id == job_id,
        None if statuses is None else _has_status(statuses),
        None if origins is None else runs.c.origin.in_(sorted(origins)),
        None if before is None else runs.c.queued_at < before,
        None if since is None else runs.c.queued_at >= since,
        None if discarded is None else runs.c.discarded.is_(discarded),
    )
    found = select(*_ROW).where(_of(runs), *(mark for mark in marks if mark is not None))
    return found.order_by(runs.c.queued_at.desc(), runs.c.number.desc()).limit(limit)
