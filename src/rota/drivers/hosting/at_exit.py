"""At the interpreter's exit the schedulers that this process has started finish, while Python still serves their jobs.

Theory. When the main thread is over Python calls what is registered with `threading`, the last one first, then waits
for threads that are no daemons, then calls what is registered with `atexit`. Among the first is that by which
`concurrent.futures` ends its pools, after which a coroutine cannot so much as look up a host's name. So we come before
it, and again at `atexit`: for programs that go on in other threads, and for hosts that call nothing else, as uWSGI
does.

Law: a program whose own threads go on has not ended, and neither have its schedulers. Threads of a pool do not count:
they may be at work for a job, which needs them until it has ended. A forked child finishes what it has started itself.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from rota.hooks.logging import logger


class Finishing(Protocol):
    """What has an end to be brought to."""

    def finish(self) -> None:
        """Come to it, or wait for it where somebody else has begun."""
        ...


class _AtExit:
    """`started`: with the process that each was started in."""

    def __init__(self) -> None:
        self._started: WeakKeyDictionary[Finishing, int] = WeakKeyDictionary()
        self._is_registered = False  # what is registered is so in forked children, too

    def add(self, one: Finishing) -> None:
        self._started.pop(one, None)  # the last one started is the first to finish
        self._started[one] = os.getpid()
        if not self._is_registered:
            self._is_registered = True
            self._register()

    def _register(self) -> None:
        atexit.register(self.finish_all)
        # A private name, and the only way to be called before the pools are ended. Without it they are ended first.
        register = getattr(threading, "_register_atexit", None)
        if register is not None:
            with suppress(RuntimeError):  # the main thread is over
                import concurrent.futures.thread  # noqa: F401  # registers itself when imported: now, so before us

                register(self.finish_unless_threads_go_on)

    def finish_unless_threads_go_on(self) -> None:
        if not any(_own_threads()):
            self.finish_all()

    def finish_all(self) -> None:
        for one, pid in reversed(list(self._started.items())):
            if pid != os.getpid():
                continue
            self._started.pop(one, None)
            try:
                one.finish()
            except Exception as error:  # noqa: BLE001  # the others, and the pools, must come to their ends all the same
                logger().error("scheduler.not_shut_down", error_type=type(error).__name__, exc_info=error)


def _own_threads() -> Iterator[threading.Thread]:
    """The threads that keep the program alive when its main thread is over, but for those of pools."""
    others = {threading.main_thread(), threading.current_thread()}
    for pool, threads in (("thread", "_threads_queues"), ("process", "_threads_wakeups")):
        others.update(getattr(sys.modules.get(f"concurrent.futures.{pool}"), threads, ()))
    return (thread for thread in threading.enumerate() if not thread.daemon and thread not in others)


_at_exit: Final = _AtExit()


def finish_at_exit(one: Finishing) -> None:
    """Have `one.finish()` called when this process ends, if it lives still."""
    _at_exit.add(one)
