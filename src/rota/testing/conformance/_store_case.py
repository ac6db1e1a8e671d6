"""What every test of a store stands on: the store at a place of its own, time, and rows to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from rota.clock import SystemClock
from rota.core.run import RunRow
from rota.ports import Begin, Clock, JobSeen, JobState, NodeRow, Store, Swap, TickAnswer, TickClaim
from rota.testing.conformance._clock import ContractClock
from rota.testing.conformance._lock_case import Disturbance
from rota.testing.conformance._processes import Peer, peer

StoreFactory = Callable[[str, Clock | None], Store]

SECOND = 1_000_000
JOB = "job"
NODE = NodeRow("node-1", "host", 1, 0, 0)


@dataclass(frozen=True, slots=True)
class StoreCapabilities:
    """What a store is, so that only the points that apply to it are collected.

    `takes_clock`: it goes by the clock handed to the factory. `is_one_object`: it lives in one object; opening it twice
    would give two. Where given, `hang` keeps it from answering and `break_storage` makes it unusable.
    """

    takes_clock: bool = True
    is_one_object: bool = False
    hang: Disturbance | None = None
    break_storage: Disturbance | None = None


class StoreCase:
    """Gives each test `store` at `place`, opened, by `clock` where it takes one."""

    factory: ClassVar[StoreFactory]
    capabilities: ClassVar[StoreCapabilities] = StoreCapabilities()

    place: str
    clock: ContractClock
    store: Store

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> Iterator[None]:
        self.place = str(tmp_path / f"store-{uuid4().hex[:8]}")
        self.clock = ContractClock()
        self._opened: list[Store] = []
        self.store = self.open()
        yield
        for opened in self._opened:
            opened.close()

    def open(self) -> Store:
        """The store as another part of the program would open it; the same one where it is one object."""
        if self.capabilities.is_one_object and self._opened:
            return self._opened[0]
        store = type(self).factory(self.place, self.clock if self.capabilities.takes_clock else None)
        store.open()
        self._opened.append(store)
        return store

    def peer(self) -> Peer:
        """Another process with the store at the same place, by the real clock."""
        other = peer()
        other.open(type(self).factory, self.place)
        other.call("open")
        return other

    def now(self) -> int:
        """The wall clock that the store should go by, microseconds."""
        return self.clock.now() if self.capabilities.takes_clock else SystemClock().now()

    def declared(self, job_id: str = JOB, *, since: float = 3600.0) -> JobState:
        """A job first seen so many seconds ago, as the store knows it now."""
        state = self.store.sync_jobs([JobSeen(job_id, "signature")])[0]
        if self.capabilities.takes_clock:
            self.clock.advance(since)
        return state

    def row(self, tick: int | None = None, job_id: str = JOB, origin: str = "tick", **facts: Any) -> RunRow:
        """A queued run, for a tick or due at once."""
        now = self.now()
        given: dict[str, Any] = {"scheduled_for": tick, **facts}
        queued_at, due = given.pop("queued_at", now), given.pop("due", now if tick is None else tick)
        status = given.pop("status", "queued")
        return RunRow(given.pop("id", str(uuid4())), job_id, origin, status, queued_at, due, **given)

    def ask(self, row: RunRow, token: str | None = None, **limits: Any) -> Begin:
        """To begin a run."""
        given: dict[str, Any] = {"ttl": 30.0, "node": "node-1", **limits}
        return Begin(row.id, row.job_id, row.attempt, token or uuid4().hex, **given)

    def claim_of(self, state: JobState, tick: int, *rows: RunRow, **facts: Any) -> TickClaim:
        """To claim a tick of a job in this state."""
        live = tuple(live.run_id for live in state.live)
        given: dict[str, Any] = {"paused": state.paused_at is not None, "live": live, "rows": rows, **facts}
        return TickClaim(state.job_id, state.watermark, tick, **given)

    def claimed(self, state: JobState, tick: int, *rows: RunRow, **facts: Any) -> TickAnswer:
        """Claim a tick, which must succeed."""
        answer = self.store.claim([self.claim_of(state, tick, *rows, **facts)])[0]
        assert answer.verdict == "claimed"
        return answer

    def begun(self, row: RunRow, **limits: Any) -> RunRow:
        """Add a run and begin it."""
        self.store.add([row])
        answer = self.store.begin([self.ask(row, **limits)])[0]
        assert answer.verdict == "begun"
        assert answer.row is not None
        return answer.row

    def ended(self, row: RunRow, status: str = "succeeded", **facts: Any) -> Swap:
        """To end a run that was begun."""
        new = row.copy()
        new.status = status
        new.finished_at = self.now()
        return Swap(new, row.status, row.token, **facts)

    def kept(self, run_id: str) -> RunRow:
        """The row as the store keeps it."""
        row = self.store.run(run_id)
        assert row is not None
        return row
