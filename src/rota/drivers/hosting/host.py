"""A scheduler in its host process: its runtime, its node, and how that is started and stopped.

Law: one process has one node at a time; starting is idempotent; what is started here is stopped here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from rota.clock import SYSTEM
from rota.core.context import current
from rota.core.effects import JobState
from rota.core.job import Job
from rota.core.run import RunRow
from rota.drivers import neighbours
from rota.drivers.configuration import Configuration
from rota.drivers.driven import Attending, ForeseeingStore
from rota.drivers.executor_set import manual_executors, thread_executors
from rota.drivers.hosting.at_exit import finish_at_exit
from rota.drivers.hosting.autostart import Decision, decide_here, makes_process_jobs, worker_count
from rota.drivers.hosting.blocking import wait_for_the_end
from rota.drivers.hosting.forks import is_server_worker, on_fork_in_child
from rota.drivers.hosting.hosted import HostedNode, Replaced
from rota.drivers.hosting.reloader import watch_for_reloader
from rota.drivers.identity import id_maker, node_row
from rota.drivers.locks_apart.locked_store import LockedStore
from rota.drivers.node import Node
from rota.drivers.node_parts import NodeParts, ShutdownReport
from rota.drivers.off_loop import is_on_loop
from rota.drivers.opening import is_store
from rota.drivers.runtime import Runtime, make_runtime
from rota.drivers.signals import StopSignals, ctrl_c_raises_here
from rota.drivers.telling import Listener
from rota.errors import StateError
from rota.executors.targets import wrappers_around
from rota.hooks import capture
from rota.hooks.logging import warn_visibly
from rota.locks import MemoryLocks
from rota.ports import Clock, DrivenClock, Executor

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

Executors = Mapping[str, Executor]

_MODES: Final = {
    "thread": "in a background thread",
    "loop": "on an event loop",
    "manual": "by run_due()",
    "driven": "driven by its clock",
    "simulated": "in a simulation",
}

_DRIVEN_BY_HAND = Decision(True, "its clock is moved by hand, and it starts no thread")

LEAVING: Final = 5.0
"""Seconds that a shutdown may take besides its waiting."""

ALONE_AMONG_WORKERS: Final = (
    "its store is in memory, so each of this server's workers runs every tick by itself; give a store that they share,"
    " such as store='sqlite:///rota.db'"
)


class Host:
    """What a `Scheduler` has besides its declarations."""

    def __init__(self, configuration: Configuration, jobs: Mapping[str, Job], state: SimpleNamespace) -> None:
        self._configuration = configuration
        self._jobs = jobs
        self._state = state
        self._mutex = threading.RLock()
        self._runtime: Runtime | None = None
        self._when_over: list[Callable[[], object]] = []
        self._is_over = threading.Event()
        self._is_over.set()
        self._hooks_listen = False
        self._renamed = {job.claim_id: job.id for job in jobs.values() if job.claim_id != job.id}
        self.listeners: list[Listener] = []
        self.node: HostedNode | None = None
        self._leaving: Node | None = None
        self.armed: str | None = None
        self.mode: str | None = None

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The declared jobs by id."""
        return self._jobs

    @property
    def is_used(self) -> bool:
        """Whether the store was opened or the node started."""
        return self._runtime is not None

    @property
    def is_driven(self) -> bool:
        """Whether no thread has a part in it: its clock is moved by hand, or it is simulated."""
        return self.mode == "simulated" or isinstance(self.clock, DrivenClock)

    @property
    def clock(self) -> Clock:
        """The scheduler's clock."""
        if self._runtime is not None:
            return self._runtime.clock
        return self._configuration.clock or SYSTEM

    @property
    def runtime(self) -> Runtime:
        """Store and locks, opened at first use. A store that is down raises, whether or not it is waited for."""
        runtime = self._runtime
        if runtime is None:
            with self._mutex:
                if self._runtime is None:
                    made = self._made()
                    made.open()
                    self._runtime = made
                runtime = self._runtime
        runtime.open()
        return runtime

    @property
    def state(self) -> SimpleNamespace:
        """The scheduler's per-process namespace."""
        return self._state

    @property
    def configuration(self) -> Configuration:
        """What the scheduler was told."""
        return self._configuration

    def replace(self, runtime: Runtime, node: HostedNode, listeners: list[Listener]) -> Replaced:
        """Put others in place, for a simulation; `put_back` takes what was there. `StateError` where it is started."""
        with self._mutex:
            if self.node is not None:
                raise StateError("the scheduler is started; simulate() takes one that is not: shut it down first")
            before = Replaced(self._runtime, self.listeners)
            self._runtime, self.listeners, self.node, self.mode = runtime, listeners, node, "simulated"
            return before

    def put_back(self, before: Replaced) -> None:
        """End a simulation."""
        with self._mutex:
            self._runtime, self.listeners = before
            self.node = self.mode = None

    def start(self) -> bool:
        """Run in a background thread, unless this process only arms."""
        with self._mutex:
            if self.node is not None:
                return self._same_mode("thread", "driven", "simulated")
            on_fork_in_child(self)
            decision = _DRIVEN_BY_HAND if isinstance(self.clock, DrivenClock) else decide_here()
            if not decision.run:
                self._refuse_misnamed_process_jobs()  # workers that are forked from here could not start
                self._arm(decision)
                return False
            self._start("thread", None)
            return True

    def start_for(self, loop: AbstractEventLoop) -> None:
        """Run with the coroutines of jobs on this loop, unless a simulation has its own."""
        with self._mutex:
            if self.mode == "simulated":
                return
            if self.node is not None:
                raise StateError("the scheduler is started already; it runs in one place at a time")
            on_fork_in_child(self)
            self._start("thread", loop)
            if self.mode == "thread":
                self.mode = "loop"

    def tell_of_end(self, over: Callable[[], None], interrupted: Callable[[], None]) -> None:
        """Call `over` when all is shut down, at once where it is already, and `interrupted` when a Ctrl-C reaches a
        job."""
        with self._mutex:
            self._when_over.append(over)
            if self.node is None:
                over()
            elif ctrl_c_raises_here():
                self.node.engine.attempts.on_keyboard_interrupt = interrupted

    def run(self) -> None:
        """Run in this thread until SIGTERM or SIGINT, then shut down; a SIGINT after that ends the waiting for what is
        at work. A child that only imports the main module again is not kept: it is told why, and goes on."""
        if is_on_loop():
            raise StateError("run() would hold up the event loop of this thread: in a coroutine, await serve()")
        with StopSignals() as signals:
            with self._mutex:
                if self.node is not None:
                    raise StateError("the scheduler is started already; run() is instead of start()")
                decision = decide_here()
                on_fork_in_child(self)
                if decision.is_child:
                    self._arm(decision)
                    return
                self._start("thread", None)
                self._when_over.append(signals.end)
            wait_for_the_end(signals, partial(self.shutdown, None), self._hurry)

    def run_due(self) -> float:
        """Run what is due, in this thread."""
        with self._mutex:
            if self.node is None:
                self._start("manual", None)
            node = self.node
            self._same_mode("manual", "driven", "simulated")
        assert node is not None
        return node.run_due()

    def shutdown(self, timeout: float | None) -> ShutdownReport:
        """Stop the node; where there is none, let go of connections. A job that asks for it is one of those that are
        waited for: there another thread does it, and the report is empty."""
        if self.mode is None:
            return self._rest()
        with self._mutex:
            node, mode = self.node, self.mode
            if node is None:
                return ShutdownReport()
            self._leaving = node if isinstance(node, Node) else None
            self.node = self.mode = None
            when_over, self._when_over = self._when_over, []
            self._is_over = is_over = threading.Event()
        leave = partial(self._leave, node, timeout, [is_over.set, *when_over])
        if current.get() is None or mode in ("driven", "simulated"):
            return leave()
        threading.Thread(target=leave, name="rota-shutdown", daemon=True).start()
        return ShutdownReport()

    def _hurry(self) -> None:
        """End the waiting of the shutdown that is at work, if one is."""
        leaving = self._leaving
        if leaving is not None:
            leaving.hurry()

    def _rest(self) -> ShutdownReport:
        if self._runtime is not None and self._is_over.is_set():
            self._runtime.rest()
        return ShutdownReport()

    def finish(self) -> None:
        """Shut down, or wait for the shutdown that somebody else has begun."""
        self.shutdown(None)
        if self._runtime is not None:
            self._is_over.wait(min(self._runtime.settings.shutdown_timeout + LEAVING, threading.TIMEOUT_MAX))

    def declare(self, job: Job) -> None:
        """A job was added or changed."""
        others = {job.id, *self._forget_names(job.id)} - {job.claim_id}
        if job.claim_id != job.id:
            self._renamed[job.claim_id] = job.id
        if self.node is not None:
            for claim_id in others:  # renamed_from may come, go and change
                self.node.forget(claim_id, job.id)
            self.node.declare(job)

    def forget(self, job: Job) -> None:
        """A job was removed."""
        self._forget_names(job.id)
        if self.node is not None:
            self.node.forget(job.claim_id, job.id)

    def _forget_names(self, job_id: str) -> list[str]:
        """The ids, other than its own, by which the store has known the job here."""
        names = [claim_id for claim_id, shown in list(self._renamed.items()) if shown == job_id]
        for claim_id in names:
            self._renamed.pop(claim_id, None)
        return names

    def queued(self, row: RunRow) -> None:
        """A run was queued in the store: begin it without waiting for a poll."""
        for node in self._hearing():
            node.queued(row)

    def cancelled(self, run_id: str) -> None:
        """A run was cancelled in the store: stop it here without waiting for a renewal."""
        for node in self._hearing():
            node.cancelled(run_id)

    def noted(self, state: JobState) -> None:
        """The store said how a job stands."""
        for node in self._hearing():
            node.noted(state)

    def _hearing(self) -> Iterable[HostedNode]:
        """The own node, and those of other schedulers on a store that is not polled."""
        node, runtime = self.node, self._runtime
        if node is not None:
            yield node
        if runtime is not None and not runtime.settings.leased:
            yield from (other for other in neighbours.on(runtime.store) if other is not node)

    def after_fork_in_child(self) -> None:
        """In a forked child the parent's node is dead. A server's worker starts its own where the fleet shares what
        keeps a tick from being run twice: the store, or the locks."""
        capture.after_fork_in_child()
        node, mode = self.node, self.mode
        self.node = self.mode = self._leaving = None
        self._mutex = threading.RLock()
        self._when_over = []
        self._is_over = threading.Event()
        self._is_over.set()
        started = node is not None or self.armed is not None
        if node is not None:
            node.forget_in_child()
        shared = self._take_runtime_to_child()
        if started and mode in (None, "thread") and is_server_worker() and (shared or node is None):
            self.start()
        elif node is not None:
            self.armed = "it was started in the parent of this forked process, and threads do not survive a fork"
            warn_visibly("scheduler.stopped_by_fork", f"scheduler {self._configuration.name!r}: {self.armed}")
        elif started and decide_here().run:
            self.armed = "its parent only armed, and this forked process is no worker of a server"

    def after_becoming_worker(self) -> None:
        """Where the server had this process wait to be a worker, it runs jobs from now on."""
        if self.armed is not None:
            self.start()

    def _take_runtime_to_child(self) -> bool:
        """Whether a child may run jobs beside its parent. Rows that the parent keeps in its memory stay the parent's:
        with locks that are shared, the child opens a store of its own."""
        runtime = self._runtime
        if runtime is None:
            return False
        runtime.renewal.after_fork_in_child()
        if not isinstance(runtime.store, LockedStore) or _has_shared_rows(runtime):
            return runtime.store.shared
        if is_store(self._configuration.store) or isinstance(runtime.locks, MemoryLocks):
            return False
        self._runtime = None
        return True

    def _made(self) -> Runtime:
        runtime = make_runtime(self._configuration, self.shown_id)
        if not _has_shared_rows(runtime) and makes_process_jobs(os.environ, os.getpid()):
            raise StateError(
                f"scheduler {self._configuration.name!r} keeps its runs in the memory of the process that started it,"
                " and this process makes the calls of its process jobs: give it a store that they share, such as"
                " store='sqlite:///rota.db'"
            )
        on_fork_in_child(self)
        self._listen_to_hooks()
        return runtime

    def _listen_to_hooks(self) -> None:
        """The hooks given hear of everything first, however often the store is opened."""
        if not self._hooks_listen:
            self._hooks_listen = True
            self.listeners[:0] = [Listener(hook) for hook in self._configuration.hooks]

    def shown_id(self, claim_id: str) -> str:
        """The id of the job that the store knows by this one."""
        return self._renamed.get(claim_id, claim_id)

    def _start(self, mode: str, loop: AbstractEventLoop | None) -> None:
        self._refuse_misnamed_process_jobs()
        runtime = self._runtime = self._runtime or self._made()
        given = self._configuration.executors
        clock, settings = runtime.clock, runtime.settings
        self.armed = None
        if isinstance(clock, DrivenClock):
            node = self._node(runtime, {**clock.executors(), **given}, inline=True, waits=True)
            self._open_node(node, "driven", node.open)
            clock.attach(node)
            clock.attach(Attending(node, clock), background=True)
            return
        is_manual = mode == "manual"
        executors = manual_executors(settings, given) if is_manual else thread_executors(settings, loop, given)
        node = self._node(runtime, executors, inline=False, waits=not is_manual)
        self._open_node(node, mode, node.open if is_manual else node.start_thread)
        finish_at_exit(self)
        if mode == "thread" and loop is None:
            watch_for_reloader(node.engine, self._disarm)
        if not is_manual and not runtime.store.shared and worker_count() > 1:
            warn_visibly("scheduler.not_shared", f"scheduler {self._configuration.name!r}: {ALONE_AMONG_WORKERS}")

    def _refuse_misnamed_process_jobs(self) -> None:
        """By now the modules that declare them have, as a rule, run to their end."""
        for job in list(self._jobs.values()):
            if job.executor == "process" and not isinstance(self.clock, DrivenClock):
                wrappers_around(job.func, f"job {job.id!r}")

    def _open_node(self, node: Node, mode: str, open_it: Callable[[], None]) -> None:
        self.node, self.mode = node, mode
        try:
            open_it()
        except BaseException:
            self.node = self.mode = None
            node.drop()
            if self._runtime is not None and not self._runtime.is_open:
                self._runtime = None  # never used, so it may be configured otherwise
            raise

    def _leave(
        self, node: HostedNode, timeout: float | None, when_over: Iterable[Callable[[], object]]
    ) -> ShutdownReport:
        runtime = self._runtime
        assert runtime is not None
        try:
            return node.shutdown(runtime.settings.shutdown_timeout if timeout is None else timeout)
        finally:
            if self._leaving is node:
                self._leaving = None
            runtime.rest()
            for tell in when_over:
                tell()

    def _disarm(self, decision: Decision) -> None:
        """This process turns out to be one that only arms."""
        self.shutdown(None)
        self._arm(decision)

    def _node(self, runtime: Runtime, executors: Executors, *, inline: bool, waits: bool) -> Node:
        parts = NodeParts(
            runtime.settings,
            node_row(runtime.clock),
            runtime.store,
            runtime.clock,
            self._jobs,
            self.listeners,
            self._state,
            executors,
            id_maker(runtime.clock.now),
            inline,
            foresight=runtime.store if inline and isinstance(runtime.store, ForeseeingStore) else None,
            open_store=runtime.open,
            waits_for_store=waits,
        )
        return Node(parts)

    def _same_mode(self, *modes: str) -> bool:
        if self.mode not in modes:
            raise StateError(f"the scheduler already runs another way, {_MODES[str(self.mode)]}; shut it down first")
        return True

    def _arm(self, decision: Decision) -> None:
        if self.armed is None:
            self.armed = decision.why
            name = self._configuration.name
            warn_visibly("scheduler.armed", f"scheduler {name!r} does not run jobs in this process: {decision.why}")


def _has_shared_rows(runtime: Runtime) -> bool:
    """Whether other processes see the runs; with locks of their own their ticks may be shared and the rows not."""
    store = runtime.store
    return store.rows_are_shared if isinstance(store, LockedStore) else store.shared
