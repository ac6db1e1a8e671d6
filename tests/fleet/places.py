"""Where a fleet keeps its runs: each kind of store, at an address and under a name of its own for each scenario."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests import services

from rota import Scheduler
from rota.testing import FaultProxy

SERVERS = ("postgresql", "mysql", "redis")
KINDS = ("sqlite", *SERVERS)


class Place(NamedTuple):
    """A store, the name (namespace) of the schedulers on it, and the directory of their programs and their ledger.

    `locks`: where whoever locks also claims, outside of the store.
    """

    kind: str
    url: str | None
    name: str
    directory: Path
    locks: str | None = None

    @property
    def is_server(self) -> bool:
        """Whether the store has a clock of its own and is reached through a connection."""
        return self.kind in SERVERS

    @property
    def server(self) -> tuple[str, int]:
        """Host and port of the store's server."""
        parts = urlsplit(self.url or "")
        return parts.hostname or "127.0.0.1", parts.port or services.DEFAULT_PORTS[self.kind]

    def behind(self, proxy: FaultProxy) -> Place:
        """The same through a proxy."""
        parts = urlsplit(self.url or "")
        user = f"{parts.username}@" if parts.username else ""
        return self._replace(url=parts._replace(netloc=f"{user}{proxy.address}").geturl())

    def scheduler(self, *jobs: str, **options: object) -> Scheduler:
        """A scheduler that looks at what the fleet does; it may enqueue the jobs of these ids."""
        scheduler = Scheduler(self.name, store=self.url, **{"lease_ttl": 2.0, **options})
        for job in jobs:
            scheduler.add(lambda: None, id=job)
        _looking.append(scheduler)
        return scheduler


_looking: list[Scheduler] = []


@contextmanager
def opened(kind: str, directory: Path) -> Iterator[Place]:
    """A new place of a kind; `files`: locks in files, and each process's records in its memory.

    The connections of the schedulers that have looked at it are closed at the end.
    """
    name, locks = f"fleet-{secrets.token_hex(4)}", None
    if kind == "files":
        url, locks = None, f"file://{directory}/locks"
    else:
        url = f"sqlite:///{directory}/rota.db" if kind == "sqlite" else services.url(kind)
    try:
        yield Place(kind, url, name, directory, locks)
    finally:
        while _looking:
            _looking.pop()._runtime.store.close()
