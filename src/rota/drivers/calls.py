"""A call: one attempt on its way through an executor, and back to the engine.

Law: `done` may come from any thread and more than once; the first report counts. Everything else about a call belongs
to the engine's thread, but for the cancel reason, which is one assignment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Final, cast

from rota.containment import is_main_thread
from rota.core.calling import as_result
from rota.core.context import AsyncRun, Run, current
from rota.core.job import Job
from rota.core.json_values import from_text
from rota.core.outcome import RETURNED_NONE, Outcome, is_refused_at_exit
from rota.core.run import JSON, RunRow
from rota.errors import LeaseLost
from rota.executors.forked import leave_forked
from rota.executors.targets import target_of, wrappers_around
from rota.hooks.log_buffer import HandedOver, LogCapture
from rota.hooks.logging import bind_run, run_logger, unbind_run

if TYPE_CHECKING:
    from rota.core.lifecycle import Flow
    from rota.drivers.attempts import Deadline
    from rota.drivers.services import Services


class AttemptCall:
    """One attempt of one run: implements `rota.ports.Call` for executors.

    `deadline` is an instant, to be shown; `times_out_at` is the same by the monotonic clock, which decides. `ended_at`
    is the instant of the report, by the clock of this machine; `is_late`: it was reported when its time was over.
    """

    outcome: Outcome | None = None
    ended = False
    stuck = False
    is_ctrl_c = False
    is_late = False
    capture: LogCapture | None = None
    ended_at = 0
    deadline_ahead: Deadline | None = None
    cancel_reason: str | None = None
    _run: Run | AsyncRun | None = None

    def __init__(
        self,
        job: Job,
        row: RunRow,
        flow: Flow,
        services: Services,
        post: Callable[[AttemptCall], None],
        *,
        due: int,
        deadline: int | None,
        times_out_at: int | None,
        trusted_until: float,
    ) -> None:
        self.job = job
        self.row = row
        self.flow = flow
        self.services = services
        self._post = post
        self.due = due
        self.deadline = deadline
        self.times_out_at = times_out_at
        self.trusted_until = trusted_until

    @property
    def is_async(self) -> bool:
        """Whether it is awaited."""
        return self.job.shape.is_async

    @property
    def run(self) -> Run | AsyncRun:
        """The run as its function sees it; most functions never ask, so it is made when one does."""
        run = self._run
        if run is None:
            run = cast("Run | AsyncRun", self.__dict__.setdefault("_run", self._new_run()))  # the first thread's stays
            if self.cancel_reason is not None:  # looked at last, as `ask_to_stop` looks for the run last
                run._ask_to_stop(self.cancel_reason)  # noqa: SLF001  # a run is asked to stop by its call alone
        return run

    def ask_to_stop(self, reason: str) -> None:
        """Set the cancel reason; the first one stays."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
        if self._run is not None:
            self._run._ask_to_stop(self.cancel_reason)  # noqa: SLF001  # as above

    def stand_in(self, job: Job) -> None:
        """Call the function of `job`, a double of its own, before the call has begun: for simulations."""
        self.job = job
        self.__dict__.pop("_run", None)

    def invoke(self) -> Outcome:
        """Call the plain function in this thread, its run bound to the context."""
        self._begin()
        pid = os.getpid()
        token = current.set(self)
        bound = bind_run(self.job.id, self.row.id, self.row.attempt, self._captured())
        try:
            args, kwargs = self._arguments()
            value = self.job.func(*args, **kwargs)
            leave_forked(pid)
            return RETURNED_NONE if value is None else Outcome(as_result(value))
        except BaseException as error:  # noqa: BLE001  # whatever a job raises, SystemExit included, ends its attempt only
            leave_forked(pid, error)
            self.is_ctrl_c = _may_be_ctrl_c(error)
            return Outcome(None, _from_user_code(error))
        finally:
            unbind_run(bound)
            current.reset(token)

    async def ainvoke(self) -> Outcome:
        """Await the coroutine function, its run bound to the context of the task."""
        self._begin()
        pid = os.getpid()
        token = current.set(self)
        bound = bind_run(self.job.id, self.row.id, self.row.attempt, self._captured())
        try:
            if self.row.attempt > 1:
                await cast(AsyncRun, self.run).load()
            args, kwargs = self._arguments()
            value = await self.job.func(*args, **kwargs)  # type: ignore[misc]  # its shape says it is async
            leave_forked(pid)
            return RETURNED_NONE if value is None else Outcome(as_result(value))
        except BaseException as error:  # noqa: BLE001  # a SystemExit that leaves a task tears down the host's loop
            leave_forked(pid, error)
            if _is_cancellation(error):
                return Outcome(None, error, forced=True)
            self.is_ctrl_c = _may_be_ctrl_c(error)
            return Outcome(None, _from_user_code(error))
        finally:
            unbind_run(bound)
            current.reset(token)

    def facts(self) -> Mapping[str, JSON]:
        """What a child process needs to make the call. `ConfigurationError` where it would find another function."""
        row = self.row
        args, kwargs = self._given()
        zone = self.job.zone or self.services.zone
        return {
            "target": target_of(self.job.func),
            "wrappers": wrappers_around(self.job.func, f"job {self.job.id!r}"),
            "args": cast("list[JSON]", list(args)),
            "kwargs": cast("dict[str, JSON]", dict(kwargs)),
            "job_id": self.job.id,
            "row": {name: getattr(row, name) for name in RunRow.__slots__},
            "zone": zone.key,
            "deadline": self.deadline,
            "due": self.due,
        }

    def serve(self, method: str, params: Mapping[str, JSON]) -> JSON:
        """Do for a run in a child process what `RunServices` does for one here."""
        services, row = self.services, self.row
        if method == "load_values":
            return cast("dict[str, JSON]", services.load_values(row))
        if method == "keep_value":
            services.keep_value(row, cast(str, params["key"]), cast("str | None", params["text"]))
        elif method == "keep_progress":
            services.keep_progress(row, cast(str, params["text"]))
        elif method == "held":
            return services.held(row)
        elif method == "log":
            self._log(params)
        elif method == "lines":
            self._captured().add_remote(params)
        else:
            raise LeaseLost(f"a child process asked for {method!r}, which this version does not know")
        return None

    def log_lines(self) -> tuple[str, ...]:
        """The captured lines."""
        return () if self.capture is None else tuple(self.capture.lines())

    def done(self, outcome: Outcome) -> None:
        """Report how it ended; the first report counts. Wakes the engine, which may be late, so that the time is noted
        here."""
        own = object()
        if self.__dict__.setdefault("_reported", own) is not own:  # one step, whichever threads report
            return
        if self.times_out_at is not None:
            self.is_late = self.services.monotonic() >= self.times_out_at
        if self.cancel_reason == "shutdown" and is_refused_at_exit(outcome.error):
            outcome = outcome.replaced(forced=True)  # it was cut off, and did not fail
        self.ended_at = self.services.now()
        self.outcome = outcome
        self._post(self)

    def _begin(self) -> None:
        """Count its time from here: it may have waited for others that are called before it in the same thread."""
        timeout = self.job.options.timeout
        if timeout is not None and self.times_out_at is not None and self.deadline is not None:
            waited = self.services.monotonic() + int(timeout * 1_000_000) - self.times_out_at
            self.times_out_at += waited
            self.deadline += waited

    def _log(self, line: Mapping[str, JSON]) -> None:
        """What a run in a child process logs: kept with the run, with the time at which it was said, and handed to the
        host as if it were said here."""
        at, capture = cast(int, line["at"]), self._captured()
        dated = HandedOver(lambda: at, self.row.id, lambda text: capture.add_remote({"lines": [text]}))
        say = getattr(run_logger(self.run, dated), cast(str, line["level"]))
        say(line["event"], **cast("dict[str, JSON]", line["fields"]))

    def _captured(self) -> LogCapture:
        if self.capture is None:
            self.capture = LogCapture(self.services.now, self.row.id)
        return self.capture

    def _new_run(self) -> Run | AsyncRun:
        job = self.job
        zone = job.zone or self.services.zone
        kind = AsyncRun if job.shape.is_async else Run
        return kind(self.row, self.services, zone, self.due, self.deadline, job.id)

    def _arguments(self) -> tuple[Sequence[object], Mapping[str, object]]:
        args, kwargs = self._given()
        shape = self.job.shape
        return (args, kwargs) if shape.run_name is None else shape.arguments(args, kwargs, self.run)

    def _given(self) -> tuple[Sequence[object], Mapping[str, object]]:
        row, options = self.row, self.job.options
        args: Sequence[object] = options.args
        if row.args is not None:
            args = cast("list[JSON]", from_text(row.args))
        elif args and not _UNCHANGEABLE.issuperset(map(type, args)):
            args = deepcopy(args)
        if row.kwargs is not None:
            return args, cast("dict[str, JSON]", from_text(row.kwargs))
        kwargs = dict(options.kwargs) if options.kwargs else _NO_KWARGS
        return args, kwargs if _UNCHANGEABLE.issuperset(map(type, kwargs.values())) else deepcopy(kwargs)


_NO_KWARGS: Mapping[str, object] = {}

_UNCHANGEABLE: Final = frozenset({type(None), bool, int, float, str, bytes})
"""Types of arguments that no job can change, so that none gets a copy of its own."""


def _is_cancellation(error: BaseException) -> bool:
    from asyncio import CancelledError  # loaded already: a coroutine raised it

    return isinstance(error, CancelledError)


def _may_be_ctrl_c(error: BaseException) -> bool:
    """Whether a person may be behind it: only the main thread is interrupted."""
    return isinstance(error, KeyboardInterrupt) and is_main_thread()


def _from_user_code(error: BaseException) -> BaseException:
    """The error with a traceback that starts in the job, not here."""
    trace = error.__traceback__
    return error if trace is None or trace.tb_next is None else error.with_traceback(trace.tb_next)
