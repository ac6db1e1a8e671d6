"""The contract of stores, on every one that needs no server."""

from tests.conformance import factories

from rota.testing.conformance import StoreCapabilities, store_contract

TestMemoryStore = store_contract(factories.memory_store, StoreCapabilities(is_one_object=True))

TestSQLiteStore = store_contract(
    factories.sqlite_store,
    StoreCapabilities(hang=factories.sqlite_busy, break_storage=factories.sqlite_gone),
)
