"""Other processes: one that does as it is told, and others that compete or are killed.

Law: children share nothing with their parent but the storage. Each is forked off a process that has done nothing but
import what the tests need, so that it starts in a moment; where the system has no such way, it is spawned. A parent
waits for them with a deadline.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

DEADLINE = 120.0
"""Seconds after which a child that has not answered is given up."""

_can_fork = "forkserver" in multiprocessing.get_all_start_methods()
_context = multiprocessing.get_context("forkserver") if _can_fork else multiprocessing.get_context("spawn")
_modules: set[str] = set()


def will_need(module: str) -> None:
    """Children will need a module; known before the first of them starts, it is imported once for all."""
    _modules.add(module)


class Peer:
    """A process with a backend of its own, which makes the calls it is asked for."""

    def __init__(self) -> None:
        self.environ: dict[str, str] = _environ()
        self._ours, theirs = _context.Pipe()
        self._process = spawn(_serve, theirs)
        theirs.close()
        self._ask("pid")

    def open(self, factory: Callable[..., object], place: str) -> None:
        """Make the backend at a place, by the real clock."""
        self._ask("open", factory, place)

    def call(self, name: str, *args: object) -> Any:
        """Call a method of the backend there."""
        return self._ask("call", name, *args)

    def start(self, name: str, *args: object) -> None:
        """Begin a call without waiting for its answer."""
        self._ours.send(("call", name, *args))

    def answer(self) -> Any:
        """The answer of the call that was started."""
        if not self._ours.poll(DEADLINE):
            raise TimeoutError("the other process does not answer")
        is_fine, value = self._ours.recv()
        if not is_fine:
            raise value
        return value

    def pause(self) -> None:
        """Stop the process as a debugger or a hypervisor would."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join(DEADLINE)
        self._ours.close()

    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.is_alive()

    def _ask(self, *command: object) -> Any:
        self._ours.send(command)
        return self.answer()

    def _signal(self, number: int) -> None:
        if self._process.pid is not None:
            os.kill(self._process.pid, number)


_peers: list[Peer] = []


def peer() -> Peer:
    """The process that the tests of this one share. One that was started in another environment is not it: what tests
    set there, the address of a server say, has to be known to the child as well."""
    for known in _peers:
        if known.is_alive() and known.environ != _environ():
            known.kill()
    _peers[:] = [known for known in _peers if known.is_alive()]
    if not _peers:
        _peers.append(Peer())
        atexit.register(_peers[0].kill)
    return _peers[0]


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def spawn(target: Callable[..., object], *args: object) -> BaseProcess:
    """Start a process that is not waited for."""
    _context.set_forkserver_preload(["__main__", *sorted(_modules)])
    process = _context.Process(target=_begin, args=(_environ(), target, *args), daemon=True)
    process.start()
    return process


def compete(target: Callable[..., object], arguments: Sequence[tuple[object, ...]]) -> list[Any]:
    """Run `target` in as many processes as there are arguments, all let go at once; what they returned."""
    barrier = _context.Barrier(len(arguments))
    answers = _context.Queue()
    processes = [spawn(_report, answers, barrier, target, each) for each in arguments]
    results: list[Any] = []
    for _ in processes:
        is_fine, value = answers.get(timeout=DEADLINE)
        if not is_fine:
            raise value
        results.append(value)
    for process in processes:
        process.join(DEADLINE)
    answers.close()
    answers.join_thread()
    return results


def _begin(environ: dict[str, str], target: Callable[..., object], *args: object) -> None:
    os.environ.update(environ)  # what it is forked off was started in an earlier one
    target(*args)


def _serve(theirs: Connection) -> None:
    backend: Any = None
    while True:
        try:
            verb, *rest = theirs.recv()
        except EOFError:
            return
        try:
            if verb == "open":
                factory, place = rest
                backend = factory(place, None)
                value: object = None
            elif verb == "call":
                value = getattr(backend, rest[0])(*rest[1:])
            else:
                value = os.getpid()
        except Exception as failure:  # noqa: BLE001  # it is raised where it was asked for
            theirs.send((False, failure))
        else:
            theirs.send((True, value))


def _report(answers: Any, barrier: Any, target: Callable[..., object], args: tuple[object, ...]) -> None:
    try:
        barrier.wait(DEADLINE)
        answers.put((True, target(*args)))
    except Exception as failure:  # noqa: BLE001  # it is raised where it was asked for
        answers.put((False, failure))
