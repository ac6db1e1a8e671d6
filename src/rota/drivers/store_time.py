"""The time as the store has it, on a machine whose own clock may be minutes or days off.

Law: what is written to a shared store is dated by its clock, so that a run which is to begin at once does so, whoever
asked for it. A second more or less is left alone: the store judges its ticks itself.
"""

from __future__ import annotations

from typing import Final

from rota.containment import whatever_it_raises
from rota.core.run import rfc3339
from rota.errors import ConfigurationError
from rota.ports import Clock, Store

OFF: Final = 1_000_000
"""Microseconds by which clocks must differ to be told apart; less may be the way to the store and back."""

ASKED_FOR: Final = 300.0
"""Seconds after which the store is asked again: both clocks drift, and are put right."""

SILENT_FOR: Final = 5.0
"""The same where it did not answer."""

MOST_QUESTIONS: Final = 3
"""How often it is asked at once: a clock that is set time and again will be right another time."""


def store_ahead(store: Store, clock: Clock) -> int:
    """By how many microseconds the store's clock is ahead of this one; 0 where that may be next to nothing.

    The store looked at its clock some time between the question and its answer, which may lie far apart. In doubt it is
    held to be early: what is claimed too early is refused and put right, what comes late would be late for ever. Where
    the clock here was set meanwhile, the answer tells nothing, and the store is asked again.
    """
    least, most = _bounds(store, clock, MOST_QUESTIONS)
    return 0 if least <= OFF and most >= -OFF else most


def _bounds(store: Store, clock: Clock, questions: int) -> tuple[int, int]:
    """The least and the most that the store may be ahead, asked at most so many times."""
    asked, parted = clock.now(), wall_and_boot_part(clock)
    said = store.now()
    if questions > 1 and abs(wall_and_boot_part(clock) - parted) > OFF:
        return _bounds(store, clock, questions - 1)
    return said - clock.now(), said - asked


def wall_and_boot_part(clock: Clock) -> int:
    """By how many microseconds the wall clock is ahead of the boot clock: it changes when somebody sets the clock."""
    return clock.now() - int(clock.boottime() * 1_000_000)


def require_same_time(store: Store, clock: Clock) -> None:
    """`ConfigurationError` where the store keeps another time: a clock that is moved by hand does not move it."""
    ahead = store_ahead(store, clock)
    if ahead:
        now = clock.now()
        raise ConfigurationError(
            f"Scheduler: its clock, which a test moves, shows {rfc3339(now)}, but {type(store).__name__} keeps a time "
            f"of its own, {rfc3339(now + ahead)}. Take a MemoryStore or a SQLiteStore with such a clock, or test the "
            "scheduler as it is with rota.testing.simulate"
        )


class StoreTime:
    """Asks the store at first need, once in a while, and when the clock here was set."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ahead: int | None = None
        self._ask_at = float("-inf")
        self._parted = 0

    def now(self) -> int:
        """The store's time in microseconds. What the store raises is raised only before it has answered once."""
        clock = self._clock
        boot = clock.boottime()
        parted = wall_and_boot_part(clock)
        if self._ahead is None or boot >= self._ask_at or abs(parted - self._parted) > OFF:
            self._ahead = self._ask(boot, parted)
        return clock.now() + self._ahead

    def _ask(self, boot: float, parted: int) -> int:
        stepped, self._parted = parted - self._parted, parted
        try:
            ahead = store_ahead(self._store, self._clock)
        except whatever_it_raises():
            if self._ahead is None:
                raise
            self._ask_at = boot + SILENT_FOR
            return self._ahead - stepped
        self._ask_at = boot + ASKED_FOR
        return ahead
