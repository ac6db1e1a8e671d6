"""After a fork: living objects are told, in the child, that they are in another process now.

A forked process has no thread but the one that forked, and shares every file and socket with its parent. Whoever holds
such things registers here once.

Law: objects are held weakly, and one that fails does not keep the others from being told. gunicorn's workers and
`multiprocessing` fork through Python, which tells us; uWSGI forks behind its back and calls `uwsgi.post_fork_hook`.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Final, Protocol

from rota.backends.fork_safety import watch_forks
from rota.hooks.logging import logger

PRE_FORK_SERVERS: Final = frozenset({"gunicorn"})
"""Packages whose processes fork workers that serve."""


class ForkAware(Protocol):
    """What may be registered."""

    def after_fork_in_child(self) -> None:
        """Drop what belongs to the parent, without closing it. Called in the child's only thread."""
        ...


class _Registry:
    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: weakref.WeakSet[ForkAware] = weakref.WeakSet()
        self._is_hooked = False
        self._pid = os.getpid()
        self.is_server_worker = False

    def add(self, member: ForkAware) -> None:
        with self._mutex:
            self._known.add(member)
            if not self._is_hooked:
                self._is_hooked = True
                self._hook()

    def tell(self) -> None:
        """Tell everybody, once in a process."""
        if os.getpid() == self._pid:
            return
        self._pid = os.getpid()
        self.is_server_worker = _was_forked_by_a_server()
        self._mutex = threading.Lock()  # another thread of the parent may have held the old one
        for member in list(self._known):
            try:
                member.after_fork_in_child()
            except Exception as error:  # noqa: BLE001  # the others must be told all the same
                logger().error("fork.child_not_told", member=repr(member), exc_info=error)

    def _hook(self) -> None:
        if hasattr(os, "register_at_fork"):
            watch_forks()  # who is told here may open a store at once
            os.register_at_fork(after_in_child=self.tell)
        uwsgi = sys.modules.get("uwsgi")
        if uwsgi is not None:
            _chain_uwsgi_hook(uwsgi, self.tell)


_registry = _Registry()


def on_fork_in_child(member: ForkAware) -> None:
    """Have `member.after_fork_in_child()` called in every forked child for as long as `member` lives."""
    _registry.add(member)


def is_server_worker() -> bool:
    """Whether this process was forked as a server's worker (gunicorn's, uWSGI's) since the first registration, and not
    as a child of `multiprocessing`, of a queue worker or of somebody's `os.fork()`."""
    return _registry.is_server_worker


def _was_forked_by_a_server() -> bool:
    """Asked within the fork, while the stack still shows who called it."""
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi.worker_id() > 0 if uwsgi is not None else _forking_package() in PRE_FORK_SERVERS


def _forking_package() -> str:
    """The top-level package of the function that called `os.fork`: the innermost one on the stack that is not ours."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  # the way `logging` finds its caller
    while frame is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package != "rota":
            return package
        frame = frame.f_back
    return ""


def _chain_uwsgi_hook(uwsgi: object, tell: Callable[[], None]) -> None:
    earlier = getattr(uwsgi, "post_fork_hook", None)

    def hook() -> None:
        if callable(earlier):
            earlier()
        tell()

    uwsgi.post_fork_hook = hook  # type: ignore[attr-defined]  # uWSGI looks it up after each fork
