"""The contracts of `rota.ports` as test suites for pytest, run by Rota on its own backends and by others on theirs.

    from rota.testing.conformance import LockCapabilities, lock_backend_contract

    def make(place, clock):                     # a function of a module: other processes call it too
        return MyLocks(f"redis://localhost/1", prefix=place)

    TestMyLocks = lock_backend_contract(make, LockCapabilities(takes_clock=False))

`place` is a text of its own for each test: the path of a directory that may be made, or something to derive a prefix
from. `clock` is the clock to go by, or `None` for the real one; a backend with a server of its own ignores it and says
`takes_clock=False`. The numbers in the tests' names are those of the points in Rota's list of what locks must stand.
ROTA_CONFORMANCE=full runs the storms at full length.

Needs pytest, which `import rota.testing` does not.
"""

from __future__ import annotations

from rota.testing.conformance._clock import ContractClock
from rota.testing.conformance._lock_case import LockCapabilities, LockFactory
from rota.testing.conformance._store_case import StoreCapabilities, StoreFactory
from rota.testing.conformance.contracts import (
    LockBackendContract,
    StoreContract,
    lock_backend_contract,
    store_contract,
)

__all__ = [
    "ContractClock",
    "LockBackendContract",
    "LockCapabilities",
    "LockFactory",
    "StoreCapabilities",
    "StoreContract",
    "StoreFactory",
    "lock_backend_contract",
    "store_contract",
]
