"""The contract of lock backends, on every one that needs no server."""

from tests.conformance import factories

from rota.testing.conformance import LockCapabilities, lock_backend_contract

TestMemoryLocks = lock_backend_contract(
    factories.memory_locks, LockCapabilities(is_one_object=True, forgets_locks=True)
)

TestFileLocks = lock_backend_contract(
    factories.file_locks,
    LockCapabilities(forgets_locks=True, names=500, cycles=2_000, break_storage=factories.directory_gone),
)

TestSQLiteLocks = lock_backend_contract(
    factories.sqlite_locks,
    LockCapabilities(
        forgets_locks=True,
        hang=factories.sqlite_busy,
        break_storage=factories.sqlite_gone,
        transaction=factories.sqlite_transaction,
        other_version=factories.sqlite_locks,
    ),
)
