"""The contracts on a database of a Django project.

Its stores and locks are the plain ones with another way to connect: what servers and other processes do to them is left
to the contracts of those.
"""

import pytest
from tests import django_project
from tests.conformance.test_sql import by_server_clock, server_clock

from rota.locks import DjangoLocks
from rota.ports import Clock
from rota.stores import DjangoStore
from rota.testing.conformance import LockCapabilities, StoreCapabilities, lock_backend_contract, store_contract


def locks(place: str, clock: Clock | None) -> DjangoLocks:
    locks = DjangoLocks(django_project.alias_of("postgresql"), place)
    if clock is not None:
        locks._space._here()._clock = server_clock(clock)
    return locks


def store(place: str, clock: Clock | None) -> DjangoStore:
    store = DjangoStore(django_project.alias_of("postgresql"), place)
    if clock is not None:
        store._space._here()._clock = store.locks._space._here()._clock = server_clock(clock)
    return store


TestDjangoLocks = pytest.mark.requires_service("postgresql")(
    by_server_clock(
        lock_backend_contract(locks, LockCapabilities(is_one_object=True, forgets_locks=True, names=20, cycles=20))
    )
)


@pytest.mark.requires_service("postgresql")
class TestDjangoStore(by_server_clock(store_contract(store, StoreCapabilities(is_one_object=True)))):
    """The contract of stores, less the long comparison with its model."""

    test_answers_as_the_model_does = None
