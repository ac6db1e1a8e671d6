"""Small values by scope and key, with the instant at which each ceases to be.

Law: what has ceased to be is found by a heap of the ends, not by looking through all that is kept. An end whose value
was deleted, or given another since, stays in the heap until it comes to the top.
"""

from __future__ import annotations

from heapq import heappop, heappush


class MemoryValues:
    """Instants are microseconds; what ends at `now` or earlier is not there. Not safe in threads by itself."""

    def __init__(self) -> None:
        self._scopes: dict[str, dict[str, tuple[str, int | None]]] = {}
        self._ends: list[tuple[int, str, str]] = []

    def put(self, scope: str, key: str, value: str, until: int | None) -> None:
        """Keep a value, until an instant or for good."""
        self._scopes.setdefault(scope, {})[key] = (value, until)
        if until is not None:
            heappush(self._ends, (until, scope, key))

    def one(self, scope: str, key: str, now: int) -> str | None:
        """The value, or `None`."""
        value, until = self._scopes.get(scope, {}).get(key, (None, None))
        return value if until is None or until > now else None

    def all(self, scope: str, now: int) -> dict[str, str]:
        """Every value of a scope."""
        kept = self._scopes.get(scope, {})
        return {key: value for key, (value, until) in kept.items() if until is None or until > now}

    def delete(self, scope: str, key: str) -> None:
        """Forget a value, if it is there."""
        kept = self._scopes.get(scope, {})
        kept.pop(key, None)
        if not kept:
            self._scopes.pop(scope, None)

    def delete_scope(self, scope: str) -> None:
        """Forget all values of a scope."""
        self._scopes.pop(scope, None)

    def forget(self, now: int, limit: int) -> bool:
        """Forget what has ceased to be, at most so much; whether there is more."""
        ends = self._ends
        while ends and ends[0][0] <= now and limit > 0:
            until, scope, key = heappop(ends)
            _, kept_until = self._scopes.get(scope, {}).get(key, (None, None))
            if kept_until == until:
                self.delete(scope, key)
                limit -= 1
        return bool(ends) and ends[0][0] <= now
