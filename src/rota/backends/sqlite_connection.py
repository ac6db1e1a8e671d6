"""One SQLite file: its connections, its transactions, and what its errors mean.

Law: a connection is used by one thread at a time and by one process ever. Idle ones are kept for the next call, closed
before a fork (SQLite's file locks do not survive one) and never closed in a child. Every write is `BEGIN IMMEDIATE`:
it waits its turn, among the threads here by a mutex and among processes by SQLite's own busy handler, and then cannot
fail for having read first. A file that was deleted or replaced is not the one whose rows were counted on: what is
written into it is lost, so calls fail from then on.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from rota.backends.file_systems import network_type
from rota.backends.fork_safety import keep_fork_safe
from rota.backends.urls import sqlite_path
from rota.clock import SYSTEM
from rota.errors import BackendError, StoreError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

MOST_IDLE: Final = 8
"""Connections kept open between calls."""

LOOK_INTERVAL: Final = 0.5
"""Seconds after which a call looks whether the file is still the same: it costs little, and more than nothing."""

WORTH_COUNTING: Final = 0.1
"""Seconds of waiting among threads from which on the wait among processes is made shorter by them."""

MOST_WAL_ATTEMPTS: Final = 50
"""How often to ask for the write-ahead log while other processes are opening the file for the first time."""

_of_parent: Final[list[sqlite3.Connection]] = []
"""Connections that came through a fork: kept, so that nothing ever closes them."""

_MEANINGS: Final[dict[int, str]] = {
    sqlite3.SQLITE_BUSY: "it was locked by another connection for longer than the call may take; ask again",
    sqlite3.SQLITE_LOCKED: "a table was locked by another connection; ask again",
    sqlite3.SQLITE_READONLY: "it cannot be written: check the permissions of the file and of its directory",
    sqlite3.SQLITE_FULL: "the disk, or the quota, is full",
    sqlite3.SQLITE_CORRUPT: "it is damaged. Nothing was reset: restore a copy, or move it away to begin anew",
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database. Nothing was reset: check the path, or move the file away",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: does it, and its directory, exist, and may this user write there?",
    sqlite3.SQLITE_IOERR: "reading or writing it failed",
}


class SQLiteFile:
    """The file that `url_or_path` names. `timeout` is the longest that one call waits for its turn, in seconds."""

    def __init__(self, url_or_path: str | os.PathLike[str], timeout: float = 5.0) -> None:
        self.path = sqlite_path(url_or_path)
        self._timeout = timeout
        self._turn = threading.Lock()
        self._gate = threading.Condition()
        self._idle: list[sqlite3.Connection] = []
        self._busy = 0
        self._is_forking = False
        self._identity: tuple[int, int] | None = None
        self._look_at = 0.0
        weakref.finalize(self, _close_all, self._idle)
        keep_fork_safe(self)

    def read(self, work: Work[T], error: type[BackendError] = StoreError) -> T:
        """Do `work` on one unchanging picture of the file."""
        return self._transact("BEGIN", work, error)

    def write(self, work: Work[T], error: type[BackendError] = StoreError) -> T:
        """Do `work` as one transaction. After an error nothing of it is kept, unless the error came of the commit
        itself: then it is unknown."""
        deadline = SYSTEM.monotonic() + self._timeout
        if not self._turn.acquire(timeout=self._timeout):
            raise _before_it_began(self._failed(sqlite3.SQLITE_BUSY, "", error))
        try:
            return self._transact("BEGIN IMMEDIATE", work, error, deadline)
        finally:
            self._turn.release()

    def create(self, error: type[BackendError] = StoreError) -> None:
        """Make the file where there is none. Raises for a missing directory and for a network file system."""
        directory = str(Path(self.path).parent)
        if not Path(directory).is_dir():
            raise error(f"the SQLite file {self.path}: the directory {directory} does not exist; make it first")
        self.refuse_network(error)
        self._enter()
        try:
            self._refuse_another(error)
            self._connect("rwc").close()
        except sqlite3.Error as failure:
            raise self._explained(failure, error) from failure
        finally:
            self._leave()

    def refuse_network(self, error: type[BackendError] = StoreError) -> None:
        """Raise where the file lies on a file system that other machines share."""
        shared_by = network_type(str(Path(self.path).parent))
        if shared_by is not None:
            raise error(
                f"the SQLite file {self.path} lies on a network file system ({shared_by}), where SQLite's locks and "
                "its write-ahead log cannot be relied on; put it on a local disk, or use PostgreSQL, MySQL or Redis"
            )

    def exists(self) -> bool:
        """Whether there is a file."""
        return Path(self.path).exists()

    def close(self) -> None:
        """Close the connections that are idle. The next call opens one again."""
        with self._gate:
            _close_all(self._idle)

    def _transact(self, begin: str, work: Work[T], error: type[BackendError], deadline: float | None = None) -> T:
        connection = self._take(error)
        is_sound = False
        try:
            self._begin(connection, begin, error, deadline)
            result = work(connection)
            connection.execute("COMMIT")
            is_sound = True
        except sqlite3.Error as failure:
            is_sound = _undo(connection)
            raise self._explained(failure, error) from failure
        except BaseException:
            is_sound = _undo(connection)
            raise
        finally:
            self._give_back(connection, is_sound)
        return result

    def _begin(
        self, connection: sqlite3.Connection, begin: str, error: type[BackendError], deadline: float | None
    ) -> None:
        """Begin a transaction. What was waited for the turn among threads is not waited again among processes."""
        left = self._timeout if deadline is None else max(0.0, deadline - SYSTEM.monotonic())
        is_short = left < self._timeout - WORTH_COUNTING
        try:
            if is_short:
                connection.execute(f"PRAGMA busy_timeout={int(left * 1000)}")
            connection.execute(begin)
        except sqlite3.Error as failure:
            raise _before_it_began(self._explained(failure, error)) from failure
        finally:
            if is_short:
                connection.execute(f"PRAGMA busy_timeout={int(self._timeout * 1000)}")

    def _take(self, error: type[BackendError]) -> sqlite3.Connection:
        self._enter()
        try:
            if SYSTEM.monotonic() >= self._look_at:
                self._refuse_another(error)
            with self._gate:
                if self._idle:
                    return self._idle.pop()
            return self._connect("rw")
        except BaseException as failure:
            self._leave()
            if isinstance(failure, sqlite3.Error):
                raise _before_it_began(self._explained(failure, error)) from failure
            raise

    def _give_back(self, connection: sqlite3.Connection, is_sound: bool) -> None:
        with self._gate:
            self._busy -= 1
            if is_sound and len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
            else:
                connection.close()
            self._gate.notify_all()

    def _enter(self) -> None:
        """A connection is about to be at work: a fork waits for it. A child would inherit what SQLite knows of its
        locks in this process, and take them for its own, for ever."""
        with self._gate:
            while self._is_forking:
                self._gate.wait()
            self._busy += 1

    def _leave(self) -> None:
        with self._gate:
            self._busy -= 1
            self._gate.notify_all()

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{Path(self.path).as_uri()}?mode={mode}",
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            _use_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA cache_size=-16000")
        except BaseException:
            connection.close()
            raise
        if self._identity is None:
            self._identity = self._found()
        return connection

    def _refuse_another(self, error: type[BackendError]) -> None:
        """Raise where the file is gone, or is another one than was opened first."""
        if self._identity is not None and self._found() != self._identity:
            raise error(
                f"the SQLite file {self.path} was deleted or replaced while it was in use; what is written to the old "
                "one is lost, so nothing is begun: restart this process to use what is there now"
            )
        self._look_at = SYSTEM.monotonic() + LOOK_INTERVAL

    def _found(self) -> tuple[int, int] | None:
        """Which file there is under the path: its device and its number there."""
        try:
            status = Path(self.path).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _explained(self, failure: sqlite3.Error, error: type[BackendError]) -> BackendError:
        code = getattr(failure, "sqlite_errorcode", 0) & 0xFF
        if any(f"no such {kind}: rota_" in str(failure) for kind in ("table", "index")):
            return error(self.missing_tables())
        return self._failed(code, f" ({failure})", error)

    def _failed(self, code: int, said: str, error: type[BackendError]) -> BackendError:
        failed = error(f"the SQLite file {self.path}: {_MEANINGS.get(code, 'it failed')}{said}")
        failed.unreachable = code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        return failed

    def missing_tables(self) -> str:
        """What to say where the tables are missing or old."""
        return (
            f"the SQLite file {self.path} lacks tables of Rota, or has old ones; run `rota db upgrade --store "
            f"sqlite:///{self.path}` or leave create_tables on"
        )

    # Around a fork

    def before_fork(self) -> None:
        self._gate.acquire()
        self._is_forking = True
        self._gate.wait_for(lambda: not self._busy, self._timeout)
        _close_all(self._idle)

    def after_fork_in_parent(self) -> None:
        self._is_forking = False
        self._gate.notify_all()
        self._gate.release()

    def after_fork_in_child(self) -> None:
        _of_parent.extend(self._idle)
        self._idle.clear()
        self._turn = threading.Lock()
        self._gate = threading.Condition()
        self._busy = 0
        self._is_forking = False


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch it on, unless it is: a file keeps it, and switching asks for locks that a reader does not need.

    While others switch it on too SQLite says `locked` at once, so each attempt first waits for its turn.
    """
    connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # only a look at the file tells its mode
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    for attempt in range(MOST_WAL_ATTEMPTS):
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as failure:
            is_busy = getattr(failure, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or attempt == MOST_WAL_ATTEMPTS - 1:
                raise
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            continue
        if mode != "wal":
            raise sqlite3.OperationalError(f"the write-ahead log cannot be had here, only journal mode {mode!r}")
        return


def _before_it_began(error: BackendError) -> BackendError:
    """The same error, of a call of which nothing was done."""
    error.nothing_done = True
    return error


def _undo(connection: sqlite3.Connection) -> bool:
    """Roll back; whether the connection may be used again."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return True


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()
