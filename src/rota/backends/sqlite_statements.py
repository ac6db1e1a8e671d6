"""The statements that the SQLite store and locks are made of, and rows as they go in and come out.

Law: no text from outside is ever put into a statement; lists go in as one JSON parameter. Columns are named, so that
one which a newer Rota has added does no harm, and keeps its value.
"""

# ruff: noqa: S608  # the statements are put together from the constants of this file alone

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from json import dumps
from operator import attrgetter
from typing import Any, Final

from rota.backends.columns import BEGUN, COLUMNS, JOB, MOVED, SWAPPED
from rota.backends.rules import RARE
from rota.core.run import OPEN, RunRow


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _assigned(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}" = ?' for name in names)


def _upsert(table: str, keys: Sequence[str], rest: Sequence[str]) -> str:
    """Insert a row, or change the one of the same keys."""
    names = (*keys, *rest)
    changed = ", ".join(f'"{name}" = excluded."{name}"' for name in rest)
    insert = f"INSERT INTO {table} ({_quoted(names)}) VALUES ({', '.join('?' * len(names))})"
    return f"{insert} ON CONFLICT ({_quoted(keys)}) DO UPDATE SET {changed}"


_LISTED: Final = (
    "IN (SELECT replace(replace(value, char(26) || '0', char(0)), char(26) || '1', char(26)) FROM json_each(?))"
)
"""In a list made by `listed`."""
_LIVE: Final = "origin = 'tick' AND (stuck = 1 OR status IN ('queued', 'running', 'waiting'))"
_IS_RARE: Final = "status IN ('failed', 'timed_out', 'lost', 'cancelled', 'skipped', 'missed', 'handed_over')"
_RUN: Final = f"{_quoted(COLUMNS)} FROM rota_runs"
_CLOCK: Final = ("boot_id", "offset", "trusted", "settles_at", "seen_at")
_NODE: Final = ("host", "pid", "started_at", "last_seen", "stopped_at")

# Spaces and the clock
ADD_SPACE: Final = "INSERT OR IGNORE INTO rota_spaces (name) VALUES (?)"
SPACE: Final = "SELECT id FROM rota_spaces WHERE name = ?"
CLOCK: Final = f"SELECT {_quoted(_CLOCK)} FROM rota_clock WHERE id = 1"
SET_CLOCK: Final = _upsert("rota_clock", ["id"], _CLOCK)

# Locks
LOCK: Final = "SELECT fence, token, lease_boot, lease_until FROM rota_locks WHERE space = ? AND name = ?"
SET_LOCK: Final = _upsert("rota_locks", ["space", "name"], ["fence", "token", "lease_boot", "lease_until"])
FENCE_FLOOR: Final = "SELECT fence_floor FROM rota_spaces WHERE id = ?"
FREE_LOCKS: Final = (
    "SELECT name FROM rota_locks WHERE space = ? AND (token IS NULL OR lease_boot <> ? OR lease_until <= ?) LIMIT ?"
)
RAISE_FENCE_FLOOR: Final = "UPDATE rota_spaces SET fence_floor = max(fence_floor, ?) WHERE id = ?"
DELETE_LOCK: Final = "DELETE FROM rota_locks WHERE space = ? AND name = ?"
WATERMARK: Final = "SELECT tick FROM rota_watermarks WHERE space = ? AND name = ?"
SET_WATERMARK: Final = _upsert("rota_watermarks", ["space", "name"], ["tick"])

# Jobs
JOBS: Final = f"SELECT {_quoted(JOB)} FROM rota_jobs WHERE space = ? AND job_id {_LISTED}"
SET_JOB: Final = _upsert("rota_jobs", ["space", "job_id"], JOB[1:])
MOVE_JOB: Final = f"UPDATE rota_jobs SET {_assigned(MOVED)} WHERE space = ? AND job_id = ?"
LIVE: Final = (
    "SELECT job_id, id, scheduled_for, status, stuck FROM rota_runs INDEXED BY rota_runs_live "
    f"WHERE space = ? AND {_LIVE} AND job_id {_LISTED} ORDER BY scheduled_for, number"
)
RENAMES: Final = f"SELECT job_id, earlier_id FROM rota_renames WHERE space = ? AND job_id {_LISTED}"
SET_RENAME: Final = _upsert("rota_renames", ["space", "job_id"], ["earlier_id"])
DELETE_RENAME: Final = "DELETE FROM rota_renames WHERE space = ? AND job_id = ?"

# Runs
INSERT: Final = (
    f"INSERT INTO rota_runs ({_quoted(COLUMNS)}, space, lease_boot, lease_until) "
    f"VALUES ({', '.join('?' * (len(COLUMNS) + 3))})"
)
INSERT_UNKNOWN: Final = f"{INSERT} ON CONFLICT DO NOTHING"
RUNS: Final = f"SELECT {_RUN} WHERE space = ? AND id {_LISTED}"
STANDINGS: Final = (
    "SELECT id, status, token, stuck, cancel_requested, progress, lease_boot, lease_until FROM rota_runs "
    f"WHERE space = ? AND id {_LISTED}"
)
KEYED: Final = f"""SELECT {_RUN} WHERE space = ? AND job_id = ? AND "key" = ? AND origin = 'enqueue'"""
WORKING: Final = (
    "SELECT job_id, count(*) FROM rota_runs INDEXED BY rota_runs_held "
    f"WHERE space = ? AND token IS NOT NULL AND job_id {_LISTED} GROUP BY job_id"
)
IN_LANES: Final = (
    "SELECT lane, count(*) FROM rota_runs INDEXED BY rota_runs_lane "
    f"WHERE space = ? AND token IS NOT NULL AND lane IS NOT NULL AND lane {_LISTED} GROUP BY lane"
)
BEGIN: Final = f"UPDATE rota_runs SET {_assigned(BEGUN)}, lease_boot = ?, lease_until = ? WHERE space = ? AND id = ?"
SWAP: Final = f"UPDATE rota_runs SET {_assigned(SWAPPED)} WHERE space = ? AND id = ?"
LEASE: Final = "UPDATE rota_runs SET lease_boot = ?, lease_until = ? WHERE space = ? AND id = ?"
HELD: Final = (
    "SELECT id, token, cancel_requested, lease_boot, lease_until FROM rota_runs "
    f"WHERE space = ? AND token IS NOT NULL AND id {_LISTED}"
)
CANCEL: Final = (
    "UPDATE rota_runs SET cancel_requested = coalesce(cancel_requested, ?) "
    f"WHERE space = ? AND id {_LISTED} AND status {_LISTED}"
)
READY: Final = (
    f"SELECT {_RUN} INDEXED BY rota_runs_due WHERE space = ? AND (origin = 'backfill') = ? AND due <= ? "
    f"AND status IN ('queued', 'waiting') AND stuck = 0 AND job_id NOT {_LISTED} "
    "ORDER BY due, number LIMIT ?"
)
EXPIRED: Final = (
    f"SELECT {_RUN} INDEXED BY rota_runs_held WHERE space = ? AND token IS NOT NULL "
    f"AND (lease_boot <> ? OR lease_until <= ?) AND job_id NOT {_LISTED} ORDER BY lease_until, id LIMIT ?"
)
NEXT_DUE: Final = (
    "SELECT min(due) FROM rota_runs INDEXED BY rota_runs_due WHERE space = ? AND (origin = 'backfill') = ? "
    "AND status IN ('queued', 'waiting') AND stuck = 0"
)
NEXT_EXPIRY: Final = (
    "SELECT min(CASE WHEN lease_boot = ? THEN lease_until ELSE 0 END) FROM rota_runs INDEXED BY rota_runs_held "
    "WHERE token IS NOT NULL AND space = ?"
)
COUNT_OPEN: Final = """SELECT job_id, count(*) FROM (
    SELECT job_id FROM rota_runs INDEXED BY rota_runs_due
    WHERE space = ? AND status IN ('queued', 'waiting') AND stuck = 0
    UNION ALL SELECT job_id FROM rota_runs INDEXED BY rota_runs_held
    WHERE space = ? AND token IS NOT NULL AND status IN ('queued', 'running', 'waiting')
) GROUP BY job_id"""
OF_TICKS: Final = (
    f"SELECT {_RUN} WHERE space = ? AND job_id = ? AND queued_at >= ? AND scheduled_for >= ? "
    "AND (CASE WHEN count > 1 THEN coalesce(window_start, scheduled_for) ELSE scheduled_for END) <= ? ORDER BY number"
)
DISCARD: Final = "UPDATE rota_runs SET discarded = 1 WHERE space = ? AND id = ?"
PROGRESS: Final = "UPDATE rota_runs SET progress = ? WHERE space = ? AND id = ?"
HOLDS: Final = "SELECT 1 FROM rota_runs WHERE space = ? AND id = ? AND token = ?"

# Values, logs, nodes
VALUES: Final = 'SELECT "key", value FROM rota_values WHERE space = ? AND scope = ? AND (until IS NULL OR until > ?)'
VALUE: Final = (
    'SELECT value FROM rota_values WHERE space = ? AND scope = ? AND "key" = ? AND (until IS NULL OR until > ?)'
)
PUT_VALUE: Final = _upsert("rota_values", ["space", "scope", "key"], ["value", "until"])
DELETE_VALUE: Final = 'DELETE FROM rota_values WHERE space = ? AND scope = ? AND "key" = ?'
APPEND_LOG: Final = "INSERT INTO rota_logs (space, run_id, line) VALUES (?, ?, ?)"
LOGS: Final = "SELECT line FROM rota_logs WHERE space = ? AND run_id = ? ORDER BY number"
BEAT: Final = _upsert("rota_nodes", ["space", "id"], _NODE)
NODES: Final = f"SELECT id, {_quoted(_NODE)} FROM rota_nodes WHERE space = ? ORDER BY started_at DESC, id DESC"

# Pruning
_ENDED: Final = (
    f"job_id NOT {_LISTED} AND status = ? AND stuck = 0 "
    "AND queued_at < ? AND coalesce(finished_at, queued_at) < ? LIMIT ?"
)
ENDED: Final = f"SELECT id FROM rota_runs WHERE space = ? AND {_ENDED}"
ENDED_RARELY: Final = f"SELECT id FROM rota_runs INDEXED BY rota_runs_rare WHERE space = ? AND {_IS_RARE} AND {_ENDED}"
ENDED_OF_JOB: Final = f"SELECT id FROM rota_runs WHERE space = ? AND job_id = ? AND {_ENDED}"
DELETE_RUN: Final = "DELETE FROM rota_runs WHERE space = ? AND id = ? AND status = ? AND stuck = 0"
DELETE_SCOPE: Final = "DELETE FROM rota_values WHERE space = ? AND scope = ?"
DELETE_LOGS: Final = "DELETE FROM rota_logs WHERE space = ? AND run_id = ?"
DELETE_OVER: Final = """DELETE FROM rota_values WHERE space = ? AND (scope, "key") IN (
    SELECT scope, "key" FROM rota_values WHERE space = ? AND until IS NOT NULL AND until <= ? LIMIT ?
)"""
DELETE_NODES: Final = "DELETE FROM rota_nodes WHERE space = ? AND last_seen < ?"

moved = attrgetter(*MOVED)
"""The parameters of `MOVE_JOB`, without the space and the id."""

written = attrgetter(*JOB)
"""The parameters of `SET_JOB`, without the space."""

inserted = attrgetter(*COLUMNS)
"""The parameters of `INSERT`, without the space and the lease."""

begun = attrgetter(*BEGUN)
"""The parameters of `BEGIN`, without the lease, the space and the id."""

swapped = attrgetter(*SWAPPED)
"""The parameters of `SWAP`, without the space and the id."""


def listed(texts: Iterable[str]) -> str:
    """A list as one parameter. SQLite ends a text of JSON at its first NUL, so that NUL is written otherwise."""
    return dumps([text.replace("\x1a", "\x1a1").replace("\0", "\x1a0") for text in texts])


def row_of(columns: Sequence[Any]) -> RunRow:
    """A row as it came out of the file."""
    row = RunRow.__new__(RunRow)
    for name, value in zip(COLUMNS, columns, strict=True):
        setattr(row, name, value)
    row.is_catch_up = row.is_catch_up == 1
    row.stuck = row.stuck == 1
    row.discarded = row.discarded == 1
    return row


_OF_SPACE: Final = "WHERE space = ?"
_RARE: Final = f"INDEXED BY rota_runs_rare WHERE space = ? AND {_IS_RARE}"
_OPEN: Final = """WHERE number IN (
    SELECT number FROM rota_runs INDEXED BY rota_runs_due
    WHERE space = ? AND status IN ('queued', 'waiting') AND stuck = 0
    UNION ALL SELECT number FROM rota_runs INDEXED BY rota_runs_held WHERE space = ? AND token IS NOT NULL
)"""
"""Where to look for runs by their marks, in the words that the indexes are made of."""


def search(
    space: int,
    job_id: str | None,
    statuses: Collection[str] | None,
    origins: Iterable[str] | None,
    before: int | None,
    since: int | None,
    discarded: bool | None,
) -> tuple[str, list[object]]:
    """The statement that finds runs by these marks, newest first, and its parameters less the limit. Open ones and
    dead letters are found by the indexes of such runs, however many have succeeded."""
    place = _place(job_id, statuses)
    marks: tuple[tuple[str, object], ...] = (
        ("job_id = ?", job_id),
        (f"status {_LISTED}", None if statuses is None else listed(statuses)),
        (f"origin {_LISTED}", None if origins is None else listed(origins)),
        ("queued_at < ?", before),
        ("queued_at >= ?", since),
        ("discarded = ?", discarded),
    )
    asked = [(text, value) for text, value in marks if value is not None]
    found = " AND ".join([f"SELECT {_RUN} {place}", *(text for text, _ in asked)])
    parameters = [*(space for _ in range(place.count("?"))), *(value for _, value in asked)]
    return f"{found} ORDER BY queued_at DESC, number DESC LIMIT ?", parameters


def _place(job_id: str | None, statuses: Collection[str] | None) -> str:
    if job_id is not None or statuses is None:
        return _OF_SPACE
    if RARE.issuperset(statuses):
        return _RARE
    return _OPEN if OPEN.issuperset(statuses) else _OF_SPACE
