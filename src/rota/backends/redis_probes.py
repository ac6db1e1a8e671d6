"""What is looked at before a Redis server is trusted with locks and runs.

Law: what would break a promise is refused, with the remedy; what is a matter of durability is said once; what the
server does not let itself be asked about is passed over, since managed services forbid CONFIG.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from rota.backends.redis_connection import RedisServer
from rota.errors import BackendError

FORMAT: Final = 1
"""The format of the keys. A change that an older Rota would not understand is a new number."""

_log = logging.getLogger("rota")
_warned: Final[set[str]] = set()


def examine(server: RedisServer, version_key: bytes, error: type[BackendError], *, keeps_history: bool) -> None:
    """Raise `error` where the server cannot be trusted; warn, once per server, where it forgets at a restart."""
    replication = _facts(_asked(server, error, b"INFO", b"replication"))
    if replication.get("role") in {"slave", "replica"}:
        raise error(
            f"Redis at {server.address} is a replica: it may lag behind and cannot be written. Give the address of the "
            f"primary, {replication.get('master_host')}:{replication.get('master_port')}"
        )
    policy = _setting(server, error, b"maxmemory-policy") or _facts(_asked(server, error, b"INFO", b"memory")).get(
        "maxmemory_policy", ""
    )
    if policy.startswith("allkeys-"):
        raise error(
            f"Redis at {server.address} has maxmemory-policy {policy}: a lock, a watermark or a run could be evicted, "
            "and a tick run twice. Set `maxmemory-policy noeviction` (a volatile-* policy will do, too), or give Rota "
            "a server of its own"
        )
    _see_format(server, version_key, error)
    if keeps_history:
        _warn_if_forgetful(server, error)


def _see_format(server: RedisServer, key: bytes, error: type[BackendError]) -> None:
    _, kept = server.ask([(b"SET", key, b"%d" % FORMAT, b"NX"), (b"GET", key)], error)
    if kept is not None and int(kept) > FORMAT:
        raise error(
            f"Redis at {server.address}: this namespace was written by a newer Rota (format {int(kept)}, this one "
            f"knows up to {FORMAT}): upgrade rota here, or use another namespace"
        )


def _warn_if_forgetful(server: RedisServer, error: type[BackendError]) -> None:
    append_only, save = _setting(server, error, b"appendonly"), _setting(server, error, b"save")
    if append_only == "no" and save == "" and server.address not in _warned:
        _warned.add(server.address)
        _log.warning(
            'Redis at %s keeps nothing on disk (appendonly no, save ""): a restart of the server forgets runs and '
            "watermarks; set `appendonly yes`",
            server.address,
        )  # fmt: skip


def _setting(server: RedisServer, error: type[BackendError], name: bytes) -> str | None:
    """A setting of the server, or `None` where it does not tell."""
    found = _asked(server, error, b"CONFIG", b"GET", name)
    return str(found[1].decode()) if isinstance(found, list) and len(found) == 2 else None


def _asked(server: RedisServer, error: type[BackendError], *command: bytes) -> Any:
    """The reply, or `None` where the server is reached and refuses to say."""
    try:
        return server.ask([command], error)[0]
    except error as failure:
        if type(failure.__cause__).__name__ not in {"ResponseError", "NoPermissionError"}:
            raise
        return None


def _facts(reply: Any) -> dict[str, str]:
    """The lines `name:value` of INFO."""
    lines = reply.decode("utf-8", "replace").splitlines() if isinstance(reply, bytes) else []
    return dict(line.split(":", 1) for line in lines if ":" in line)
