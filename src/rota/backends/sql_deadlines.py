"""Deadlines for calls to a database: a connection whose call is not done in time is cut, whatever its driver waits for.

Law: drivers differ in what they can be told of time, and one whose server has stopped would wait for ever. So a thread
watches, as long as there is something to watch and a moment longer, and shuts down the socket; the driver then fails by
itself. A call has one deadline, for waiting, connecting and asking together. Where no thread can be started, as at the
end of an interpreter, the limits of the driver and the server must do.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from rota.clock import SYSTEM

SET_UP_WITHIN: Final = 120.0
"""Seconds for what has no deadline of its own: making or changing the tables."""

LONGEST_IDLE: Final = 30.0
"""Seconds after which a connection that was not used is not trusted any more: the server may have ended it."""

LINGERS: Final = 1.0
"""Seconds for which the thread stays when there is nothing to watch: calls that follow each other share one."""

ENDS_WITHIN: Final = 5.0

_WIRE: Final = "rota_wire"
_USED_AT: Final = "rota_used_at"


class Deadlines:
    """Of the connections of an engine that are at work, until when. Safe in threads."""

    def __init__(self) -> None:
        self.forget()

    def watch(self, engine: Engine) -> None:
        """Watch its connections, from before anything is asked on them."""
        event.listen(engine, "connect", self._connected, insert=True)
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "checkin", self._given_back)
        event.listen(engine, "close", self._closed)

    def forget(self) -> None:
        """Begin anew; in a forked child, what was watched is the parent's."""
        self._call = threading.local()
        self._changed = threading.Condition()
        self._at_work: dict[ConnectionPoolEntry, tuple[float, socket.socket]] = {}
        self._thread: threading.Thread | None = None
        self._next = float("inf")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What this thread asks in the block is to be answered in so many seconds, all in all."""
        self._call.until = SYSTEM.monotonic() + seconds
        try:
            yield
        finally:
            del self._call.until

    @property
    def is_over(self) -> bool:
        """Whether this thread's time is."""
        until: float = getattr(self._call, "until", float("inf"))
        return SYSTEM.monotonic() >= until

    def left(self, otherwise: float) -> float:
        """Seconds that this thread's call has left, or so many where it has no deadline."""
        until: float | None = getattr(self._call, "until", None)
        return otherwise if until is None else max(0.0, until - SYSTEM.monotonic())

    def close(self) -> None:
        """Watch no more until there is something to watch."""
        with self._changed:
            thread = self._thread
            self._next = 0.0
            self._changed.notify_all()
        if thread is not None:
            thread.join(ENDS_WITHIN)

    def _connected(self, connection: Any, record: ConnectionPoolEntry) -> None:
        record.info.pop(_USED_AT, None)
        # A file of its own for the same socket: its number stays what it is, whatever the driver closes.
        number = connection.fileno() if hasattr(connection, "fileno") else connection._sock.fileno()  # noqa: SLF001  # PyMySQL tells it in no other way
        record.info[_WIRE] = socket.socket(fileno=socket.dup(number))
        self._begin(record)

    def _taken(self, _: Any, record: ConnectionPoolEntry, __: Any) -> None:
        now = SYSTEM.monotonic()
        if now - record.info.get(_USED_AT, now) > LONGEST_IDLE:
            raise DisconnectionError("idle for too long")
        if _WIRE not in record.info:
            raise DisconnectionError("cut while it was made")
        self._begin(record)

    def _begin(self, record: ConnectionPoolEntry) -> None:
        until = SYSTEM.monotonic() + self.left(SET_UP_WITHIN)
        with self._changed:
            self._at_work[record] = (until, record.info[_WIRE])
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name="rota-sql-deadlines", daemon=True)
                with suppress(RuntimeError):  # no thread is to be had; the next call asks for one again
                    thread.start()
                    self._thread = thread
            elif until < self._next:
                self._changed.notify_all()

    def _given_back(self, _: Any, record: ConnectionPoolEntry) -> None:
        with self._changed:
            self._at_work.pop(record, None)
        record.info[_USED_AT] = SYSTEM.monotonic()

    def _closed(self, _: Any, record: ConnectionPoolEntry) -> None:
        with self._changed:
            self._at_work.pop(record, None)
            wire = record.info.pop(_WIRE, None)
            if wire is not None:
                wire.close()

    def _watch(self) -> None:
        with self._changed:
            while self._at_work:
                now = SYSTEM.monotonic()
                for record, (until, wire) in list(self._at_work.items()):
                    if until <= now:
                        self._at_work.pop(record, None)
                        record.info.pop(_WIRE, None)
                        with wire, suppress(OSError):  # it may be down already
                            wire.shutdown(socket.SHUT_RDWR)
                self._next = min([now + LINGERS, *(until for until, _ in self._at_work.values())])
                self._changed.wait(max(0.0, self._next - now))
            self._thread = None
