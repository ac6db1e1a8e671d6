"""How the contracts make Rota's own backends, and how they disturb them."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rota.locks import FileLocks, MemoryLocks, SQLiteLocks
from rota.ports import Clock
from rota.stores import MemoryStore, SQLiteStore

TIMEOUT = 2.0
"""Seconds that a call waits for its turn at a file; short, since tests wait for it to be over."""


def memory_locks(place: str, clock: Clock | None) -> MemoryLocks:
    return MemoryLocks(clock)


def file_locks(place: str, clock: Clock | None) -> FileLocks:
    return FileLocks(place, clock)


def sqlite_locks(place: str, clock: Clock | None) -> SQLiteLocks:
    return SQLiteLocks(f"{place}.db", "tests", clock, timeout=TIMEOUT if clock else 30.0)


def memory_store(place: str, clock: Clock | None) -> MemoryStore:
    return MemoryStore(clock)


def sqlite_store(place: str, clock: Clock | None) -> SQLiteStore:
    return SQLiteStore(f"{place}.db", "tests", clock, timeout=TIMEOUT if clock else 30.0)


@contextmanager
def sqlite_busy(place: str) -> Iterator[None]:
    """Another connection keeps the write lock."""
    connection = sqlite3.connect(f"{place}.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def sqlite_transaction(place: str) -> Iterator[None]:
    """The program reads the file in a transaction of its own, and rolls it back."""
    connection = sqlite3.connect(f"{place}.db", isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    yield
    connection.execute("ROLLBACK")
    connection.close()


@contextmanager
def sqlite_gone(place: str) -> Iterator[None]:
    """Something that is no database lies where the file was."""
    path = Path(f"{place}.db")
    kept = path.read_bytes()
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        each.unlink(missing_ok=True)
    path.write_bytes(b"no database at all, and long enough to be looked at as a header of one " * 20)
    yield
    path.write_bytes(kept)


@contextmanager
def directory_gone(place: str) -> Iterator[None]:
    """A file lies where the directory was."""
    moved = f"{place}.moved"
    Path(place).rename(moved)
    Path(place).touch()
    yield
    Path(place).unlink()
    Path(moved).rename(place)
