"""How one scheduler runs: the numbers that its drivers need, checked by the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from rota.core.options import Inherited, Retention
from rota.core.run import FINAL, UNHAPPY

LONGEST_WAIT: Final = 30.0
"""Seconds: no wait of a driver is longer, so that a stepped clock or a suspend costs one late wake-up."""

POLL_INTERVAL: Final = 1.0
"""Seconds between two looks into a store that other processes write to."""

FORCE_BEFORE_END: Final = 3.0
"""Seconds before the end of a shutdown at which coroutines are cancelled and processes terminated."""

GRACE: Final = 0.25
"""The part of a short shutdown in which a job may still stop itself before it is stopped by force."""

LAST: Final = 1 / 3
"""The part of the time for force in which a process that is deaf to TERM has been killed, so that its run is recorded
as cut off."""


_UNHAPPY: Final = sorted(UNHAPPY)
_OTHERS: Final = sorted(FINAL - UNHAPPY)
"""In an order, so that what is pruned in a simulation is so each time."""


class Settings(NamedTuple):
    """`lease_ttl`, `shutdown_timeout`: seconds. `leased`: others may run these jobs, so runs are leased and polled
    for."""

    name: str
    tz: ZoneInfo
    max_workers: int
    lease_ttl: float
    shutdown_timeout: float
    retention: Retention
    create_tables: bool
    leased: bool


def keep_spans(retention: Retention) -> Mapping[str, timedelta]:
    """How long runs are kept, by status; a status not named is kept for ever."""
    if retention is None:
        return {}
    if isinstance(retention, timedelta):
        return dict.fromkeys(_OTHERS, retention) | dict.fromkeys(_UNHAPPY, 3 * retention)
    spans = {status: span for status, span in retention.items() if status != "unhappy"}
    if "unhappy" in retention:
        spans = dict.fromkeys(_UNHAPPY, retention["unhappy"]) | spans
    return spans


def kept_from(settings: Settings, own: Retention | Inherited, now: int) -> int | None:
    """The instant from which a job's records of happy runs are kept; `None`: for ever. `own`: its own retention."""
    kept = keep_spans(settings.retention if own == "inherit" else own).get("succeeded")
    return None if kept is None else now - kept // timedelta(microseconds=1)
