"""How a scheduler stands in this process, told without asking anything that could hang for long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from rota.containment import whatever_it_raises
from rota.core.misfire import LATE
from rota.drivers.locks_apart.locked_store import LockedStore
from rota.drivers.zone_data import zone_data
from rota.triggers.base import from_micros

if TYPE_CHECKING:
    from rota.drivers.hosting.host import Host
    from rota.drivers.hosting.hosted import HostedNode
    from rota.drivers.runtime import Runtime

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Health:
    """`alive`: jobs are run in this process. `last_tick`: when the engine last turned, aware UTC. `lag`: seconds by
    which the most overdue tick of this node is late. `overdue`: jobs whose tick is more than 30 s late. `stuck`:
    attempts that are over while their thread does not return. `store`, `locks`: whether they answer; a store that
    cannot be written to does not. `tzdata`: the zone data in force. `orphans`: open runs whose job is not declared
    here. `why`: why it is not alive, or an empty text. `without_threads`: executors that begin nothing, since no thread
    can be started for them."""

    alive: bool
    last_tick: datetime | None
    lag: float
    overdue: tuple[str, ...]
    stuck: int
    store: bool
    locks: bool
    tzdata: str
    orphans: int
    why: str = ""
    without_threads: tuple[str, ...] = ()


def health_of(host: Host) -> Health:
    """The health of the scheduler in this host process."""
    node = host.node
    alive = node is not None and node.is_alive
    why = "" if alive else _why_not(host, node)
    (store_answers, orphans), locks_answer = _ask_backends(host)
    lag, overdue = _lateness(node) if node is not None else (0.0, ())
    return Health(
        alive=alive,
        last_tick=_last_turn(node),
        lag=lag,
        overdue=overdue,
        stuck=0 if node is None else node.engine.attempts.stuck,
        store=store_answers and not _waits_for_store(host, locks_answer),
        locks=locks_answer,
        tzdata=zone_data(),
        orphans=orphans,
        why=why,
        without_threads=() if node is None else node.engine.guarded.without_threads,
    )


def _why_not(host: Host, node: HostedNode | None) -> str:
    trouble = "" if node is None else node.trouble
    return trouble or host.armed or "it was not started in this process"


def _has_backend(host: Host) -> bool:
    """Whether there is anything that may not answer. One that was never opened is opened, to be asked."""
    return host.is_used or host.configuration.store is not None or host.configuration.locks is not None


def _ask_backends(host: Host) -> tuple[tuple[bool, int], bool]:
    """Whether the store answers, with the number of orphans, and whether the locks do. What cannot be opened is not
    opened twice, and both are asked at once, so that a server which hangs costs one time-out; in threads of their own,
    where whatever they raise is contained. Under a clock that is moved by hand no thread has a part."""
    if not _has_backend(host):
        return (True, 0), True
    try:
        runtime = host.runtime
    except whatever_it_raises():  # it did not answer
        return (False, 0), False
    if host.is_driven:
        return _ask_store(host, runtime), _ask_locks(runtime)
    store, locks = _Aside(partial(_ask_store, host, runtime)), _Aside(partial(_ask_locks, runtime))
    return store.answer(), locks.answer()


class _Aside(Generic[T]):
    """A question that a thread of its own asks; this one, where no thread can be started."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._answers: list[T] = []
        self._thread = Thread(target=lambda: self._answers.append(ask()), name="rota-health", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # at a limit of the machine, or while the interpreter is ending
            self._answers.append(ask())

    def answer(self) -> T:
        """What was answered, waited for."""
        if self._thread.ident is not None:
            self._thread.join()
        return self._answers[0]


def _ask_store(host: Host, runtime: Runtime) -> tuple[bool, int]:
    known = {job.claim_id for job in list(host.jobs.values())}
    try:
        counts = runtime.store.count_open()
        return True, sum(count for job_id, count in counts.items() if job_id not in known)
    except whatever_it_raises():  # it did not answer
        return False, 0


def _waits_for_store(host: Host, locks_answer: bool) -> bool:
    """Whether nothing is begun since something could not be written down, and not for want of locks beside the
    store."""
    node = host.node
    if node is None or not node.is_alive or not node.engine.performer.is_down:
        return False
    return locks_answer or not isinstance(node.engine.store, LockedStore)


def _ask_locks(runtime: Runtime) -> bool:
    """By giving back what nobody ever holds, which by contract has no effect."""
    try:
        runtime.locks.release(f"{runtime.settings.name}/health", "nobody")
    except whatever_it_raises():  # whatever a store raises, it did not answer
        return False
    return True


def _last_turn(node: HostedNode | None) -> datetime | None:
    if node is None or not node.engine.turned:
        return None
    engine = node.engine
    ago = engine.clock.monotonic() - engine.last_turn
    return from_micros(engine.clock.now() - int(ago * 1_000_000))


def _lateness(node: HostedNode) -> tuple[float, tuple[str, ...]]:
    now = node.engine.clock.now() + node.engine.offset
    agenda = node.engine.agenda
    entries = list(agenda.entries.values())
    since = {entry.job.id: agenda.late_from(entry) for entry in entries if entry.state.paused_at is None}
    late = {job_id: now - due for job_id, due in since.items() if due is not None and due < now}
    lag = max(late.values(), default=0) / 1_000_000
    return lag, tuple(sorted(job_id for job_id, micros in late.items() if micros > LATE))
