"""An SQL database: its connections and its transactions.

Law: a call ends within its time, whatever the server does. What failed before its commit was sent has left nothing, so
it is done again where that may help: after a deadlock, and on a new connection after a broken one. What failed after is
unknown, and told as an error. A connection on which anything failed is not used again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import Pool

from rota.backends.fork_safety import keep_fork_safe
from rota.backends.sql_batches import Statement
from rota.backends.sql_deadlines import Deadlines
from rota.backends.sql_engine import family_of, own_engine, shown
from rota.backends.sql_errors import is_passing, is_unreachable, meaning
from rota.errors import BackendError, StoreError

T = TypeVar("T")
Work = Callable[[Connection], T]

MOST_ATTEMPTS: Final = 10

_of_parent: Final[list[Pool]] = []
"""Connections that came through a fork: kept, so that nothing here ever closes them."""

_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {0}; SET LOCAL statement_timeout = {0}; "
    "SET LOCAL idle_in_transaction_session_timeout = {0}"
)


class _CommitFailedError(Exception):
    """Whether the transaction was kept is unknown."""


class Database:
    """The database of a URL, or of the program's engine. `timeout` is the longest that a call takes, in seconds."""

    def __init__(self, source: str | Engine, timeout: float) -> None:
        self._source = source
        self._timeout = timeout
        self._begin = _BEGIN.format(max(1, round(timeout * 1000)))
        self._deadlines = Deadlines()
        self.engine = self._own_engine()
        self.family = family_of(self.engine)
        keep_fork_safe(self)

    @property
    def place(self) -> str:
        """What to call it in a message."""
        return f"the database {shown(self.engine.url)}"

    def read(self, work: Work[T], error: type[BackendError] = StoreError) -> T:
        """Do `work`, which only looks; each statement sees what was committed before it."""
        return self._in_time(work, error)

    def write(self, work: Callable[[Connection, list[Statement]], T], error: type[BackendError] = StoreError) -> T:
        """Do `work` as one transaction. What it leaves in the list it is given is sent together with the commit."""

        def transaction(connection: Connection) -> T:
            last: list[Statement] = [(self._begin, ())] if self.family == "postgresql" else []
            result = work(connection, last)
            self._commit(connection, last)
            return result

        return self._in_time(transaction, error)

    def set_up(self, work: Callable[[Engine], T], error: type[BackendError] = StoreError) -> T:
        """Do `work`, which makes or changes tables."""
        try:
            return work(self.engine)
        except (SQLAlchemyError, OSError) as failure:
            raise self._explained(failure, error) from failure

    def close(self) -> None:
        """Close the connections that are idle. The next call opens one again."""
        self.engine.dispose()
        self._deadlines.close()

    def _own_engine(self) -> Engine:
        engine = own_engine(self._source, self._timeout, self._deadlines.left)
        self._deadlines.watch(engine)
        weakref.finalize(self, engine.dispose)
        return engine

    def _commit(self, connection: Connection, last: list[Statement]) -> None:
        if self.family == "mysql":
            send(connection, last)
        try:
            if self.family == "mysql":
                connection.commit()
            else:
                statements = "; ".join([*(statement for statement, _ in last), "COMMIT"])
                connection.exec_driver_sql(statements, tuple(one for _, parameters in last for one in parameters))
        except DBAPIError as failure:
            if is_passing(failure.orig):
                raise
            raise _CommitFailedError from failure

    def _in_time(self, work: Work[T], error: type[BackendError]) -> T:
        attempts = 0
        with self._deadlines.within(self._timeout):
            while True:
                attempts += 1
                try:
                    return self._attempt(work)
                except _CommitFailedError as failure:
                    raise self._explained(failure.__cause__, error) from failure.__cause__
                except (SQLAlchemyError, OSError) as failure:  # a file of a certificate that is missing, say
                    is_last = attempts == MOST_ATTEMPTS or self._deadlines.is_over
                    if is_last or not _may_be_done_again(failure):
                        raise self._explained(failure, error) from failure

    def _attempt(self, work: Work[T]) -> T:
        with self.engine.connect() as connection:
            try:
                return work(connection)
            except BaseException:
                connection.invalidate()
                raise

    def _explained(self, failure: BaseException | None, error: type[BackendError]) -> BackendError:
        is_late, original = self._deadlines.is_over, failure.orig if isinstance(failure, DBAPIError) else failure
        late = f" did not answer within {self._timeout:g} s" if is_late else ""
        explained = error(f"{self.place}{late}: {meaning(original)}")
        explained.unreachable = is_late or is_unreachable(original)
        return explained

    # Around a fork

    def before_fork(self) -> None:
        pass

    def after_fork_in_parent(self) -> None:
        pass

    def after_fork_in_child(self) -> None:
        _of_parent.append(self.engine.pool)
        self.engine.dispose(close=False)
        self._deadlines.forget()
        # A thread of the parent's may have been in the middle of telling the engine what server this is.
        self.engine = self._own_engine()


def send(connection: Connection, statements: list[Statement]) -> None:
    """Send statements one by one, and leave none of them in the list."""
    for statement, parameters in statements:
        connection.exec_driver_sql(statement, parameters)
    statements.clear()


def can_send_at_once(connection: Connection) -> bool:
    """Whether several statements with answers cost one round trip."""
    return connection.dialect.driver == "psycopg"


def send_at_once(connection: Connection, statements: list[Statement]) -> list[list[tuple[Any, ...]]]:
    """Send statements in one round trip, and leave none of them in the list; the answers of those that have one.

    SQLAlchemy looks at the first answer only, so the driver is asked by itself, and fails as it does there.
    """
    cursor = connection.connection.cursor()
    text = "; ".join(statement for statement, _ in statements)
    parameters = tuple(one for _, parameters in statements for one in parameters)
    statements.clear()
    driver, dialect = connection.connection.driver_connection, connection.dialect
    try:
        cursor.execute(text, parameters)
        answers = [list(cursor.fetchall())] if cursor.description else []
        while cursor.nextset():
            answers += [list(cursor.fetchall())] if cursor.description else []
    except dialect.loaded_dbapi.Error as failure:
        is_broken = dialect.is_disconnect(failure, driver, cursor)
        raise DBAPIError.instance(
            text, parameters, failure, dialect.loaded_dbapi.Error, connection_invalidated=is_broken, dialect=dialect
        ) from failure
    finally:
        cursor.close()
    return answers


def _may_be_done_again(failure: Exception) -> bool:
    return isinstance(failure, DBAPIError) and (failure.connection_invalidated or is_passing(failure.orig))
