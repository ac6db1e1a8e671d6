"""The jobs of a story: drawn once, declared by every process that knows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from typing import Any, NamedTuple

from rota.core.retry import Retry
from rota.scheduler import Scheduler
from rota.triggers import Cron, Interval
from rota.triggers.base import Trigger

OVERLAPS = ("skip", "skip", "queue", "queue", "allow", "replace")


class Declaration(NamedTuple):
    """A job as one version of the program declares it. `failing`, `odd`: the parts of its attempts that fail, and that
    ask to be made again."""

    id: str
    trigger: Trigger | None
    options: Mapping[str, Any]
    is_async: bool
    failing: float
    odd: float

    def add_to(self, scheduler: Scheduler, function: Callable[..., object]) -> None:
        """Declare it."""
        scheduler.add(function, self.trigger, id=self.id, **self.options)


def draw_jobs(random: Random, end: datetime) -> list[Declaration]:
    """The jobs of a story: some with ticks, until `end`, and one that is asked for."""
    jobs = [_draw_job(random, f"job-{number}", end) for number in range(random.choice((1, 2, 2, 3)))]
    retry = random.choice((None, Retry(attempts=3, wait_initial=1, wait_jitter=0)))
    options = {"retry": retry, "on_crash": "rerun", "max_running": random.choice((None, 1, 2))}
    return [*jobs, Declaration("asked", None, options, random.random() < 0.5, 0.1, 0.1)]


def draw_trigger(random: Random) -> Trigger:
    """A trigger with ticks some seconds apart."""
    if random.random() < 0.2:
        return Cron(f"*/{random.choice((3, 5, 10))} * * * * *", seconds=True)
    return Interval(seconds=random.choice((1, 2, 3, 5, 7, 11)))


def _draw_job(random: Random, job_id: str, end: datetime) -> Declaration:
    overlap = random.choice(OVERLAPS)
    options: dict[str, Any] = {"overlap": overlap, "end": end}
    options["on_crash"] = random.choice((None, "lost", "rerun", "rerun"))
    options["catch_up"] = random.choice(("latest", "skip", "all"))
    options["max_catch_up"] = random.choice((2, 5, 100))
    if overlap != "replace" and random.random() < 0.4:
        options["max_running"] = random.choice((1, 2))
    for name, share, values in (
        ("retry", 0.5, (Retry(attempts=2, wait_initial=1, wait_jitter=0), Retry(attempts=3, wait_initial=0.2))),
        ("jitter", 0.15, (0.5, 3.0)),
        ("timeout", 0.3, (1.0, 2.5)),
        ("max_lateness", 0.15, (1.0, 20.0)),
        ("pause_after_failures", 0.1, (2, 3)),
    ):
        if random.random() < share:
            options[name] = random.choice(values)
    failing, odd = random.choice((0.0, 0.1, 0.4)), random.choice((0.0, 0.0, 0.2))
    return Declaration(job_id, draw_trigger(random), options, random.random() < 0.4, failing, odd)
