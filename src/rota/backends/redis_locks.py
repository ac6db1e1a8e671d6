"""Leases and claims on a Redis or Valkey server.

Law: a step is one script. A lease ends by the server's clock; its fence is kept with it. Fences grow for ever: the
script that deletes locks which nobody holds raises the floor of the namespace to their fences, and a name that is not
known begins above the floor.

Why the guarantee is only `efficiency`: a Redis that fails over to a replica, or comes back from an old snapshot, may
have lost its last writes, a grant or a claim among them, and whoever asks next is granted the same again. Where that
must do no harm, use an SQL database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rota.backends.checks import checked_ttl, name_bytes
from rota.backends.namespaces import Namespaced
from rota.backends.redis_connection import RedisServer
from rota.backends.redis_space import RedisSpace
from rota.errors import LockBackendError
from rota.ports import Claim, ClaimAnswer, Grant, Guarantee

CHUNK: Final = 500
"""Claims that the server settles in one go, without letting others in between."""


class SpaceLocks:
    """Locks in one namespace of a server."""

    _looked_to: bytes = b"0"
    """How far `forget_locks` has come."""

    def __init__(self, space: RedisSpace) -> None:
        self._space = space

    @property
    def guarantee(self) -> Guarantee:
        return "efficiency"

    def acquire(self, name: str, token: str, ttl: float) -> Grant | None:
        key, ttl = name_bytes(name), checked_ttl(ttl)
        fence = self._space.run("lock", b"acquire", key, token.encode(), micros(ttl))
        return Grant(fence, ttl) if fence else None

    def renew(self, name: str, token: str, ttl: float) -> bool:
        key, ttl = name_bytes(name), checked_ttl(ttl)
        return bool(self._space.run("lock", b"renew", key, token.encode(), micros(ttl)))

    def release(self, name: str, token: str) -> bool:
        return bool(self._space.run("lock", b"release", name_bytes(name), token.encode()))

    def forget_locks(self, limit: int = 1000) -> bool:
        self._looked_to = self._space.run("forget_locks", self._looked_to, b"%d" % limit)
        return self._looked_to != b"0"

    def claim(self, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        asked = [_asked(claim) for claim in claims]
        calls = [[part for one in asked[at : at + CHUNK] for part in one] for at in range(0, len(asked), CHUNK)]
        return [answer for reply in self._space.run_all("claim_watermarks", calls) for answer in _answers(reply)]

    def close(self) -> None:
        self._space.server.close()


class RedisLocks(Namespaced, SpaceLocks):
    """Locks on the server of a URL (`redis://`, `rediss://`, `unix://`, `valkey://`, `valkeys://`) or of the app's own
    client of redis or valkey, which is not used itself: Rota connects as it does.

    Schedulers of different names share a server without seeing each other; a `namespace`, if given, is used in place of
    the scheduler's name. `timeout` is the longest that a call waits for the server, in seconds; then it raises
    `LockBackendError`, as it does for a server that may evict locks, or is a replica.
    """

    def __init__(self, url_or_client: object, namespace: str | None = None, *, timeout: float = 5.0) -> None:
        self._server = RedisServer(url_or_client, timeout)
        self._start_in(namespace)

    def _keep_in(self, namespace: str) -> None:
        """Work in that namespace from now on."""
        self._space = RedisSpace(self._server, namespace, LockBackendError, keeps_history=False)


def micros(seconds: float) -> bytes:
    """A span as the scripts count it; never nothing."""
    return b"%d" % max(1, round(seconds * 1_000_000))


def _asked(claim: Claim) -> tuple[bytes, bytes, bytes]:
    previous = b"" if claim.previous is None else b"%d" % claim.previous
    return previous, b"%d" % claim.tick, name_bytes(claim.name)


def _answers(reply: Sequence[bytes]) -> list[ClaimAnswer]:
    now = int(reply[0])
    return [
        ClaimAnswer(verdict.decode(), int(stands) if stands else None, now)  # type: ignore[arg-type]  # the script says one of the words
        for verdict, stands in zip(reply[1::2], reply[2::2], strict=True)
    ]
