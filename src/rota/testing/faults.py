"""Stores and locks that fail on demand: for tests of what a program does when its database does.

Law: a call fails before its effect, or after it (the effect is there, the reply is lost), as a network does; what it
raises is what a real backend raises.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Generic, Self, TypeVar

from rota.errors import BackendError, LockBackendError, StoreError
from rota.ports import Clock, FollowsClock, ForgetsLocks, LockBackend, Store, TakesName

Method = Callable[..., Any]
B = TypeVar("B")


class _Script:
    """What is to fail, and what was called and failed so far."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failed: list[str] = []
        self.down = False
        self._at: dict[int, bool] = {}
        self._next: list[tuple[str | None, bool]] = []

    def fail_at(self, number: int, *, after: bool) -> None:
        self._at[len(self.calls) + number] = after

    def fail_next(self, method: str | None, *, times: int, after: bool) -> None:
        self._next += [(method, after)] * times

    def called(self, method: str) -> bool | None:
        """`None`: that call does not fail. `False`: before its effect. `True`: after it."""
        self.calls.append(method)
        after = self._fails(method)
        if after is not None:
            self.failed.append(method)
        return after

    def _fails(self, method: str) -> bool | None:
        if self.down:
            return False
        after = self._at.pop(len(self.calls), None)
        for index, (name, is_after) in enumerate(self._next):
            if name in (None, method):
                del self._next[index]
                return is_after
        return after


class Faults(Generic[B]):
    """Counts the calls to a backend, and lets some fail. `calls` has their names, in order, `failed` those that failed.

    `down = True`: every call fails until it is `False` again. Where schedulers of several names share one, all this is
    of the calls of all.
    """

    def __init__(self, backend: B, error: Callable[[str], BaseException]) -> None:
        self._backend = backend
        self._error = error
        self._script = _Script()

    @property
    def calls(self) -> list[str]:
        """The names of the calls so far."""
        return self._script.calls

    @property
    def failed(self) -> list[str]:
        """The names of those that failed."""
        return self._script.failed

    @property
    def down(self) -> bool:
        """Whether every call fails."""
        return self._script.down

    @down.setter
    def down(self, down: bool) -> None:
        self._script.down = down

    def fail_at(self, number: int, *, after: bool = False) -> None:
        """Let the call of this number fail, counted from 1 from now on. `after`: it takes effect, the reply is lost."""
        self._script.fail_at(number, after=after)

    def fail_next(self, method: str | None = None, *, times: int = 1, after: bool = False) -> None:
        """Let the next calls fail, of one method or of all."""
        if method is not None and not hasattr(type(self), method):
            raise AttributeError(f"a {type(self).__name__} has no method {method!r}")
        self._script.fail_next(method, times=times, after=after)

    def follow_clock(self, clock: Clock) -> bool:
        """Hand a scheduler's clock on to a backend that goes by it."""
        return isinstance(self._backend, FollowsClock) and self._backend.follow_clock(clock)

    def take_name(self, name: str) -> Self | None:
        """Hand a scheduler's name on to a backend that goes by it. The one beside it fails as this one is told."""
        beside = self._backend.take_name(name) if isinstance(self._backend, TakesName) else None
        return None if beside is None else self._around(beside)

    def _around(self, backend: B) -> Self:
        other = copy(self)
        other._backend = backend  # noqa: SLF001  # of its own kind
        return other

    def _call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        after = self._script.called(method)
        if after is False:
            raise self._error(f"{method}: refused, as the test asked for")
        answer = getattr(self._backend, method)(*args, **kwargs)
        if after:
            raise self._error(f"{method}: done, but the reply was lost, as the test asked for")
        return answer


def _unreachable(kind: type[BackendError]) -> Callable[[str], BackendError]:
    def error(text: str) -> BackendError:
        made = kind(text)
        made.unreachable = True
        return made

    return error


def _faulty(method: str) -> Method:
    def call(self: Faults[Any], *args: Any, **kwargs: Any) -> Any:
        return self._call(method, args, kwargs)  # a method of that very class

    call.__name__ = method
    return call


class FaultyStore(Faults[Store]):
    """Hands every call on to a store, unless it is to fail.

    ::

        store = FaultyStore(MemoryStore())
        scheduler = Scheduler("shop", store=store, clock=clock)
        store.fail_next("claim", after=True)
        ...
        store.down = True

    `error` makes what is raised (the `StoreError` of a server that cannot be reached). `shared`: whether it says that
    other processes write to it (as the store does). Its `locks` are the store's own: wrap them too with `FaultyLocks`.
    """

    def __init__(
        self, store: Store, *, shared: bool | None = None, error: Callable[[str], BaseException] | None = None
    ) -> None:
        super().__init__(store, error or _unreachable(StoreError))
        self._shared = shared

    @property
    def shared(self) -> bool:
        """As given, or as the store says."""
        return self._backend.shared if self._shared is None else self._shared

    @property
    def locks(self) -> LockBackend:
        """The store's own."""
        return self._backend.locks

    open = _faulty("open")
    now = _faulty("now")
    sync_jobs = _faulty("sync_jobs")
    job_states = _faulty("job_states")
    pause = _faulty("pause")
    claim = _faulty("claim")
    add = _faulty("add")
    begin = _faulty("begin")
    swap = _faulty("swap")
    request_cancel = _faulty("request_cancel")
    renew = _faulty("renew")
    due = _faulty("due")
    run = _faulty("run")
    runs = _faulty("runs")
    count_open = _faulty("count_open")
    runs_of_ticks = _faulty("runs_of_ticks")
    discard = _faulty("discard")
    values = _faulty("values")
    put_value = _faulty("put_value")
    value = _faulty("value")
    delete_value = _faulty("delete_value")
    set_progress = _faulty("set_progress")
    logs = _faulty("logs")
    beat = _faulty("beat")
    nodes = _faulty("nodes")
    prune = _faulty("prune")
    forget = _faulty("forget")

    def close(self) -> None:
        """Never fails."""
        self._backend.close()


class FaultyLocks(Faults[LockBackend]):
    """Hands every call on to a lock backend, unless it is to fail. `error` makes what is raised (the `LockBackendError`
    of a server that cannot be reached)."""

    def __init__(self, locks: LockBackend, *, error: Callable[[str], BaseException] | None = None) -> None:
        super().__init__(locks, error or _unreachable(LockBackendError))

    @property
    def guarantee(self) -> Any:
        """As the backend says."""
        return self._backend.guarantee

    acquire = _faulty("acquire")
    renew = _faulty("renew")
    release = _faulty("release")
    claim = _faulty("claim")

    def forget_locks(self, limit: int = 1000) -> bool:
        """Have a backend forget locks that can do so."""
        return isinstance(self._backend, ForgetsLocks) and bool(self._call("forget_locks", (limit,), {}))

    def close(self) -> None:
        """Never fails."""
        self._backend.close()
