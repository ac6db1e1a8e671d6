"""A lease as its holder sees it: a fence to hand on, and whether it may still be trusted.

Law (docs/explanation/leases.md): `held` turns false *before* the backend could grant the lease to another. The deadline
counts from before the request that was answered, less a margin.
"""

from __future__ import annotations

from collections.abc import Callable

from rota.errors import LeaseLost


def trust_margin(ttl: float) -> float:
    """Seconds by which trust ends before the lease does: a tenth of it, at least 1 s, at most half of it."""
    return min(max(1.0, ttl / 10), ttl / 2)


class Lease:
    """The right to work, for a while. `fence` strictly grows with each lease of the same name: hand it to the resource
    that you write to, so that it can refuse a holder that was overtaken (`UPDATE … WHERE fence <= :fence`)."""

    __slots__ = ("_is_held", "fence", "name")

    def __init__(self, name: str, fence: int, is_held: Callable[[], bool]) -> None:
        self.name: str = name
        self.fence: int = fence
        self._is_held = is_held

    @property
    def held(self) -> bool:
        """Whether it can still be trusted. Turns false before anyone else can be granted it."""
        return self._is_held()

    def assert_held(self) -> None:
        """Raise `LeaseLost` unless it is held."""
        if not self._is_held():
            raise LeaseLost(f"the lease {self.name!r} (fence {self.fence}) is no longer held; stop writing")

    def __repr__(self) -> str:
        return f"<Lease {self.name!r} fence={self.fence} held={self.held}>"
