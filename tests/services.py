"""The servers that tests talk to, and a database of this test process's own on each.

    services.url("postgresql")

gives an address that is made at the first call and gone at the end of the process; its children are given the same.
The server is

* the one that ROTA_TEST_POSTGRESQL_URL names, never one that happens to listen;
* else one that this test run starts for itself, where a wheel brings it (PostgreSQL, and Valkey for Redis).

Without either, the tests that need it are skipped and named at the end; with ROTA_REQUIRE_SERVICES=1 they fail.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.wheel_servers import ServersOfThisRun, is_installed

DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "redis": 6379, "rabbitmq": 5672}
PREFIX = f"rota_test_{hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]}_"
"""What the names of this machine's own databases start with; the process that made one follows."""

REDIS_DATABASES = range(1, 16)
REDIS_CLAIM = "rota-test-owner"


class Unavailable(LookupError):
    """There is no such server here; the message says which and why."""


def variable(name: str) -> str:
    """The environment variable that holds the address of a service."""
    if name not in DEFAULT_PORTS:
        raise ValueError(f"unknown service {name!r}; services.py knows {', '.join(DEFAULT_PORTS)}")
    return f"ROTA_TEST_{name.upper()}_URL"


def why_unavailable(name: str) -> str | None:
    """Why a service cannot be used on this machine, or None if it can."""
    address = os.environ.get(variable(name))
    if not address:
        return None if is_installed(name) else f"{name}: {variable(name)} is not set, and no wheel brings a server"
    parts = urlsplit(address)
    host, port = parts.hostname or "localhost", parts.port or DEFAULT_PORTS[name]
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        return f"{name}: {host}:{port} does not answer ({error})"
    return None


def server_url(name: str) -> str:
    """The address of the server, as its administrator: for tests that look into it or make more than one database."""
    reason = why_unavailable(name)
    if reason is not None:
        raise Unavailable(reason)
    address = os.environ.get(variable(name)) or ServersOfThisRun.address(name)
    if address is None:
        raise Unavailable(f"{name}: no test run is open that could start one; see services.opened()")
    return address


def url(name: str) -> str:
    """The address of this test process's own database; for Redis, of a logical database of its own."""
    handed_on = os.environ.get(_own_variable(name))
    if handed_on:
        return handed_on
    if name not in _MAKERS:
        return server_url(name)
    if os.environ.get(_OPENED_BY) != str(os.getpid()):
        raise Unavailable(f"{name}: ask for it in the test process before a child of it does")
    own = _MAKERS[name][0](server_url(name))
    os.environ[_own_variable(name)] = own
    _made.append((name, own))
    return own


@contextmanager
def opened(*, shared: bool = True) -> Iterator[None]:
    """A test process, or a program that uses this module: what it makes is gone at its end.

    :param shared: start the servers that are missing for the whole test run, unless the parent does.
    """
    before = os.environ.get(_OPENED_BY)
    servers = ServersOfThisRun() if shared and ServersOfThisRun.VARIABLE not in os.environ else None
    os.environ[_OPENED_BY] = str(os.getpid())
    try:
        yield
    finally:
        _drop_all()
        if before is None:
            os.environ.pop(_OPENED_BY, None)
        else:
            os.environ[_OPENED_BY] = before
        if servers is not None:
            servers.close()


_OPENED_BY = "ROTA_TEST_OPENED_BY"
_made: list[tuple[str, str]] = []


def _own_variable(name: str) -> str:
    return f"ROTA_TEST_OWN_{name.upper()}_URL"


def _drop_all() -> None:
    while _made and os.environ[_OPENED_BY] == str(os.getpid()):  # a forked child leaves them to its parent
        name, own = _made.pop()
        os.environ.pop(_own_variable(name), None)
        _MAKERS[name][1](server_url(name), own)


def _own_name() -> str:
    return f"{PREFIX}{os.getpid()}"


def _left_behind(names: list[str]) -> list[str]:
    """The databases whose makers have ended without a word, and the one that a process of our number left."""
    ours = [match for name in names if (match := re.fullmatch(re.escape(PREFIX) + r"(\d+)", name))]
    return [match[0] for match in ours if int(match[1]) == os.getpid() or not _is_alive(int(match[1]))]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _with_database(server: str, database: str) -> str:
    return urlsplit(server)._replace(path=f"/{database}").geturl()


def _make_postgresql(server: str) -> str:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        found = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{PREFIX}%",)).fetchall()
        for name in _left_behind([row[0] for row in found]):
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{_own_name()}" TEMPLATE template0')
    return _with_database(server, _own_name())


def _drop_postgresql(server: str, own: str) -> None:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{urlsplit(own).path[1:]}" WITH (FORCE)')


@contextmanager
def _mysql(server: str) -> Iterator[object]:
    import pymysql

    parts = urlsplit(server)
    connection = pymysql.connect(
        host=parts.hostname or "127.0.0.1", port=parts.port or DEFAULT_PORTS["mysql"], user=parts.username or "root",
        password=parts.password or "", autocommit=True,
    )  # fmt: skip
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _make_mysql(server: str) -> str:
    with _mysql(server) as cursor:
        cursor.execute("SHOW DATABASES")
        for name in _left_behind([row[0] for row in cursor.fetchall()]):
            _drop_mysql_database(cursor, name)
        cursor.execute(f"CREATE DATABASE `{_own_name()}`")
    return _with_database(server, _own_name())


def _drop_mysql(server: str, own: str) -> None:
    with _mysql(server) as cursor:
        _drop_mysql_database(cursor, urlsplit(own).path[1:])


def _drop_mysql_database(cursor, name: str) -> None:
    """Drop it, after the sessions that are left in it: an open transaction of theirs would hold it."""
    import pymysql

    cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
    for (session,) in cursor.fetchall():
        try:
            cursor.execute(f"KILL {session}")
        except pymysql.MySQLError:
            continue  # it has just ended
    cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")


def _make_redis(server: str) -> str:
    import redis

    owner = f"{PREFIX}{os.getpid()}"
    for number in REDIS_DATABASES:
        own = _with_database(server, str(number))
        with redis.Redis.from_url(own) as client:
            claimed = client.get(REDIS_CLAIM)
            if claimed is not None and _left_behind([claimed.decode()]):
                client.flushdb()
            if client.dbsize() == 0 and client.set(REDIS_CLAIM, owner, nx=True):
                return own
    raise Unavailable("redis: every logical database but the first is in use")


def _drop_redis(server: str, own: str) -> None:
    import redis

    with redis.Redis.from_url(own) as client:
        client.flushdb()


_MAKERS = {
    "postgresql": (_make_postgresql, _drop_postgresql),
    "mysql": (_make_mysql, _drop_mysql),
    "redis": (_make_redis, _drop_redis),
}
"""By the name of the service: what makes a database of one's own on a server, and what drops it."""
