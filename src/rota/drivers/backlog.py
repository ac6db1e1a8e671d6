"""What could begin now, and waits for a free worker of its executor: ticks, and the runs that this node knows of.

Law: what asks again comes before what is new, backfills after everything else; in each part it is first come, first
served.
"""

from __future__ import annotations

from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeAlias

from rota.core.run import RunRow

if TYPE_CHECKING:
    from rota.drivers.agenda import JobEntry
    from rota.drivers.engine import Engine


class ParkedRun:
    """A queued or waiting run that this node knows of; any node that declares its job may begin it. `limit`: what ends
    it when it is too late for it."""

    __slots__ = ("limit", "row")

    def __init__(self, row: RunRow) -> None:
        self.row = row
        self.limit: TooLate | None = None

    def come_due(self, due: int, engine: Engine, *, again: bool = False) -> None:
        """It may begin now, unless it was begun or ended meanwhile, or its job is not declared here any more."""
        job = None if self.is_gone(due, engine) else engine.job_of(self)
        if job is not None:
            engine.ready(job.executor, self, last=self.row.origin == "backfill", again=again)

    def ask_again(self, engine: Engine) -> None:
        """It had come due, and there was no place for it: now there may be, before those that come due after it."""
        self.come_due(self.row.due, engine, again=True)

    def is_gone(self, _due: int, engine: Engine) -> bool:
        """Whether it was begun or ended."""
        return engine.parked.get(self.row.id) is not self


class TooLate:
    """On the timeline: a tick that waits for its turn, when it becomes too late for it, whoever is still at work."""

    __slots__ = ("parked",)

    def __init__(self, parked: ParkedRun) -> None:
        self.parked = parked

    def come_due(self, due: int, engine: Engine) -> None:
        """It ends now, unless it has begun or ended; it may be later by what its job says now."""
        job = None if self.is_gone(due, engine) else engine.job_of(self.parked)
        if job is None:
            return
        if job.options.is_too_late(self.parked.row.due, engine.time):
            engine.performer.resume(job, self.parked)
        else:
            engine.end_when_late(job, self.parked)

    def is_gone(self, due: int, engine: Engine) -> bool:
        """Whether it was begun or ended, or there is a later one."""
        return self.parked.limit is not self or self.parked.is_gone(due, engine)


Ready: TypeAlias = "JobEntry | ParkedRun"


class Backlog:
    """What is ready for one executor, in order."""

    __slots__ = ("again", "first", "last", "last_again")

    def __init__(self) -> None:
        self.again: deque[Ready] = deque()
        self.first: deque[Ready] = deque()
        self.last_again: deque[Ready] = deque()
        self.last: deque[Ready] = deque()

    def __bool__(self) -> bool:
        """Whether anything is ready."""
        return bool(self.first or self.last or self.again or self.last_again)

    def __len__(self) -> int:
        return len(self.first) + len(self.last) + len(self.again) + len(self.last_again)

    def holds_runs(self, number: int) -> bool:
        """Whether so many of its items are runs; the others are ticks."""
        if len(self) < number:
            return False
        items = chain(self.again, self.first, self.last_again, self.last)
        return sum(1 for _ in islice((item for item in items if isinstance(item, ParkedRun)), number)) == number

    def put(self, item: Ready, *, last: bool, again: bool) -> None:
        """One more."""
        if last:
            (self.last_again if again else self.last).append(item)
        else:
            (self.again if again else self.first).append(item)

    def take(self) -> Ready | None:
        """The next one, or `None`."""
        waiting = self.again or self.first or self.last_again or self.last
        return waiting.popleft() if waiting else None

    def drop_ticks(self) -> None:
        """Take the ticks out; who drops them re-arms their jobs."""
        self.first = deque(item for item in self.first if isinstance(item, ParkedRun))
