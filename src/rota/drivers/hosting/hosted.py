"""What a host has in it: a node of this process, or whatever a simulation puts in its place."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from rota.core.effects import JobState
from rota.core.job import Job
from rota.core.run import RunRow
from rota.drivers.engine import Engine
from rota.drivers.node_parts import ShutdownReport
from rota.drivers.runtime import Runtime
from rota.drivers.telling import Listener


class HostedNode(Protocol):
    """What a host and its health ask of a node; a simulation has several behind it."""

    @property
    def engine(self) -> Engine: ...

    @property
    def is_alive(self) -> bool: ...

    @property
    def trouble(self) -> str: ...

    def declare(self, job: Job) -> None: ...

    def forget(self, claim_id: str, job_id: str) -> None: ...

    def queued(self, row: RunRow) -> None: ...

    def noted(self, state: JobState) -> None: ...

    def cancelled(self, run_id: str) -> None: ...

    def run_due(self) -> float: ...

    def shutdown(self, timeout: float) -> ShutdownReport: ...

    def forget_in_child(self) -> None: ...


class Replaced(NamedTuple):
    """What a simulation has taken the place of."""

    runtime: Runtime | None
    listeners: list[Listener]
