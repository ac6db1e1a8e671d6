"""Faults put in on purpose: stores and drivers that break one rule each, to see that the simulation notices.

Law: a mutation changes one decision and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.simulation.machine import StoreClock

from rota.backends.memory import MemoryStore
from rota.core.run import RunRow
from rota.drivers.attempts import Attempts
from rota.drivers.performer import Performer
from rota.ports import Begin, BeginAnswer, Due, JobSeen, JobState, Swap, SwapAnswer, TickAnswer, TickClaim


class WithoutCompareAndSet(MemoryStore):
    """Moves a watermark wherever it stands."""

    def claim(self, claims: Sequence[TickClaim]) -> Sequence[TickAnswer]:
        return super().claim([claim.replaced(previous=None) for claim in claims])


class WithoutExpiry(MemoryStore):
    """Takes every lease for one that has run out."""

    def due(self, before: int, limit: int, exclude: Any = ()) -> Due:
        found = super().due(before, limit, exclude)
        return found._replace(expired=self.runs(statuses=["running"], limit=limit))

    def swap(self, swaps: Sequence[Swap]) -> Sequence[SwapAnswer]:
        return super().swap([swap.replaced(expired=False) for swap in swaps])


class WithWatermarksThatGoBack(MemoryStore):
    """Forgets the last ten seconds of what was claimed whenever a job is declared."""

    def sync_jobs(self, jobs: Sequence[JobSeen]) -> Sequence[JobState]:
        states = super().sync_jobs(jobs)
        for state in states:
            self._runs.jobs[state.job_id].watermark -= 10_000_000
        return self.job_states([state.job_id for state in states])  # type: ignore[return-value]  # all are known


class WithoutKeys(MemoryStore):
    """Does not know a key again."""

    def add(self, rows: Sequence[RunRow]) -> Sequence[RunRow]:
        keys = [row.key for row in rows]
        for row in rows:
            row.key = None
        kept = super().add(rows)
        for row, key in zip(kept, keys, strict=True):
            row.key = key
        return kept


class WithBorrowedFences(MemoryStore):
    """Gives the fence of the last run once more."""

    def begin(self, asks: Sequence[Begin]) -> Sequence[BeginAnswer]:
        for ask in asks:
            self._runs.jobs[ask.job_id].fence -= 1
        return super().begin(asks)


class WithoutTokens(MemoryStore):
    """Lets anybody end a run, whoever holds it."""

    def swap(self, swaps: Sequence[Swap]) -> Sequence[SwapAnswer]:
        known = [self.run(swap.row.id) for swap in swaps]
        return super().swap(
            [
                swap if row is None or swap.expired else swap.replaced(status=row.status, token=row.token)
                for swap, row in zip(swaps, known, strict=True)
            ]
        )


@contextmanager
def trust_without_end() -> Iterator[None]:
    """A node trusts its leases for as long as they last by its own count, from whenever it hears of them."""

    def trust(self: Attempts) -> float:
        return self._engine.clock.boottime() + 2 * self._engine.settings.lease_ttl

    with mock.patch.object(Attempts, "trust_from_now", trust):
        yield


@contextmanager
def guessing() -> Iterator[None]:
    """A node whose begin was not answered asks anew, and takes it for granted that the first ask did nothing."""

    def resolve(self: Performer) -> None:
        for beginning in self._unsure_begins:
            row = beginning.parked.row.copy()
            row.status, row.token, row.attempt = "running", beginning.ask.token, row.attempt + 1
            self.send(beginning.flow, BeginAnswer("begun", row))
        self._unsure_begins.clear()

    with mock.patch.object(Performer, "_resolve_begins", resolve):
        yield


STORES: dict[str, Callable[[StoreClock], MemoryStore]] = {
    "no compare-and-set": WithoutCompareAndSet,
    "no expiry": WithoutExpiry,
    "watermarks go back": WithWatermarksThatGoBack,
    "no keys": WithoutKeys,
    "borrowed fences": WithBorrowedFences,
    "no tokens": WithoutTokens,
}
DRIVERS = {"trust without end": trust_without_end, "guessing": guessing}
