"""The contract of lock backends, for the locks at a URL:

    pytest --lock-backend=redis://localhost/1 --pyargs rota.testing.conformance.at_url

Any URL that `Scheduler(locks=…)` takes. It proves a server, a version or a file system that Rota's own tests do not
know; what has to be disturbed for a point (a restart, a stepped clock) needs `lock_backend_contract`. A server is left
with keys or rows of namespaces that nobody else has, a directory with files that may be deleted.
"""

from __future__ import annotations

import os
from hashlib import blake2b

import pytest

from rota.clock import SystemClock
from rota.drivers.opening import make_locks, settled_locks
from rota.ports import Clock, LockBackend
from rota.testing.conformance import LockCapabilities, lock_backend_contract
from rota.testing.pytest_plugin import LOCK_BACKEND

URL = os.environ.get(LOCK_BACKEND, "")
IS_FILE = URL.startswith(("file:", "sqlite:"))

if not URL:
    raise pytest.UsageError("say which locks are to be proved: --lock-backend=URL")


def locks_at(place: str, clock: Clock | None) -> LockBackend:
    """Locks of the URL that share nothing with those of another place."""
    own = f"contract-{blake2b(place.encode(), digest_size=8).hexdigest()}"
    made = make_locks(settled_locks(f"{URL}.{own}" if IS_FILE else URL), own, clock or SystemClock())
    assert made is not None
    return made


TestLocksAtURL = lock_backend_contract(
    locks_at, LockCapabilities(takes_clock=IS_FILE, forgets_locks=True, names=500, cycles=1_000)
)
