"""Under which name a store, or locks, keep things: schedulers of different names share them without seeing each other.

Law: a namespace that was given stays. Without one a backend goes by the name of the first scheduler that uses it, so
that `SQLiteStore("rota.db")` and `sqlite:///rota.db` are the same place to it.
"""

from __future__ import annotations

from copy import copy
from typing import Final, Self

from rota.backends.fork_safety import ForkSafeLock

UNNAMED: Final = "rota"
"""Where things are kept before any scheduler has come."""


class Namespaced:
    """What such a backend does when a scheduler comes."""

    def _start_in(self, namespace: str | None) -> None:
        """Keep things in the namespace that was given, if one was."""
        self._taking = ForkSafeLock()
        self._is_given = namespace is not None
        self._name: str | None = None
        self._keep_in(UNNAMED if namespace is None else namespace)

    def take_name(self, name: str) -> Self | None:
        """`None`: what a scheduler of that name keeps lies in this one. Else the one beside it where it does."""
        with self._taking.lock:
            if self._is_given or self._name == name:
                return None
            if self._name is None:
                self._go_by(name)
                return None
        return copy(self)._go_by(name)  # noqa: SLF001  # of its own kind

    def _go_by(self, name: str) -> Self:
        """Take the name of a scheduler."""
        self._name = name
        self._keep_in(name)
        return self

    def _keep_in(self, namespace: str) -> None:
        """Work in that namespace from now on: who inherits says how."""
        raise NotImplementedError  # who inherits gives it
