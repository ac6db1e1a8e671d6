"""The SQLAlchemy engine that a store or locks work with: always one of their own, with connections of their own.

Law: neither a transaction nor a session of the program's is ever joined. Of an engine of the program's, only the way to
make connections is used. What a session is told, it is told when its connection is made (MySQL) or in each transaction
(PostgreSQL, where a pool such as PgBouncer may give each transaction another session).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from importlib.util import find_spec
from math import ceil
from threading import Thread
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from rota.backends.fork_safety import ForkGate
from rota.backends.urls import without_password
from rota.errors import ConfigurationError

DRIVERS: Final = {
    "postgresql": {"psycopg": "psycopg", "psycopg2": "psycopg2"},
    "mysql": {"pymysql": "pymysql", "mysqldb": "MySQLdb"},
}
"""By family: the drivers that Rota speaks through, best first, and the modules that they are."""

OTHERS: Final = {"psycopg2": "psycopg2", "mysqldb": "mysqlclient"}
"""The drivers that no extra of Rota's brings, and the packages that do."""

FAMILIES: Final = {"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}

MOST_IDLE: Final = 3
MOST_CONNECTIONS: Final = 20

SESSION_ENDS: Final = 60
"""Seconds after which MySQL ends a session that asks for nothing, and with it what it holds."""

_MYSQL_SESSION: Final = (
    "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    "SESSION innodb_lock_wait_timeout = {seconds}, SESSION wait_timeout = {ends}"
)
_MARIADB_SESSION: Final = "SET SESSION idle_transaction_timeout = {seconds}"


def own_engine(source: str | Engine, timeout: float, left: Callable[[float], float]) -> Engine:
    """An engine for a URL, or one that connects as the program's does. Nothing is connected yet. `left`: how much time
    the call has that needs a connection, or what it is given where that is not known.

    Raises `ConfigurationError` for a URL of another database, and where no driver is installed.
    """
    # Caught in the middle of it by a fork, a TLS library would stay locked in the child.
    gate = ForkGate(timeout)
    if isinstance(source, str):
        url = chosen_url(source)
        engine = _made(url, timeout, connect_args=_connect_arguments(url, timeout))
        event.listen(
            engine,
            "do_connect",
            lambda dialect, _, args, named: _within(left(timeout), gate, lambda: dialect.connect(*args, **named)),
        )
    else:
        family_of(source)
        engine = _made(source.url, timeout, creator=lambda: _within(left(timeout), gate, lambda: _connected_by(source)))
    event.listen(engine, "connect", lambda connection, _: _prepare(engine, connection, timeout))
    return engine


def family_of(engine: Engine) -> str:
    """`postgresql` or `mysql`. Raises `ConfigurationError` for an engine that Rota cannot use."""
    family = FAMILIES.get(engine.dialect.name)
    if family is None:
        raise ConfigurationError(
            f"an engine for {engine.dialect.name!r} cannot be used: PostgreSQL, MySQL and MariaDB can; "
            "for SQLite write sqlite:///file.db"
        )
    if engine.dialect.driver not in DRIVERS[family]:
        raise ConfigurationError(_wrong_driver(family, engine.dialect.driver))
    return family


def chosen_url(text: str) -> URL:
    """The URL with a driver that is installed."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # a port that is no number
        raise ConfigurationError(
            "this is no URL of a database: postgresql://user@host/database is one, and with several hosts "
            "postgresql://user@/database?host=one:5432&host=two:5432&target_session_attrs=read-write"
        ) from error
    scheme, _, driver = url.drivername.partition("+")
    family = FAMILIES.get(scheme)
    if family is None:
        raise ConfigurationError(f"{scheme!r} is no database known here; there are postgresql, mysql and mariadb")
    if not url.database:
        raise ConfigurationError(f"{without_password(text)} names no database: write {scheme}://user@host/database")
    if driver and driver not in DRIVERS[family]:
        raise ConfigurationError(_wrong_driver(family, driver))
    for name, module in DRIVERS[family].items():
        if driver in {"", name} and find_spec(module) is not None:
            dialect = "mariadb" if scheme == "mariadb" else family
            return url.set(drivername=f"{dialect}+{name}")
    best = next(iter(DRIVERS[family]))
    of_extra = "" if driver in {"", best} else f" brings {best}, for {scheme}://…; or install {OTHERS[driver]}"
    raise ConfigurationError(
        f'{without_password(text)} needs the driver {driver or best}: pip install "rota[{family}]"{of_extra}'
    )


def shown(url: URL) -> str:
    """The URL as it may be shown in messages and logs."""
    return without_password(url.render_as_string(hide_password=False))


def _wrong_driver(family: str, driver: str) -> str:
    known = " and ".join(DRIVERS[family])
    return f"Rota speaks to {family} through {known}, not through {driver!r}: write {family}://user@host/database"


def _made(url: URL, timeout: float, **how: Any) -> Engine:
    # PostgreSQL's transactions are begun and ended by hand, so that what a session is told costs no round trip.
    isolation = "AUTOCOMMIT" if FAMILIES[url.get_backend_name()] == "postgresql" else "READ COMMITTED"
    return create_engine(
        url,
        pool_size=MOST_IDLE,
        max_overflow=MOST_CONNECTIONS - MOST_IDLE,
        pool_timeout=timeout,
        pool_use_lifo=True,
        pool_reset_on_return=None,
        isolation_level=isolation,
        **how,
    )


def _connect_arguments(url: URL, timeout: float) -> dict[str, object]:
    """How long a connection may take, unless the URL says so itself."""
    seconds = max(2, ceil(timeout))
    if url.get_backend_name() == "postgresql":
        wanted: dict[str, object] = {"connect_timeout": seconds, "keepalives_idle": 30, "keepalives_interval": 10}
    else:
        wanted = {
            "connect_timeout": seconds,
            "read_timeout": seconds + 1,
            "write_timeout": seconds + 1,
            "charset": "utf8mb4",
        }
    return {name: value for name, value in wanted.items() if name not in url.query}


def _connected_by(source: Engine) -> Any:
    """A connection as the program's engine makes them, with all that its listeners do to it; its pool forgets it."""
    pooled = source.pool.recreate().connect()
    pooled.detach()
    return pooled.dbapi_connection


def _within(seconds: float, gate: ForkGate, connect: Callable[[], Any]) -> Any:
    """The connection that `connect` makes, if it does so in time. Drivers count whole seconds, each address of a host
    anew, and an engine of the program's may have no limit, so it is done in a thread, which is left behind when it is
    late, and closes what still comes of it."""
    made: Future[Any] = Future()

    def make() -> None:
        try:
            with gate:
                gate.note_ending()
                connection = connect()
        except BaseException as failure:  # noqa: BLE001  # raised in the thread that waits
            with suppress(InvalidStateError):
                made.set_exception(failure)
            return
        try:
            made.set_result(connection)
        except InvalidStateError:
            connection.close()

    try:
        Thread(target=make, name="rota-sql-connecting", daemon=True).start()
    except RuntimeError:  # the interpreter ends, or has all the threads it may: the driver's own limit must do
        with gate:
            return connect()
    try:
        return made.result(seconds)
    except FutureTimeout:
        if not made.cancel():
            return made.result()
        raise NoConnectionError("no connection was made in time") from None


def _prepare(engine: Engine, connection: Any, timeout: float) -> None:
    if FAMILIES[engine.dialect.name] == "postgresql":
        if engine.dialect.driver == "psycopg":
            from psycopg import ClientCursor

            # Prepares nothing on the server, and sends several statements at once.
            connection.cursor_factory = ClientCursor
        return
    seconds = max(1, ceil(timeout))
    cursor = connection.cursor()
    cursor.execute(_MYSQL_SESSION.format(seconds=seconds, ends=SESSION_ENDS))
    cursor.execute("SELECT VERSION()")
    if "mariadb" in str(cursor.fetchone()[0]).lower():
        cursor.execute(_MARIADB_SESSION.format(seconds=seconds))
    cursor.close()
    connection.commit()
