"""How tests that run on real clocks wait: for an event, never for so many seconds, and with a deadline.

A deadline tells a hang from a slow machine, so it is generous: it costs nothing when all is well. What blocks until a
test lets it go blocks for longer than the test waits, or else the wait would be over by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds after which a test gives up on an event."""

LONGER = 2 * PATIENCE
"""Seconds for which whatever is to be still there blocks, and times that must not be waited out."""


def until(is_so: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Wait until something is so; whether it became so in time."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
