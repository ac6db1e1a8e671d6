"""What a scheduler works on in this process: its settings, clock, store and locks, opened at first use.

Law: one replaceable object, so that a simulation can put its own in its place and give the scheduler back unharmed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from rota.clock import SYSTEM
from rota.containment import whatever_it_raises
from rota.core.outcome import message_of
from rota.drivers.asking.operations import Operations
from rota.drivers.configuration import Configuration
from rota.drivers.driven import Renewing
from rota.drivers.identity import id_maker
from rota.drivers.locks_apart.locked_store import LockedStore
from rota.drivers.named_locks import LONGEST_TTL, LockServices, NamedLock, wait_in_thread
from rota.drivers.off_loop import at_once, to_thread
from rota.drivers.opening import make_locks, make_store
from rota.drivers.renewal import Renewal
from rota.drivers.settings import Settings
from rota.drivers.store_time import require_same_time
from rota.errors import ConfigurationError
from rota.hooks.logging import logger
from rota.ports import Clock, DrivenClock, FollowsClock, LockBackend, Store

T = TypeVar("T")


class Runtime:
    """Store and locks of one scheduler in this process; also what `scheduler.idempotent` asks for."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        store: Store,
        locks: LockBackend,
        shown_id: Callable[[str], str],
        *,
        make_id: Callable[[], str] | None = None,
        inline: bool = False,
        opening: Callable[[], None] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.store = store
        self.locks = locks
        self.renewal = Renewal(clock, threaded=not inline)
        self.operations = Operations(settings, store, clock, make_id or id_maker(clock.now), shown_id)
        self._inline = inline
        self._opening = opening
        pause = partial(clock.wait, _never) if isinstance(clock, DrivenClock) else wait_in_thread
        self._lock_services = LockServices(settings.name, locks, clock, self.renewal, pause, off_loop=self.in_pool)

    @property
    def is_open(self) -> bool:
        """Whether the store has been opened."""
        return self._opening is None

    def open(self) -> None:
        """Open the store, unless it has been; the next call does it where this one fails."""
        # Threads that come together each open it: a mutex held while a server answers would be held for ever in a
        # child that is forked meanwhile.
        opening = self._opening
        if opening is not None:
            opening()
            self._opening = None

    def named_lock(self, name: str, ttl: float, wait: float) -> NamedLock:
        """The context manager behind `scheduler.lock`."""
        return NamedLock(self._lock_services, name, ttl=ttl, wait=wait)

    def lock(self, key: str) -> NamedLock:
        """The lock of one idempotency key."""
        ttl = min(self.settings.lease_ttl, LONGEST_TTL)
        return NamedLock(self._lock_services, key, ttl=ttl, kind="idempotent")

    def in_pool(self, func: Callable[[], T]) -> Awaitable[T]:
        """Call `func` off the loop."""
        return at_once(func) if self._inline else to_thread(func)

    def rest(self) -> None:
        """Let go of connections; the next call opens them again. Named locks that are held go on being renewed."""
        for backend in (self.locks, self.store):
            try:
                backend.close()
            except whatever_it_raises() as error:  # whatever a backend raises, the shutdown goes on
                logger().warning("store.trouble", error_type=type(error).__name__, detail=message_of(error))


def make_runtime(configuration: Configuration, shown_id: Callable[[str], str]) -> Runtime:
    """Store and locks as configured, the store not opened yet. `shown_id` gives the id of the job that a store knows by
    another."""
    clock = configuration.clock or SYSTEM
    store = given = make_store(configuration.store, configuration.name, clock)
    locks = make_locks(configuration.locks, configuration.name, clock)
    store_follows = _let_follow(store, clock)
    _let_follow(locks, clock)
    if locks is not None:
        store = LockedStore(store, locks, configuration.name, configuration.lease_ttl)
    settings = configuration.settings(leased=store.shared)
    is_driven = isinstance(clock, DrivenClock)

    def open_store() -> None:
        store.open(create_tables=settings.create_tables)
        if is_driven and not store_follows:
            try:
                require_same_time(given, clock)
            except ConfigurationError:
                store.close()
                raise
        if isinstance(clock, DrivenClock):
            clock.attach(Renewing(runtime.renewal, clock, lambda: True), background=True)

    runtime = Runtime(settings, clock, store, store.locks, shown_id, inline=is_driven, opening=open_store)
    return runtime


def _let_follow(backend: object, clock: Clock) -> bool:
    """Hand the scheduler's clock on to a backend; whether it goes by it, or by one that it was made with."""
    return isinstance(backend, FollowsClock) and backend.follow_clock(clock)


def _never() -> bool:
    return False
