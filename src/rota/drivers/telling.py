"""Who is told what happens on a node: the log always, hooks on threads of their own.

Law: telling never decides and never fails a run. Where nobody listens it costs a comparison.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING

from rota.core.effects import Swap
from rota.core.job import Job
from rota.core.outcome import message_of
from rota.core.run import FINAL, RunRow, lateness_of, record_of, rfc3339
from rota.drivers.zone_data import zone_data
from rota.errors import LockBackendError
from rota.hooks.logging import logger, warn_visibly
from rota.ports import Event, EventKind, Hook
from rota.triggers.base import from_micros

if TYPE_CHECKING:
    from rota.drivers.agenda import Claiming
    from rota.drivers.calls import AttemptCall

LOOK_AGAIN = 0.2
"""Seconds between two looks, while hooks are waited for, at whether there is time left."""

MOST_UNTOLD = 10_000
"""Events that may wait for slow hooks; later ones are dropped, and counted in the log."""

_LEVELS = {"failed": logging.ERROR, "timed_out": logging.ERROR, "lost": logging.ERROR, "missed": logging.WARNING}


class Listener:
    """A hook with the kinds it listens to (`None`: all)."""

    __slots__ = ("hook", "kinds")

    def __init__(self, hook: Hook, kinds: Collection[str] | None = None) -> None:
        self.hook = hook
        self.kinds = None if kinds is None else frozenset(kinds)


class Teller:
    """Tells log and hooks. `listeners` is live: the scheduler adds to it."""

    def __init__(
        self, listeners: list[Listener], now: Callable[[], int], find_job: Callable[[str], Job | None], *, inline: bool
    ) -> None:
        self._listeners = listeners
        self._now = now
        self._find_job = find_job
        self._inline = inline
        self._log = logger()
        self._threads: dict[Listener, HookThread] = {}
        self._informs = True

    def look(self) -> None:
        """See whether anyone listens to what goes well. Once in a while, since every run would ask twice."""
        self._informs = self._log.enabled_for(logging.INFO)

    def warn(self, event: str, text: str, **fields: object) -> None:
        """What a person should see even in a host that has configured no logging."""
        warn_visibly(event, text, **fields)

    def error(self, event: str, error: BaseException) -> None:
        """Something in Rota's own house failed; the loop goes on."""
        self._log.error(event, error_type=type(error).__name__, exc_info=error)

    def started(self, node: str, jobs: int) -> None:
        """A node runs jobs from now on; which zone data decides its ticks is worth a line."""
        if self._log.enabled_for(logging.INFO):
            self._log.info("scheduler.started", node=node, jobs=jobs, tzdata=zone_data())

    def stopping(self, at_work: Collection[str], timeout: float) -> None:
        """A node shuts down; for the jobs at work it waits."""
        if self._log.enabled_for(logging.INFO):
            self._log.info("scheduler.stopping", at_work=sorted(set(at_work)), timeout_s=timeout)

    def run_started(self, call: AttemptCall) -> None:
        """An attempt has been handed to its executor."""
        if self._listeners:
            self._tell("run_started", call.row, call.job)
        if self._informs:
            self._log.info("run.started", **_facts(call.row), late_s=round(lateness_of(call.row, call.due), 3))

    def run_stuck(self, call: AttemptCall) -> None:
        """An attempt has timed out and its thread does not return."""
        self._log.warning("run.stuck", **_facts(call.row), detail="it timed out, and its thread has not returned")

    def run_swapped(self, swap: Swap) -> None:
        """An attempt or a run has ended; that a stuck thread has come back to a run that is over is no news, nor that a
        window was joined. A run whose window was covered before it began has made no attempt."""
        row = swap.row
        if swap.status in FINAL or (row.status == "running" and not row.stuck):
            return
        if self._listeners:
            if swap.status == "running" and row.attempt_started_at is not None:
                self._tell("attempt_ended", row)
            if row.status in FINAL:
                self._tell("run_ended", row)
        elif row.status == "succeeded" and not self._informs:
            return
        level = _LEVELS.get(row.status, logging.INFO)
        if self._log.enabled_for(level):
            self._say(level, row)

    def ticks_disposed(self, claiming: Claiming) -> None:
        """Ticks were skipped or missed."""
        for row in claiming.claim.rows:
            if row.status in FINAL:
                if self._listeners:
                    self._tell("run_ended", row, claiming.entry.job)
                level = _LEVELS.get(row.status, logging.INFO)
                if self._log.enabled_for(level):
                    self._say(level, row)

    def lease_lost(self, row: RunRow) -> None:
        """A run was taken over while it was at work here."""
        self._log.error("lease.lost", **_facts(row), detail="another process may run it")

    def given_up(self, row: RunRow) -> None:
        """The store takes other writes, and again and again not the end of this run."""
        self._log.error("run.not_recorded", **_facts(row), status=row.status, detail="the store refuses its record")

    def job_paused(self, job: Job, reason: str) -> None:
        """A job paused itself after failures."""
        self._log.warning("job.paused", job_id=job.id, detail=reason)
        self._send(Event("job_paused", from_micros(self._now()), job, detail=reason))

    def no_threads(self, executor: str, why: str) -> None:
        """Calls came back from an executor, unbegun for want of a thread."""
        self.warn(
            "executor.no_thread",
            f"{why}; jobs of executor {executor!r} wait until one can be, which is tried again and again",
            executor=executor,
        )

    def threads_back(self, executor: str) -> None:
        """The executor begins jobs again."""
        self._log.warning("executor.threads_back", executor=executor)

    def store_down(self, error: BaseException) -> None:
        """The store, or the locks beside it, do not answer: nothing is begun until they do."""
        who, they = ("locks do", "they do") if isinstance(error, LockBackendError) else ("store does", "it does")
        self.warn("store.down", f"the {who} not answer, nothing is begun until {they}: {message_of(error)}")
        self._send(Event("store_down", from_micros(self._now()), detail=message_of(error)))

    def store_back(self) -> None:
        """The store answers again."""
        self._log.warning("store.back")
        self._send(Event("store_back", from_micros(self._now())))

    def store_trouble(self, error: BaseException) -> None:
        """A call to the store failed that nothing hangs on; it is made again later."""
        self._log.warning("store.trouble", error_type=type(error).__name__, detail=message_of(error))

    def stop(self, seconds_left: Callable[[], float]) -> None:
        """Let the hooks finish what they have been given, while there are seconds left for all of them."""
        for thread in [thread.end() for thread in list(self._threads.values())]:
            while thread is not None and thread.is_alive() and (left := seconds_left()) > 0:
                thread.join(min(left, LOOK_AGAIN))

    def _say(self, level: int, row: RunRow) -> None:
        fields = _facts(row)
        if row.reason:
            fields["reason"] = row.reason
        if row.count > 1:
            fields["count"] = row.count
        if row.error:
            fields["error"] = row.error
        if row.started_at is not None and row.finished_at is not None:
            fields["duration_s"] = round((row.finished_at - row.started_at) / 1_000_000, 3)
        event = "run.retry_scheduled" if row.status == "waiting" else f"run.{row.status}"
        say = {logging.ERROR: self._log.error, logging.WARNING: self._log.warning}.get(level, self._log.info)
        say(event, **fields)

    def _tell(self, kind: EventKind, row: RunRow, job: Job | None = None) -> None:
        if not any(listener.kinds is None or kind in listener.kinds for listener in self._listeners):
            return
        job = job or self._find_job(row.job_id)
        record = record_of(row, None if job is None else job.id)
        attempt = record.attempts[-1] if record.attempts and kind == "attempt_ended" else None
        self._send(Event(kind, from_micros(self._now()), job, record, attempt))

    def _send(self, event: Event) -> None:
        for listener in list(self._listeners):
            if listener.kinds is None or event.kind in listener.kinds:
                if self._inline:
                    _call(listener.hook, event)
                else:
                    self._thread_of(listener).put(event)

    def _thread_of(self, listener: Listener) -> HookThread:
        known = self._threads.get(listener)
        return known or self._threads.setdefault(listener, HookThread(listener.hook))


class HookThread:
    """Calls one hook, in order, off every other thread, so that none keeps another waiting. Started when first
    needed."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._is_over = False
        self._dropped = 0
        self._lock = Lock()

    def put(self, event: Event) -> None:
        """Have the hook called with the event, unless it is to end."""
        with self._lock:
            is_full = self._queue.qsize() >= MOST_UNTOLD
            if is_full:
                self._dropped += 1
            elif not self._is_over:
                self._queue.put(event)
                self._thread = self._thread or self._started()
            is_first = is_full and self._dropped == 1
        if is_first:
            detail = f"{MOST_UNTOLD} events wait for it"
            logger().warning("hook.dropped", kind=event.kind, hook=repr(self._hook), detail=detail)

    def _tell_dropped(self) -> None:
        with self._lock:
            count, self._dropped = self._dropped, 0
        if count:
            logger().warning("hook.dropped", hook=repr(self._hook), count=count, detail="these it has not been told")

    def end(self) -> Thread | None:
        """End once all that is queued has been told; the thread that is to be waited for."""
        with self._lock:
            self._is_over = True
            self._queue.put(None)
        # A hook may shut the scheduler down.
        return None if self._thread is current_thread() else self._thread

    def _started(self) -> Thread | None:
        thread = Thread(target=self._run, name="rota-hook", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            logger().warning("hook.dropped", detail=f"no thread could be started for hooks: {error}")
            return None
        return thread

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            _call(self._hook, event)
            if self._dropped and self._queue.empty():
                self._tell_dropped()
        self._tell_dropped()


def _call(hook: Hook, event: Event) -> None:
    try:
        hook(event)
    except BaseException as error:  # noqa: BLE001  # a hook is a user's code: its failure is logged and nothing more
        logger().error("hook.failed", kind=event.kind, hook=repr(hook), error_type=type(error).__name__, exc_info=error)


def _facts(row: RunRow) -> dict[str, object]:
    facts: dict[str, object] = {"job_id": row.job_id, "run_id": row.id, "attempt": row.attempt}
    if row.scheduled_for is not None:
        facts["scheduled_for"] = rfc3339(row.scheduled_for)
    return facts
