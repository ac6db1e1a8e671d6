"""What goes into a node and what comes out: the parts that it is made of, and the report of its shutdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

from rota.core.job import Job
from rota.drivers.driven import ForeseeingStore
from rota.drivers.settings import Settings
from rota.drivers.telling import Listener
from rota.ports import Clock, Executor, NodeRow, Store


class NodeParts(NamedTuple):
    """What a node is made of: given by the scheduler, or by a simulation in its place. `foresight`: the store itself,
    where its clock is moved by hand and it knows when a look at it is worthwhile. `open_store`: to be called before
    the store is used. `waits_for_store`: whether the node opens although the store is down."""

    settings: Settings
    row: NodeRow
    store: Store
    clock: Clock
    jobs: Mapping[str, Job]
    listeners: list[Listener]
    state: SimpleNamespace
    executors: Mapping[str, Executor]
    new_id: Callable[[], str]
    inline: bool = False
    new_token: Callable[[], str] | None = None
    foresight: ForeseeingStore | None = None
    open_store: Callable[[], None] = lambda: None
    waits_for_store: bool = False


@dataclass(frozen=True, slots=True)
class ShutdownReport:
    """What became of the runs that were at work when a shutdown began, by run id.

    `finished` ended by themselves; `interrupted` stopped at a safe point or were stopped by force and can go on
    elsewhere; `abandoned` did not stop in time: their threads may still be at work.
    """

    finished: tuple[str, ...] = ()
    interrupted: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
