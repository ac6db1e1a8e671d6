"""Locks in PostgreSQL or MySQL/MariaDB, for fleets on many machines."""

from __future__ import annotations

from sqlalchemy import Engine

from rota.backends.flow_locks import TransactionalLocks
from rota.backends.namespaces import Namespaced
from rota.backends.sql_connection import Database
from rota.backends.sql_space import SQLSpace
from rota.errors import LockBackendError


class SQLLocks(Namespaced, TransactionalLocks):
    """Locks in the database of a URL (`postgresql://user@host/database`, `mysql://…`, `mariadb://…`), or of the
    program's own SQLAlchemy `Engine`, over connections of its own.

    Schedulers of different names share a database without seeing each other; a `namespace`, if given, is used in place
    of the scheduler's name. `timeout` is the longest that a call takes, in seconds; then it raises `LockBackendError`.
    The tables are made at the first call.
    """

    def __init__(self, url_or_engine: str | Engine, namespace: str | None = None, *, timeout: float = 5.0) -> None:
        self._database = Database(url_or_engine, timeout)
        self._start_in(namespace)

    def _keep_in(self, namespace: str) -> None:
        """Work in that namespace from now on."""
        self._space = SQLSpace(self._database, namespace, LockBackendError)
