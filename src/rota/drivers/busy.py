"""Runs that may not begin yet because their job, or their lane, has as many at work as it may: whose turn is next.

Law: of the runs that are held up by one limit only the first asks the store, when a run has ended, and the next one
when that has begun or gone. So ten thousand that wait cost two questions for each that ends, and keep their order: that
in which they came, and of ticks that of the ticks, since the store refuses a later one before an earlier one. A
backfill, which is all that has a lane, asks when everything else of its job that waits has been refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from rota.core.effects import Begin

if TYPE_CHECKING:
    from rota.drivers.backlog import ParkedRun


class Limit(NamedTuple):
    """What holds runs up: their job, their lane in it, and whether earlier ticks count."""

    job_id: str
    lane: str | None
    after_ticks: bool


class Place(NamedTuple):
    """Where a run stands among those of its limit: by its tick where earlier ticks count, then as it came."""

    tick: int
    number: int


class Busy:
    """Runs that wait, by limit. `is_parked`: whether a run still waits at all."""

    def __init__(self, is_parked: Callable[[ParkedRun], bool]) -> None:
        self._is_parked = is_parked
        self._waiting: dict[str, dict[Limit, list[tuple[Place, ParkedRun]]]] = {}
        self._asking: dict[Limit, Place] = {}
        self._askers: dict[str, Limit] = {}
        self._then_backfills: set[str] = set()
        self._numbers = count()

    def __bool__(self) -> bool:
        """Whether any run waits."""
        return bool(self._waiting)

    @property
    def jobs(self) -> set[str]:
        """The ids of the jobs of which runs wait."""
        return set(self._waiting)

    @property
    def tick_jobs(self) -> set[str]:
        """The ids of the jobs of which ticks wait, perhaps for an earlier tick that this node does not know of."""
        return {job_id for job_id, limits in self._waiting.items() if any(limit.after_ticks for limit in limits)}

    def add(self, parked: ParkedRun, ask: Begin) -> list[ParkedRun]:
        """The store has refused to begin it: it waits, at the place it had before it asked. The answer is who is to ask
        now: the one that has come before it meanwhile."""
        limit = _limit(parked, ask)
        is_first = self._askers.pop(parked.row.id, None) is not None
        place = self._asking.pop(limit) if is_first else self._place(parked, ask)
        waiting = self._waiting.setdefault(limit.job_id, {}).setdefault(limit, [])
        heappush(waiting, (place, parked))
        if not is_first:
            return []
        earlier = self._firsts([limit]) if waiting[0][0] < place else []
        return earlier or self._backfills(limit.job_id)

    def joins(self, parked: ParkedRun, ask: Begin) -> list[ParkedRun] | None:
        """`None` unless it waits behind others without asking: they were there first. Ticks have an order of their own;
        a backfill waits behind whatever waits of its job. The answer is who is to ask now."""
        limit = _limit(parked, ask)
        if ask.after_ticks or parked.row.id in self._askers:
            return None
        if limit in self._waiting.get(limit.job_id, ()):
            return self.add(parked, ask)
        if limit.lane is None or not self._holds_up_backfills(limit.job_id):
            return None
        self.add(parked, ask)
        return self.ended(limit.job_id)

    def ended(self, job_id: str) -> list[ParkedRun]:
        """A run of the job has ended: the first of each limit, to ask, unless it is about to."""
        limits = self._waiting.get(job_id)
        if limits is None:
            return []
        self._then_backfills.add(job_id)
        return self._firsts([limit for limit in limits if limit.lane is None]) or self._backfills(job_id)

    def settled(self, run_id: str) -> list[ParkedRun]:
        """The run has begun, or does not wait any more: the next ones, to ask, if it was its turn."""
        limit = self._askers.pop(run_id, None)
        if limit is None:
            return []
        del self._asking[limit]
        return self.ended(limit.job_id)

    def drop(self, job_id: str) -> list[ParkedRun]:
        """Forget the runs of a job that is not declared any more, or anew; which they were."""
        for run_id in [run_id for run_id, limit in self._askers.items() if limit.job_id == job_id]:
            del self._asking[self._askers.pop(run_id)]
        self._then_backfills.discard(job_id)
        return [parked for waiting in self._waiting.pop(job_id, {}).values() for _, parked in waiting]

    def _place(self, parked: ParkedRun, ask: Begin) -> Place:
        return Place((parked.row.scheduled_for or 0) if ask.after_ticks else 0, next(self._numbers))

    def _backfills(self, job_id: str) -> list[ParkedRun]:
        """The first of each lane, to ask, if it is the turn of backfills."""
        if job_id not in self._then_backfills or any(limit in self._asking for limit in _before_backfills(job_id)):
            return []
        self._then_backfills.discard(job_id)
        return self._firsts([limit for limit in self._waiting.get(job_id, ()) if limit.lane is not None])

    def _holds_up_backfills(self, job_id: str) -> bool:
        waiting = self._waiting.get(job_id, ())
        return any(limit in waiting or limit in self._asking for limit in _before_backfills(job_id))

    def _firsts(self, limits: Iterable[Limit]) -> list[ParkedRun]:
        """The first of each of these limits, to ask, unless it is about to."""
        firsts = [self._first(limit) for limit in limits if limit not in self._asking]
        return [parked for parked in firsts if parked is not None]

    def _first(self, limit: Limit) -> ParkedRun | None:
        limits = self._waiting[limit.job_id]
        waiting = limits[limit]
        first = None
        while waiting and first is None:
            place, parked = heappop(waiting)
            if self._is_parked(parked):
                first = parked
                self._asking[limit] = place
                self._askers[parked.row.id] = limit
        if not waiting:
            del limits[limit]
            if not limits:
                del self._waiting[limit.job_id]
        return first


def _limit(parked: ParkedRun, ask: Begin) -> Limit:
    return Limit(parked.row.job_id, parked.row.lane, ask.after_ticks)


def _before_backfills(job_id: str) -> tuple[Limit, Limit]:
    """The limits of a job without a lane."""
    return Limit(job_id, None, True), Limit(job_id, None, False)
