"""Random expressions around clock changes, compared with the brute-force oracle, forwards and backwards."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from tests.oracle.brute_force import Expression, Told, expected

from rota.errors import CronSyntaxError
from rota.triggers import Cron

CHANGES = [
    ("America/New_York", date(2024, 3, 10)),
    ("America/New_York", date(2024, 11, 3)),
    ("Europe/London", date(2024, 3, 31)),
    ("Europe/London", date(2024, 10, 27)),
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("Europe/Dublin", date(2025, 3, 30)),
    ("America/St_Johns", date(2010, 3, 14)),
    ("America/St_Johns", date(2010, 11, 7)),
    ("America/St_Johns", date(1988, 4, 3)),
    ("America/St_Johns", date(1988, 10, 30)),
    ("Australia/Lord_Howe", date(2024, 4, 7)),
    ("Australia/Lord_Howe", date(2024, 10, 6)),
    ("Atlantic/Azores", date(2025, 3, 30)),
    ("Atlantic/Azores", date(2025, 10, 26)),
    ("Africa/Casablanca", date(2024, 3, 10)),
    ("Africa/Casablanca", date(2024, 4, 14)),
    ("Africa/Cairo", date(2024, 4, 26)),
    ("Africa/Cairo", date(2024, 11, 1)),
    ("Asia/Gaza", date(2024, 4, 20)),
    ("Asia/Gaza", date(2024, 10, 26)),
    ("Asia/Beirut", date(2024, 3, 31)),
    ("Asia/Beirut", date(2024, 10, 27)),
    ("America/Santiago", date(2024, 4, 7)),
    ("America/Santiago", date(2024, 9, 8)),
    ("America/Sao_Paulo", date(2018, 2, 18)),
    ("America/Sao_Paulo", date(2018, 11, 4)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("Pacific/Apia", date(2012, 4, 1)),
    ("America/Nuuk", date(2024, 3, 31)),
    ("America/Nuuk", date(2024, 10, 27)),
    ("Antarctica/Troll", date(2024, 3, 31)),
    ("Antarctica/Troll", date(2024, 10, 27)),
    ("Antarctica/Vostok", date(1994, 2, 1)),
    ("Antarctica/Vostok", date(1994, 11, 1)),
    ("Asia/Kathmandu", date(2024, 6, 1)),
    ("Asia/Tehran", date(2022, 3, 22)),
    ("Asia/Tehran", date(2022, 9, 22)),
    ("America/Juneau", date(1983, 10, 30)),
    ("Africa/Freetown", date(1939, 9, 3)),
    ("UTC", date(2024, 2, 29)),
]
GAPS = (None, None, "run_after", "shift", "skip")
FOLDS = (None, None, "first", "second", "both")
SPAN = timedelta(days=3)


def field(draw: random.Random, low: int, high: int, wraps: bool = True) -> str:
    def value() -> int:
        return draw.randint(low, high)

    shapes = [
        "*",
        f"*/{draw.randint(1, high)}",
        f"{value()}",
        f"{value()},{value()}",
        f"{value()}/{draw.randint(1, 9)}",
    ]
    first, last = value(), value()
    if not wraps and first > last:
        first, last = last, first
    shapes += [f"{first}-{last}", f"{first}-{last}/{draw.randint(1, 7)}", f"{first}-{last},{value()}"]
    return draw.choice(shapes)


def expression(draw: random.Random, around: date) -> str:
    minute = draw.choice([field(draw, 0, 59), "0", "30", "59", "*/15"])
    hour = draw.choice([field(draw, 0, 23), f"{draw.randint(0, 4)}", "23", "0", "*"])
    days = ["*", "*", "?", f"{around.day}", f"{draw.randint(1, 31)}W", "L", "LW", field(draw, 1, 31, wraps=False)]
    weekdays = [
        "*",
        "*",
        "?",
        field(draw, 0, 7),
        "MON-FRI",
        "fri-mon",
        f"{draw.randint(0, 7)}#{draw.randint(1, 5)}",
        "SunL",
    ]
    months = ["*", "*", "*", f"{around.month}", field(draw, 1, 12), "NOV-APR"]
    return " ".join([minute, hour, draw.choice(days), draw.choice(months), draw.choice(weekdays)])


@pytest.mark.parametrize(("zone", "around"), CHANGES, ids=str)
def test_agrees_with_the_oracle(zone: str, around: date) -> None:
    draw = random.Random(f"{zone} {around}")
    told = Told(ZoneInfo(zone), around - 2 * SPAN, around + 2 * SPAN)
    first = datetime(around.year, around.month, around.day, tzinfo=UTC) - SPAN
    last = first + 2 * SPAN
    compared = 0
    while compared < 120:
        text, gap, fold = expression(draw, around), draw.choice(GAPS), draw.choice(FOLDS)
        if not is_possible(text):
            with pytest.raises(CronSyntaxError, match="no year has such a day"):
                Cron(text)
            continue
        trigger = Cron(text, tz=zone, dst_gap=gap, dst_fold=fold)
        runs = expected(Expression(text), told, around - 2 * SPAN, around + 2 * SPAN, gap, fold)
        wanted = [instant for instant in runs if first < instant < last]
        assert forwards(trigger, first, last) == wanted, (text, gap, fold)
        assert backwards(trigger, first, last) == wanted[::-1], (text, gap, fold)
        from_anywhere(trigger, draw, wanted)
        compared += 1


def is_possible(text: str) -> bool:
    """Whether a day is named in 28 years, which have every sort of year among them."""
    told = Expression(text)
    return any(told.is_date(date(2000, 1, 1) + timedelta(days=number)) for number in range(28 * 366))


def forwards(trigger: Cron, first: datetime, last: datetime) -> list[datetime]:
    found = []
    instant = trigger.next_after(first)
    while instant is not None and instant < last:
        found.append(instant)
        instant = trigger.next_after(instant)
    return found


def backwards(trigger: Cron, first: datetime, last: datetime) -> list[datetime]:
    found = []
    instant = trigger.previous(last)
    while instant is not None and instant > first:
        found.append(instant)
        instant = trigger.previous(instant)
    return found


def from_anywhere(trigger: Cron, draw: random.Random, wanted: list[datetime]) -> None:
    """Where a walk starts makes no difference: between two runs, the next is the later and the previous the earlier."""
    for before, after in draw.sample(list(pairwise(wanted)), min(5, max(0, len(wanted) - 1))):
        between = before + draw.random() * (after - before)
        if before < between < after:
            assert trigger.next_after(between) == after
            assert trigger.previous(between) == before
