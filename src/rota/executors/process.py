"""Processes: functions called by name in child processes that are used again, one for each call at work.

A thread of a `ThreadExecutor` holds each conversation: it takes an idle child or starts one (spawned, never forked),
sends the call's `facts()`, serves what the run asks for through `call.serve`, and hands the end on. The facts:

    {"target": "module:qualname", "args": [...], "kwargs": {...}, "job_id": str, "row": {fields of RunRow},
     "zone": IANA name, "due": micros | null, "deadline": micros | null}

Laws:

* JSON, never pickle: a child is sent names and values, never code.
* A child that was stopped, or whose pipe failed, is never used again.
* No child is left behind: `shutdown` and the interpreter's exit kill those that are there, and a child whose parent was
  killed ends itself (`child.py`).
"""

from __future__ import annotations

import atexit
import multiprocessing.util  # noqa: F401  # its exit handler waits for children: ours must be registered later
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from rota.clock import SYSTEM
from rota.core.json_values import NotKept, from_text
from rota.core.outcome import RETURNED_NONE, ErrorText, NotBegun, Outcome
from rota.core.run import JSON
from rota.errors import RunCancelled
from rota.executors.child_process import ChildProcess, how_it_ended
from rota.executors.remote_error import RemoteError, pack, unpack
from rota.executors.thread import ThreadExecutor

if TYPE_CHECKING:
    from rota.ports import Call

BEAT: Final = 0.2
"""Seconds between looks at whether the call was cancelled, and whether the child still lives."""

KILL_AFTER: Final = 3.0
"""Seconds from TERM to KILL."""


class ProcessExecutor:
    """At most `max_workers` child processes (`None`: one a processor), started when there is work for them.

    `around`: `module:qualname` of what gives a context manager, which a child is to make each call in. It is handed job
    id, run id, attempt, and a function that takes a log line to `call.serve("lines", …)`.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        name: str = "rota-process",
        kill_after: float = KILL_AFTER,
        around: str | None = None,
    ) -> None:
        self._name = name
        self._around = around
        self._kill_after = kill_after
        self._threads = ThreadExecutor(max_workers or os.cpu_count() or 1, name)
        self._mutex = threading.Lock()
        self._idle: list[ChildProcess] = []
        self._children: set[ChildProcess] = set()
        self._at_work: dict[int, _Conversation] = {}
        self._closed = False
        _kill_at_exit(self)

    def capacity(self) -> int:
        """How many more calls it can take up."""
        return self._threads.capacity()

    def submit(self, calls: Sequence[Call]) -> None:
        """Take the calls up, each by a child of its own."""
        conversations = [_Conversation(call, self, self._kill_after) for call in calls]
        for conversation in conversations:
            self._at_work[id(conversation.call)] = conversation
        self._threads.submit(conversations)

    def stop(self, call: Call, reason: str) -> bool:
        """TERM to the call's process, KILL `kill_after` seconds later, or as soon as a shutdown asks again, since its
        time is over then. One that has not begun ends as cancelled."""
        conversation = self._at_work.get(id(call))
        if conversation is not None:
            conversation.stop(reason)
        return True

    def abandon(self, call: Call) -> None:
        """Do not count it any more."""
        conversation = self._at_work.get(id(call))
        if conversation is not None:
            self._threads.abandon(conversation)

    def shutdown(self, timeout: float) -> None:
        """Take no more; TERM to what is at work, and within `timeout` seconds KILL to what is still there."""
        deadline = SYSTEM.monotonic() + timeout
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
            children = list(self._children)
        for child in idle:
            self.let_go(child)
        for conversation in list(self._at_work.values()):
            conversation.stop("shutdown")
        grace = min(self._kill_after, timeout / 2)
        for child in children:
            child.join(max(0.0, deadline - timeout + grace - SYSTEM.monotonic()))
            child.kill()
        self._threads.shutdown(max(0.0, deadline - SYSTEM.monotonic()))

    def kill_all(self) -> None:
        """End all child processes at once."""
        for child in list(self._children):
            child.kill()

    # Used by conversations

    def take(self) -> ChildProcess:
        """An idle child that still lives, or a new one."""
        while True:
            with self._mutex:
                child = self._idle.pop() if self._idle else None
            if child is None:
                return self._start()
            if child.is_alive():
                return child
            self.let_go(child)

    def _start(self) -> ChildProcess:
        if self._closed:
            raise NotBegun("shutdown")
        child = ChildProcess(self._name, self._around)
        with self._mutex:
            self._children.add(child)
        return child

    def give_back(self, child: ChildProcess) -> None:
        """Keep a child for the next call."""
        with self._mutex:
            if not self._closed:
                self._idle.append(child)
                return
        self.let_go(child)

    def let_go(self, child: ChildProcess) -> None:
        """Be done with a child: closing the pipe ends it."""
        child.close()
        with self._mutex:
            self._children.discard(child)

    def forget(self, call: Call) -> None:
        """The call has ended."""
        self._at_work.pop(id(call), None)


class _Conversation:
    """One call and the child that makes it, as a call for a thread."""

    def __init__(self, call: Call, executor: ProcessExecutor, kill_after: float) -> None:
        self.call = call
        self._executor = executor
        self._kill_after = kill_after
        self._stop_reason: str | None = None
        self._kill_at: float | None = None
        self._is_urgent = False
        self._was_told = False

    def stop(self, reason: str) -> None:
        """Have the child stopped by the thread that talks to it, within a beat."""
        self._is_urgent |= reason == self._stop_reason == "shutdown"
        self._stop_reason = reason

    def done(self, outcome: Outcome) -> None:
        """Hand the report on."""
        self._executor.forget(self.call)
        self.call.done(outcome)

    def invoke(self) -> Outcome:
        """Hold the conversation, from a free child to the end of the call."""
        if self._stop_reason is not None:
            return Outcome(error=RunCancelled(self._stop_reason))
        call: dict[str, JSON] = {"op": "call", "facts": dict(self.call.facts())}
        child = self._executor.take()
        try:
            outcome = self._talk(child, call)
        except (EOFError, OSError):
            outcome = self._child_is_gone(child)
        except BaseException:
            child.kill()
            self._executor.let_go(child)
            raise
        if outcome.died or self._kill_at is not None:
            self._executor.let_go(child)
        else:
            self._executor.give_back(child)
        return outcome

    def _talk(self, child: ChildProcess, call: Mapping[str, JSON]) -> Outcome:
        if child.is_ready:
            child.send(call)
        while True:
            message = child.receive(BEAT)
            if message is not None and message["op"] == "end":
                return self._ended(message)
            if message is not None and message["op"] == "ready":
                child.is_ready = True
                child.send(call)
            elif message is not None:
                self._serve(child, message)
            self._steer(child)

    def _steer(self, child: ChildProcess) -> None:
        """Tell the child what the call has been asked, and carry a stop out."""
        reason = self.call.cancel_reason
        if reason is not None and child.is_ready and not self._was_told:
            self._was_told = True
            child.send({"op": "cancel", "reason": reason})
        if self._stop_reason is None:
            return
        if self._kill_at is None:
            self._kill_at = SYSTEM.monotonic() + self._kill_after
            child.send({"op": "stop"})
        if not child.is_ready or self._is_urgent or SYSTEM.monotonic() >= self._kill_at:
            child.kill()

    def _serve(self, child: ChildProcess, message: Mapping[str, JSON]) -> None:
        answer: dict[str, JSON]
        try:
            params = cast("Mapping[str, JSON]", message["params"])
            answer = {"value": self.call.serve(cast(str, message["method"]), params)}
        except Exception as error:  # noqa: BLE001  # whatever the store raises is raised again in the child
            answer = {"error": pack(error)}
        if message["id"] is not None:
            child.send({"op": "reply", "id": message["id"], **answer})

    def _ended(self, message: Mapping[str, JSON]) -> Outcome:
        packed = message.get("error")
        if packed is None:
            result = cast("str | None", message["result"])
            if result is not None:
                return Outcome(from_text(result))
            why_not = cast(str, message.get("why_not", ""))
            return Outcome(NotKept(why_not)) if why_not else RETURNED_NONE
        error, text = unpack(cast("Mapping[str, JSON]", packed))
        forced = self._kill_at is not None and not isinstance(error, RunCancelled)
        return Outcome(error=error, forced=forced, text=text)

    def _child_is_gone(self, child: ChildProcess) -> Outcome:
        how = how_it_ended(child.exit_code())
        if self._stop_reason is not None:
            message = f"its process was stopped ({self._stop_reason}): {how}"
            return Outcome(error=RemoteError(message), forced=True, text=ErrorText("stopped", message, ""))
        if not child.is_ready:
            message = (
                f"a child process could not start: {how}; what it wrote is on stderr. It imports the main module again,"
                f" so what that module does beyond defining things belongs under `if __name__ == '__main__':`"
            )
            return Outcome(error=RemoteError(message), text=ErrorText("RemoteError", message, ""))
        message = f"the process that ran it is gone: {how}"
        return Outcome(error=RemoteError(message), died=True, text=ErrorText("died", message, ""))


def _kill_at_exit(executor: ProcessExecutor) -> None:
    """End the children when the interpreter exits: `multiprocessing` would wait for them for ever."""
    known, owner = weakref.ref(executor), os.getpid()

    def at_exit() -> None:
        found = known()
        if found is not None and os.getpid() == owner:  # a forked process has inherited the handler, not the children
            found.kill_all()

    atexit.register(at_exit)
    weakref.finalize(executor, atexit.unregister, at_exit).atexit = False
