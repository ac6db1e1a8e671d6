"""A store in an SQLite file, for the processes of one machine: durable, on the standard library alone."""

from __future__ import annotations

import os

from rota.backends.embedded_clock import EmbeddedClock
from rota.backends.flow_locks import TransactionalLocks
from rota.backends.sqlite_connection import SQLiteFile
from rota.backends.sqlite_space import SQLiteSpace
from rota.backends.transactional import TransactionalStore
from rota.errors import LockBackendError, StoreError
from rota.ports import Clock


class SQLiteStore(TransactionalStore):
    """Keeps everything in the file of `url_or_path` (`sqlite:///relative.db`, `sqlite:////absolute.db` or a path).

    Schedulers of different names share a file without seeing each other; a `namespace`, if given, is used in place of
    the scheduler's name. `timeout` is the longest that a call waits for its turn at the file, in seconds; then it
    raises `StoreError`.
    """

    def __init__(
        self,
        url_or_path: str | os.PathLike[str],
        namespace: str | None = None,
        clock: Clock | None = None,
        *,
        timeout: float = 5.0,
    ) -> None:
        self._clock = EmbeddedClock(clock)
        self._file = SQLiteFile(url_or_path, timeout)
        self._start_in(namespace)

    def _keep_in(self, namespace: str) -> None:
        """Work in that namespace from now on."""
        self._space = self._part = SQLiteSpace(self._file, namespace, self._clock, StoreError)
        self._locks = TransactionalLocks(SQLiteSpace(self._file, namespace, self._clock, LockBackendError))

    def follow_clock(self, clock: Clock) -> bool:
        """Go by the clock of a scheduler, if none was given."""
        self._clock.follow(clock)
        return True

    def seconds_of_quiet(self, now: int) -> float:
        """For how long a poll would find nothing unless somebody writes: until a run is due, or a lease is over."""
        return self._part.read(lambda tx: tx.seconds_of_quiet(now))
