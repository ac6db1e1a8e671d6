"""Recurrence rules: dateutil's occurrences, from anywhere and at once, on the wall clock of the zone."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import DAILY, FR, MO, MONTHLY, WEEKLY, YEARLY, rrule, rruleset, rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.errors import ConfigurationError, RRuleSyntaxError
from rota.triggers import RRule, trigger_from_json
from rota.triggers.rrule_walk import Rule

EPOCH = datetime.fromisoformat("1970-01-01")
BEGIN = datetime.fromisoformat("1997-09-02T09:00")
RULES = (
    "FREQ=YEARLY",
    "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
    "FREQ=YEARLY;BYDAY=20MO",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
    "FREQ=YEARLY;BYWEEKNO=1,53",
    "FREQ=YEARLY;INTERVAL=3;BYYEARDAY=1,100,-1",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;BYEASTER=-2",
    "FREQ=MONTHLY",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;INTERVAL=18;BYMONTHDAY=10,11,12,13,14,15",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
    "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
    "FREQ=MONTHLY;BYMONTHDAY=31",
    "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,SU",
    "FREQ=WEEKLY;INTERVAL=2;WKST=MO;BYDAY=TU,SU",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1",
    "FREQ=WEEKLY;BYMONTH=3",
    "FREQ=DAILY;INTERVAL=10",
    "FREQ=DAILY;BYHOUR=9,10,11;BYMINUTE=0,20,40",
    "FREQ=DAILY;BYMONTH=1",
    "FREQ=DAILY;COUNT=500;BYDAY=MO",
    "FREQ=DAILY;UNTIL=20100101T000000",
    "FREQ=HOURLY;INTERVAL=7",
    "FREQ=HOURLY;INTERVAL=5;BYDAY=MO;BYHOUR=0,1,2,3",
    "FREQ=MINUTELY;INTERVAL=90",
    "FREQ=MINUTELY;INTERVAL=45;BYHOUR=9,10",
    "FREQ=SECONDLY;INTERVAL=4000",
)


def seconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(seconds=1)


@pytest.mark.parametrize("text", RULES)
def test_occurrences_near_any_time_are_those_from_the_beginning(text: str) -> None:
    draw = random.Random(text)
    end = BEGIN + timedelta(days=40 if "LY;INTERVAL=90" in text or "SECOND" in text else 7000)
    occurrences = [seconds(moment) for moment in rrulestr(text, dtstart=BEGIN).between(EPOCH, end)]
    parts = dict(part.split("=") for part in text.split(";"))
    rule = Rule(parts, BEGIN)
    for _ in range(25):
        wall = draw.randint(seconds(BEGIN) - 100_000, (occurrences or [seconds(end)])[-1] - 1)
        fresh = Rule(parts, BEGIN)
        later = next((moment for moment in occurrences if moment > wall), None)
        earlier = next((moment for moment in reversed(occurrences) if moment < wall), None)
        assert fresh.after(wall) == rule.after(wall) == later
        assert fresh.before(wall) == rule.before(wall) == earlier
    for before, after in pairwise(occurrences[:200]):
        assert rule.after(before) == after
        assert rule.before(after) == before


@given(st.sampled_from(RULES), st.integers(0, 2_000_000_000))
@settings(max_examples=150)
def test_backwards_and_forwards_are_the_same(text: str, second: int) -> None:
    trigger = RRule(text, start=BEGIN, tz="America/New_York")
    tick = trigger.next_tick(second * 1_000_000)
    if tick is not None:
        following = trigger.next_tick(tick)
        assert following is None or (following > tick and trigger.previous_tick(following) == tick)


def first(trigger: RRule, start: datetime, count: int) -> list[str]:
    found = []
    instant: datetime | None = start
    while len(found) < count and instant is not None and (instant := trigger.next_after(instant)) is not None:
        found.append(instant.isoformat().removesuffix(":00+00:00"))
    return found


def test_a_daily_rule_follows_the_wall_clock_as_a_fixed_job() -> None:
    trigger = RRule("FREQ=DAILY", start=datetime.fromisoformat("2024-03-08T02:30"), tz="America/New_York")
    start = datetime(2024, 3, 8, 12, tzinfo=UTC)
    assert first(trigger, start, 3) == ["2024-03-09T07:30", "2024-03-10T07:00", "2024-03-11T06:30"]


def test_an_hourly_rule_is_elapsed_time_in_utc() -> None:
    trigger = RRule("FREQ=HOURLY", start=datetime.fromisoformat("2024-03-10T00:30"), tz="America/New_York")
    assert first(trigger, datetime(2024, 3, 10, 6, tzinfo=UTC), 3) == [
        "2024-03-10T06:30",
        "2024-03-10T07:30",
        "2024-03-10T08:30",
    ]
    assert trigger.zone.key == "America/New_York"


def test_without_a_beginning_the_grid_is_that_of_1970() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert first(RRule("FREQ=MONTHLY;BYDAY=-1FR", tz="Europe/Berlin"), start, 2) == [
        "2026-01-29T23:00",
        "2026-02-26T23:00",
    ]
    assert first(RRule("FREQ=WEEKLY"), start, 1) == ["2026-01-08T00:00"]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20240312T130000Z", "2024-03-12T13:00"),
        ("20240312T125959Z", "2024-03-11T13:00"),
        ("20240312T090000", "2024-03-12T13:00"),
        ("20240312T085959", "2024-03-11T13:00"),
        ("20240312", "2024-03-12T13:00"),
    ],
)
def test_until_is_an_instant_or_a_wall_time_and_inclusive(until: str, last: str) -> None:
    trigger = RRule(f"DTSTART;TZID=America/New_York:20240308T090000\nRRULE:FREQ=DAILY;UNTIL={until}")
    assert first(trigger, datetime(2024, 3, 9, tzinfo=UTC), 99)[-1] == last


def test_until_within_a_second_pass_keeps_the_first_pass() -> None:
    # 01:45 runs at 05:45Z, in the first pass; at 06:10Z the clock shows 01:10 for the second time.
    trigger = RRule(
        "FREQ=DAILY;UNTIL=20241103T061000Z", start=datetime.fromisoformat("2024-11-01T01:45"), tz="America/New_York"
    )
    assert first(trigger, datetime(2024, 11, 2, tzinfo=UTC), 99) == ["2024-11-02T05:45", "2024-11-03T05:45"]


def test_a_set_of_rules_dates_and_exceptions() -> None:
    text = """DTSTART;TZID=Europe/Paris:20260105T080000
        RRULE:FREQ=WEEKLY;BYDAY=MO,
         TU
        RDATE:20260107T120000Z,20260108T080000
        EXDATE;TZID=Europe/Paris:20260106T080000
        EXRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO"""
    trigger = RRule("\n".join(line.removeprefix("        ") for line in text.splitlines()))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert first(trigger, start, 4) == ["2026-01-07T12:00", "2026-01-08T07:00", "2026-01-12T07:00", "2026-01-13T07:00"]
    assert trigger.describe().endswith("with exceptions, Europe/Paris.")


def test_exceptions_without_end_leave_nothing() -> None:
    trigger = RRule("RRULE:FREQ=YEARLY\nEXRULE:FREQ=YEARLY")
    assert trigger.next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_objects_of_dateutil_become_text() -> None:
    new_york = ZoneInfo("America/New_York")
    rule = rrule(
        WEEKLY,
        dtstart=datetime(2026, 1, 2, 9, tzinfo=new_york),
        byweekday=(MO, FR(1)),
        until=datetime(2026, 3, 1, tzinfo=UTC),
    )
    trigger = RRule(rule)
    assert trigger.zones() == {"America/New_York"}
    assert first(trigger, datetime(2026, 1, 1, tzinfo=UTC), 2)[0] == "2026-01-02T14:00"
    assert first(trigger, datetime(2026, 1, 1, tzinfo=UTC), 999)[-1] == "2026-02-27T14:00"
    assert RRule(str(rrule(DAILY, dtstart=BEGIN, byhour=0, bysetpos=1))) == RRule(
        rrule(DAILY, dtstart=BEGIN, byhour=0, bysetpos=1)
    )


def test_sets_of_dateutil_become_text() -> None:
    rules = rruleset()
    rules.rrule(rrule(MONTHLY, dtstart=BEGIN, bymonthday=1))
    rules.rdate(datetime.fromisoformat("2026-01-05T09:00"))
    rules.exdate(datetime.fromisoformat("2026-02-01T09:00"))
    rules.exrule(rrule(YEARLY, dtstart=BEGIN, bymonth=3, bymonthday=1))
    trigger = RRule(rules, tz="UTC")
    assert first(trigger, datetime(2026, 1, 2, tzinfo=UTC), 2) == ["2026-01-05T09:00", "2026-04-01T09:00"]
    rules.rrule(rrule(MONTHLY, dtstart=EPOCH))
    with pytest.raises(ConfigurationError, match="different times"):
        RRule(rules)


def test_zones_of_dateutil_are_not_taken() -> None:
    from dateutil import tz

    assert RRule(rrule(DAILY, dtstart=BEGIN.replace(tzinfo=tz.UTC))).zones() == {"UTC"}
    with pytest.raises(ConfigurationError, match="ZoneInfo"):
        RRule(rrule(DAILY, dtstart=BEGIN.replace(tzinfo=tz.gettz("Europe/Paris"))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither"),
        ("junk", "NAME=VALUE"),
        ("FREQ=OFTEN", "FREQ is one of"),
        ("INTERVAL=2", "FREQ is one of"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=DAILY;COUNT=0", "COUNT"),
        ("FREQ=DAILY;COUNT=999999999", "COUNT"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20300101", "exclude"),
        ("FREQ=DAILY;FREQ=DAILY", "twice"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR"),
        ("FREQ=DAILY;BYMONTH=13", "BYMONTH"),
        ("FREQ=DAILY;BYDAY=XX", "BYDAY"),
        ("FREQ=DAILY;COLOUR=RED", "COLOUR"),
        ("FREQ=DAILY;UNTIL=soon", "not a date"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "no such month"),
        ("FREQ=SECONDLY;BYMONTH=2,4;BYMONTHDAY=31,-31", "no such month"),
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=5", "empty set"),
        ("DTSTART:20260101T000000", "neither"),
        ("DTSTART:20260101T000000\nDTSTART:20260101T000000\nRRULE:FREQ=DAILY", "one DTSTART"),
        ("DTSTART;TZID=Europe/Paris:20260101T000000Z\nRRULE:FREQ=DAILY", "TZID"),
        ("DTSTART;COLOUR=RED:20260101T000000\nRRULE:FREQ=DAILY", "unknown parameter"),
        ("COLOUR:RED\nRRULE:FREQ=DAILY", "unknown property"),
        ("DTSTART;TZID=Europe/Paris:20260101T000000\nRRULE:FREQ=DAILY\nRRULE:FREQ=HOURLY", "of their own"),
        ("x" * 200_000, "characters"),
    ],
)
def test_refuses_what_is_no_rule(text: str, message: str) -> None:
    with pytest.raises(RRuleSyntaxError, match=message):
        RRule(text)


def test_refuses_contradictions() -> None:
    dated = "DTSTART;TZID=Europe/Paris:20260101T080000\nRRULE:FREQ=DAILY"
    with pytest.raises(ConfigurationError, match="leave start out"):
        RRule(dated, start=BEGIN)
    with pytest.raises(ConfigurationError, match="name one zone"):
        RRule(dated, tz="Europe/Berlin")
    with pytest.raises(ConfigurationError):
        RRule(42)  # type: ignore[arg-type]  # refused
    with pytest.raises(ConfigurationError, match="ISO"):
        RRule("FREQ=DAILY", start="soon")


def test_a_beginning_may_be_aware_a_date_or_text() -> None:
    start = datetime(2026, 7, 1, tzinfo=UTC)
    for begin in (datetime(2026, 7, 1, 22, tzinfo=UTC), "2026-07-01T22:00:00Z", date(2026, 7, 2), "2026-07-02"):
        trigger = RRule("FREQ=DAILY", start=begin, tz="Europe/Paris")
        assert first(trigger, start, 2) == ["2026-07-01T22:00", "2026-07-02T22:00"]
        assert trigger_from_json(trigger.to_json()) == trigger


def test_a_zone_is_filled_in_only_where_none_is_named() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    assert RRule("FREQ=DAILY").bind(tokyo, "job") == RRule("FREQ=DAILY", tz="Asia/Tokyo")
    named = RRule("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY")
    assert named.bind(tokyo, "job") is named
