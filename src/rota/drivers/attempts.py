"""The calls at work on this node: started, timed out, asked to stop, ended.

Law: a call is in the table from its start until its run is let go, that is until its thread has returned as well. What
is in the table is leased; what is not is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING

from rota.containment import whatever_it_raises
from rota.core.job import Job
from rota.core.lease import trust_margin
from rota.core.lifecycle import Flow
from rota.core.misfire import due_of
from rota.core.outcome import Outcome
from rota.core.run import RunRow
from rota.core.verdict import Ended
from rota.drivers.calls import AttemptCall
from rota.errors import RunCancelled

if TYPE_CHECKING:
    from rota.drivers.engine import Engine

STOP_GRACE = 5_000_000
"""Microseconds that a coroutine or a process has to end after it was stopped; then it counts as stuck."""


class Deadline:
    """When a call times out, by the monotonic clock. Once the call has ended it is let go."""

    __slots__ = ("call",)

    def __init__(self, call: AttemptCall) -> None:
        self.call: AttemptCall | None = call
        call.deadline_ahead = self

    def come_due(self, _due: int, engine: Engine) -> None:
        """Time it out, unless it has ended."""
        if self.call is not None:
            engine.attempts.time_out(self.call)

    def is_gone(self, _due: int, _engine: Engine) -> bool:
        """Whether it has ended."""
        return self.call is None


class StopGrace(Deadline):
    """When a stopped call that still has not ended is given up."""

    __slots__ = ()

    def come_due(self, _due: int, engine: Engine) -> None:
        """Give it up, unless it has ended."""
        if self.call is not None:
            engine.attempts.give_up(self.call)


class Attempts:
    """Calls by run id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._calls = engine.services.calls
        ttl = engine.settings.lease_ttl
        self._trusted_for = ttl - trust_margin(ttl)
        self._returns: dict[str, Flow] = {}
        self._idle: Event | None = None
        self._finished: list[str] = []
        self._interrupted: list[str] = []
        self._abandoned: list[str] = []
        self.keyboard_interrupt = False
        self.on_keyboard_interrupt: Callable[[], None] = _go_on

    def drain(self, idle: Event) -> None:
        """Ask every call to stop for a shutdown; `idle` is set once none is at work. Stuck ones are not waited for."""
        self._idle = idle
        for call in self.all():
            if call.stuck:
                self._abandoned.append(call.row.id)
            else:
                call.ask_to_stop("shutdown")
        self._note_idle()

    def farewell(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """The ids of the runs that finished, were interrupted and were abandoned in a shutdown."""
        return tuple(self._finished), tuple(self._interrupted), tuple(self._abandoned)

    @property
    def working(self) -> bool:
        """Whether any call is at work that is waited for: a stuck one is not."""
        return any(not call.stuck for call in self._calls.values())

    @property
    def stuck(self) -> int:
        """How many attempts are over while their thread has not returned."""
        return sum(1 for call in list(self._calls.values()) if call.stuck)

    def all(self) -> list[AttemptCall]:
        """The calls at work, stuck ones among them."""
        return list(self._calls.values())

    def trust_from_now(self) -> float:
        """Until when (boot clock, seconds) a lease asked for now may be trusted."""
        return self._engine.clock.boottime() + self._trusted_for

    def new(self, job: Job, row: RunRow, flow: Flow, trusted_until: float) -> AttemptCall:
        """A call for a run that has just begun."""
        engine, timeout = self._engine, job.options.timeout
        deadline = times_out_at = None
        if timeout is not None:
            span = int(timeout * 1_000_000)
            deadline, times_out_at = engine.time + span, engine.services.monotonic() + span
        call = AttemptCall(
            job,
            row,
            flow,
            engine.services,
            engine.mailbox.put_soon,
            due=_due(job, row),
            deadline=deadline,
            times_out_at=times_out_at,
            trusted_until=trusted_until,
        )
        self._calls[row.id] = call
        if times_out_at is not None:
            engine.deadlines.push(times_out_at, Deadline(call))
        engine.teller.run_started(call)
        return call

    def ended(self, call: AttemptCall) -> None:
        """A call's outcome has come."""
        engine = self._engine
        if call.stuck:
            self._let_go(call)
            flow = self._returns.pop(call.row.id, None)
            if flow is not None:
                engine.performer.send(flow, engine.time)
            return
        if call.ended:
            return
        assert call.outcome is not None
        self._end(call, call.outcome, timed_out=call.is_late)

    def time_out(self, call: AttemptCall) -> None:
        """Its deadline has passed: stop it by force where that can be done, else its worker is replaced."""
        if call.ended or call.outcome is not None:
            return
        assert call.times_out_at is not None
        if self._left(call) > 0:  # it has begun later than it was handed over
            self._engine.deadlines.push(call.times_out_at, Deadline(call))
            return
        call.ask_to_stop("timeout")
        if self._engine.guarded.stop(call, "timeout"):
            self._engine.deadlines.push(self._engine.services.monotonic() + STOP_GRACE, StopGrace(call))
        else:
            self._become_stuck(call)

    def ask_late_to_stop(self) -> None:
        """Ask every call whose time is over to stop. Whether it has timed out is seen when it ends."""
        for call in self.all():
            if self._has_time_limit(call) and self._left(call) <= 0:
                call.ask_to_stop("timeout")

    def seconds_to_time_limit(self) -> float:
        """Seconds until there is a call to ask; infinite where none has a time limit."""
        left = [self._left(call) for call in self.all() if self._has_time_limit(call)]
        return max(0, min(left)) / 1_000_000 if left else float("inf")

    def _has_time_limit(self, call: AttemptCall) -> bool:
        return call.times_out_at is not None and call.cancel_reason is None and call.outcome is None

    def _left(self, call: AttemptCall) -> int:
        assert call.times_out_at is not None
        return call.times_out_at - self._engine.services.monotonic()

    def give_up(self, call: AttemptCall) -> None:
        """It was stopped by force and goes on all the same."""
        if not call.ended and call.outcome is None:
            self._become_stuck(call)

    def stop(self, run_id: str, reason: str) -> bool:
        """Ask a run to stop; a coroutine or a process is stopped by force. `False`: it is not at work here."""
        call = self._calls.get(run_id)
        if call is None or call.ended:
            return False
        call.ask_to_stop(reason)
        self._engine.guarded.stop(call, reason)
        return True

    def force_all(self, reason: str) -> None:
        """Stop by force what can be: coroutines and processes."""
        for call in self.all():
            if not call.ended:
                self._engine.guarded.stop(call, reason)

    def abandon(self, call: AttemptCall) -> None:
        """The time is over and it has not stopped: its run ends as cut off, whatever its thread goes on to do."""
        if call.ended:
            self._forget_stuck(call)
            return
        call.ask_to_stop("shutdown")
        self._abandoned.append(call.row.id)
        self._engine.guarded.abandon(call)
        error = TimeoutError("it did not stop within the time for shutdown")
        self._end(call, Outcome(None, error, forced=True), timed_out=False)

    def _forget_stuck(self, call: AttemptCall) -> None:
        """Nobody will hear of its thread's return. A lease on its run runs out; where there are none, let go now."""
        flow = None if self._engine.settings.leased else self._returns.pop(call.row.id, None)
        if flow is not None:
            self._engine.performer.send(flow, self._engine.time)

    def await_return(self, row: RunRow, flow: Flow) -> None:
        """Remember the flow of a stuck run; its thread may have come back already."""
        call = self._calls.get(row.id)
        if call is None or call.outcome is not None:
            if call is not None:
                self._let_go(call)
            self._engine.performer.send(flow, self._engine.time)
            return
        call.row = row
        self._returns[row.id] = flow

    def _become_stuck(self, call: AttemptCall) -> None:
        call.stuck = True
        self._engine.guarded.abandon(call)
        self._engine.teller.run_stuck(call)
        self._end(call, Outcome(), timed_out=True)

    def _end(self, call: AttemptCall, outcome: Outcome, *, timed_out: bool) -> None:
        call.ended = True
        ahead = call.deadline_ahead
        if ahead is not None:
            ahead.call = call.deadline_ahead = None
            self._engine.deadlines.note_gone(self._engine.is_gone)
        if call.is_ctrl_c:
            self.keyboard_interrupt = True
            self.on_keyboard_interrupt()
        if self._idle is not None:
            self._note_farewell(call, outcome)
        if not call.stuck:
            self._let_go(call)
        ended = Ended(outcome, self._instant_of_end(call), call.cancel_reason, timed_out, call.stuck, call.log_lines())
        self._engine.performer.send(call.flow, ended)

    def _instant_of_end(self, call: AttemptCall) -> int:
        """When it reported, by the store's clock, which may have been some time ago; now where it has not."""
        now = self._engine.time
        if call.outcome is None:
            return now
        return min(now, max(call.ended_at + self._engine.offset, call.row.attempt_started_at or 0))

    def _let_go(self, call: AttemptCall) -> None:
        if self._calls.get(call.row.id) is call:
            del self._calls[call.row.id]
        if self._idle is not None:
            self._note_idle()

    def _note_idle(self) -> None:
        if self._idle is not None and all(call.stuck for call in self._calls.values()):
            self._engine.post(self._idle.set)

    def _note_farewell(self, call: AttemptCall, outcome: Outcome) -> None:
        if call.row.id in self._abandoned:
            return
        stopped = outcome.forced or (isinstance(outcome.error, RunCancelled) and call.cancel_reason == "shutdown")
        (self._interrupted if stopped else self._finished).append(call.row.id)


def _go_on() -> None:
    """Nobody waits for a Ctrl-C."""


def _due(job: Job, row: RunRow) -> int:
    """When the run was due: a tick's first attempt, whatever its retries; of other runs this attempt."""
    if row.scheduled_for is None or job.trigger is None or row.origin != "tick":
        return row.due
    try:
        return due_of(job.trigger, job.options, row.job_id, row.scheduled_for)
    except whatever_it_raises():  # a trigger may be the user's code; the run has begun, and needs no more of it
        return row.due
