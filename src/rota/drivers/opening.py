"""From what `Scheduler(store=…, locks=…)` was given to a backend: a URL, an object, or a callable that gives one.

Law: a URL is looked at when the scheduler is made, so that a slip shows at once; files and connections are opened,
and backends imported (`stores.…`, `locks.…`), at first use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeGuard, TypeVar, cast

from rota import locks, stores
from rota.backends.urls import (
    check_redis_database,
    directory_path,
    require_package,
    scheme_of,
    sqlite_path,
    without_password,
)
from rota.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rota.ports import Clock, LockBackend, Store

StoreSpec: TypeAlias = "Store | str | Callable[[], Store | Engine] | None"
LocksSpec: TypeAlias = "LockBackend | str | Callable[[], LockBackend | Engine] | None"

Backend = TypeVar("Backend")

SQL: Final = {"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
"""The extra that brings what a scheme of an SQL database needs."""

REDIS: Final = frozenset({"redis", "rediss", "unix", "valkey", "valkeys"})

SERVERS: Final = "postgresql://user@host/database, mysql://user@host/database and redis://host"


def settled_store(spec: StoreSpec) -> StoreSpec:
    """The same with a relative file made absolute; `ConfigurationError` for what is no store."""
    if spec is None:
        return None
    if not isinstance(spec, str):
        if callable(spec) or is_store(spec):
            return spec
        raise ConfigurationError(
            f"store: a URL, a Store or a callable that gives one is expected, not {spec!r:.100}{_hint('Store', spec)}"
        )
    scheme = scheme_of(spec)
    if scheme == "sqlite":
        return f"sqlite:///{sqlite_path(spec)}"
    if scheme in SQL or scheme in REDIS:
        return _with_its_package("store", spec)
    raise ConfigurationError(
        f"store: {without_password(spec)!r} is no URL of a store known here; there are sqlite:///file.db, {SERVERS}"
    )


def settled_locks(spec: LocksSpec) -> LocksSpec:
    """The same for locks."""
    if spec is None:
        return None
    if not isinstance(spec, str):
        if callable(spec) or _is_lock_backend(spec):
            return spec
        raise ConfigurationError(
            f"locks: a URL, a LockBackend or a callable that gives one is expected, "
            f"not {spec!r:.100}{_hint('Locks', spec)}"
        )
    scheme = scheme_of(spec)
    if scheme == "file":
        return f"file://{directory_path(spec)}"
    if scheme == "sqlite":
        return f"sqlite:///{sqlite_path(spec)}"
    if scheme in SQL or scheme in REDIS:
        return _with_its_package("locks", spec)
    raise ConfigurationError(
        f"locks: {without_password(spec)!r} is no URL of locks known here; "
        f"there are file:///directory, sqlite:///file.db, {SERVERS}"
    )


def _with_its_package(what: str, url: str) -> str:
    """The same URL; `ConfigurationError` where the package that speaks to its server is not installed, and for a Redis
    database that has no number."""
    scheme = scheme_of(url)
    packages, extra = (("redis", "valkey"), "redis") if scheme in REDIS else (("sqlalchemy",), SQL[scheme])
    try:
        require_package(url, packages, extra)
        if scheme in REDIS:
            check_redis_database(url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from None
    return url


def make_store(spec: StoreSpec, namespace: str, clock: Clock) -> Store:
    """The store of a settled spec."""
    if spec is None:
        return stores.MemoryStore(clock)
    if isinstance(spec, str):
        scheme = scheme_of(spec)
        if scheme == "sqlite":
            return stores.SQLiteStore(spec, namespace, clock)
        return stores.RedisStore(spec, namespace) if scheme in REDIS else stores.SQLStore(spec, namespace)
    if is_store(spec):
        return _of_name(spec, namespace)
    given = cast("Callable[[], object]", spec)()
    if is_engine(given):
        return stores.SQLStore(given, namespace)
    if not is_store(given):
        raise ConfigurationError(f"store: the callable gave {given!r}, which is no Store and no SQLAlchemy Engine")
    return _of_name(given, namespace)


def _of_name(backend: Backend, name: str) -> Backend:
    """The store, or the locks, in which a scheduler of that name keeps its things."""
    from rota.ports import TakesName

    beside = backend.take_name(name) if isinstance(backend, TakesName) else None
    return backend if beside is None else beside


def make_locks(spec: LocksSpec, namespace: str, clock: Clock) -> LockBackend | None:
    """The locks of a settled spec; `None`: the store's own."""
    if spec is None:
        return None
    if isinstance(spec, str):
        return _locks_at(spec, namespace, clock)
    if _is_lock_backend(spec):
        return _of_name(spec, namespace)
    given = cast("Callable[[], object]", spec)()
    if is_engine(given):
        return locks.SQLLocks(given, namespace)
    if not _is_lock_backend(given):
        raise ConfigurationError(f"locks: the callable gave {given!r}, which is no LockBackend and no Engine")
    return _of_name(given, namespace)


def _locks_at(url: str, namespace: str, clock: Clock) -> LockBackend:
    scheme = scheme_of(url)
    if scheme == "file":
        return locks.FileLocks(url, clock=clock)
    if scheme == "sqlite":
        return locks.SQLiteLocks(url, namespace, clock)
    return locks.RedisLocks(url, namespace) if scheme in REDIS else locks.SQLLocks(url, namespace)


def _hint(kind: str, spec: object) -> str:
    """What to write for a client or an engine of the application's."""
    if is_engine(spec):
        return f"; for an engine write SQL{kind}(engine)"
    if type(spec).__module__.partition(".")[0] in {"redis", "valkey"}:
        return f"; for a client write Redis{kind}(client)"
    return ""


def is_engine(value: object) -> TypeGuard[Engine]:
    """Whether it is a SQLAlchemy engine; SQLAlchemy is not imported for the question."""
    sqlalchemy = sys.modules.get("sqlalchemy")
    return sqlalchemy is not None and isinstance(value, sqlalchemy.Engine)


def is_store(value: object) -> TypeGuard[Store]:
    """Whether it has what a store has; a proxy that hands on what it is asked for is one too."""
    from rota.ports import Store

    return has_all_of(Store, value)


def _is_lock_backend(value: object) -> TypeGuard[LockBackend]:
    from rota.ports import LockBackend

    return has_all_of(LockBackend, value)


def has_all_of(port: type, value: object) -> bool:
    """Whether it has what the port names. A class is not yet what is made of it."""
    names = (name for name in vars(port) if not name.startswith("_"))
    return not isinstance(value, type) and all(hasattr(value, name) for name in names)
