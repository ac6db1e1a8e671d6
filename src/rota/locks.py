"""The lock backends under their public names, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.backends.django import DjangoLocks
    from rota.backends.file import FileLocks
    from rota.backends.memory_locks import MemoryLocks
    from rota.backends.redis_locks import RedisLocks
    from rota.backends.sql_locks import SQLLocks
    from rota.backends.sqlite_locks import SQLiteLocks

__all__ = ["DjangoLocks", "FileLocks", "MemoryLocks", "RedisLocks", "SQLLocks", "SQLiteLocks"]

_HOMES = {
    "DjangoLocks": "rota.backends.django",
    "FileLocks": "rota.backends.file",
    "MemoryLocks": "rota.backends.memory_locks",
    "RedisLocks": "rota.backends.redis_locks",
    "SQLLocks": "rota.backends.sql_locks",
    "SQLiteLocks": "rota.backends.sqlite_locks",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'rota.locks' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
