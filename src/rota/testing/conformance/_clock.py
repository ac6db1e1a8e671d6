"""A clock that the contracts set: wall and boot time advance together, or the wall clock alone is stepped."""

from __future__ import annotations

START = 1_780_000_000_000_000
"""The wall clock at first, microseconds."""


class ContractClock:
    """Stands still until told. Not for threads that wait on it."""

    def __init__(self, start: int = START, boot: float = 1000.0, boot_id: str = "first-boot") -> None:
        self._wall = start
        self._boot = boot
        self._boot_id = boot_id

    def now(self) -> int:
        return self._wall

    def monotonic(self) -> float:
        return self._boot

    def boottime(self) -> float:
        return self._boot

    def boot_id(self) -> str:
        return self._boot_id

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall += round(seconds * 1_000_000)
        self._boot += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._wall += round(seconds * 1_000_000)

    def rebooted(self, downtime: float = 60.0) -> ContractClock:
        """The clock of the same machine after a restart."""
        return ContractClock(self._wall + round(downtime * 1_000_000), 10.0, f"{self._boot_id}+")
