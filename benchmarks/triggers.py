"""When: the next fire instant, a year of a hundred jobs, and reading an expression. Pure computing, no scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from math import exp, log
from time import perf_counter
from zoneinfo import ZoneInfo

from benchmarks.cases import Figures, case, scaled

ZONES = ("UTC", "America/New_York")
EXPRESSIONS = (
    "* * * * *",
    "*/15 * * * *",
    "7 * * * *",
    "*/10 9-17 * * 1-5",
    "0 9 * * 1-5",
    "30 2 * * *",
    "0 0 1,15 * *",
    "0 0 29 2 *",
)
START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)


def _rota(expression: str, zone: str) -> Iterator[datetime | None]:
    from rota.triggers import Cron

    at: datetime | None = START
    next_after = Cron(expression, tz=zone).next_after
    while at is not None:
        at = next_after(at)
        yield at


def _cronsim(expression: str, zone: str) -> Iterator[datetime]:
    from cronsim import CronSim

    return CronSim(expression, START.astimezone(ZoneInfo(zone)))


def _croniter(expression: str, zone: str) -> Iterator[datetime]:
    from croniter import croniter

    return croniter(expression, START.astimezone(ZoneInfo(zone)), ret_type=datetime)


def _apscheduler(expression: str, zone: str) -> Iterator[datetime | None]:
    from apscheduler.triggers.cron import CronTrigger

    trigger = CronTrigger.from_crontab(expression, timezone=zone)
    at = None
    while True:
        at = trigger.get_next_fire_time(at, at or START)
        yield at


FIRES: dict[str, Callable[[str, str], Iterator[datetime | None]]] = {
    "rota": _rota,
    "cronsim": _cronsim,
    "croniter": _croniter,
    "apscheduler": _apscheduler,
}


@case("next", "rota", "cronsim", "croniter", "apscheduler")
def next_fire(scale: float, library: str) -> Figures:
    """Microseconds from one fire to the next, the geometric mean over expressions and zones."""
    costs = [_cost(FIRES[library](*pair), scaled(300, scale)) for pair in product(EXPRESSIONS, ZONES)]
    return {"us": exp(sum(map(log, costs)) / len(costs))}


def _cost(fires: Iterator[datetime | None], count: int) -> float:
    next(fires)
    began = perf_counter()
    for _ in range(count):
        next(fires)
    return (perf_counter() - began) / count * 1e6


@case("year", "rota", "cronsim", "apscheduler")
def year(scale: float, library: str) -> Figures:
    """Seconds for every fire of a year of a hundred jobs in New York, and how many there were."""
    chains = [FIRES[library](expression, "America/New_York") for expression in a_hundred()[: scaled(100, scale)]]
    fires = 0
    began = perf_counter()
    for chain in chains:
        for at in chain:
            if at is None or at >= END:
                break
            fires += 1
    return {"s": perf_counter() - began, "fires": fires}


def a_hundred() -> list[str]:
    """What a hundred jobs of an application may look like: a few every minute, most daily, some monthly."""
    return (
        ["* * * * *"]
        + ["*/15 * * * *"] * 2
        + [f"{minute} * * * *" for minute in range(5)]
        + [f"*/{step} 9-17 * * 1-5" for step in (10, 12, 15, 20, 30)]
        + [f"{hour} {hour % 24} * * *" for hour in range(50)]
        + [f"{hour} 6 * * 1-5" for hour in range(27)]
        + [f"0 {hour} 1,15 * *" for hour in range(10)]
    )


@case("parse", "rota", "cronsim")
def parse(scale: float, library: str) -> Figures:
    """Microseconds to read a new expression and name its first fire; the same for one that was read before."""
    expressions = [
        f"{number % 60} {number % 24}-23/{number // 1440 + 1} * * 1-5" for number in range(scaled(2000, scale))
    ]
    fires = FIRES[library]
    next(fires("0 0 * * *", "UTC"))
    return {"us": _reading(fires, expressions), "again_us": _reading(fires, expressions)}


def _reading(fires: Callable[[str, str], Iterator[datetime | None]], expressions: list[str]) -> float:
    began = perf_counter()
    for expression in expressions:
        next(fires(expression, "UTC"))
    return (perf_counter() - began) / len(expressions) * 1e6
