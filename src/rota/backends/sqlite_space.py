"""The part of an SQLite file that belongs to one scheduler, and transactions in it.

Law: the namespace is looked up once; from then on its rows go by a number. In each transaction that writes it is seen
whether that is its number still.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from rota.backends import sqlite_statements as sql
from rota.backends.embedded_clock import EmbeddedClock, Sighting, is_worth_keeping
from rota.backends.sqlite_connection import SQLiteFile
from rota.backends.sqlite_schema import prepare
from rota.backends.sqlite_transaction import SQLiteTransaction
from rota.errors import BackendError

T = TypeVar("T")


class SQLiteSpace:
    """The namespace of one scheduler in a file. What fails raises `error`."""

    def __init__(self, file: SQLiteFile, namespace: str, clock: EmbeddedClock, error: type[BackendError]) -> None:
        self._file = file
        self._namespace = namespace
        self._clock = clock
        self._error = error
        self._number: int | None = None
        self._creates = True

    def open(self, *, create: bool) -> int:
        """See to the tables and look the namespace up. Where that fails, the next call does it."""
        self._creates = create
        prepare(self._file, create=create, error=self._error)
        self._number = self._file.write(self._look_up, self._error)
        return self._number

    def now(self) -> int:
        """This machine's wall clock."""
        return self._clock.observe().now

    def close(self) -> None:
        """Close the connections that are idle. The next call opens one again."""
        self._file.close()

    def read(self, work: Callable[[SQLiteTransaction], T]) -> T:
        """Do `work` on one unchanging picture of the file."""
        number = self._opened()
        return self._file.read(lambda connection: work(self._begun(connection, number)), self._error)

    def write(self, work: Callable[[SQLiteTransaction], T]) -> T:
        """Do `work` as one transaction."""
        self._opened()
        return self._file.write(lambda connection: work(self._begun(connection, self._seen(connection))), self._error)

    def write_judged(self, work: Callable[[SQLiteTransaction], T]) -> T:
        """The same for work that goes by the wall clock: it is judged also by what the file remembers of it."""
        self._opened()

        def judged(connection: sqlite3.Connection) -> T:
            columns = connection.execute(sql.CLOCK).fetchone()
            kept = None if columns is None else Sighting(*columns)
            moment = self._clock.observe_after(kept)
            last = self._clock.last
            if last is not None and is_worth_keeping(last, kept):
                connection.execute(sql.SET_CLOCK, (1, *last))
            return work(SQLiteTransaction(connection, self._seen(connection), moment, self._clock.boot_id))

        return self._file.write(judged, self._error)

    def _opened(self) -> int:
        return self.open(create=self._creates) if self._number is None else self._number

    def _begun(self, connection: sqlite3.Connection, number: int) -> SQLiteTransaction:
        return SQLiteTransaction(connection, number, self._clock.observe(), self._clock.boot_id)

    def _seen(self, connection: sqlite3.Connection) -> int:
        """The number of the namespace, which has another, or none yet, where the tables were made anew."""
        self._number = self._look_up(connection)
        return self._number

    def _look_up(self, connection: sqlite3.Connection) -> int:
        found = connection.execute(sql.SPACE, (self._namespace,)).fetchone()
        if found is None:
            connection.execute(sql.ADD_SPACE, (self._namespace,))
            found = connection.execute(sql.SPACE, (self._namespace,)).fetchone()
        return int(found[0])
