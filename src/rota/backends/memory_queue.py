"""Who is next: runs by the time they are due, with whole jobs left out at no cost.

Law: a heap for each job, and a heap of their heads. Looking takes nothing out: it walks both from their tops, so it
costs what it finds and not what is kept. What has gone stays in its heap until it comes to the top or outweighs the
rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import heapify, heappop, heappush
from itertools import count

Entry = tuple[int, int, str]
"""When due (microseconds), the order of arrival, and the id of a run (in a job's heap) or of a job (in the heads)."""

SMALL = 64
"""A heap up to this size is not worth tidying."""


class _JobHeap:
    __slots__ = ("alive", "heap")

    def __init__(self) -> None:
        self.heap: list[Entry] = []
        self.alive = 0


class DueQueue:
    """Runs in the order in which they are due, first come first among equals. Not safe in threads by itself."""

    def __init__(self) -> None:
        self._jobs: dict[str, _JobHeap] = {}
        self._heads: list[Entry] = []
        self._arrival: dict[str, int] = {}
        self._numbers = count()

    def add(self, job_id: str, run_id: str, due: int) -> None:
        """Put a run in; it must not be in already."""
        number = next(self._numbers)
        self._arrival[run_id] = number
        job = self._jobs.get(job_id)
        if job is None:
            job = self._jobs[job_id] = _JobHeap()
        job.alive += 1
        entry = (due, number, run_id)
        heappush(job.heap, entry)
        if job.heap[0] is entry:
            heappush(self._heads, (due, number, job_id))

    def remove(self, job_id: str, run_id: str) -> None:
        """Take a run out, if it is in."""
        if self._arrival.pop(run_id, None) is None:
            return
        job = self._jobs[job_id]
        job.alive -= 1
        if not job.alive:
            del self._jobs[job_id]
        elif job.heap[0][2] == run_id or len(job.heap) > max(SMALL, 2 * job.alive):
            self._tidy(job_id, job)

    def first(self, before: int, limit: int, exclude: Collection[str]) -> list[str]:
        """The ids of at most `limit` runs due by `before`, of jobs not in `exclude`."""
        found: list[str] = []
        if limit > 0:
            for run_id in self._walk(before, exclude):
                found.append(run_id)
                if len(found) == limit:
                    break
        return found

    def counts(self) -> dict[str, int]:
        """How many runs are in, by job."""
        return {job_id: job.alive for job_id, job in self._jobs.items()}

    def earliest(self) -> int | None:
        """When the first of all is due."""
        heads = self._heads
        while heads and not self._is_head(heads[0]):
            heappop(heads)
        return heads[0][0] if heads else None

    def _walk(self, before: int, exclude: Collection[str]) -> Iterator[str]:
        if self.earliest() is None:
            return
        heads, met = self._heads, set(exclude)
        order = count()
        frontier: list[tuple[int, int, int, list[Entry], int]] = [(*heads[0][:2], next(order), heads, 0)]
        while frontier:
            due, number, _, heap, index = heappop(frontier)
            if due > before:
                return
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(heap):
                    heappush(frontier, (*heap[child][:2], next(order), heap, child))
            entry = heap[index]
            if heap is not heads:
                if self._arrival.get(entry[2]) == number:
                    yield entry[2]
            elif entry[2] not in met and self._is_head(entry):
                met.add(entry[2])
                heappush(frontier, (due, number, next(order), self._jobs[entry[2]].heap, 0))

    def _is_head(self, entry: Entry) -> bool:
        job = self._jobs.get(entry[2])
        return job is not None and job.heap[0][1] == entry[1]

    def _tidy(self, job_id: str, job: _JobHeap) -> None:
        heap = job.heap
        while self._arrival.get(heap[0][2]) != heap[0][1]:
            heappop(heap)
        if len(heap) > max(SMALL, 2 * job.alive):
            heap[:] = [entry for entry in heap if self._arrival.get(entry[2]) == entry[1]]
            heapify(heap)
        heappush(self._heads, (heap[0][0], heap[0][1], job_id))
