"""Ticks that were won in locks apart from a store, and of which the store may never get a record.

Theory. Such a tick is won in one place and written down in another. A process may die between the two, or never be told
whether it has won. Who finds that a record is missing leaves the winner the time of a lease, and then makes one:
`missed`, since nobody can say any more that to run the tick would not be to run it twice.

Law: a record is made only where the store has none of the tick. Its id follows from the tick, so that processes which
miss it at the same time make one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rota.core.run import OPEN, RunRow
from rota.drivers.identity import tick_run_id
from rota.ports import Store

REASON: Final = "unrecorded"


class _Missing(NamedTuple):
    """`rows`: what was to be written down, where that is known. `until`: when the time of the winner is over; `None`:
    it begins with the next look."""

    rows: Sequence[RunRow]
    until: int | None = None


class UnrecordedTicks:
    """`ttl`: seconds that a winner has to write its tick down. One thread at a time."""

    def __init__(self, store: Store, ttl: float) -> None:
        self._store = store
        self._ttl = round(ttl * 1_000_000)
        self._missing: dict[tuple[str, int], _Missing] = {}

    def __bool__(self) -> bool:
        """Whether the record of any tick is missing."""
        return bool(self._missing)

    def note(self, job_id: str, tick: int, rows: Sequence[RunRow] = ()) -> None:
        """The store may have no record of the tick."""
        known = self._missing.get((job_id, tick))
        if known is None or not known.rows:
            self._missing[job_id, tick] = _Missing(rows, None if known is None else known.until)

    def look(self, now: int) -> None:
        """Make the records that have been missing for too long."""
        for (job_id, tick), missing in list(self._missing.items()):
            if missing.until is None:
                self._missing[job_id, tick] = missing._replace(until=now + self._ttl)
            elif missing.until <= now:
                self.record(missing.rows or [_row(job_id, tick, now)], REASON, now)
                del self._missing[job_id, tick]

    def record(self, rows: Sequence[RunRow], reason: str, now: int) -> None:
        """Insert those whose tick has no record; what was to run is missed."""
        new = [row for row in rows if row.scheduled_for and not self.is_recorded(row.job_id, row.scheduled_for)]
        if new:
            self._store.add([_missed(row, reason, now) for row in new])

    def is_recorded(self, job_id: str, tick: int) -> bool:
        """Whether the store has a record of the tick, whoever made it."""
        return bool(self._store.runs_of_ticks(job_id, tick, tick))


def _row(job_id: str, tick: int, now: int) -> RunRow:
    return RunRow(tick_run_id(job_id, tick), job_id, "tick", "queued", now, tick, scheduled_for=tick)


def _missed(row: RunRow, reason: str, now: int) -> RunRow:
    missed = row.copy()
    if missed.status in OPEN:
        missed.status, missed.reason, missed.finished_at = "missed", reason, now
    return missed
