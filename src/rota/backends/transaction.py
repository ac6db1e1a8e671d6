"""What a store or locks in tables are made of: transactions, and what can be loaded and written in one.

Law: an implementation decides nothing; it loads facts and writes down what became of them. What is loaded in a
transaction that writes stays as it is until its end: nobody else changes it. To that end locks are asked for in one
order: the space, jobs, runs, and among them sorted by id. Each call is a fixed number of statements, however many jobs
or runs it is about, wherever a statement costs a round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from rota.backends.embedded_clock import Moment
from rota.backends.rules import JobFacts, RunStanding
from rota.core.run import RunRow
from rota.ports import NodeRow

T = TypeVar("T")

Ended = tuple[str, str]
"""The id and the status of a run that has ended."""


class Transaction(Protocol):
    """One transaction in the tables of one namespace."""

    @property
    def moment(self) -> Moment:
        """The time by the store's clock, the same until the end. Ask for it after what is judged by it is loaded."""
        ...

    # Jobs

    def alone(self) -> None:
        """Wait until nobody else is between this call and the end of a transaction."""
        ...

    def jobs(self, job_ids: Iterable[str]) -> dict[str, JobFacts]:
        """The facts of the jobs that are known, with their live tick runs."""
        ...

    def move_jobs(self, jobs: Collection[JobFacts]) -> None:
        """Write down what runs change of their jobs."""
        ...

    def write_jobs(self, jobs: Collection[JobFacts]) -> None:
        """Write down jobs whole, known before or not."""
        ...

    def renames(self, job_ids: Iterable[str]) -> dict[str, str]:
        """The earlier ids of jobs, by their new ones."""
        ...

    def set_rename(self, job_id: str, earlier_id: str) -> None: ...

    def delete_rename(self, job_id: str) -> None: ...

    # Runs

    def runs(self, run_ids: Iterable[str]) -> dict[str, RunRow]:
        """Rows by id; an id that is not known is left out."""
        ...

    def standings(self, run_ids: Iterable[str]) -> dict[str, RunStanding]:
        """The same, of each only what a swap asks for first."""
        ...

    def leases(self, run_ids: Iterable[str]) -> dict[str, tuple[str, str | None]]:
        """The tokens of leases that are not over, each with the reason for which its run is asked to stop."""
        ...

    def holds(self, run_id: str, token: str) -> bool:
        """Whether the run is held by this token."""
        ...

    def keyed(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], RunRow]:
        """Enqueued rows by their job and key."""
        ...

    def at_work(self, job_ids: Collection[str]) -> dict[str, int]:
        """How many runs of jobs are held."""
        ...

    def at_work_in(self, lanes: Collection[str]) -> dict[str, int]:
        """How many runs of lanes are held."""
        ...

    def insert(self, rows: Sequence[tuple[RunRow, float | None]]) -> None:
        """Insert rows, those with a time to live leased for so many seconds."""
        ...

    def insert_unknown(self, rows: Sequence[RunRow]) -> None:
        """Insert those rows whose id, and whose key among the enqueued ones of their job, are not known."""
        ...

    def begin(self, rows: Sequence[tuple[RunRow, float]]) -> None:
        """Write down rows that have begun, leased for so many seconds."""
        ...

    def swap(self, rows: Sequence[RunRow]) -> None:
        """Write down all that may change of rows but their progress."""
        ...

    def lease(self, run_ids: Sequence[str], ttl: float) -> None:
        """Lease runs for so many seconds from now."""
        ...

    def ask_to_stop(self, run_ids: Sequence[str], reason: str, statuses: Collection[str]) -> None:
        """Note why runs that are in one of these statuses are to stop, unless they have been asked before."""
        ...

    def set_discarded(self, run_id: str) -> None: ...

    def set_progress(self, run_id: str, progress: str) -> None: ...

    def ready(self, before: int, limit: int, exclude: Collection[str], *, backfills: bool) -> list[RunRow]:
        """Open rows that are due: the backfills, or all others."""
        ...

    def expired(self, limit: int, exclude: Collection[str]) -> list[RunRow]:
        """Held rows whose leases are over."""
        ...

    def search(
        self,
        job_id: str | None,
        statuses: Collection[str] | None,
        origins: Collection[str] | None,
        before: int | None,
        since: int | None,
        discarded: bool | None,
        limit: int,
    ) -> list[RunRow]:
        """As `Store.runs`."""
        ...

    def count_open(self) -> dict[str, int]:
        """As `Store.count_open`."""
        ...

    def runs_of_ticks(self, job_id: str, queued_from: int, first: int, last: int) -> list[RunRow]:
        """As `Store.runs_of_ticks`, of those queued at `queued_from` or later."""
        ...

    def ended(
        self, job_id: str | None, exclude: Collection[str], status: str, keep_from: int, limit: int
    ) -> list[Ended]:
        """Runs that ended so before `keep_from`."""
        ...

    def delete_runs(self, runs: Sequence[Ended]) -> int:
        """Delete those that are still as they were found, with their values and logs; how many."""
        ...

    # Values, logs, nodes

    def values(self, scope: str) -> dict[str, str]: ...

    def value(self, scope: str, key: str) -> str | None: ...

    def put_value(self, scope: str, key: str, value: str, until: int | None) -> None: ...

    def delete_value(self, scope: str, key: str) -> None: ...

    def delete_values_over(self, limit: int) -> int:
        """Delete values whose time is over; how many."""
        ...

    def append_logs(self, lines: Sequence[tuple[str, str]]) -> None:
        """Append lines, each with the id of its run before it."""
        ...

    def logs(self, run_id: str) -> list[str]: ...

    def beat(self, node: NodeRow) -> None: ...

    def nodes(self) -> list[NodeRow]: ...

    def delete_nodes(self, before: int) -> None:
        """Delete the nodes last seen before this instant."""
        ...


class LockTransaction(Protocol):
    """One transaction in the tables of locks of one namespace."""

    @property
    def moment(self) -> Moment:
        """As `Transaction.moment`."""
        ...

    def lock(self, name: bytes) -> tuple[int, str | None]:
        """The last fence given for a name (the floor, if none is known), and the token of a lease that is not over."""
        ...

    def set_lock(self, name: bytes, fence: int, token: str | None, ttl: float | None) -> None:
        """Write a lock down, leased for so many seconds."""
        ...

    def free_locks(self, limit: int) -> list[bytes]:
        """Names of locks that nobody holds."""
        ...

    def delete_locks(self, names: Sequence[bytes]) -> None:
        """Delete those that still nobody holds, and raise the floor to their fences."""
        ...

    def watermarks(self, names: Iterable[bytes]) -> dict[bytes, int]:
        """The watermarks of the names that have one."""
        ...

    def set_watermarks(self, watermarks: Mapping[bytes, int]) -> None: ...


X_co = TypeVar("X_co", covariant=True)


class Space(Protocol[X_co]):
    """The part of a database that belongs to one scheduler, in transactions of the kind `X_co`.

    What fails raises the space's `BackendError`: then nothing was kept, unless it was the commit that failed.
    """

    def open(self, *, create: bool) -> object:
        """See to the tables; idempotent and safe in several processes at once."""
        ...

    def now(self) -> int:
        """The store's clock."""
        ...

    def read(self, work: Callable[[X_co], T]) -> T:
        """Do `work`, which only looks."""
        ...

    def write(self, work: Callable[[X_co], T]) -> T:
        """Do `work` as one transaction, perhaps more than once: what it gives counts the last time."""
        ...

    def write_judged(self, work: Callable[[X_co], T]) -> T:
        """The same for work that goes by the wall clock."""
        ...

    def close(self) -> None:
        """Let go of connections and files of this process."""
        ...
