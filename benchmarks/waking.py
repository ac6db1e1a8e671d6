"""One wake-up with one job due, among a thousand and among a million that are not."""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median
from time import perf_counter

from benchmarks.cases import Figures, case, scaled


class HandClock:
    """A clock that is set by hand, so that a wake-up can be had without waiting for it."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def now(self) -> int:
        return int(self.at * 1_000_000)

    def monotonic(self) -> float:
        return self.at

    def boottime(self) -> float:
        return self.at

    def boot_id(self) -> str:
        return "boot"


def no_op() -> None:
    """A job."""


@case("wake", "rota of 1,000", "rota of 1,000,000")
def wake(scale: float, library: str) -> Figures:
    """Microseconds of a turn of the engine in which one job of so many runs."""
    from rota import Scheduler
    from rota.triggers import Interval

    clock = HandClock()
    scheduler = Scheduler(clock=clock)
    for number in range(scaled(int(library.removeprefix("rota of ").replace(",", "")), scale)):
        scheduler.add(no_op, Interval(timedelta(days=300_000, seconds=number)), id=f"job-{number}")
    scheduler.add(no_op, Interval(timedelta(seconds=1)), id="due")
    scheduler.run_due()
    turns = []
    for _ in range(scaled(2_000, scale)):
        clock.at += 1.0
        began = perf_counter()
        scheduler.run_due()
        turns.append(perf_counter() - began)
    scheduler.shutdown(1)
    return {"us": median(turns) * 1e6}


@case("wake", "schedule of 1,000")
def wake_of_schedule(scale: float, library: str) -> Figures:
    """The same of `schedule`, which looks at every job."""
    import schedule

    for _ in range(scaled(1_000, scale)):
        schedule.every(1_000).days.do(no_op)
    due = schedule.every(1).seconds.do(no_op)
    turns = []
    for _ in range(scaled(500, scale)):
        due.next_run = datetime.now()  # noqa: DTZ005  # `schedule` counts in naive local time
        began = perf_counter()
        schedule.run_pending()
        turns.append(perf_counter() - began)
    return {"us": median(turns) * 1e6}
