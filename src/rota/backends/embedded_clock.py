"""The clock of a store without a server: this machine's wall clock, once it can be trusted.

Law: leases are measured on the boot clock, which nobody sets. Ticks are measured on the wall clock, which can be set;
if wall and boot clock part by more than a second, the new time must stand for 30 s before anything is claimed by it. So
a jump of a day and back poisons no watermark. What was last observed is also kept where the leases are kept
(`Sighting`), since a process that has just started knows no history.

Where the system has no clock that counts a suspend, a suspend looks like a step and costs the same 30 s.
"""

from __future__ import annotations

from typing import NamedTuple

from rota.clock import SYSTEM
from rota.core.values import Value, value
from rota.ports import Clock

STEP = 1_000_000
"""Microseconds by which the clocks must part to be called a step; less is a clock being disciplined."""

DRIFT = 250_000
"""Microseconds of drift after which the last sighting is brought up to date."""

STANDS = 30.0
"""Seconds that a new time must stand."""

LONGEST_READING = 0.1
"""Seconds that reading both clocks may take; a thread that was held up in between would see a step that is none."""

MOST_READINGS = 20
"""How often the clocks are read again on a machine so busy that each reading is held up."""


@value
class Moment(Value):
    """One reading. `now`: wall clock, microseconds. `boot`: boot clock, seconds. `settled`: whether claims may be
    judged by it. `prudent`: `now`, or, as long as that is not settled, the earlier of the new time and the old."""

    now: int
    boot: float
    settled: bool
    prudent: int


class Sighting(NamedTuple):
    """How far the wall clock was ahead of the boot clock when last looked at (`offset`, microseconds), how far it was
    before it was last set (`trusted`), and on the boot clock when the new time will have stood and when it was seen."""

    boot_id: str
    offset: int
    trusted: int
    settles_at: float
    seen_at: float


class EmbeddedClock:
    """Reads a `Clock` and remembers how its two times lay to one another. Safe in threads, but for `follow`,
    which belongs to the opening of a scheduler.

    `None`: the clock of the scheduler that uses it (`follow`), the system's until one comes.
    """

    def __init__(self, clock: Clock | None) -> None:
        self._is_given = clock is not None
        self._go_by(clock or SYSTEM)

    def follow(self, clock: Clock) -> None:
        """Go by `clock`, if none was given; of several schedulers the one that was opened last counts."""
        if not self._is_given and clock is not self._clock:
            self._go_by(clock)

    def _go_by(self, clock: Clock) -> None:
        self._clock = clock
        self._boot_id: str | None = None
        self._last: Sighting | None = None
        self._seen_at = 0.0

    @property
    def boot_id(self) -> str:
        """The boot that this process lives in."""
        if self._boot_id is None:
            self._boot_id = self._clock.boot_id()
        return self._boot_id

    @property
    def last(self) -> Sighting | None:
        """What was last observed, to be kept with the leases."""
        return None if self._last is None else self._last._replace(boot_id=self.boot_id, seen_at=self._seen_at)

    def boottime(self) -> float:
        """The boot clock, in seconds."""
        return self._clock.boottime()

    def observe(self) -> Moment:
        """Read both clocks and judge them by the reading before."""
        now, boot = self._read()
        offset = now - int(boot * 1_000_000)
        last = self._last
        if last is None or abs(offset - last.offset) > DRIFT:
            last = self._last = _seen(last, offset, boot)
        self._seen_at = boot
        if boot >= last.settles_at:
            return Moment(now, boot, True, now)
        return Moment(now, boot, False, min(now, int(boot * 1_000_000) + last.trusted))

    def observe_after(self, kept: Sighting | None) -> Moment:
        """The same, judged also by a sighting that some process has kept, if it is later than the own one."""
        if kept is not None and kept.boot_id != self.boot_id:
            kept = self._of_earlier_boot(kept) if self._last is None else None
        if kept is not None and (self._last is None or kept.seen_at > self._seen_at):
            self._last, self._seen_at = kept, kept.seen_at
        return self.observe()

    def _of_earlier_boot(self, kept: Sighting) -> Sighting | None:
        """What a sighting before the last reboot tells: only that time cannot be earlier than it was then."""
        now, boot = self._read()
        earliest = kept.offset + int(kept.seen_at * 1_000_000)
        if now + STEP >= earliest:
            return None
        offset = now - int(boot * 1_000_000)
        return Sighting(self.boot_id, offset, offset, boot + STANDS, boot)

    def _read(self) -> tuple[int, float]:
        clock = self._clock
        after = clock.boottime()
        now = 0
        for _ in range(MOST_READINGS):
            before = after
            now = clock.now()
            after = clock.boottime()
            if after - before < LONGEST_READING:
                break
        return now, after


def is_worth_keeping(last: Sighting, kept: Sighting | None) -> bool:
    """Whether `last` tells another process anything that `kept` does not."""
    return (
        kept is None
        or kept.boot_id != last.boot_id
        or kept.settles_at != last.settles_at
        or abs(kept.offset - last.offset) > DRIFT
        or last.seen_at - kept.seen_at > STANDS
    )


def _seen(last: Sighting | None, offset: int, boot: float) -> Sighting:
    if last is None:
        return Sighting("", offset, offset, 0.0, boot)
    if abs(offset - last.offset) <= STEP:
        return last._replace(offset=offset)
    trusted = last.offset if boot >= last.settles_at else last.trusted
    return Sighting("", offset, trusted, boot + STANDS, boot)
