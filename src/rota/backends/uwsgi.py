"""uWSGI, where this process is one of its own: what it is to it, and being told of its forks.

Law: uWSGI forks in C, and has Python do its own around a fork only where its options say so. What it always calls, in
each process that it has set to work, is `uwsgi.post_fork_hook`: in workers, mules and spoolers, and without a master in
the first worker too, which is the process that loaded the application.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

_OF_DECORATORS: Final = ("post_fork_hook", "spooler", "mule_msg_hook")

_told: Final[list[Callable[[], None]]] = []


def is_here() -> bool:
    """Whether this process is one of uWSGI's."""
    return _uwsgi() is not None


def is_worker() -> bool:
    """Whether it serves requests."""
    uwsgi = _uwsgi()
    return uwsgi is not None and uwsgi.worker_id() > 0


def is_yet_to_fork() -> bool:
    """Whether it loads the application before the workers are forked, to be their master or the first of them.

    A thread that runs meanwhile may hold the interpreter at the moment of the fork, for ever in the child.
    """
    uwsgi = _uwsgi()
    if uwsgi is None or is_worker() or uwsgi.mule_id() or uwsgi.i_am_the_spooler():
        return False
    return bool(uwsgi.masterpid()) or uwsgi.numproc > 1


def lacks_threads() -> bool:
    """Whether threads stand still here, except while a request is served; the newest versions always let them run."""
    uwsgi = _uwsgi()
    return uwsgi is not None and not uwsgi.has_threads


def worker_count() -> int:
    """How many workers there are at most; 0 outside of uWSGI."""
    uwsgi = _uwsgi()
    return 0 if uwsgi is None else int(uwsgi.numproc)


def after_fork(tell: Callable[[], None]) -> None:
    """Have `tell` called in each process that uWSGI sets to work, after those that were handed in before it."""
    uwsgi = _uwsgi()
    if uwsgi is None:
        return
    if not _told:
        _hook(uwsgi)
    _told.append(tell)


def _hook(uwsgi: Any) -> None:
    """Put ourselves after what is there already. uWSGI's own decorators would put themselves in place of it when the
    application imports them later, so they come first."""
    kept = {name: getattr(uwsgi, name) for name in _OF_DECORATORS if hasattr(uwsgi, name)}
    if "uwsgidecorators" not in sys.modules:
        with suppress(Exception):  # not installed, or there is no master: then nobody can import them
            import_module("uwsgidecorators")
    before = [kept.get("post_fork_hook"), getattr(uwsgi, "post_fork_hook", None)]
    for name, value in kept.items():
        setattr(uwsgi, name, value)

    def hook() -> None:
        for call in dict.fromkeys([*before, *_told]):
            if callable(call):
                call()

    uwsgi.post_fork_hook = hook


def _uwsgi() -> Any | None:
    return sys.modules.get("uwsgi")  # exists only within uWSGI
