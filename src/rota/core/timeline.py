"""What is due, and when to wake up next: a heap, never a sorted list.

Law: pure; the caller brings `now`. Whatever is put on it is popped at or after its instant, in order of instant, then
of arrival. Nothing is taken out of the middle at once: who has moved or gone is popped once and passed over by its
owner, or swept out when it may be that more than half of all has gone, which costs no more than it took to put it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

SMALL = 64
"""So many that have gone are not worth sweeping out."""


class Timeline(Generic[T]):
    """Items by the instant (microseconds) at which they are due."""

    __slots__ = ("_gone", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, T]] = []
        self._sequence = count()
        self._gone = 0

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, due: int, item: T) -> None:
        """Put an item on it."""
        heappush(self._heap, (due, next(self._sequence), item))

    def pop_due(self, now: int) -> Iterator[tuple[int, T]]:
        """Take off what is due, in order."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, _, item = heappop(heap)
            yield due, item

    def first(self, is_gone: Callable[[int, T], bool]) -> int | None:
        """The instant of the first item of which something will come; those before it are taken off, so that nobody
        wakes up for them."""
        heap = self._heap
        while heap and is_gone(heap[0][0], heap[0][2]):
            heappop(heap)
        return heap[0][0] if heap else None

    def note_gone(self, is_gone: Callable[[int, T], bool]) -> None:
        """Nothing will come of an item any more, so that it need not be kept; it may have been taken off before."""
        self._gone += 1
        heap = self._heap
        if self._gone > SMALL and 2 * self._gone > len(heap):
            self._gone = 0
            heap[:] = [entry for entry in heap if not is_gone(entry[0], entry[2])]
            heapify(heap)

    def next_wakeup(self) -> int | None:
        """The instant of the first item; `None` when empty."""
        return self._heap[0][0] if self._heap else None
