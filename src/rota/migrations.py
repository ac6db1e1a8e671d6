"""Bringing the tables of a database up to date: from the user's own Alembic migrations, or by `rota db upgrade`.

Law: whichever way the tables are made, they are the same, and every way finds what another has done.
"""

from __future__ import annotations

from typing import Any

from rota.backends.schema_versions import VERSION, Standing
from rota.backends.sql_migrations import dialect_of, statements
from rota.backends.urls import require_package, scheme_of, without_password

__all__ = ["upgrade"]

CONNECTED_WITHIN = 10.0
"""Seconds that it may take to reach the server; making tables may take longer."""


def upgrade(op: Any, version: int, since: int = 0) -> None:
    """Bring the tables of Rota up to `version`, within an Alembic revision; `op` is `alembic.op`.

    Connected, it does what is missing, tables that Rota made by itself included. Offline (`alembic upgrade --sql`) it
    writes the statements that turn the tables of version `since` (0: there are none) into those of `version`. Raises
    `ConfigurationError` for a version that is not known here.
    """
    context = op.get_context()
    missing = statements(context.dialect.name, since, version)
    if context.as_sql:
        for statement in missing:
            op.execute(statement)
        return
    from rota.backends import sql_schema

    sql_schema.upgrade(sql_schema.asked(op.get_bind()), context.dialect.name, version)


def script(url: str) -> str:
    """The statements that make the tables where there are none, for the database of a URL; nothing is connected to."""
    dialect = dialect_of(scheme_of(url))
    lines = [f"{statement};" for statement in statements(dialect, 0, VERSION)]
    if dialect == "mysql":
        return "\n".join(lines)
    return "\n".join(["BEGIN;", *lines, "COMMIT;"])


def upgrade_database(url: str) -> str:
    """Make or upgrade the tables in the database of a URL; what was done, in one line.

    Raises `StoreError` where that fails, `ConfigurationError` for a URL of another kind.
    """
    dialect = dialect_of(scheme_of(url))
    before = _prepare_file(url) if dialect == "sqlite" else _prepare_server(url)
    shown = without_password(url)
    if before.version >= VERSION:
        return f"{shown} has tables of version {before.version}: nothing to do"
    if before.version:
        return f"{shown}: upgraded the tables from version {before.version} to {VERSION}"
    return f"{shown}: made the tables, version {VERSION}"


def _prepare_file(url: str) -> Standing:
    from rota.backends import sqlite_schema
    from rota.backends.sqlite_connection import SQLiteFile

    file = SQLiteFile(url)
    try:
        return sqlite_schema.prepare(file, create=True)
    finally:
        file.close()


def _prepare_server(url: str) -> Standing:
    require_package(url, ("sqlalchemy",), dialect_of(scheme_of(url)))
    from rota.backends import sql_schema
    from rota.backends.sql_connection import Database

    database = Database(url, CONNECTED_WITHIN)
    try:
        return database.set_up(lambda engine: sql_schema.prepare(engine, create=True))
    finally:
        database.close()
