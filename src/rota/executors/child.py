"""The child process: makes the calls that its parent sends, one at a time, in its main thread.

Laws:

* The parent decides. Ctrl-C and a TERM sent to the whole process group do nothing here; only a `stop` message lets TERM
  through, which raises `SystemExit` in the job, so that its `finally` blocks run.
* The child never outlives the parent, idle or at work: a reader thread sees the end of the pipe, or another parent's
  id, and exits at once.
* It starts no scheduler: `ROTA_CHILD` holds this process's id (an id, so that programs it starts are not meant).
* What a job forks is no such process: it tells the parent nothing, a TERM ends it, and it ends with the call.

Messages are JSON objects. To the child: `call` (`facts`), `cancel` (`reason`), `reply` (`id`, and `value` or `error`),
`stop`, `exit`. From it: `ready`, `serve` (`id`, `method`, `params`; without an id nobody waits for the answer), and
`end` (`result`, the JSON text of the value or null, with `why_not` where it is not kept, or `error` as of
`remote_error.pack`).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from zoneinfo import ZoneInfo

from rota.core.calling import as_result, shape_of
from rota.core.context import AsyncRun, Run, current
from rota.core.json_values import result_text
from rota.core.run import JSON, RunRow
from rota.executors.child_services import ChildServices
from rota.executors.forked import TermInForks, leave_forked, refuse_forked
from rota.executors.remote_error import pack, unpack
from rota.executors.targets import find_target

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from multiprocessing.connection import Connection

PARENT_CHECK: Final = 5.0
"""Seconds between looks at the parent's id, for the case that a process forked by it holds the pipe open."""


def main(pipe: Connection, parent: int, around: str | None = None) -> None:
    """What the process does, from its start to its end. `around`: as in `ProcessExecutor`."""
    os.environ["ROTA_CHILD"] = str(os.getpid())
    child = Child(pipe, parent, around)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, child.on_term)
    TermInForks(child.on_term).install()
    threading.Thread(target=child.read, name="rota-child", daemon=True).start()
    child.send({"op": "ready"})
    child.serve()


class Child:
    """The conversation with the parent, and the call at work."""

    def __init__(self, pipe: Connection, parent: int, around: str | None) -> None:
        self._pid = os.getpid()
        self._pipe = pipe
        self._parent = parent
        self._around = around
        self._sending = threading.Lock()
        self._calls: SimpleQueue[Mapping[str, JSON] | None] = SimpleQueue()
        self._replies: dict[int, SimpleQueue[Mapping[str, JSON]]] = {}
        self._numbers = itertools.count(1)
        self._run: Run | AsyncRun | None = None
        self._asked_to_stop: str | None = None
        self._is_at_work = False
        self._may_stop = False

    def serve(self) -> None:
        """Make calls until the parent says `exit`."""
        while (facts := self._calls.get()) is not None:
            end = self._made(facts)
            _flush()
            self.send({"op": "end", **end})

    def ask(self, method: str, params: Mapping[str, JSON], timeout: float | None = None) -> JSON:
        """Have the parent do something for the run, and wait for its answer, which may be an exception. `TimeoutError`
        where it does not answer within `timeout` seconds."""
        refuse_forked(self._pid)
        number = next(self._numbers)
        box: SimpleQueue[Mapping[str, JSON]] = SimpleQueue()
        self._replies[number] = box
        self.send({"op": "serve", "id": number, "method": method, "params": dict(params)})
        try:
            reply = box.get(timeout=timeout)
        except Empty:
            raise TimeoutError(f"the parent process did not answer {method!r} within {timeout} s") from None
        finally:
            self._replies.pop(number, None)
        if "error" in reply:
            raise unpack(cast("Mapping[str, JSON]", reply["error"]))[0]
        return reply["value"]

    def tell(self, method: str, params: Mapping[str, JSON]) -> None:
        """The same without waiting."""
        self.send({"op": "serve", "id": None, "method": method, "params": dict(params)})

    def send(self, message: Mapping[str, JSON]) -> None:
        """Send a message. Where the parent is gone this process ends."""
        if os.getpid() != self._pid:
            return
        data = json.dumps(message).encode()
        try:
            with self._sending:
                self._pipe.send_bytes(data)
        except OSError:
            os._exit(1)

    def read(self) -> None:
        """What the reader thread does, for as long as there is a parent."""
        try:
            while True:
                if self._pipe.poll(PARENT_CHECK):
                    self._take(json.loads(self._pipe.recv_bytes()))
                elif os.getppid() != self._parent:
                    break
        except (EOFError, OSError):
            pass
        os._exit(1)

    def on_term(self, number: int, frame: object) -> None:  # noqa: ARG002  # the signature of a signal handler
        """Stop the job, if it was the parent that asked for it."""
        if self._may_stop and self._is_at_work:
            self._may_stop = False
            raise SystemExit(f"terminated ({self._asked_to_stop or 'stopped'})")

    def _take(self, message: Mapping[str, JSON]) -> None:
        op = message["op"]
        if op == "reply":
            box = self._replies.get(cast(int, message["id"]))
            if box is not None:
                box.put(message)
        elif op == "call":
            self._asked_to_stop = None
            self._calls.put(cast("Mapping[str, JSON]", message["facts"]))
        elif op == "cancel":
            self._cancel(cast(str, message["reason"]))
        elif op == "stop":
            self._may_stop = True
            os.kill(os.getpid(), signal.SIGTERM)
        elif op == "exit":
            self._calls.put(None)
            threading.Event().wait(PARENT_CHECK)  # for exit handlers; then not even a thread of a job's keeps it here
            raise EOFError

    def _cancel(self, reason: str) -> None:
        """Ask the run to stop; it may still be on its way, its module being imported."""
        self._asked_to_stop = reason
        if self._run is not None:
            self._run._ask_to_stop(reason)  # noqa: SLF001  # a run is asked to stop by whoever calls it

    def _made(self, facts: Mapping[str, JSON]) -> dict[str, JSON]:
        """The call made: its result or its error."""
        try:
            value = Context().run(self._call, facts)
            leave_forked(self._pid)
        except BaseException as error:  # noqa: BLE001  # whatever a job raises, SystemExit included, ends its attempt only
            leave_forked(self._pid, error)
            return {"error": pack(error)}
        finally:
            self._run = None
        text, why_not = result_text(value)
        return {"result": text, "why_not": why_not}

    def _call(self, facts: Mapping[str, JSON]) -> object:
        func = find_target(cast(str, facts["target"]), cast(int, facts["wrappers"]))
        shape = shape_of(func)
        self._run = run = self._run_of(facts, is_async=shape.is_async)
        if self._asked_to_stop is not None:
            run._ask_to_stop(self._asked_to_stop)  # noqa: SLF001  # as above
        given = cast("list[object]", facts["args"]), cast("dict[str, object]", facts["kwargs"])
        args, kwargs = shape.arguments(*given, run)
        current.set(_Alone(run))
        with self._surroundings(run):
            self._is_at_work = True
            try:
                return as_result(_run_coroutine(func, args, kwargs) if shape.is_async else func(*args, **kwargs))
            finally:
                self._is_at_work = False

    def _surroundings(self, run: Run | AsyncRun) -> AbstractContextManager[object]:
        if self._around is None:
            return contextlib.nullcontext()
        around = cast("Callable[..., AbstractContextManager[object]]", find_target(self._around))
        return around(run.job_id, run.id, run.attempt, lambda line: self.tell("lines", {"lines": [line]}))

    def _run_of(self, facts: Mapping[str, JSON], *, is_async: bool) -> Run | AsyncRun:
        row = RunRow(**cast("dict[str, str]", facts["row"]))  # type: ignore[arg-type]  # a row's own fields, come back
        kind = AsyncRun if is_async else Run
        return kind(
            row,
            ChildServices(self.ask, self.tell),
            ZoneInfo(cast(str, facts["zone"])),
            cast("int | None", facts["due"]),
            cast("int | None", facts["deadline"]),
            cast("str | None", facts.get("job_id")),
        )


class _Alone(NamedTuple):
    """The run of this process, as `current` wants it."""

    run: Run | AsyncRun


def _flush() -> None:
    """What a job has printed is not lost when the process is killed later."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _run_coroutine(func: Callable[..., object], args: object, kwargs: object) -> object:
    import asyncio  # 46 ms that plain functions do not pay

    positional, named = cast("tuple[object, ...]", args), cast("dict[str, object]", kwargs)
    return asyncio.run(cast("Coroutine[object, object, object]", func(*positional, **named)))
