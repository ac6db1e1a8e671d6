"""Small values by scope and key, with the instant at which each ceases to be."""

from __future__ import annotations


class MemoryValues:
    """Instants are microseconds; what ends at `now` or earlier is not there. Not safe in threads by itself."""

    def __init__(self) -> None:
        self._scopes: dict[str, dict[str, tuple[str, int | None]]] = {}

    def put(self, scope: str, key: str, value: str, until: int | None) -> None:
        """Keep a value, until an instant or for good."""
        self._scopes.setdefault(scope, {})[key] = (value, until)

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

    def prune(self, now: int) -> None:
        """Forget what has ceased to be."""
        over = [
            (scope, key)
            for scope, kept in self._scopes.items()
            for key, (_, until) in kept.items()
            if until is not None and until <= now
        ]
        for scope, key in over:
            self.delete(scope, key)
