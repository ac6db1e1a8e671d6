"""A node: an engine with its executors, renewals and driver, from start to shutdown.

Law: a node belongs to the process that made it. In a forked child it is dead, says so, and touches nothing of its
parent's.
"""

from __future__ import annotations

import os
from threading import Event, RLock, get_ident

from rota.containment import whatever_it_raises
from rota.core import lifecycle
from rota.core.context import current
from rota.core.effects import JobState
from rota.core.job import Job
from rota.core.lifecycle import Holder
from rota.core.run import RunRow
from rota.drivers import neighbours
from rota.drivers.calls import AttemptCall
from rota.drivers.driven import micros_until
from rota.drivers.engine import FOR_EVER, Engine
from rota.drivers.identity import token_maker
from rota.drivers.leases import RunLeases
from rota.drivers.node_parts import NodeParts, ShutdownReport
from rota.drivers.renewal import Renewal
from rota.drivers.services import Services
from rota.drivers.settings import FORCE_BEFORE_END, GRACE, LAST, LONGEST_WAIT
from rota.drivers.signals import HeldCtrlC
from rota.drivers.telling import Teller
from rota.drivers.thread import ThreadDriver
from rota.errors import BackendError, StateError
from rota.hooks import capture
from rota.ports import DrivenClock


class Node:
    """Started once, shut down once."""

    def __init__(self, parts: NodeParts) -> None:
        self.parts = parts
        self.pid = os.getpid()
        settings, clock = parts.settings, parts.clock
        self.services = Services(
            parts.store, clock, settings.tz, parts.state, leased=settings.leased, inline=parts.inline
        )
        teller = Teller(parts.listeners, clock.now, self._job_by_claim_id, inline=parts.inline)
        holder = Holder(parts.row.id, settings.lease_ttl, parts.new_id, parts.new_token or token_maker())
        self.engine = Engine(settings, parts.row, parts.store, clock, parts.executors, self.services, teller, holder)
        self.renewal = Renewal(clock, threaded=not parts.inline)
        self._leases = RunLeases(self.engine, inline=parts.inline)
        self._driver: ThreadDriver | None = None
        self._turning = RLock()
        self._run_due_in: int | None = None  # the thread that is in it
        # Asked once: a check against a Protocol takes 20 µs.
        self._driven_clock = clock if isinstance(clock, DrivenClock) else None
        self._is_open = False
        self._is_leaving = False
        self._is_hurried = False
        self._idle = Event()

    @property
    def is_alive(self) -> bool:
        """Whether it executes jobs, in this very process."""
        if not self._is_open or self.pid != os.getpid():
            return False
        return self._driver is None or self._driver.is_alive

    @property
    def trouble(self) -> str:
        """Why its thread executes no jobs though it lives, or an empty text."""
        return "" if self._driver is None else self._driver.trouble

    def open(self) -> None:
        """Take up work, or, where the store cannot be reached, wait for it as in any later outage."""
        capture.install()
        self._is_open = True
        for name in {job.executor for job in list(self.parts.jobs.values())}:
            self.parts.executors[name]  # made now: see `ExecutorSet`
        try:
            self._take_up_work()
        except BackendError as error:
            if not (error.unreachable and self.parts.waits_for_store):
                raise
            self.engine.wait_for_store(error, self._take_up_work)

    def _take_up_work(self) -> None:
        """Open the store, declare the jobs, take up open runs, show a sign of life. May be done again where it fails
        half way."""
        engine = self.engine
        self.parts.open_store()
        engine.ask_time()
        engine.store.beat(self.parts.row)
        jobs = list(self.parts.jobs.values())
        engine.agenda.declare(jobs)
        if engine.settings.leased:
            self.renewal.add(self._leases)
        else:
            neighbours.join(self)
            engine.housekeeping.load()
        if self._is_leaving:  # it was shut down while the store kept it waiting
            self.renewal.remove(self._leases)
            neighbours.leave(self)
        engine.teller.started(self.parts.row.id, len(jobs))

    def start_thread(self) -> None:
        """Open it, and turn it in a thread of its own from now on."""
        self.open()
        self._driver = ThreadDriver(self.engine, self.parts.settings.name)
        self._driver.start()

    def declare(self, job: Job) -> None:
        """A job was added or changed while it runs."""
        self.engine.post(lambda: self._declare(job))

    def forget(self, claim_id: str, job_id: str) -> None:
        """A job was removed while it runs, or goes by another id in the store."""
        self.engine.post(lambda: self._forget(claim_id, job_id))

    def turn(self) -> float:
        """Turn it by hand, once; seconds until there may be more to do."""
        with self._turning:
            return self.engine.turn()

    def next_wakeup(self) -> int | None:
        """The instant at which a node that is driven by a moved clock next has something to do; `None`: never."""
        engine, clock = self.engine, self.engine.clock
        if engine.has_mail:
            return clock.now()
        seconds = min(
            self.seconds_to_poll(),
            engine.housekeeping.seconds_to_release(),
            engine.housekeeping.seconds_to_batch(),
            engine.performer.seconds_to_wakeup(),
            engine.seconds_to_try(),
            engine.seconds_to_deadline(),
        )
        due = engine.timeline.next_wakeup()
        if due is not None:
            due -= engine.offset
        if seconds == float("inf"):
            return due
        other = clock.now() + micros_until(seconds)
        return other if due is None else min(due, other)

    def seconds_to_poll(self) -> float:
        """Seconds until it has to look into the store: not before a look may find something, where that is known."""
        engine, foresight = self.engine, self.parts.foresight
        seconds = engine.housekeeping.seconds_to_poll()
        if foresight is None or seconds == float("inf") or engine.performer.busy or engine.agenda.has_waiting:
            return seconds
        try:
            return max(seconds, foresight.seconds_of_quiet(engine.clock.now() + engine.offset))
        except BackendError:  # the look itself will say so
            return seconds

    @property
    def needs_renewals(self) -> bool:
        """Whether something may be lost here unless the store hears of this node in time."""
        return self.parts.foresight is None or bool(self.services.calls)

    def queued(self, row: RunRow) -> None:
        """A run was queued in the store: begin it without waiting for a poll."""
        self.engine.post(lambda: self.engine.park(row))

    def noted(self, state: JobState) -> None:
        """The store said how a job stands."""
        self.engine.post(lambda: self.engine.agenda.note_state(state))

    def cancelled(self, run_id: str) -> None:
        """A run was cancelled in the store: stop it here without waiting for a renewal."""
        self.engine.post(lambda: self._cancel(run_id))

    def watch(self) -> None:
        """There are other nodes on a store that is not polled: look there while something here waits for theirs."""
        self.engine.post(self.engine.housekeeping.watch)

    def take_up(self) -> None:
        """Another node on a store that is not polled is gone: take up what it leaves undone."""
        self.engine.post(self.engine.housekeeping.load)

    def _cancel(self, run_id: str) -> None:
        """Stop the run if it is at work here, forget it if it was to begin here, and end it if it still is to: its
        attempt may have ended just before the cancel was asked for."""
        engine = self.engine
        engine.attempts.stop(run_id, "cancel")
        parked = engine.parked.get(run_id)
        if parked is not None:
            engine.unpark(run_id)
            engine.performer.start(lifecycle.end_unstarted(run_id, "cancel"))
            engine.performer.free(parked.row.job_id)
            engine.agenda.refresh_state(parked.row.job_id)

    def _declare(self, job: Job) -> None:
        """Take up its ticks, and the open runs that were left alone while it was not declared; nothing where it was
        removed or changed meanwhile. Where the store was down from the start, that is done of all jobs when it
        answers."""
        engine = self.engine
        if engine.is_unopened or self.parts.jobs.get(job.id) is not job:
            return
        engine.agenda.declare([job])
        if not engine.settings.leased:
            engine.housekeeping.load_job(job.claim_id)

    def _forget(self, claim_id: str, job_id: str) -> None:
        entry = self.engine.agenda.entries.get(claim_id)
        if entry is not None and entry.job.id == job_id:
            self.engine.agenda.forget(claim_id)

    def _seconds_to_due(self) -> float:
        """Seconds until something is due here, however far off; a while where nothing is, or the store is down."""
        engine = self.engine
        seconds = engine.performer.seconds_to_wakeup() if engine.performer.is_down else engine.seconds_to_due()
        seconds = min(seconds, engine.seconds_to_try())
        return LONGEST_WAIT if seconds == float("inf") else seconds

    def _cannot_begin(self) -> bool:
        """Whether what is ready waits for the store, or for threads and nothing else."""
        engine = self.engine
        return engine.performer.is_down or (bool(engine.guarded.without_threads) and not engine.attempts.working)

    def run_due(self) -> float:
        """Turn it by hand until nothing is at work any more; seconds to the next tick, retry or deadline.

        A Ctrl-C that reached a job in this thread is raised again once its run is recorded. Under a clock that is moved
        by hand nothing is waited for: what needs time has it when the clock moves.
        """
        engine = self.engine
        if self._driven_clock is not None:
            self._driven_clock.wait(engine.is_quiet, 0.0)
            return self._seconds_to_due()
        self._refuse_in_a_job()
        held = HeldCtrlC(self._begin_no_more)
        with self._turning, held:
            self._run_due_in = get_ident()
            engine.read_clock()
            engine.ready_until = engine.time
            try:
                wait = engine.turn()
                while not (engine.is_quiet() or self._cannot_begin() or held.came or self._is_leaving):
                    engine.wait(wait)
                    wait = engine.turn()
            finally:
                self._run_due_in = None
                engine.ready_until = FOR_EVER
        if held.came or engine.attempts.keyboard_interrupt:
            engine.attempts.keyboard_interrupt = False
            engine.draining = self._is_leaving
            raise KeyboardInterrupt
        return self._seconds_to_due()

    def _refuse_in_a_job(self) -> None:
        """A job that waits for `run_due()` would wait for itself: one of this node, or one that such a job has made
        another scheduler run."""
        at_work = current.get()
        is_own = isinstance(at_work, AttemptCall) and at_work.services is self.services
        if is_own or self._run_due_in == get_ident():
            raise StateError("run_due() was called by a job which run_due() waits for; let the job end first")

    def shutdown(self, timeout: float) -> ShutdownReport:
        """Take no more, let what is at work end, stop the rest, let go, within `timeout` seconds or little more. Hooks
        have what is left of them.

        A Ctrl-C meanwhile ends the waiting, and is raised when the rest is done."""
        if not self._is_open or self._is_leaving or self.pid != os.getpid():
            return ShutdownReport()
        self._is_leaving = True
        engine = self.engine
        deadline = engine.clock.monotonic() + max(0.0, timeout)
        is_interrupted = False
        try:
            calls = engine.attempts.all()
            for call in calls:
                call.ask_to_stop("shutdown")
            engine.teller.stopping([call.job.id for call in calls if not call.stuck], timeout)
            self._drain(deadline, max(timeout - FORCE_BEFORE_END, timeout * GRACE))
        except KeyboardInterrupt:
            is_interrupted = True
            self.hurry()
        over = Event()
        engine.post(lambda: self._abandon_rest(over))
        self._await(over, engine.clock.monotonic() + 1.0)
        self._stop(deadline)
        if is_interrupted:
            raise KeyboardInterrupt
        return self._report()

    def _report(self) -> ShutdownReport:
        """What the engine noted; what it could not note because a store hangs is left behind, too."""
        finished, interrupted, abandoned = self.engine.attempts.farewell()
        told = {*finished, *interrupted, *abandoned}
        left = tuple(call.row.id for call in self.engine.attempts.all() if call.row.id not in told)
        return ShutdownReport(finished, interrupted, abandoned + left)

    def _drain(self, deadline: float, patience: float) -> None:
        """Wait for what is at work to end; after `patience` seconds, stop by force what can be."""
        engine, idle = self.engine, self._idle
        engine.post(lambda: self._begin_draining(idle))
        self._await(idle, engine.clock.monotonic() + patience)
        window = max(0.0, deadline - engine.clock.monotonic())
        for until in (deadline - LAST * window, deadline) if window else (deadline,):
            if not idle.is_set():
                engine.post(lambda: engine.attempts.force_all("shutdown"))
                self._await(idle, until)

    def hurry(self) -> None:
        """Wait no longer in a shutdown for what is at work, nor for hooks. From any thread."""
        self._is_hurried = True
        self._idle.set()

    def drop(self) -> None:
        """Let go without a word, as a process that dies does: for simulations."""
        if self._is_open:
            self._is_open = False
            neighbours.leave(self)
            self.renewal.stop()
            capture.uninstall()

    def forget_in_child(self) -> None:
        """In a forked child: nothing here is ours."""
        self._is_open = False
        neighbours.leave(self)
        self.renewal.after_fork_in_child()

    def _begin_no_more(self) -> None:
        self.engine.draining = True
        self.engine.post(None)

    def _begin_draining(self, idle: Event) -> None:
        self._begin_no_more()
        self.engine.attempts.drain(idle)

    def _abandon_rest(self, over: Event) -> None:
        for call in self.engine.attempts.all():
            self.engine.attempts.abandon(call)
        # Posted, so that the runs just abandoned are recorded first.
        self.engine.post(lambda: self._take_leave(over))

    def _take_leave(self, over: Event) -> None:
        """Say in the store that this node has stopped: here, where a store that hangs keeps no shutdown waiting."""
        engine = self.engine
        now = engine.clock.now()
        try:
            if not engine.is_unopened:
                engine.store.beat(self.parts.row._replace(last_seen=now, stopped_at=now))
        except whatever_it_raises() as error:  # it is only news
            engine.teller.store_trouble(error)
        finally:
            over.set()

    def _await(self, event: Event, deadline: float) -> None:
        """Wait for the engine's thread to set the event, or turn the engine here where it has none."""
        engine = self.engine
        if self._driven_clock is not None:
            self._driven_clock.wait(event.is_set, max(0.0, deadline - engine.clock.monotonic()))
            return
        while not event.is_set():
            left = deadline - engine.clock.monotonic()
            if self._driver is None:
                self._turn_here(event, left)
                if left <= 0:
                    return
            elif left <= 0 or event.wait(min(left, LONGEST_WAIT)):
                return

    def _turn_here(self, event: Event, left: float) -> None:
        """Turn it, unless another thread is at it and stays at it."""
        if not self._turning.acquire(timeout=min(max(0.0, left), LONGEST_WAIT)):
            return
        try:
            self.engine.turn()
            if not event.is_set() and left > 0:
                self.engine.wait(min(left, 0.2))
        finally:
            self._turning.release()

    def _stop(self, deadline: float) -> None:
        """Let go of threads: of Rota's own within a moment, of hooks while there is time."""
        clock = self.engine.clock
        timeout = min(1.0, max(0.2, deadline - clock.monotonic()))
        if self._driver is not None:
            self._driver.stop(timeout)
        self.renewal.stop(timeout)
        self.engine.guarded.shutdown(timeout)
        least = clock.monotonic() + 1.0
        self.engine.teller.stop(lambda: (least if self._is_hurried else max(least, deadline)) - clock.monotonic())
        self._is_open = False
        neighbours.leave(self)
        capture.uninstall()

    def _job_by_claim_id(self, claim_id: str) -> Job | None:
        entry = self.engine.agenda.entries.get(claim_id)
        return None if entry is None else entry.job
