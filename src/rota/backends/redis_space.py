"""The keys of one namespace on a Redis server, and the scripts that work on them.

Law: a step is one script, which the server carries out whole and before anybody else's. Every key begins with the
namespace in braces, so that a cluster keeps them in one slot. A script is named by its digest and sent only to a server
that does not have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from rota.backends.redis_connection import RedisServer, ScriptUnknown
from rota.backends.redis_probes import examine
from rota.errors import BackendError

SERVER_CLOCK: Final = """
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
"""
"""The time by which everything is judged, in microseconds since 1970: the server's."""

NEEDS: Final = "-- needs "
"""How a script begins that stands on another than the base."""

BASE: Final = "texts"
"""What every script stands on."""


class RedisSpace:
    """The namespace on a server. What fails raises `error`. `keeps_history`: whether it matters that the server forgets
    everything at a restart.
    """

    def __init__(self, server: RedisServer, namespace: str, error: type[BackendError], *, keeps_history: bool) -> None:
        self.server = server
        self._prefix = b"{rota:%s}:" % quote(namespace, safe="").encode("ascii")
        self._error = error
        self._keeps_history = keeps_history
        self._clock = SERVER_CLOCK
        self._is_examined = False

    def key(self, name: bytes) -> bytes:
        """A key of this namespace."""
        return self._prefix + name

    def open(self) -> None:
        """See whether the server can be trusted. Threads that come first together each look: a mutex held while the
        server answers would be held for ever in a child that is forked meanwhile."""
        if not self._is_examined:
            examine(self.server, self.key(b"version"), self._error, keeps_history=self._keeps_history)
            self._is_examined = True

    def command(self, *arguments: bytes) -> Any:
        """One command; its reply."""
        if not self._is_examined:
            self.open()
        return self.server.ask([arguments], self._error)[0]

    def run(self, script: str, *arguments: bytes) -> Any:
        """One script; its reply."""
        return self.run_all(script, [arguments])[0]

    def run_all(self, script: str, calls: Iterable[Sequence[bytes]]) -> list[Any]:
        """The same script several times, one after the other in one round trip; the replies in order."""
        if not self._is_examined:
            self.open()
        digest, text = loaded(script, self._clock)
        commands: list[tuple[bytes, ...]] = []

        def made() -> Iterator[tuple[bytes, ...]]:
            for arguments in calls:
                commands.append((b"EVALSHA", digest, b"1", self._prefix, *arguments))
                yield commands[-1]

        replies = self.server.ask(made(), self._error)
        unknown = [index for index, reply in enumerate(replies) if type(reply) is ScriptUnknown]
        if unknown:
            # EVAL loads what it carries out, so it is needed once.
            again = [(b"EVAL", text, *commands[unknown[0]][2:]), *(commands[index] for index in unknown[1:])]
            for index, reply in zip(unknown, self.server.ask(again, self._error), strict=True):
                replies[index] = reply
        return replies


@cache
def loaded(script: str, clock: str = SERVER_CLOCK) -> tuple[bytes, bytes]:
    """The digest of a script and its text, with what it stands on: the time, and what its first line says it needs."""
    text = "\n".join((clock, *_parts(script))).encode()
    return sha1(text, usedforsecurity=False).hexdigest().encode(), text


def _parts(script: str) -> list[str]:
    body = files("rota.backends").joinpath("lua", f"{script}.lua").read_text("utf-8")
    first_line = body.partition("\n")[0]
    needed = first_line.removeprefix(NEEDS) if first_line.startswith(NEEDS) else ""
    if script == BASE:
        return [body]
    return [*_parts(needed or BASE), body]
