"""What is asked of a server when it is opened: whether it can be trusted with claims, and what to do where it cannot.

Law: asked of the server itself, never guessed from an address. A pool in front of it, such as PgBouncer, needs no
question: no transaction here relies on what a session was told before.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

_POSTGRESQL: Final = text("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')")
_MYSQL: Final = text("SELECT @@GLOBAL.read_only, @@GLOBAL.innodb_read_only, VERSION()")
_ENGINES: Final = text(
    "SELECT table_name, engine FROM information_schema.tables "
    r"WHERE table_schema = DATABASE() AND table_name LIKE 'rota\_%' AND engine <> 'InnoDB'"
)

OLDEST: Final = {"mysql": (8, 0, 4), "mariadb": (10, 6, 0)}
"""The first versions that take a batch of rows as one parameter (`JSON_TABLE`)."""


def refusal(connection: Connection, family: str) -> str | None:
    """Why the server cannot be worked with, or `None`."""
    if family == "postgresql":
        is_replica, is_read_only = connection.execute(_POSTGRESQL).one()
        if is_replica:
            return "it is a replica, which cannot be written: give the address of the primary"
        if is_read_only == "on":
            return "its sessions are read-only (default_transaction_read_only): use another role, or switch that off"
        return None
    is_read_only, is_innodb_read_only, version = connection.execute(_MYSQL).one()
    if is_read_only or is_innodb_read_only:
        return "the server is read-only, as replicas are: give the address of the primary"
    product = "mariadb" if "mariadb" in version.lower() else "mysql"
    if _numbers(version) < OLDEST[product]:
        oldest = ".".join(map(str, OLDEST[product]))
        return f"it is of version {version}; Rota needs {'MariaDB' if product == 'mariadb' else 'MySQL'} {oldest}"
    return None


def refusal_of_tables(connection: Connection, family: str) -> str | None:
    """Why the tables, which exist by now, cannot be worked with, or `None`."""
    if family == "postgresql":
        return None
    wrong = connection.execute(_ENGINES).all()
    if not wrong:
        return None
    table, engine = wrong[0]
    return f"the table {table} is kept by {engine}, which knows no transactions: ALTER TABLE {table} ENGINE = InnoDB"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split(".")[:3] if part.isdigit())
