"""Threads: plain functions called by a few daemon threads that take calls off one queue.

Law: a call is in flight from `submit` until whoever takes it out of `_in_flight` first: its worker, when the call has
returned, or `abandon`, when nobody waits for it any more. A dict's `pop` lets exactly one of them win, so no lock is
taken per call; the worker that finds its call gone knows that it has been replaced, and ends.

What waits is in a deque. A thread that finds nothing there puts its bell, a lock that it holds, on a pile and sleeps.
For what comes the uppermost bell is rung: one thread is woken, as a rule, and it is the one whose caches are warm. Its
bell stays on the pile until it is awake, so that nobody who is interrupted while he rings takes a thread away with him.
So long as calls wait, a bell has been rung or a thread is about to look. Daemon threads cannot keep a program from
exiting.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from typing import Protocol

from rota.core.outcome import NotBegun, NoThread, Outcome
from rota.executors.ending import Reporting, end, hand_back


class Call(Reporting, Protocol):
    """What a thread needs of a `rota.ports.Call`."""

    def invoke(self) -> Outcome: ...


class ThreadExecutor:
    """At most `max_workers` threads, started when there is work for them, named `{name}-1`, `{name}-2` …"""

    def __init__(self, max_workers: int = 20, name: str = "rota") -> None:
        self._max_workers = max_workers
        self._name = name
        self._waiting: deque[Call] = deque()
        self._asleep: list[threading.Lock] = []
        self._in_flight: dict[int, Call] = {}
        self._mutex = threading.Lock()
        self._has_left = threading.Condition(self._mutex)
        self._threads: set[threading.Thread] = set()
        self._replaced = 0
        self._started = 0
        self._closed = False

    def capacity(self) -> int:
        """Free workers; those of abandoned calls have been replaced and do not count."""
        return 0 if self._closed else max(0, self._max_workers - len(self._in_flight))

    def submit(self, calls: Sequence[Call]) -> None:
        """Queue the calls. One that finds no thread, because none can be started any more, ends as not begun."""
        in_flight = self._in_flight
        for call in calls:
            in_flight[id(call)] = call
        self._waiting.extend(calls)
        self._ring()
        if self._closed:
            self._hand_back_queued("the scheduler has been shut down")
        elif self._missing() > 0:
            self._start_missing()

    def stop(self, call: Call, reason: str) -> bool:  # noqa: ARG002  # the port's signature
        """`False`: a thread cannot be stopped from outside."""
        return False

    def abandon(self, call: Call) -> None:
        """Count the call's thread out, for another to take its place. When the call returns after all, its outcome is
        reported and the thread ends."""
        if self._in_flight.pop(id(call), None) is None:
            return
        with self._mutex:
            self._replaced += 1
        if self._missing() > 0:
            self._start_missing()

    def shutdown(self, timeout: float) -> None:
        """Hand back what has not been begun, and wait at most `timeout` seconds for idle threads to end. Busy ones go
        on, report, and end then."""
        with self._mutex:
            self._closed = True
        self._hand_back_queued("the scheduler was shut down first")
        self._ring()
        with self._has_left:
            self._has_left.wait_for(lambda: len(self._threads) <= len(self._in_flight) + self._replaced, timeout)

    def _missing(self) -> int:
        """How many more threads there is work for."""
        return min(self._max_workers, len(self._in_flight)) - (len(self._threads) - self._replaced)

    def _start_missing(self) -> None:
        with self._mutex:
            refusal = self._start_threads()
            if refusal is None or len(self._threads) > self._replaced:
                return  # fewer threads than wished for still come by every call
        self._hand_back_queued(f"no thread could be started: {refusal}", NoThread)

    def _start_threads(self) -> RuntimeError | None:
        """Start what is missing. An error: the interpreter refused, at a limit of the machine or while it is ending."""
        while not self._closed and self._missing() > 0:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{self._started + 1}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                return error
            self._started += 1
            self._threads.add(thread)
        return None

    def _hand_back_queued(self, why: str, kind: type[NotBegun] = NotBegun) -> None:
        """End the calls that no thread has taken yet."""
        while (call := self._next()) is not None:
            if self._in_flight.pop(id(call), None) is None:
                with self._mutex:
                    self._replaced -= 1  # abandoned while it was queued: no thread will ever notice
            hand_back([call], why, kind)

    def _next(self) -> Call | None:
        """The next call, if one waits."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _ring(self) -> None:
        """Wake a thread that sleeps, if there is one, unless one is on its way already."""
        try:
            self._asleep[-1].release()
        except IndexError:  # all are at work; each looks for more when its call has returned
            return
        except RuntimeError:  # it has been rung
            return

    def _awaited(self, bell: threading.Lock) -> Call | None:
        """The next call, as soon as there is one; `None`: there will be none any more.

        Who is woken wakes one more where more waits, before it begins: so threads come as they are needed, and many
        short calls do not wake them all."""
        while (call := self._next()) is None and not self._closed:
            self._asleep.append(bell)
            if self._waiting or self._closed:  # since it looked: who brought that may have found nobody asleep
                self._ring()
            bell.acquire()
            self._asleep.remove(bell)  # before it looks again: what comes from here on rings another
        if self._waiting or self._closed:
            self._ring()
        return call

    def _work(self) -> None:
        """What a worker thread does: call, report, until it is told to end or has been replaced."""
        in_flight, awaited = self._in_flight, self._awaited
        bell = threading.Lock()
        bell.acquire()
        while (call := awaited(bell)) is not None:
            try:
                outcome = Context().run(call.invoke)  # context variables a job sets are not the next one's
            except BaseException as error:  # noqa: BLE001  # `invoke` promises not to raise; the worker survives it
                outcome = Outcome(error=error)
            is_replaced = in_flight.pop(id(call), None) is None
            end(call, outcome)
            if is_replaced:
                break
            del call, outcome  # an idle thread keeps nobody's arguments alive
        self._leave(was_replaced=call is not None)

    def _leave(self, *, was_replaced: bool) -> None:
        with self._has_left:
            self._threads.discard(threading.current_thread())
            self._replaced -= was_replaced
            self._has_left.notify_all()
