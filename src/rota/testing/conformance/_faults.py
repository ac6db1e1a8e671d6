"""Replies that are lost: the call is performed, and then it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rota.errors import BackendError


class LosesReplies:
    """Hands every call on to `backend`, and loses the replies of those named in `losing`, once each."""

    def __init__(self, backend: object, error: type[BackendError], *losing: str) -> None:
        self._backend = backend
        self._error = error
        self._losing = set(losing)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        return self._lossy(name, found) if name in self._losing else found

    def _lossy(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def lose(*args: object, **kwargs: object) -> object:
            call(*args, **kwargs)
            self._losing.discard(name)
            raise self._error(f"the reply of {name} was lost")

        return lose


def again(call: Callable[[], Any], error: type[BackendError]) -> Any:
    """Ask, and ask again where the answer is unknown."""
    try:
        return call()
    except error:
        return call()
