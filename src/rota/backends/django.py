"""A store and locks in a database of a Django project, over connections of Rota's own.

Law: the project's settings say where the database is, and are asked when it is opened, not before: a test run puts
other databases in their place. None of Django's own connections is used: what a request's transaction undoes, its end
closes, or a test rolls back, is not Rota's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from rota.backends.django_connection import engine_of, file_of, settings_of
from rota.backends.embedded_clock import EmbeddedClock
from rota.backends.flow_locks import TransactionalLocks
from rota.backends.fork_safety import ForkSafeLock
from rota.backends.namespaces import Namespaced
from rota.backends.sqlite_connection import SQLiteFile
from rota.backends.sqlite_space import SQLiteSpace
from rota.backends.transaction import LockTransaction, Space, Transaction
from rota.backends.transactional import TransactionalStore
from rota.errors import BackendError, LockBackendError, StoreError
from rota.ports import Clock

if TYPE_CHECKING:
    from rota.backends.sql_connection import Database

T = TypeVar("T")


class _Transaction(Transaction, LockTransaction, Protocol):
    """One transaction of either kind."""


class _Opened(NamedTuple):
    """A database, and the settings that named it."""

    settings: dict[str, Any]
    database: SQLiteFile | Database


class _ProjectDatabase:
    """The database of an alias: a file of SQLite's, or one on a server."""

    def __init__(self, alias: str, timeout: float) -> None:
        self._alias = alias
        self._timeout = timeout
        self._mutex = ForkSafeLock()
        self._opened: _Opened | None = None

    def opened(self, *, anew: bool = False) -> SQLiteFile | Database:
        """The database that the settings named when it was first asked for, or, `anew`, that they name now."""
        known = self._opened
        if known is not None and not (anew and settings_of(self._alias) != known.settings):
            return known.database
        made = _Opened(settings_of(self._alias), self._made())
        with self._mutex.lock:
            is_first = self._opened is known
            if is_first:
                self._opened = made
            opened = self._opened or made
        unused = known if is_first else made
        if unused is not None:
            unused.database.close()
        return opened.database

    @property
    def is_file(self) -> bool:
        """Whether it is SQLite's."""
        return file_of(self._alias) is not None

    def close(self) -> None:
        """Close the connections that are idle."""
        if self._opened is not None:
            self._opened.database.close()

    def _made(self) -> SQLiteFile | Database:
        path = file_of(self._alias)
        if path is not None:
            return SQLiteFile(path, self._timeout)
        from rota.backends.sql_connection import Database

        return Database(engine_of(self._alias, self._timeout), self._timeout)


class DjangoSpace:
    """The namespace of one scheduler in the database of an alias. What fails raises `error`."""

    def __init__(
        self, database: _ProjectDatabase, namespace: str, clock: EmbeddedClock, error: type[BackendError]
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._error = error
        self._clock = clock
        self._place: SQLiteFile | Database | None = None
        self._space: Space[_Transaction] | None = None

    def open(self, *, create: bool) -> object:
        """Ask the settings, see to the tables and look the namespace up."""
        return self._in(self._database.opened(anew=True)).open(create=create)

    def now(self) -> int:
        """The clock of the database."""
        return self._here().now()

    def read(self, work: Callable[[_Transaction], T]) -> T:
        """Do `work`, which only looks."""
        return self._here().read(work)

    def write(self, work: Callable[[_Transaction], T]) -> T:
        """Do `work` as one transaction."""
        return self._here().write(work)

    def write_judged(self, work: Callable[[_Transaction], T]) -> T:
        """The same for work that goes by the wall clock."""
        return self._here().write_judged(work)

    def close(self) -> None:
        """Close the connections that are idle. The next call opens one again."""
        self._database.close()

    def _here(self) -> Space[_Transaction]:
        return self._in(self._database.opened())

    def _in(self, place: SQLiteFile | Database) -> Space[_Transaction]:
        if self._space is None or place is not self._place:
            self._place, self._space = place, self._made(place)
        return self._space

    def _made(self, place: SQLiteFile | Database) -> Space[_Transaction]:
        if isinstance(place, SQLiteFile):
            return SQLiteSpace(place, self._namespace, self._clock, self._error)
        from rota.backends.sql_space import SQLSpace

        return SQLSpace(place, self._namespace, self._error)


class DjangoStore(TransactionalStore):
    """Keeps everything in the database of `alias` in the project's `DATABASES`: PostgreSQL, MySQL, MariaDB or a file of
    SQLite's.

    Schedulers of different names share a database without seeing each other; a `namespace`, if given, is used in place
    of the scheduler's name. `timeout` is the longest that a call takes, in seconds; then it raises `StoreError`. A
    database of another kind is a `ConfigurationError` when the store is opened.
    """

    def __init__(self, alias: str = "default", namespace: str | None = None, *, timeout: float = 5.0) -> None:
        self._database = _ProjectDatabase(alias, timeout)
        self._clock = EmbeddedClock(None)
        self._start_in(namespace)

    def _keep_in(self, namespace: str) -> None:
        """Work in that namespace from now on."""
        self._space = DjangoSpace(self._database, namespace, self._clock, StoreError)
        self._locks = TransactionalLocks(DjangoSpace(self._database, namespace, self._clock, LockBackendError))

    def follow_clock(self, clock: Clock) -> bool:
        """Go by the clock of a scheduler, where the database is a file; a server has its own."""
        self._clock.follow(clock)
        return self._database.is_file


class DjangoLocks(Namespaced, TransactionalLocks):
    """Locks in the database of `alias` in the project's `DATABASES`: PostgreSQL, MySQL, MariaDB or a file of SQLite's.

    Schedulers of different names share a database without seeing each other; a `namespace`, if given, is used in place
    of the scheduler's name. `timeout` is the longest that a call takes, in seconds; then it raises `LockBackendError`.
    The tables are made at the first call.
    """

    def __init__(self, alias: str = "default", namespace: str | None = None, *, timeout: float = 5.0) -> None:
        self._database = _ProjectDatabase(alias, timeout)
        self._clock = EmbeddedClock(None)
        self._start_in(namespace)

    def _keep_in(self, namespace: str) -> None:
        """Work in that namespace from now on."""
        self._space = DjangoSpace(self._database, namespace, self._clock, LockBackendError)

    def follow_clock(self, clock: Clock) -> bool:
        """Go by the clock of a scheduler, where the database is a file; a server has its own."""
        self._clock.follow(clock)
        return self._database.is_file
