"""What Rota gives to the tests of others: a clock that they move, a simulation of their schedule, faults, contracts.

Nothing is imported before it is used, pytest never.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.testing.clock import FakeClock
    from rota.testing.faults import FaultyLocks, FaultyStore
    from rota.testing.proxy import FaultProxy
    from rota.testing.simulation import Simulation, simulate

__all__ = ["FakeClock", "FaultProxy", "FaultyLocks", "FaultyStore", "Simulation", "simulate"]

_HOMES = {
    "FakeClock": "rota.testing.clock",
    "FaultProxy": "rota.testing.proxy",
    "FaultyLocks": "rota.testing.faults",
    "FaultyStore": "rota.testing.faults",
    "Simulation": "rota.testing.simulation",
    "simulate": "rota.testing.simulation",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rota.testing' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
