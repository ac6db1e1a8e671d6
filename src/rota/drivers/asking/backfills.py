"""Runs for the ticks of a range of the past: which ticks, and the rows to insert.

Law: the live schedule is left as it is. Ticks after the watermark are its own, and ticks whose records may have been
pruned are refused, since nobody knows which of them ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rota.core.job import Job
from rota.core.run import OPEN, RunRow, rfc3339
from rota.drivers.asking.asked import instant
from rota.drivers.settings import Settings, kept_from
from rota.errors import ConfigurationError
from rota.ports import Store
from rota.triggers.base import from_micros

MOST_BACKFILLED = 100_000
"""Ticks that one backfill may make runs for; more is more likely a slip than a wish."""

BackfillOnly = Literal["unsucceeded", "missing", "all"]


@dataclass(frozen=True, slots=True)
class Backfill:
    """What a backfill asked for: the ids of its runs, which are what it iterates over, and their ticks (aware UTC).

    Its length is the number of ticks. Under `dry_run` there are ticks, and no runs."""

    run_ids: tuple[str, ...]
    ticks: tuple[datetime, ...]

    def __len__(self) -> int:
        return len(self.ticks)

    def __iter__(self) -> Iterator[str]:
        return iter(self.run_ids)

    def __getitem__(self, index: int) -> str:
        return self.run_ids[index]


def backfill_of(ticks: list[int], rows: list[RunRow]) -> Backfill:
    """What is told of these ticks, and of the runs that were made for them."""
    return Backfill(tuple(row.id for row in rows), tuple(from_micros(tick) for tick in ticks))


class Backfills:
    """On one store. `now` gives the time, microseconds."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], int], new_id: Callable[[], str]) -> None:
        self._settings = settings
        self._store = store
        self._now = now
        self._new_id = new_id

    def ticks(self, job: Job, watermark: int, start: datetime | str, end: datetime | str, only: str) -> list[int]:
        """The ticks in `[start, end)` up to the watermark that are to have a run, oldest first."""
        # What lies after the watermark is still to come from the schedule itself: caught up, or recorded as missed.
        ticks = [tick for tick in self._all(job, instant(start, "start"), instant(end, "end")) if tick <= watermark]
        self._refuse_older_than_retention(job, ticks)
        return self._wanted(job, ticks, only)

    def rows(self, job: Job, ticks: list[int], max_running: int) -> list[RunRow]:
        """The rows to insert for these ticks."""
        trigger, now, lane = job.trigger, self._now(), f"backfill:{self._new_id()}"
        assert trigger is not None
        rows = []
        for index, tick in enumerate(ticks):
            # Their places in the queue are microseconds apart, so that the oldest tick begins first.
            due = now - len(ticks) + index
            row = RunRow(self._new_id(), job.claim_id, "backfill", "queued", now, due, scheduled_for=tick)
            previous = trigger.previous_tick(tick)
            row.window_start, row.window_end = tick if previous is None else previous, tick
            row.lane, row.lane_limit = lane, max_running
            rows.append(row)
        return rows

    def _all(self, job: Job, start: int, end: int) -> list[int]:
        trigger = job.trigger
        assert trigger is not None
        if end <= start:
            raise ConfigurationError(f"backfill: end {rfc3339(end)} is not after start {rfc3339(start)}")
        ticks: list[int] = []
        tick = trigger.next_tick(start - 1)
        while tick is not None and tick < end:
            ticks.append(tick)
            if len(ticks) > MOST_BACKFILLED:
                raise ConfigurationError(f"backfill: over {MOST_BACKFILLED} ticks; take a shorter range at a time")
            tick = trigger.next_tick(tick)
        if ticks and ticks[-1] > self._now():
            raise ConfigurationError(f"backfill: {rfc3339(ticks[-1])} has not come yet; end the range now or earlier")
        return ticks

    def _refuse_older_than_retention(self, job: Job, ticks: list[int]) -> None:
        keep_from = kept_from(self._settings, job.options.retention, self._now())
        if ticks and keep_from is not None and ticks[0] < keep_from:
            raise ConfigurationError(
                f"backfill: ticks from {rfc3339(ticks[0])} are older than the retention (records are kept from"
                f" {rfc3339(keep_from)}), so it is not known which of them ran; start later, or keep records longer"
            )

    def _wanted(self, job: Job, ticks: list[int], only: str) -> list[int]:
        if not ticks:
            return []
        rows = self._store.runs_of_ticks(job.claim_id, ticks[0], ticks[-1])
        busy = {row.scheduled_for for row in rows if row.status in OPEN or row.stuck}
        done: set[int | None] = set()
        if only == "unsucceeded":
            done = {row.scheduled_for for row in rows if row.status in ("succeeded", "handed_over")}
        elif only == "missing":
            done = {row.scheduled_for for row in rows if row.status not in ("skipped", "missed")}
        return [tick for tick in ticks if tick not in busy and tick not in done]
