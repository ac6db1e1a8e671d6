"""What a run at work asks of its process, answered from the store: values, progress, time, its lease, its log.

Law: called from the threads and loops that run user code; touches no state of the engine but the table of calls.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

from rota.core.run import RunRow
from rota.drivers.off_loop import at_once, to_thread
from rota.errors import LeaseLost
from rota.executors.forked import refuse_forked
from rota.hooks.logging import run_logger
from rota.ports import Clock, Store

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from rota.core.context import _RunFacts
    from rota.drivers.calls import AttemptCall

T = TypeVar("T")


class Services:
    """Implements `rota.core.context.RunServices` on a store."""

    def __init__(
        self, store: Store, clock: Clock, zone: ZoneInfo, state: SimpleNamespace, *, leased: bool, inline: bool = False
    ) -> None:
        self._store = store
        self._clock = clock
        self._leased = leased
        self._inline = inline
        self._state = state
        self._pid = os.getpid()
        self.zone = zone
        self.calls: dict[str, AttemptCall] = {}

    @property
    def state(self) -> SimpleNamespace:
        """The scheduler's per-process namespace."""
        return self._state

    def now(self) -> int:
        """The scheduler's clock, in microseconds."""
        return self._clock.now()

    def monotonic(self) -> int:
        """Microseconds of the clock that nobody sets, by which calls are timed."""
        return round(self._clock.monotonic() * 1_000_000)

    def held(self, row: RunRow) -> bool:
        """Whether this process may still trust its lease on the run. One that the job has forked never had it."""
        if os.getpid() != self._pid:
            return False
        call = self.calls.get(row.id)
        if call is None or call.row.token != row.token:
            return False
        return not self._leased or self._clock.boottime() < call.trusted_until

    def load_values(self, row: RunRow) -> dict[str, str]:
        """Checkpoint and steps of earlier attempts; a first attempt has none."""
        return dict(self._store.values(f"run:{row.id}")) if row.attempt > 1 else {}

    def keep_value(self, row: RunRow, key: str, text: str | None) -> None:
        """Keep or forget a value; durable when this returns. `LeaseLost` where the run is no longer held,
        `StateError` in what the job has forked."""
        refuse_forked(self._pid)
        self._assert_held(row)
        if text is None:
            self._store.delete_value(f"run:{row.id}", key)
        elif not self._store.put_value(f"run:{row.id}", key, text, holder=row.token):
            raise LeaseLost(f"run {row.id} is no longer held by this process: {key!r} was not kept")

    def keep_progress(self, row: RunRow, text: str) -> None:
        """Keep how far the run is. `LeaseLost` and `StateError` as above."""
        refuse_forked(self._pid)
        if row.token is None or not self._store.set_progress(row.id, row.token, text):
            raise LeaseLost(f"run {row.id} is no longer held by this process: its progress was not kept")

    def logger(self, run: _RunFacts) -> FilteringBoundLogger:
        """The logger behind `run.log`; what it says is kept with the run from any thread."""
        call = self.calls.get(run.id)
        return run_logger(run, None if call is None else call.capture)

    def in_pool(self, func: Callable[[], T]) -> Awaitable[T]:
        """Call `func` off the loop."""
        return at_once(func) if self._inline else to_thread(func)

    def _assert_held(self, row: RunRow) -> None:
        if not self.held(row):
            raise LeaseLost(f"run {row.id} is no longer held by this process; stop writing")
