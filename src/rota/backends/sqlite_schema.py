"""The tables of Rota in an SQLite file, and how they came to be.

Law: a migration, once released, is never edited; a change is a new one at the end. All that are missing are applied in
one transaction.

Every row belongs to a space, which is a scheduler's name: several schedulers share one file. Instants are microseconds;
leases end at `lease_until` on the boot clock of the boot `lease_boot`, in seconds.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from rota.backends.schema_versions import VERSION, Standing
from rota.backends.sqlite_connection import SQLiteFile
from rota.errors import BackendError, StoreError

FIRST: Final = (
    "CREATE TABLE rota_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE rota_spaces (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, fence_floor INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE rota_clock (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        boot_id TEXT NOT NULL, "offset" INTEGER NOT NULL, trusted INTEGER NOT NULL,
        settles_at REAL NOT NULL, seen_at REAL NOT NULL
    )""",
    """CREATE TABLE rota_locks (
        space INTEGER NOT NULL, name BLOB NOT NULL, fence INTEGER NOT NULL,
        token TEXT, lease_boot TEXT, lease_until REAL,
        PRIMARY KEY (space, name)
    ) WITHOUT ROWID""",
    """CREATE TABLE rota_watermarks (
        space INTEGER NOT NULL, name BLOB NOT NULL, tick INTEGER NOT NULL,
        PRIMARY KEY (space, name)
    ) WITHOUT ROWID""",
    """CREATE TABLE rota_jobs (
        space INTEGER NOT NULL, job_id TEXT NOT NULL, signature TEXT NOT NULL,
        first_seen INTEGER NOT NULL, watermark INTEGER NOT NULL, claimed INTEGER NOT NULL, fence INTEGER NOT NULL,
        covered_until INTEGER, streak INTEGER NOT NULL, paused_at INTEGER, pause_reason TEXT NOT NULL,
        PRIMARY KEY (space, job_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE rota_renames (
        space INTEGER NOT NULL, job_id TEXT NOT NULL, earlier_id TEXT NOT NULL,
        PRIMARY KEY (space, job_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE rota_runs (
        number INTEGER PRIMARY KEY, space INTEGER NOT NULL,
        id TEXT NOT NULL, job_id TEXT NOT NULL, origin TEXT NOT NULL, status TEXT NOT NULL,
        queued_at INTEGER NOT NULL, due INTEGER NOT NULL, scheduled_for INTEGER, schedule_id TEXT,
        count INTEGER NOT NULL, window_start INTEGER, window_end INTEGER, reason TEXT NOT NULL, "key" TEXT,
        args TEXT, kwargs TEXT, lane TEXT, lane_limit INTEGER, is_catch_up INTEGER NOT NULL,
        attempt INTEGER NOT NULL, spent INTEGER NOT NULL, attempts TEXT,
        attempt_started_at INTEGER, started_at INTEGER, finished_at INTEGER,
        node TEXT, token TEXT, fence INTEGER NOT NULL, cancel_requested TEXT,
        stuck INTEGER NOT NULL, discarded INTEGER NOT NULL, result TEXT, error TEXT, progress TEXT,
        lease_boot TEXT, lease_until REAL
    )""",
    "CREATE UNIQUE INDEX rota_runs_id ON rota_runs (space, id)",
    "CREATE INDEX rota_runs_time ON rota_runs (space, queued_at)",
    "CREATE INDEX rota_runs_job ON rota_runs (space, job_id, queued_at)",
    """CREATE INDEX rota_runs_live ON rota_runs (space, job_id, scheduled_for)
        WHERE origin = 'tick' AND (stuck = 1 OR status IN ('queued', 'running', 'waiting'))""",
    "CREATE INDEX rota_runs_held ON rota_runs (space, job_id) WHERE token IS NOT NULL",
    "CREATE INDEX rota_runs_lane ON rota_runs (space, lane) WHERE token IS NOT NULL AND lane IS NOT NULL",
    """CREATE INDEX rota_runs_due ON rota_runs (space, (origin = 'backfill'), due)
        WHERE status IN ('queued', 'waiting') AND stuck = 0""",
    """CREATE UNIQUE INDEX rota_runs_key ON rota_runs (space, job_id, "key")
        WHERE origin = 'enqueue' AND "key" IS NOT NULL""",
    """CREATE INDEX rota_runs_rare ON rota_runs (space, status, queued_at)
        WHERE status IN ('failed', 'timed_out', 'lost', 'cancelled', 'skipped', 'missed', 'handed_over')""",
    """CREATE TABLE rota_values (
        space INTEGER NOT NULL, scope TEXT NOT NULL, "key" TEXT NOT NULL, value TEXT NOT NULL, until INTEGER,
        PRIMARY KEY (space, scope, "key")
    ) WITHOUT ROWID""",
    "CREATE INDEX rota_values_until ON rota_values (space, until) WHERE until IS NOT NULL",
    """CREATE TABLE rota_logs (
        number INTEGER PRIMARY KEY, space INTEGER NOT NULL, run_id TEXT NOT NULL, line TEXT NOT NULL
    )""",
    "CREATE INDEX rota_logs_run ON rota_logs (space, run_id)",
    """CREATE TABLE rota_nodes (
        space INTEGER NOT NULL, id TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
        started_at INTEGER NOT NULL, last_seen INTEGER NOT NULL, stopped_at INTEGER,
        PRIMARY KEY (space, id)
    ) WITHOUT ROWID""",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (FIRST,)
"""Number n, counted from 1, turns a file of version n - 1 into one of version n."""

HAS_META: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'rota_meta'"
READ_META: Final = "SELECT name, value FROM rota_meta"
WRITE_META: Final = "INSERT OR REPLACE INTO rota_meta (name, value) VALUES ('version', {0}), ('compatible_from', {1})"


def prepare(file: SQLiteFile, *, create: bool, error: type[BackendError] = StoreError) -> Standing:
    """Make the file one of this version, or, without `create`, see that it is; how it stood before. Idempotent, safe in
    many processes."""
    if not file.exists():
        if not create:
            raise error(file.missing_tables())
        file.create(error)
    file.refuse_network(error)
    before = found = file.read(_standing, error)
    if found.version < VERSION:
        if not create:
            raise error(file.missing_tables())
        found = file.write(_upgrade, error)
    refusal = found.refusal(VERSION)
    if refusal is not None:
        raise error(f"the SQLite file {file.path} {refusal}, or use another file")
    return before


def _standing(connection: sqlite3.Connection) -> Standing:
    if connection.execute(HAS_META).fetchone() is None:
        return Standing(0, 0)
    return Standing.of(dict(connection.execute(READ_META)))


def _upgrade(connection: sqlite3.Connection) -> Standing:
    found = _standing(connection)
    if found.version >= VERSION:
        return found
    for migration in MIGRATIONS[found.version :]:
        for statement in migration:
            connection.execute(statement)
    becomes = Standing.at(VERSION)
    connection.execute(WRITE_META.format(*becomes))
    return becomes
