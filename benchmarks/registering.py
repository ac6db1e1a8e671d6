"""Registering: jobs added to a scheduler that is then started; what one costs in time and in memory."""

from __future__ import annotations

from datetime import timedelta
from time import perf_counter

from benchmarks.cases import Figures, case, resident_bytes, scaled


def no_op() -> None:
    """A job."""


@case("register_cron", "rota")
def rota_cron(scale: float, library: str) -> Figures:
    import rota.drivers.hosting.host  # noqa: F401  # what `start` would import is no cost of a job
    from rota import Scheduler
    from rota.triggers import Cron

    count, before, began = scaled(50_000, scale), resident_bytes(), perf_counter()
    scheduler = Scheduler()
    for number in range(count):
        scheduler.add(no_op, Cron(_expression(number)), id=f"job-{number}")
    scheduler.start()
    figures = _figures(count, began, before)
    scheduler.shutdown(1)
    return figures


@case("register_cron", "apscheduler")
def apscheduler_cron(scale: float, library: str) -> Figures:
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.cron import CronTrigger

    count, before, began = scaled(50_000, scale), resident_bytes(), perf_counter()
    scheduler = BackgroundScheduler(timezone="UTC")
    for number in range(count):
        scheduler.add_job(no_op, CronTrigger.from_crontab(_expression(number), timezone="UTC"), id=f"job-{number}")
    scheduler.start()
    figures = _figures(count, began, before)
    scheduler.shutdown(wait=False)
    return figures


@case("register_interval", "rota")
def rota_interval(scale: float, library: str) -> Figures:
    import rota.drivers.hosting.host  # noqa: F401  # what `start` would import is no cost of a job
    from rota import Scheduler
    from rota.triggers import Interval

    count, before, began = scaled(1_000_000, scale), resident_bytes(), perf_counter()
    scheduler = Scheduler()
    for number in range(count):
        scheduler.add(no_op, Interval(timedelta(days=300_000, seconds=number)), id=f"job-{number}")
    scheduler.start()
    figures = _figures(count, began, before)
    scheduler.shutdown(1)
    return figures


def _expression(number: int) -> str:
    """One of some thousand expressions that are not due today."""
    return f"{number % 60} {number // 60 % 24} 29 2 *"


def _figures(count: int, began: float, before: int) -> Figures:
    seconds, grown = perf_counter() - began, resident_bytes() - before
    return {"us": seconds / count * 1e6, "bytes": grown / count, "MB": grown / 1e6}
