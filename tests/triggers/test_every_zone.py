"""Properties that hold in every zone of the database."""

from __future__ import annotations

import random
import zoneinfo
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.triggers import Cron
from rota.triggers.base import SECOND

ZONES = sorted(zoneinfo.available_timezones() - {"localtime"})
DAY = 86_400 * SECOND
EXPRESSIONS = (
    "30 2 * * *",
    "*/15 * * * *",
    "0 0 * * *",
    "59 23 * * *",
    "0 0-23 * * *",
    "*/30 1-3 * * mon-fri",
    "0 * 1,15 * sun",
    "17 4 L * *",
    "* 0 * * 5#2",
)
POLICIES = ((None, None), ("run_after", "both"), ("shift", "second"), ("skip", "first"))

expressions = st.sampled_from(EXPRESSIONS)
policies = st.sampled_from(POLICIES)
zones = st.sampled_from(ZONES)
# 1900 to 2100, where clocks change, and all that a datetime can tell.
instants = st.one_of(
    st.integers(-2_208_988_800 * SECOND, 4_102_444_800 * SECOND),
    st.integers(-62_135_596_800 * SECOND, 253_402_300_799 * SECOND),
)


@given(zones, expressions, policies, instants)
@settings(max_examples=1500)
def test_ticks_increase_strictly_and_backwards_are_the_same(
    key: str, expression: str, rule: tuple[str | None, str | None], start: int
) -> None:
    trigger = Cron(expression, tz=key, dst_gap=rule[0], dst_fold=rule[1])
    walk = [start]
    for _ in range(12):
        tick = trigger.next_tick(walk[-1])
        if tick is None:
            break
        assert tick > walk[-1]
        walk.append(tick)
    back = walk[-1] + 1
    for tick in reversed(walk[1:]):
        found = trigger.previous_tick(back)
        assert found == tick
        back = found


@given(zones, expressions, policies, instants, st.integers(1, 40 * DAY))
@settings(max_examples=1500)
def test_where_a_walk_starts_makes_no_difference(
    key: str, expression: str, rule: tuple[str | None, str | None], start: int, earlier: int
) -> None:
    trigger = Cron(expression, tz=key, dst_gap=rule[0], dst_fold=rule[1])
    tick = trigger.next_tick(start)
    before = trigger.previous_tick(start + 1)
    if before is not None:
        assert trigger.next_tick(before) == tick
        assert trigger.next_tick(before - 1) == before
    if tick is not None:
        assert trigger.next_tick(tick - 1) == tick
        assert trigger.previous_tick(tick) == before
    walked = start - earlier
    for _ in range(200):
        following = trigger.next_tick(walked)
        if following is None or following > start:
            assert following == tick
            break
        walked = following


@given(zones, instants)
@settings(max_examples=600)
def test_a_tick_shows_a_wall_time_of_the_expression_or_ends_a_gap(key: str, start: int) -> None:
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start)
    tick = Cron("30 2 * * *", tz=key).next_after(instant)
    if tick is None or not 1 < tick.year < 9999:
        return
    shown = tick.astimezone(ZoneInfo(key))
    if (shown.hour, shown.minute, shown.second) != (2, 30, 0):
        before = (tick - timedelta(seconds=1)).astimezone(ZoneInfo(key))
        assert before.utcoffset() != shown.utcoffset()


def runs_of(trigger: Cron, first: date, last: date, key: str) -> list[datetime]:
    zone = ZoneInfo(key)
    low = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=2)
    high = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=2)
    found = []
    instant = trigger.next_after(low)
    while instant is not None and instant < high:
        found.append(instant.astimezone(zone))
        instant = trigger.next_after(instant)
    return found


@pytest.mark.parametrize("part", range(4))
def test_a_daily_wall_time_gives_exactly_one_instant_each_date(part: int) -> None:
    """The time itself, the first of two, or the end of the gap that swallowed it; changes of over 3 h excepted."""
    draw = random.Random(part)
    for key in ZONES[part::4]:
        zone = ZoneInfo(key)
        for hour, minute in ((0, 0), (2, 30), (23, 30), (draw.randrange(24), draw.randrange(60))):
            year = draw.choice([1916, 1945, 1978, 1987, 1994, 2004, 2011, 2018, 2024, 2026, 2038, 2090])
            first, last = date(year, 1, 1), date(year, 12, 31)
            found = runs_of(Cron(f"{minute} {hour} * * *", tz=key), first, last, key)
            wanted = {
                at
                for day in range((last - first).days + 3)
                if (at := instant_of(first + timedelta(days=day - 1), hour, minute, zone)) is not None
            }
            within = sorted(at for at in wanted if first <= at.astimezone(zone).date() <= last)
            assert [at.astimezone(UTC) for at in found if first <= at.date() <= last] == within, (
                key,
                hour,
                minute,
                year,
            )


def instant_of(day: date, hour: int, minute: int, zone: ZoneInfo) -> datetime | None:
    """What PEP 495 says of a wall time: itself where it exists, else where the gap ends, found by halving."""
    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    at = wall.astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return at
    # In a gap fold=0 counts on from before it, and fold=1 back from after it.
    low, high = wall.replace(fold=1).astimezone(UTC), at
    if high - low > timedelta(hours=3):
        return None
    offset = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, high)
    return high


def test_the_calendar_ends_quietly() -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    for key in ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"):
        for expression in ("* * * * *", "0 0 * * *", "0 0 29 2 *"):
            trigger = Cron(expression, tz=key)
            assert trigger.next_after(last) is None
            assert trigger.previous(first) is None
            assert (early := trigger.next_after(first)) is not None
            assert (late := trigger.previous(last)) is not None
            assert early.year <= 4
            assert late.year >= 9996
            assert trigger.next_after(late) is None
            assert trigger.previous(early) in (None, first)
