"""Across a fork: what holds a mutex, a connection or a file brings it to rest before, and goes on after.

Law: a child inherits nothing half done. Before a fork every registered object waits for its own short sections to end
and keeps new ones out; after it, parent and child let them in again. uWSGI forks without telling Python before, unless
its options say so, and tells in the child by a hook of its own: there, everything starts afresh.

`subprocess` does not come by here: it runs no Python between fork and exec.

A fork takes the registry first and a `ForkSafeLock` after it. So while one is held nothing is made that registers, and
nothing is called that may have to wait for the end of a fork, as a connection may: make and close outside of it.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Final, Protocol

from rota.backends import uwsgi

LOOKS_AT_ENDING: Final = 200
BETWEEN_LOOKS: Final = 0.0005
"""How often, and how many seconds apart, a fork looks whether threads that are about to end have ended."""


class Forkable(Protocol):
    """Something to bring to rest around a fork. No method may raise."""

    def before_fork(self) -> None:
        """Wait, for a bounded time, until nothing is half done, and keep it so."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on."""
        ...

    def after_fork_in_child(self) -> None:
        """Start afresh, whether or not `before_fork` was called."""
        ...


class _Registry:
    """The living objects that asked to be told, each held weakly, and those at rest while a fork is on its way."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: weakref.WeakSet[Forkable] = weakref.WeakSet()
        self._resting: list[Forkable] = []
        self._is_hooked = False
        self._pid = os.getpid()

    def add(self, member: Forkable) -> None:
        self.hook()
        with self._mutex:
            self._known.add(member)

    def hook(self) -> None:
        """Be told of forks from now on."""
        with self._mutex:
            if not self._is_hooked and hasattr(os, "register_at_fork"):
                self._is_hooked = True
                os.register_at_fork(
                    before=self._before, after_in_parent=self._after_in_parent, after_in_child=self._after_in_child
                )
                uwsgi.after_fork(self._after_fork_of_uwsgi)

    def _before(self) -> None:
        self._mutex.acquire()
        self._resting = list(self._known)
        for member in self._resting:
            member.before_fork()

    def _after_in_parent(self) -> None:
        resting, self._resting = self._resting, []
        for member in reversed(resting):
            member.after_fork_in_parent()
        self._mutex.release()

    def _after_fork_of_uwsgi(self) -> None:
        if os.getpid() != self._pid:  # Python was not told
            self._after_in_child()

    def _after_in_child(self) -> None:
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._resting = []
        for member in list(self._known):
            member.after_fork_in_child()


_registry = _Registry()


def keep_fork_safe(member: Forkable) -> None:
    """Have `member` told of every fork for as long as it lives."""
    _registry.add(member)


def watch_forks() -> None:
    """Have everything at rest let go in a child before whoever registers with Python after this call is told there: in
    a child, those that registered first are told first."""
    _registry.hook()


class ForkSafeLock:
    """A mutex that no fork can catch in another thread's hands: `with mutex.lock`, not re-entrant. A child has another
    `lock`, so it is asked for each time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        keep_fork_safe(self)

    def before_fork(self) -> None:
        self.lock.acquire()

    def after_fork_in_parent(self) -> None:
        self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock = threading.Lock()


class ForkGate:
    """A section that many threads may be in at once, and that a fork waits for, `patience` seconds at most. Use as a
    context manager."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._changed = threading.Condition()
        self._inside = 0
        self._is_forking = False
        self._ending: set[int] = set()
        keep_fork_safe(self)

    def note_ending(self) -> None:
        """Say inside that this thread ends after the section: a fork waits for that too. While a thread ends, the TLS
        library that it has used tidies up, under locks that a child would inherit."""
        with self._changed:
            self._ending = {thread for thread in self._ending if _is_there(thread)} | {threading.get_native_id()}

    def __enter__(self) -> None:
        with self._changed:
            while self._is_forking:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def before_fork(self) -> None:
        self._changed.acquire()
        self._is_forking = True
        self._changed.wait_for(lambda: not self._inside, self._patience)
        for _ in range(LOOKS_AT_ENDING):
            self._ending = {thread for thread in self._ending if _is_there(thread)}
            if not self._ending:
                break
            threading.Event().wait(BETWEEN_LOOKS)

    def after_fork_in_parent(self) -> None:
        self._is_forking = False
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._is_forking = False
        self._ending = set()


def _is_there(thread: int) -> bool:
    """Whether the system still has the thread of that number, where it tells: a `join` returns a moment too early."""
    return Path(f"/proc/self/task/{thread}").exists()
