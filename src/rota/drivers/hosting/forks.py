"""After a fork: living objects are told, in the child, that they are in another process now.

A forked process has no thread but the one that forked, and shares every file and socket with its parent. Whoever holds
such things registers here once.

Law: objects are held weakly, and one that fails does not keep the others from being told. gunicorn's workers and
`multiprocessing` fork through Python, which tells us; uWSGI forks behind its back and tells by a hook of its own, when
the child knows what it is.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Final, Protocol

from rota.backends import uwsgi
from rota.backends.fork_safety import watch_forks
from rota.hooks.logging import logger

PRE_FORK_SERVERS: Final = frozenset({"gunicorn"})
"""Packages whose processes fork workers that serve."""


class ForkAware(Protocol):
    """What may be registered."""

    def after_fork_in_child(self) -> None:
        """Drop what belongs to the parent, without closing it. Called in the child's only thread."""
        ...

    def after_becoming_worker(self) -> None:
        """This process, which loaded the application, has been made one of the server's workers."""
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

    def tell_of_fork(self) -> None:
        """Tell everybody of a fork that Python was told of."""
        package = _forking_package()
        if package or not uwsgi.is_here():  # without a caller it is uWSGI that forks, and its own hook is yet to come
            self._tell(is_server_worker=package in PRE_FORK_SERVERS)

    def tell_of_uwsgi(self) -> None:
        """Tell everybody what uWSGI has made of this process, once in each."""
        if os.getpid() != self._pid:
            self._tell(is_server_worker=uwsgi.is_worker())
        elif uwsgi.is_worker() and not self.is_server_worker:
            self.is_server_worker = True
            for member in list(self._known):
                _told(member, member.after_becoming_worker)

    def _tell(self, *, is_server_worker: bool) -> None:
        self._pid = os.getpid()
        self.is_server_worker = is_server_worker
        self._mutex = threading.Lock()  # another thread of the parent may have held the old one
        for member in list(self._known):
            _told(member, member.after_fork_in_child)

    def _hook(self) -> None:
        if hasattr(os, "register_at_fork"):
            watch_forks()  # who is told here may open a store at once
            os.register_at_fork(after_in_child=self.tell_of_fork)
        uwsgi.after_fork(self.tell_of_uwsgi)


def _told(member: ForkAware, tell: Callable[[], None]) -> None:
    try:
        tell()
    except Exception as error:  # noqa: BLE001  # the others must be told all the same
        logger().error("fork.child_not_told", member=repr(member), exc_info=error)


_registry = _Registry()


def on_fork_in_child(member: ForkAware) -> None:
    """Have `member.after_fork_in_child()` called in every forked child for as long as `member` lives."""
    _registry.add(member)


def is_server_worker() -> bool:
    """Whether this process was forked as a server's worker (gunicorn's, uWSGI's) since the first registration, and not
    as a child of `multiprocessing`, of a queue worker or of somebody's `os.fork()`."""
    return _registry.is_server_worker


def _forking_package() -> str:
    """The top-level package of the function that called `os.fork`: the innermost one on the stack not ours; none
    where it was C. Asked within the fork, while the stack still shows it."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  # the way `logging` finds its caller
    while frame is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package != "rota":
            return package
        frame = frame.f_back
    return ""
