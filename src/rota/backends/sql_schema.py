"""The tables of Rota in PostgreSQL and MySQL/MariaDB: seeing which version they are of, and bringing them up to date.

Law: one process at a time changes them, the others wait and find it done. PostgreSQL takes all that is missing in one
transaction. MySQL commits each statement by itself: a migration that broke off is applied again from its start, what is
done already is passed over, and the version is written last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rota.backends.schema_versions import VERSION, Standing
from rota.backends.sql_migrations import HAS_META, READ_META, dialect_of, statements
from rota.backends.urls import without_password
from rota.errors import BackendError, StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Ask: TypeAlias = Callable[[str], Sequence[Any]]
"""Makes a statement on a connection, whoever's it is, and gives the rows, none where there are none."""

_DONE_ALREADY: Final = frozenset({1050, 1060, 1061, 1091})
"""MySQL's errors for a table, column or index that exists, or that is gone, already."""

_ALONE_IN_POSTGRESQL: Final = "SELECT pg_advisory_xact_lock(7954883320531)"
_ALONE_IN_MYSQL: Final = "GET_LOCK(CONCAT('rota.', SHA1(DATABASE())), 1)"
_ENOUGH_IN_MYSQL: Final = "RELEASE_LOCK(CONCAT('rota.', SHA1(DATABASE())))"
_MOST_WAITS: Final = 60
"""Seconds to wait in MySQL for another process to be done."""


def prepare(engine: Engine, *, create: bool, error: type[BackendError] = StoreError) -> Standing:
    """Make the tables those of this version, or, without `create`, see that they are; how they stood before.
    Idempotent, safe in many processes.

    Raises `error` where they are missing or too new; what the server refuses is raised as SQLAlchemy has it.
    """
    url = without_password(engine.url.render_as_string(hide_password=False))
    engine = engine.execution_options(isolation_level="READ COMMITTED")
    dialect = engine.dialect.name
    with engine.connect() as connection:
        before = found = standing(asked(connection), dialect)
    if found.version < VERSION and create:
        with engine.begin() as connection:
            found = upgrade(asked(connection), dialect, VERSION)
    if found.version < VERSION:
        raise error(
            f"the database {url} lacks tables of Rota, or has old ones; run `rota db upgrade --store {url}` (in Django "
            "`manage.py migrate`) or leave create_tables on"
        )
    refusal = found.refusal(VERSION)
    if refusal is not None:
        raise error(f"the database {url} {refusal}, or use another database")
    return before


def upgrade(ask: Ask, dialect: str, version: int) -> Standing:
    """Bring the tables up to `version`, in the transaction that is open; how they stand then."""
    dialect = dialect_of(dialect)
    with _alone(ask, dialect):
        found = standing(ask, dialect)
        if found.version >= version:
            return found
        for statement in statements(dialect, found.version, version):
            try:
                ask(statement)
            except Exception as failure:
                if not _is_done_already(failure):
                    raise
        return standing(ask, dialect)


def standing(ask: Ask, dialect: str) -> Standing:
    """How the tables stand."""
    return Standing.of(dict(ask(READ_META))) if ask(HAS_META[dialect_of(dialect)]) else Standing(0, 0)


def asked(connection: Connection) -> Ask:
    """What makes statements on a connection of SQLAlchemy's."""

    def ask(statement: str) -> Sequence[Any]:
        result = connection.exec_driver_sql(statement)
        return result.all() if result.returns_rows else ()

    return ask


def _is_done_already(failure: Exception) -> bool:
    """Whether a statement failed because an earlier try at it, which broke off, had done its work."""
    codes = (each.args[:1] for each in (failure, failure.__cause__) if each is not None)
    return any(code and code[0] in _DONE_ALREADY for code in codes)


@contextmanager
def _alone(ask: Ask, dialect: str) -> Iterator[None]:
    """Keep others out of the tables' making: until the transaction ends, or, in MySQL, until here."""
    if dialect == "postgresql":
        ask(_ALONE_IN_POSTGRESQL)
    if dialect != "mysql":
        yield
        return
    if not any(ask(f"SELECT {_ALONE_IN_MYSQL}")[0][0] for _ in range(_MOST_WAITS)):
        raise StoreError(f"another process has been upgrading the tables of Rota for {_MOST_WAITS} seconds; ask again")
    try:
        yield
    finally:
        ask(f"SELECT {_ENOUGH_IN_MYSQL}")
