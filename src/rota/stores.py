"""The stores under their public names, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.backends.django import DjangoStore
    from rota.backends.memory import MemoryStore
    from rota.backends.redis import RedisStore
    from rota.backends.sql import SQLStore
    from rota.backends.sqlite import SQLiteStore

__all__ = ["DjangoStore", "MemoryStore", "RedisStore", "SQLStore", "SQLiteStore"]

_HOMES = {
    "DjangoStore": "rota.backends.django",
    "MemoryStore": "rota.backends.memory",
    "RedisStore": "rota.backends.redis",
    "SQLStore": "rota.backends.sql",
    "SQLiteStore": "rota.backends.sqlite",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'rota.stores' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
