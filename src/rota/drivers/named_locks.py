"""Behind `scheduler.lock(name)`: a lease by name for a `with` block, renewed while the block is at work.

Law (docs/explanation/leases.md): a token is 128 random bits, one per acquisition. An answer that got lost is asked for
again with the same token; where that fails too, the token is given back and the error raised. A request of which
nothing was begun has no answer to lose. A lease is trusted from before the request that was answered, less a margin, by
the clock that counts suspends; once it could not be trusted it never is again. Only the own token is renewed and
released, in the process that took it. Never re-entrant.
"""

from __future__ import annotations

import math
import os
import secrets
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Final, Protocol, TypeVar

from rota.core.lease import Lease, trust_margin
from rota.core.options import LONGEST_SPAN, too_long
from rota.drivers.off_loop import shielded, sleep, to_thread
from rota.drivers.renewal import Renewal
from rota.errors import BackendError, ConfigurationError, LockBackendError, LockHeld
from rota.hooks.logging import logger
from rota.ports import Clock, Grant, LockBackend

SHORTEST_TTL: Final = 0.2
LONGEST_TTL: Final = 86_400.0
LONGEST_NAME: Final = 1_000

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5

T = TypeVar("T")


class OffLoop(Protocol):
    """Calls a blocking function in another thread."""

    def __call__(self, func: Callable[[], T], /) -> Awaitable[T]: ...


def wait_in_thread(seconds: float) -> None:
    """Block this thread for so long."""
    threading.Event().wait(seconds)


@dataclass(frozen=True, slots=True)
class LockServices:
    """What named locks need of a scheduler. `pause` and `async_pause` wait for so many seconds of `clock`. `holdings`:
    what is held in this process, by full name."""

    namespace: str
    locks: LockBackend
    clock: Clock
    renewal: Renewal
    pause: Callable[[float], object] = wait_in_thread
    async_pause: Callable[[float], Awaitable[object]] = sleep
    off_loop: OffLoop = to_thread
    holdings: dict[str, _Holding] = field(default_factory=dict)

    def is_held_here(self, name: str) -> bool:
        """Whether this process holds the lock of that full name."""
        holding = self.holdings.get(name)
        return holding is not None and holding.is_held()


class NamedLock:
    """A context manager, for `with` and `async with`, that gives a `Lease`.

    `LockHeld` where another holds it for longer than `wait` seconds; `LockBackendError` where the backend does not
    answer. A lease that is lost does not interrupt the block, and leaving it does not raise: ask `lease.held`, or hand
    on `lease.fence`. The object may be used again, once at a time: entered while it is entered, it is held by another.

    `ttl` is how long the lock outlives a process that dies; a living holder renews it.
    """

    def __init__(
        self, services: LockServices, name: str, *, ttl: float = 30.0, wait: float = 0.0, kind: str = "lock"
    ) -> None:
        self._services = services
        self.name = name
        self._full_name = _full_name(services.namespace, kind, name)
        self._ttl = _checked_ttl(ttl)
        self._patience = _checked_wait(wait)
        self._entered = threading.Lock()
        self._entered_by = os.getpid(), threading.get_ident()
        self._holding: _Holding | None = None

    def __enter__(self) -> Lease:
        queue = _Queue(self._services.clock, self._patience)
        while True:
            holding = self._enter_once()
            try:
                if holding is not None and holding.take():
                    return self._now_held(holding)
                self._give_up_entry(holding)
            except BaseException:
                self._abandon(holding)
                raise
            self._services.pause(self._next_pause(queue))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        holding = self._no_longer_held()
        try:
            holding.give_back()
        finally:
            self._entered.release()

    async def __aenter__(self) -> Lease:
        queue = _Queue(self._services.clock, self._patience)
        while True:
            holding = self._enter_once()
            try:
                if holding is not None and await self._services.off_loop(holding.take):
                    return self._now_held(holding)
                self._give_up_entry(holding)
            except BaseException:
                # A call that was cancelled goes on in its thread: what it takes after this it gives back by itself.
                await shielded(self._services.off_loop(partial(self._abandon, holding)))
                raise
            await self._services.async_pause(self._next_pause(queue))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        holding = self._no_longer_held()

        def leave() -> None:
            try:
                holding.give_back()
            finally:
                self._entered.release()

        await shielded(self._services.off_loop(leave))

    def _enter_once(self) -> _Holding | None:
        """A new acquisition, or `None` while this very object is entered."""
        if self._is_left_behind():
            self._entered = threading.Lock()
        if not self._entered.acquire(blocking=False):
            return None
        self._entered_by = os.getpid(), threading.get_ident()
        return _Holding(self._services, self._full_name, self._ttl)

    def _is_left_behind(self) -> bool:
        """Whether who is in it is a thread of the process that this one was forked from."""
        process, thread = self._entered_by
        return process != os.getpid() and thread != threading.get_ident()

    def _now_held(self, holding: _Holding) -> Lease:
        self._holding = holding
        self._services.renewal.add(holding)
        self._services.holdings[self._full_name] = holding
        return Lease(self.name, holding.fence, holding.is_held)

    def _no_longer_held(self) -> _Holding:
        holding, self._holding = self._holding, None
        if holding is None:
            raise RuntimeError(f"the lock {self.name!r} was left without having been entered")
        self._services.renewal.remove(holding)
        if self._services.holdings.get(self._full_name) is holding:
            del self._services.holdings[self._full_name]
        return holding

    def _next_pause(self, queue: _Queue) -> float:
        pause = queue.next_pause()
        if pause is not None:
            return pause
        here = self._services.is_held_here(self._full_name)
        who = "another block of this process, and no lock is re-entrant" if here else "another"
        waited = f" (waited {self._patience:g} s)" if self._patience else ""
        raise LockHeld(f"the lock {self.name!r} is held by {who}{waited}")

    def _give_up_entry(self, holding: _Holding | None) -> None:
        if holding is not None:
            self._entered.release()

    def _abandon(self, holding: _Holding | None) -> None:
        if holding is None:
            return
        try:
            holding.give_back()
        finally:
            self._entered.release()


class _Queue:
    """How long to wait still: growing pauses, the last one as long as is left.

    Pauses count even while the clock stands still, so that nobody waits for ever.
    """

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._since = clock.monotonic()
        self._paused = 0.0
        self._pause = _FIRST_PAUSE

    def next_pause(self) -> float | None:
        """Seconds; `None`: the time is over."""
        left = self._patience - max(self._paused, self._clock.monotonic() - self._since)
        if left <= 1e-6:
            return None
        pause, self._pause = min(self._pause, left), min(self._pause * 1.5, _LONGEST_PAUSE)
        self._paused += pause
        return pause


class _Holding:
    """One acquisition: its token, and until when it is trusted. `Renewable`."""

    def __init__(self, services: LockServices, name: str, ttl: float) -> None:
        self.interval = ttl / 3
        self.fence = 0
        self._services = services
        self._name = name
        self._ttl = ttl
        self._token = secrets.token_hex(16)
        self._process = os.getpid()
        # One request at a time, so that a release never overtakes the acquisition that it ends.
        self._asking = threading.Lock()
        self._asked = False
        self._ended = False
        self._lost = False
        self._trusted_until = -math.inf

    def take(self) -> bool:
        """Ask for the lock. `False`: another holds it. `LockBackendError`: nothing was done, or asked twice it is still
        unknown."""
        with self._asking:
            if self._ended:
                return False
            self._asked = True
            before = self._services.clock.boottime()
            grant = self._acquire()
            if grant is None:
                self._ended = True
                return False
            self.fence = grant.fence
            self._trusted_until = before + grant.ttl - trust_margin(grant.ttl)
            return True

    def is_held(self) -> bool:
        """Whether it may be trusted. A process forked off meanwhile does not hold it."""
        return (
            not self._lost
            and self._services.clock.boottime() < self._trusted_until
            and not self._ended
            and os.getpid() == self._process
        )

    def renew(self) -> None:
        """Extend it, unless it was lost: that is final."""
        with self._asking:
            if self._ended or self._lost or os.getpid() != self._process:
                return
            before = self._services.clock.boottime()
            if before >= self._trusted_until:
                self._lose("it could not be renewed in time")
            elif not self._services.locks.renew(self._name, self._token, self._ttl):
                self._lose("the backend no longer knows it")
            elif self._services.clock.boottime() >= self._trusted_until:
                self._lose("renewing it took too long")
            else:
                self._trusted_until = before + self._ttl - trust_margin(self._ttl)

    def give_back(self) -> None:
        """Release it, or see to it that it is never taken. A backend that fails here is logged: the lease runs out."""
        if os.getpid() != self._process:
            return
        with self._asking:
            if self._ended:
                return
            if self._asked and self.fence and not self._lost and not self.is_held():
                self._lose("it could not be renewed in time")
            self._ended = True
            if self._asked and not self._release() and self.fence and not self._lost:
                self._lose("the backend no longer knew it when it was released")

    def _acquire(self) -> Grant | None:
        try:
            return self._services.locks.acquire(self._name, self._token, self._ttl)
        except LockBackendError as error:
            if error.nothing_done:  # no answer got lost, and there is nothing to be given back
                self._asked = False
                raise
            return self._services.locks.acquire(self._name, self._token, self._ttl)

    def _release(self) -> bool:
        """Whether it was still ours, as far as can be told."""
        try:
            try:
                return self._services.locks.release(self._name, self._token)
            except LockBackendError:
                # `False` may mean now that the first request was carried out and only its answer got lost.
                self._services.locks.release(self._name, self._token)
        except BackendError as error:
            logger().warning("lease.release_failed", lock=self._name, error_type=type(error).__name__, error=str(error))
        return True

    def _lose(self, why: str) -> None:
        self._lost = True
        self._services.renewal.remove(self)
        logger().warning("lease.lost", lock=self._name, fence=self.fence, reason=why)


def _full_name(namespace: str, kind: str, name: str) -> str:
    if type(name) is not str or not name:
        raise ConfigurationError(f"a lock's name is a text of at least one character, not {name!r}")
    full_name = f"{namespace}/{kind}/{name}"
    try:
        size = len(full_name.encode())
    except UnicodeEncodeError:
        raise ConfigurationError(f"the lock name {name[:100]!r} is not valid Unicode (a lone surrogate)") from None
    if size > LONGEST_NAME:
        raise ConfigurationError(
            f"a lock's name takes at most {LONGEST_NAME} bytes in UTF-8 together with {namespace + '/' + kind + '/'!r};"
            f" these are {size}: {name[:100]!r}…"
        )
    return full_name


def _checked_ttl(ttl: float) -> float:
    if type(ttl) not in (int, float) or not SHORTEST_TTL <= ttl <= LONGEST_TTL:
        raise ConfigurationError(
            f"a lock's ttl is a number of seconds from {SHORTEST_TTL:g} to {LONGEST_TTL:g}, not {ttl!r}; it is how long"
            f" the lock outlives a holder that dies, a living one renews it"
        )
    return float(ttl)


def _checked_wait(wait: float) -> float:
    if type(wait) not in (int, float) or not wait >= 0:
        raise ConfigurationError(f"wait is a number of seconds, 0 or more, not {wait!r}")
    if wait > LONGEST_SPAN:
        raise ConfigurationError(f"wait: {too_long(wait)}")
    return float(wait)
