"""Simulating: a year of jobs under `rota.testing.simulate`."""

from __future__ import annotations

from time import perf_counter

from benchmarks.cases import Figures, case, scaled

START = "2026-01-01T00:00+00:00"


@case("simulate", "rota hourly", "rota 100 daily")
def simulated_year(scale: float, library: str) -> Figures:
    """Seconds for a year of one hourly job, or of a hundred daily ones."""
    from rota import Scheduler
    from rota.testing import simulate

    scheduler = Scheduler()
    jobs = 100 if library.endswith("daily") else 1
    for number in range(jobs):
        scheduler.cron("0 * * * *" if jobs == 1 else f"{number % 60} 3 * * *", id=f"job-{number}")(_no_op)
    days = scaled(365, scale)
    began = perf_counter()
    with simulate(scheduler, start=START) as simulation:
        simulation.advance(days=days)
        seconds = perf_counter() - began
        runs = len(simulation.runs())
    return {"s": seconds, "runs": runs}


def _no_op() -> None:
    """A job."""
