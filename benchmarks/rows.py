"""What is compared and what is to be reached: the rows of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Key = tuple[str, str, str]
"""Case, library, figure."""


class Row(NamedTuple):
    """`theirs` is what `ours` is compared with; `times` the ratio to reach, in our favour where it is above 1.

    `at_most`, `at_least`: bounds for our own figure. `is_rate`: more is better.
    """

    work: str
    ours: Key
    theirs: Key | None = None
    times: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    is_rate: bool = False

    def ratio(self, value: Callable[[Key], float]) -> float | None:
        """How many times better ours is than theirs."""
        if self.theirs is None:
            return None
        ours, theirs = value(self.ours), value(self.theirs)
        better, worse = (ours, theirs) if self.is_rate else (theirs, ours)
        return better / worse if worse else float("inf")

    def is_met(self, value: Callable[[Key], float]) -> bool:
        """Whether all that is to be reached is."""
        ratio, ours = self.ratio(value), value(self.ours)
        return (
            (self.times is None or ratio is None or ratio >= self.times)
            and (self.at_most is None or ours <= self.at_most)
            and (self.at_least is None or ours >= self.at_least)
        )

    @property
    def target(self) -> str:
        """What is to be reached, in words."""
        words = [
            f"{sign} {bound:g}{suffix}"
            for sign, bound, suffix in (("≥", self.times, " times"), ("≤", self.at_most, ""), ("≥", self.at_least, ""))
            if bound is not None
        ]
        return ", ".join(words)


def _bare_lateness(kind: str) -> Row:
    return Row(
        f"1,000 runs/s, a bare engine: CPU, µs a run ({kind})",
        ("lateness", f"bare engine, {kind}", "cpu_us"),
        ("lateness", f"apscheduler {kind}", "cpu_us"),
    )


def _lateness(kind: str) -> tuple[Row, ...]:
    ours, theirs = f"rota {kind}", f"apscheduler {kind}"
    return tuple(
        Row(f"1,000 runs/s, {kind}: {what}", ("lateness", ours, figure), ("lateness", theirs, figure), 1)
        for what, figure in (
            ("lateness p50, ms", "p50_ms"),
            ("lateness p99, ms", "p99_ms"),
            ("CPU, µs a run", "cpu_us"),
        )
    )


def _dispatch(kind: str, times: float) -> Row:
    ours, theirs = ("dispatch", f"rota {kind}", "per_s"), ("dispatch", f"apscheduler {kind}", "per_s")
    return Row(f"10,000 due no-ops, {kind}, runs/s", ours, theirs, times, is_rate=True)


def _fleet(store: str, name: str) -> tuple[Row, ...]:
    work = f"4 processes, 200 ticks, 10 a second, {name}"
    return tuple(
        Row(f"{work}: {what}", ("fleet", f"rota {store}", figure), at_most=most)
        for what, figure, most in (
            ("doubled", "doubled", 0),
            ("missed", "missed", 0),
            ("lateness p50, ms", "p50_ms", 10),
            ("lateness p99, ms", "p99_ms", 60),
        )
    )


def _on_server(product: str, case: str, at_least: float) -> tuple[Row, Row]:
    ours = (case, "rota", "per_s")
    return (
        Row(
            f"{product}, 1,000 due, 100 workers, runs/s (APScheduler)",
            ours,
            (case, "apscheduler", "per_s"),
            at_least=at_least,
            is_rate=True,
        ),
        Row(f"{product}, 1,000 due, 100 workers: round trips a run", (case, "rota", "round_trips"), at_most=0.2),
    )


NEXT = ("next", "rota", "us")
YEAR = ("year", "rota", "s")
PARSE = ("parse", "rota", "us")
CRON = "register_cron"
IMPORT = ("import", "apscheduler", "ms")
SQLITE = ("sqlite", "rota", "per_s")
SQLITE_PEER = ("sqlite", "apscheduler", "per_s")

ROWS = (
    Row("next fire instant, µs (croniter)", NEXT, ("next", "croniter", "us"), 15),
    Row("next fire instant, µs (cronsim)", NEXT, ("next", "cronsim", "us"), 5),
    Row("next fire instant, µs (APScheduler)", NEXT, ("next", "apscheduler", "us")),
    Row("a year of 100 cron jobs, s (cronsim)", YEAR, ("year", "cronsim", "s"), at_most=2),
    Row("a year of 100 cron jobs, s (APScheduler)", YEAR, ("year", "apscheduler", "s"), at_most=2),
    Row("parse and first fire, µs (cronsim)", PARSE, ("parse", "cronsim", "us"), 1),
    Row("registering a cron job, µs (APScheduler)", (CRON, "rota", "us"), (CRON, "apscheduler", "us"), 8),
    Row("registering a cron job, bytes (APScheduler)", (CRON, "rota", "bytes"), (CRON, "apscheduler", "bytes"), 3),
    Row("a million interval jobs, MB", ("register_interval", "rota", "MB"), at_most=1000),
    Row(
        "one wake-up, 1 due of 1,000,000, µs (of 1,000)",
        ("wake", "rota of 1,000,000", "us"),
        ("wake", "rota of 1,000", "us"),
        1 / 1.3,
    ),
    Row(
        "one wake-up, 1 due of 1,000, µs (schedule)",
        ("wake", "rota of 1,000", "us"),
        ("wake", "schedule of 1,000", "us"),
    ),
    _dispatch("threads", 4),
    _dispatch("asyncio", 3.5),
    Row(
        "10,000 due no-ops, a bare engine in one thread, runs/s (threads)",
        ("dispatch", "bare engine", "per_s"),
        ("dispatch", "apscheduler threads", "per_s"),
        is_rate=True,
    ),
    Row(
        "a burst of 50,000 due: lost (APScheduler)",
        ("burst", "rota", "lost"),
        ("burst", "apscheduler", "lost"),
        at_most=0,
    ),
    *_lateness("threads"),
    *_lateness("asyncio"),
    _bare_lateness("threads"),
    _bare_lateness("asyncio"),
    Row("idle, 1,000 jobs, 20 s: wake-ups", ("idle", "rota", "wakeups"), ("idle", "apscheduler", "wakeups"), at_most=1),
    Row("idle, 1,000 jobs, 20 s: CPU, ms", ("idle", "rota", "cpu_ms"), ("idle", "apscheduler", "cpu_ms")),
    Row(
        "SQLite, 1,000 due, runs/s (APScheduler)",
        SQLITE,
        SQLITE_PEER,
        at_least=6000,
        is_rate=True,
    ),
    Row("SQLite, 1,000 due, runs/s (huey)", SQLITE, ("sqlite", "huey", "per_s"), at_least=6000, is_rate=True),
    Row(
        "SQLite, 1,000 due, 100 workers, runs/s (APScheduler)",
        ("sqlite", "rota 100 workers", "per_s"),
        SQLITE_PEER,
        at_least=6000,
        is_rate=True,
    ),
    *_on_server("PostgreSQL", "postgresql", 3000),
    *_on_server("MariaDB", "mysql", 2000),
    *_on_server("Redis", "redis", 8000),
    *_fleet("postgresql", "PostgreSQL"),
    *_fleet("mysql", "MariaDB"),
    *_fleet("redis", "Redis"),
    Row("import rota, ms (APScheduler)", ("import", "rota", "ms"), IMPORT, 2),
    Row("from rota import Scheduler, ms (APScheduler)", ("import", "rota.Scheduler", "ms"), IMPORT, 2),
    Row("a simulated year, one hourly job, s", ("simulate", "rota hourly", "s"), at_most=1),
    Row("a simulated year, 100 daily jobs, s", ("simulate", "rota 100 daily", "s"), at_most=5),
)
