"""What the stores and locks at hand show in public is what the ports name, and nothing besides."""

import pytest

from rota import locks, ports, stores
from rota.drivers.driven import ForeseeingStore

PORTS = {
    stores: (ports.Store, ports.FollowsClock, ports.TakesName, ForeseeingStore),
    locks: (ports.LockBackend, ports.FollowsClock, ports.ForgetsLocks, ports.TakesName),
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in PORTS for name in module.__all__])
def test_a_backend_has_no_public_name_that_is_in_no_port(module, name):
    assert public(getattr(module, name)) <= set().union(*(public(port) for port in PORTS[module]))
