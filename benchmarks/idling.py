"""Idle: a thousand jobs, none of them due; CPU and wake-ups in twenty seconds."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from benchmarks.cases import Figures, case, scaled


def no_op() -> None:
    """A job."""


@case("idle", "rota")
def rota(scale: float, library: str) -> Figures:
    from rota import Scheduler
    from rota.triggers import Interval

    scheduler = Scheduler()
    for number in range(1_000):
        scheduler.add(no_op, Interval(timedelta(days=300_000, seconds=number)), id=f"job-{number}")
    scheduler.start()
    figures = _watched(scale)
    scheduler.shutdown(1)
    return figures


@case("idle", "apscheduler")
def apscheduler(scale: float, library: str) -> Figures:
    from apscheduler.schedulers.background import BackgroundScheduler

    scheduler = BackgroundScheduler(timezone="UTC")
    for _ in range(1_000):
        scheduler.add_job(no_op, "interval", days=1_000)
    scheduler.start()
    figures = _watched(scale)
    scheduler.shutdown()
    return figures


def _watched(scale: float) -> Figures:
    time.sleep(0.5)
    cpu, switches = time.process_time(), _switches()
    time.sleep(scaled(20, scale))
    # One of the wake-ups is this thread's own.
    return {"cpu_ms": (time.process_time() - cpu) * 1e3, "wakeups": _switches() - switches - 1}


def _switches() -> int:
    """How often threads of this process have gone to sleep of their own will."""
    found = 0
    for status in Path("/proc/self/task").glob("*/status"):
        lines = status.read_text().splitlines()
        found += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return found
