"""The part of an SQL database that belongs to one scheduler, and transactions in it.

Law: the namespace is looked up once; from then on its rows go by a number. Nothing is inserted under a number that is
not, or no longer, that of a namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import randbelow
from typing import TypeVar

from sqlalchemy import Connection

from rota.backends import sql_statements as sql
from rota.backends.sql_batches import Statement
from rota.backends.sql_connection import Database
from rota.backends.sql_errors import lacks_space
from rota.backends.sql_probes import refusal, refusal_of_tables
from rota.backends.sql_schema import prepare
from rota.backends.sql_transaction import SpaceGoneError, SQLTransaction, server_now
from rota.errors import BackendError

T = TypeVar("T")


class SQLSpace:
    """The namespace of one scheduler in a database. What fails raises `error`; `clock` gives the time
    to go by when the server's clock reads so."""

    def __init__(
        self,
        database: Database,
        namespace: str,
        error: type[BackendError],
        clock: Callable[[int], int] = int,
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._error = error
        self._clock = clock
        self._number: int | None = None
        self._creates = True

    def open(self, *, create: bool) -> int:
        """See to the server and its tables, and look the namespace up. Where that fails, the next call does it."""
        self._creates = create
        self._ask(refusal)
        self._database.set_up(lambda engine: prepare(engine, create=create, error=self._error), self._error)
        self._ask(refusal_of_tables)
        self._number = self._database.write(self._look_up, self._error)
        return self._number

    def now(self) -> int:
        """The server's clock."""
        return self._database.read(
            lambda connection: self._clock(server_now(connection, self._database.family)), self._error
        )

    def read(self, work: Callable[[SQLTransaction], T]) -> T:
        """Do `work`, which only looks."""
        number, family = self._opened(), self._database.family
        return self._database.read(
            lambda connection: work(SQLTransaction(connection, family, number, self._clock)), self._error
        )

    def write(self, work: Callable[[SQLTransaction], T]) -> T:
        """Do `work` as one transaction; in tables that were dropped and made anew, under a new number."""
        try:
            return self._written(work)
        except SpaceGoneError:
            pass
        except self._error as failure:
            if not lacks_space(failure.__cause__):
                raise
        self._number = self._database.write(self._look_up, self._error)
        return self._written(work)

    def _written(self, work: Callable[[SQLTransaction], T]) -> T:
        number, family = self._opened(), self._database.family
        return self._database.write(
            lambda connection, last: work(SQLTransaction(connection, family, number, self._clock, last)), self._error
        )

    def write_judged(self, work: Callable[[SQLTransaction], T]) -> T:
        """The same: the server's clock is trusted always."""
        return self.write(work)

    def close(self) -> None:
        """Close the connections that are idle. The next call opens one again."""
        self._database.close()

    def _opened(self) -> int:
        return self.open(create=self._creates) if self._number is None else self._number

    def _ask(self, question: Callable[[Connection, str], str | None]) -> None:
        said = self._database.read(lambda connection: question(connection, self._database.family), self._error)
        if said is not None:
            raise self._error(f"{self._database.place}: {said}")

    def _look_up(self, connection: Connection, _: list[Statement]) -> int:
        while True:
            number = connection.execute(sql.SPACE, {"name": self._namespace}).scalar()
            if number is not None:
                return int(number)
            # By chance: in tables that are made anew nobody else is given the number that somebody still knows.
            # Where another has it already, nothing is added, and it is drawn again.
            new = {"id": 1 + randbelow(2**31 - 1), "name": self._namespace}
            connection.execute(sql.ADD_SPACE[self._database.family], new)
