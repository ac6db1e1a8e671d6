"""One Redis or Valkey server: its connections, one call at a time, and what its errors mean.

Law: Rota's connections are its own, made from the URL or from what the app's client was configured with, and they never
try again by themselves: a client that repeats a command whose reply was lost would count itself among the others. A
connection is used by one thread at a time and by one process ever; idle ones are kept for the next call and never used
in a forked child. Each wait for the server is bounded by `timeout`.

All keys of a namespace lie in one slot of a cluster. A node that is not in charge of the slot says who is (`MOVED`),
and from then on the calls go there; where that one fails, the first address is asked again.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from rota.backends.fork_safety import ForkGate, keep_fork_safe
from rota.backends.urls import check_redis_database, without_password
from rota.errors import BackendError, ConfigurationError

MOST_IDLE: Final = 8
"""Connections kept open between calls."""

LONGEST_WAIT_OF_A_FORK: Final = 1.0
"""Seconds for which a fork waits until no call is under way."""

PACKAGES: Final = ("redis", "valkey")
"""The clients that are understood; they differ in names only."""

_OWN: Final = (
    "decode_responses", "encoding", "encoding_errors", "health_check_interval", "legacy_responses", "parser_class",
    "protocol", "retry", "retry_on_error", "retry_on_timeout", "socket_connect_timeout", "socket_timeout",
)  # fmt: skip
"""What is not taken over from the app's client: Rota reads bytes and waits as it says itself."""

_OF_POOL: Final = ("maint", "maintenance", "orig_", "himport", "oss_cluster")
"""How the names begin of what a pool tells its connections about itself."""

_of_parent: Final[list[Any]] = []
"""Connections that came through a fork: kept, so that nothing ever closes them."""

_MEANINGS: Final = (
    ("No master found", "MasterNotFound", "Sentinel has no primary to name; ask again"),
    ("READONLY", "ReadOnly", "it is a replica, which cannot be written: give the address of the primary"),
    ("LOADING", "BusyLoading", "it is still loading its data; ask again"),
    ("NOAUTH", "Authentication", "it refuses the user or the password"),
    ("WRONGPASS", "AuthenticationW", "it refuses the user or the password"),
    ("NOPERM", "NoPermission", "its access list forbids it: Rota needs its keys {rota:…} and EVALSHA"),
    ("OOM", "OutOfMemory", "its memory is full: raise maxmemory, or shorten the retention"),
    ("MISCONF", "Misconf", "it takes no writes because it cannot save to its disk"),
    ("BUSY ", "Busy ", "it is held up by another program's script; ask again"),
    ("CLUSTERDOWN", "ClusterDown", "its cluster is down; ask again"),
    ("Timeout", "TimeoutError", "it did not answer in time; ask again"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "CertificateVerify",
        "its certificate is not trusted here: name who signed it, as in rediss://host?ssl_ca_certs=/path/ca.pem",
    ),
    ("Connect", "ConnectionError", "it cannot be reached, or closed the connection; ask again"),
)
"""What a failure begins with, how its class begins, and what to say."""

_UNREACHABLE: Final = frozenset({"No master found", "LOADING", "BUSY ", "CLUSTERDOWN", "Timeout", "Connect"})
"""Of these, where nobody is there, or is too busy just now."""


class ScriptUnknown(Exception):
    """The server does not have the script; nothing was done."""


class RedisServer:
    """The server of a URL (`redis://`, `rediss://`, `unix://`, `valkey://`, `valkeys://`) or of the app's own client.

    `timeout` is the longest that one wait for it takes, in seconds.
    """

    def __init__(self, url_or_client: object, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self._client = url_or_client  # a client's pool may be what finds the address
        self._made_of, facts, package = _origin(url_or_client)
        self._facts = _own_facts(facts, package, timeout)
        self._moved_to: dict[str, object] = {}
        self._errors: Any = import_module(f"{package}.exceptions")
        self._failure: type[Exception] = getattr(self._errors, f"{package.capitalize()}Error")
        # What a call is at, looking up a host above all, does not bear being copied half way into a child.
        self._gate = ForkGate(min(timeout, LONGEST_WAIT_OF_A_FORK))
        self._mutex = threading.Lock()
        self._idle: list[Any] = []
        weakref.finalize(self, _close_all, self._idle)
        keep_fork_safe(self)

    @property
    def address(self) -> str:
        """Where it is, as it may be shown."""
        facts = {**self._facts, **self._moved_to}
        if "path" in facts:
            return f"unix://{facts['path']}"
        if (sentinel := facts.get("connection_pool")) is not None:
            return _named_by(sentinel)
        return f"{facts.get('host', 'localhost')}:{facts.get('port', 6379)}"

    def ask(self, commands: Iterable[Sequence[bytes]], error: type[BackendError]) -> list[Any]:
        """Send commands, each as soon as it is made, and then read; the replies in order, `ScriptUnknown` in the place
        of those that were not done."""
        made, rest = list[Sequence[bytes]](), iter(commands)
        for _ in range(3):
            try:
                with self._gate:
                    return self._ask(made, rest)
            except (self._failure, OSError) as failure:
                if not self._follow(failure):
                    raise self._explained(failure, error) from failure
        raise error(f"Redis at {self.address}: its cluster is being rearranged; ask again")

    def close(self) -> None:
        """Close the connections that are idle. The next call opens one again."""
        with self._gate, self._mutex:
            _close_all(self._idle)

    def _ask(self, made: list[Sequence[bytes]], rest: Iterator[Sequence[bytes]]) -> list[Any]:
        connection = self._take()
        is_sound = False
        try:
            replies = []
            for command in made:
                connection.send_packed_command([packed(command)])
            for command in rest:
                made.append(command)
                connection.send_packed_command([packed(command)])
            for _ in made:
                try:
                    replies.append(connection.read_response())
                except self._errors.NoScriptError as unknown:
                    replies.append(ScriptUnknown(unknown))
            is_sound = True
            return replies
        finally:
            self._give_back(connection, is_sound)

    def _take(self) -> Any:
        while True:
            with self._mutex:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                break
            with suppress(self._failure, OSError):
                # What can be read before anything was asked is the end of the connection.
                if not connection.can_read():
                    return connection
            connection.disconnect()
        connection = self._made_of(**{**self._facts, **self._moved_to})
        connection.connect()
        return connection

    def _give_back(self, connection: Any, is_sound: bool) -> None:
        if is_sound:
            with self._mutex:
                if len(self._idle) < MOST_IDLE:
                    self._idle.append(connection)
                    return
        connection.disconnect()

    def _follow(self, failure: Exception) -> bool:
        """Whether to ask once more, since somebody else is in charge, or may be again."""
        words = str(failure).split()
        if type(failure).__name__ == "MovedError" or (words and words[0] == "MOVED"):
            host, _, port = words[-1].rpartition(":")
            self._moved_to = {"port": int(port), **({"host": host} if host else {})}
        elif self._moved_to and isinstance(failure, (self._errors.ConnectionError, OSError)):
            # Nothing is known to have been done or not: asked again with the same tokens, the answer is the same.
            self._moved_to = {}
        else:
            return False
        self.close()
        return True

    def _explained(self, failure: Exception, error: type[BackendError]) -> BackendError:
        name, text = type(failure).__name__, str(failure)
        for begins, class_begins, meaning in _MEANINGS:
            if begins in text or name.startswith(class_begins):
                explained = error(f"Redis at {self.address}: {meaning} ({text})")
                explained.unreachable = begins in _UNREACHABLE and "SSL" not in text
                return explained
        return error(f"Redis at {self.address}: it failed ({name}: {text})")

    # Around a fork

    def before_fork(self) -> None:
        """Nothing: it is the gate that waits."""

    def after_fork_in_parent(self) -> None:
        """Nothing to go on with."""

    def after_fork_in_child(self) -> None:
        _of_parent.extend(self._idle)
        self._idle.clear()
        self._mutex = threading.Lock()


def packed(arguments: Sequence[bytes]) -> bytes:
    """A command as it goes over the wire."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts += (b"$%d\r\n" % len(argument), argument, b"\r\n")
    return b"".join(parts)


def _origin(url_or_client: object) -> tuple[Any, Mapping[str, Any], str]:
    """How a connection is made, of what, and by which package."""
    pool: Any
    if isinstance(url_or_client, str):
        package, url = _package_for(url_or_client)
        check_redis_database(url_or_client)
        try:
            pool = import_module(package).ConnectionPool.from_url(url)
        except ValueError as failure:
            raise ConfigurationError(f"{without_password(url_or_client)!r} is no Redis URL: {failure}") from None
    else:
        pool = getattr(url_or_client, "connection_pool", None)
        package = _package_of(getattr(pool, "connection_class", object))
    if pool is not None and package:
        return pool.connection_class, pool.connection_kwargs, package
    nodes: Any = getattr(url_or_client, "nodes_manager", None)
    package = _package_of(type(url_or_client))
    if nodes is None or not package:
        raise ConfigurationError(f"a Redis URL or a client of redis or valkey is expected, not {url_or_client!r}")
    node = nodes.default_node
    return node.redis_connection.connection_pool.connection_class, {
        **nodes.connection_kwargs, "host": node.host, "port": node.port,
    }, package  # fmt: skip


def _named_by(sentinel: Any) -> str:
    """The address of what Sentinel named last."""
    host, port = sentinel.master_address or ("an address yet unknown", "")
    role = "primary" if sentinel.is_master else "replica"
    return f"{host}{port and ':'}{port}, a {role} of {sentinel.service_name!r} by Sentinel"


def _package_for(url: str) -> tuple[str, str]:
    """The installed package that is to speak to the server, and the URL as it reads it."""
    package = next((name for name in PACKAGES if find_spec(name) is not None), None)
    if package is None:
        raise ConfigurationError(f'{without_password(url)!r} needs the package redis: pip install "rota[redis]"')
    scheme = urlsplit(url).scheme
    if package == "redis" and scheme in {"valkey", "valkeys"}:
        url = ("rediss" if scheme == "valkeys" else "redis") + url.removeprefix(scheme)
    return package, url


def _package_of(kind: type) -> str:
    """Which of the packages a class stems from; none: an empty text. Not their asyncio clients, which do not block."""
    modules = [parent.__module__ for parent in kind.__mro__]
    if any(".asyncio" in module for module in modules):
        return ""
    return next((module.partition(".")[0] for module in modules if module.partition(".")[0] in PACKAGES), "")


def _own_facts(facts: Mapping[str, Any], package: str, timeout: float) -> dict[str, Any]:
    """What Rota's connections are made of."""
    retry = import_module(f"{package}.retry").Retry(import_module(f"{package}.backoff").NoBackoff(), 0)
    own = {name: value for name, value in facts.items() if name not in _OWN and not name.startswith(_OF_POOL)}
    return {**own, "retry": retry, "protocol": 2, "socket_timeout": timeout, "socket_connect_timeout": timeout}


def _close_all(connections: list[Any]) -> None:
    while connections:
        connections.pop().disconnect()
