"""A child process as its parent holds it: started, written to, read from, killed.

Law: spawned, never forked, because a fork copies threads' locks in whatever state they are.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from rota.core.run import JSON
from rota.executors import child

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

_SPAWN: Final = multiprocessing.get_context("spawn")

_MAIN_FILE: Final[str | None] = getattr(sys.modules.get("__main__"), "__file__", None)
"""The program's file: Python forgets it when the program's last line is done, while its jobs may still be at work."""


class ChildProcess:
    """One child process and the parent's end of its pipe."""

    def __init__(self, name: str, around: str | None = None) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._sending = threading.Lock()
        self.is_ready = False
        try:
            self._process = _started(name, (theirs, os.getpid(), around))
        except BaseException:
            self._pipe.close()
            raise
        finally:
            theirs.close()

    def send(self, message: Mapping[str, JSON]) -> None:
        data = json.dumps(message).encode()
        with self._sending:
            self._pipe.send_bytes(data)

    def receive(self, seconds: float) -> Mapping[str, JSON] | None:
        """The next message, or `None` after `seconds`. `EOFError` or `OSError` once the child is gone."""
        if self._pipe.poll(seconds):
            return cast("Mapping[str, JSON]", json.loads(self._pipe.recv_bytes()))
        if not self._process.is_alive() and not self._pipe.poll(0):  # a process it forked may hold the pipe open
            raise EOFError
        return None

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        self._process.kill()

    def join(self, seconds: float) -> None:
        self._process.join(seconds)

    def exit_code(self) -> int | None:
        """How it ended; it is killed where it lives although its pipe is closed."""
        self._process.join(1.0)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        return self._process.exitcode

    def close(self) -> None:
        """Have it end, after its own exit handlers where it is idle."""
        try:
            self.send({"op": "exit"})
        except OSError:
            pass
        finally:
            self._pipe.close()


def _started(name: str, args: tuple[Connection, int, str | None]) -> SpawnProcess:
    """The process, once it is told where its main module is; twice, should the program's end have come in between."""
    process = _new(name, args)
    if _MAIN_FILE is not None and not hasattr(sys.modules["__main__"], "__file__"):
        process.kill()
        process.join()
        process = _new(name, args)
    return process


def _new(name: str, args: tuple[Connection, int, str | None]) -> SpawnProcess:
    main = sys.modules["__main__"]
    if _MAIN_FILE is not None and not hasattr(main, "__file__"):
        main.__file__ = _MAIN_FILE
    process = _SPAWN.Process(target=child.main, args=args, name=name)
    process.start()
    return process


def how_it_ended(code: int | None) -> str:
    """What an exit code says, in words."""
    if code is None:
        return "how is not known"
    if code >= 0:
        return f"it exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", which is also how the kernel ends a process that is out of memory" if -code == signal.SIGKILL else ""
    return f"it was killed by {name}{hint}"
