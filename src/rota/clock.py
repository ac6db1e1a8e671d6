"""The operating system's clocks: the only file that may ask the time."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Final

_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The clock of a program in production. Stateless; safe in any thread."""

    __slots__ = ()

    def now(self) -> int:
        """UTC microseconds since 1970-01-01T00:00Z."""
        return time.time_ns() // 1000

    # No functions of our own around these two: they are asked for several times with each run.
    monotonic = staticmethod(time.monotonic)
    """Seconds of `time.monotonic`, which stops while a Linux or macOS machine is suspended (PEP 418)."""

    boottime = staticmethod(time.monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME))
    """Seconds of `CLOCK_BOOTTIME` where the system has it (suspends included), else as `monotonic`."""

    def boot_id(self) -> str:
        """The kernel's boot id on Linux; elsewhere the boot instant to ten seconds, the best that can be had."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return f"boot-{round((time.time() - time.monotonic()) / 10)}"


SYSTEM: Final = SystemClock()
"""The clock of whoever was given none."""
