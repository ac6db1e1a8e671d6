"""What every trigger is: frozen, comparable, rebuilt from its repr, its JSON and its pickle; and what each means."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.errors import ConfigurationError
from rota.triggers import AnyOf, Calendar, Cron, Excluding, Interval, Once, RRule, Trigger, Within, trigger_from_json
from rota.triggers.base import FIRST_INSTANT, LAST_INSTANT, from_micros, to_micros

TOKYO = ZoneInfo("Asia/Tokyo")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

TRIGGERS: list[Trigger] = [
    Cron("30 2 * * *"),
    Cron("H H(2-4) * * *", tz="Europe/Paris", dst_gap="skip", dst_fold="both", day_match="or", seed="job"),
    Cron("*/10 * * * * *", seconds=True),
    Interval(timedelta(minutes=5)),
    Interval(timedelta(seconds=1.5), anchor=NOW),
    Calendar(months=1, at="02:30", anchor=date(2026, 1, 31), tz="Europe/Berlin", month_end="skip"),
    Calendar(years=1, weeks=2, days=3, at=time(1, 2, 3), dst_gap="shift", dst_fold="second"),
    Once("2026-03-29T02:30", tz="Europe/Berlin"),
    Once(NOW + timedelta(microseconds=1)),
    RRule("FREQ=MONTHLY;BYDAY=-1FR", start=datetime.fromisoformat("2026-01-01T09:00"), tz="Europe/Berlin"),
    AnyOf(Cron("0 2 * * *", tz="Europe/Paris"), Interval(hours=1)),
    Within(Cron("0 2 * * *"), start=NOW, end=NOW + timedelta(days=9)),
    Excluding(Cron("0 2 * * *"), [date(2026, 1, 2), date(2026, 1, 1)]),
]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_is_a_frozen_value(trigger: Trigger) -> None:
    for same in (
        eval(repr(trigger)),
        trigger_from_json(json.loads(json.dumps(trigger.to_json()))),
        type(trigger).from_json(trigger.to_json()),
        pickle.loads(pickle.dumps(trigger)),
        copy.copy(trigger),
        copy.deepcopy(trigger),
    ):
        assert same == trigger
        assert hash(same) == hash(trigger)
        assert repr(same) == repr(trigger)
        assert same.signature() == trigger.signature()
        assert same.next_after(NOW) == trigger.next_after(NOW)
    for name in ("tz", "anything"):
        with pytest.raises(AttributeError):
            setattr(trigger, name, "UTC")
    with pytest.raises(AttributeError):
        del trigger.kind
    assert not hasattr(trigger, "__dict__")
    assert [trigger == other for other in TRIGGERS].count(True) == 1
    assert len({other.signature() for other in TRIGGERS}) == len(TRIGGERS)
    assert trigger != "something else"


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_binds_once_and_keeps_what_is_named(trigger: Trigger) -> None:
    bound = trigger.bind(TOKYO, "job")
    assert bound.bind(ZoneInfo("UTC"), "other") is bound
    assert trigger.zones() <= bound.zones() or not trigger.zones()
    if trigger.zones():
        assert bound.zones() == trigger.zones()


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_says_one_sentence(trigger: Trigger) -> None:
    sentence = trigger.describe()
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert sentence[0].isupper()


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_takes_and_gives_aware_datetimes_only(trigger: Trigger) -> None:
    refused: tuple[Any, ...] = (datetime.fromisoformat("2026-01-01"), "2026-01-01", None)
    for wrong in refused:
        with pytest.raises(ConfigurationError, match="aware"):
            trigger.next_after(wrong)
        with pytest.raises(ConfigurationError, match="aware"):
            trigger.previous(wrong)
    start = datetime(2026, 1, 3, 9, tzinfo=TOKYO)
    for found in (trigger.next_after(start), trigger.previous(start)):
        assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_next_and_previous_agree(trigger: Trigger) -> None:
    tick = trigger.next_tick(to_micros(NOW))
    for _ in range(5):
        if tick is None or (following := trigger.next_tick(tick)) is None:
            break
        assert following > tick
        assert trigger.previous_tick(following) == tick
        assert trigger.previous_tick(tick + 1) == tick
        tick = following


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_an_instant_outside_the_years_of_utc_is_earlier_or_later_than_any_tick(trigger: Trigger, zone: str) -> None:
    bound = trigger.bind(ZoneInfo(zone), "job")
    too_late = datetime(9999, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-12)))
    too_early = datetime(1, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=14)))
    last, first = bound.previous_tick(LAST_INSTANT + 1), bound.next_tick(FIRST_INSTANT - 1)
    assert bound.previous(too_late) == (None if last is None else from_micros(last))
    assert bound.next_after(too_early) == (None if first is None else from_micros(first))
    assert bound.next_after(too_late) is None
    assert bound.previous(too_early) is None


@given(st.datetimes(timezones=st.sampled_from([UTC, TOKYO, ZoneInfo("America/New_York")]), allow_imaginary=False))
def test_microseconds_are_exact(instant: datetime) -> None:
    try:
        back = from_micros(to_micros(instant))
    except OverflowError:
        assert instant.year in (1, 9999)
    else:
        assert back == instant
        assert back.tzinfo is UTC


class TestInterval:
    def test_is_a_grid_from_the_epoch(self) -> None:
        assert Interval(days=1).next_after(NOW - timedelta(hours=1)) == NOW
        assert Interval(days=1).next_after(NOW) == NOW + timedelta(days=1)
        assert Interval(days=1).previous(NOW) == NOW - timedelta(days=1)

    def test_is_a_grid_to_both_sides_of_an_anchor(self) -> None:
        trigger = Interval(timedelta(minutes=90), anchor=NOW)
        assert trigger.next_after(NOW - timedelta(seconds=1)) == NOW
        assert trigger.next_after(NOW - timedelta(hours=100)) == NOW - timedelta(hours=99)
        assert Interval(timedelta(minutes=90), anchor="2026-01-01T01:00:00+01:00") == trigger

    def test_ends_with_the_calendar(self) -> None:
        assert Interval(days=400_000).next_after(datetime(9700, 1, 1, tzinfo=UTC)) is None
        assert Interval(days=700_000).previous(datetime(1969, 1, 1, tzinfo=UTC)) == datetime(
            1970, 1, 1, tzinfo=UTC
        ) - timedelta(days=700_000)
        assert Interval(days=719_000).previous(datetime(1, 6, 1, tzinfo=UTC)) is None

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"step": timedelta(0)},
            {"step": timedelta(seconds=-1)},
            {"step": 5},
            {"step": timedelta(microseconds=999)},
            {"minutes": -5},
            {"minutes": "5"},
            {"days": float("nan")},
            {"days": 1e12},
            {"step": timedelta(1), "days": 1},
            {"days": 1, "anchor": datetime.fromisoformat("2026-01-01")},
            {"days": 1, "anchor": "soon"},
            {"days": 1, "anchor": 5},
        ],
    )
    def test_refuses_what_is_no_step(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            Interval(**arguments)

    @pytest.mark.parametrize(
        ("step", "words"),
        [
            (timedelta(seconds=1), "second"),
            (timedelta(seconds=90), "90 seconds"),
            (timedelta(hours=36), "36 hours"),
            (timedelta(days=14), "2 weeks"),
            (timedelta(milliseconds=500), "0.5 seconds"),
        ],
    )
    def test_says_its_step(self, step: timedelta, words: str) -> None:
        assert Interval(step).describe() == f"Every {words}."


def walk(trigger: Trigger, start: datetime, count: int) -> list[str]:
    found = []
    instant: datetime | None = start
    while len(found) < count and instant is not None and (instant := trigger.next_after(instant)) is not None:
        found.append(instant.isoformat().removesuffix(":00+00:00"))
    return found


class TestCalendar:
    def test_counts_from_the_anchor(self) -> None:
        trigger = Calendar(months=1, anchor=date(2024, 1, 31))
        dates = ["2024-01-31T00:00", "2024-02-29T00:00", "2024-03-31T00:00", "2024-04-30T00:00", "2024-05-31T00:00"]
        assert walk(trigger, datetime(2020, 1, 1, tzinfo=UTC), 5) == dates
        assert trigger.previous(datetime(2024, 1, 31, tzinfo=UTC)) is None

    def test_weeks_begin_on_a_monday_and_the_rest_with_1970(self) -> None:
        assert walk(Calendar(weeks=1), NOW, 1) == ["2026-01-05T00:00"]
        assert walk(Calendar(years=5), NOW, 1) == ["2030-01-01T00:00"]
        assert walk(Calendar(weeks=1), datetime(1960, 1, 1, tzinfo=UTC), 1) == ["1969-12-29T00:00"]

    @given(
        st.dates(date(1990, 1, 1), date(2010, 1, 1)),
        st.integers(0, 3),
        st.integers(0, 30),
        st.integers(0, 3),
        st.integers(0, 40),
        st.booleans(),
        st.integers(0, 40_000_000),
    )
    def test_finds_the_date_that_counting_finds(
        self, anchor: date, years: int, months: int, weeks: int, days: int, clamp: bool, minute: int
    ) -> None:
        if not (years or months or weeks or days):
            return
        trigger = Calendar(
            years=years,
            months=months,
            weeks=weeks,
            days=days,
            at="13:45",
            anchor=anchor,
            month_end="clamp" if clamp else "skip",
        )
        start = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        counted = [
            datetime(day.year, day.month, day.day, 13, 45, tzinfo=UTC)
            for day in self.counted(
                anchor, years * 12 + months, weeks * 7 + days, clamp, start.date() + timedelta(days=12_000)
            )
        ]
        later = [instant for instant in counted if instant > start]
        earlier = [instant for instant in counted if instant < start]
        if later:
            assert trigger.next_after(start) == later[0]
        assert trigger.previous(start) == (earlier[-1] if earlier else None)

    @staticmethod
    def counted(anchor: date, months: int, days: int, clamp: bool, end: date) -> list[date]:
        from dateutil.relativedelta import relativedelta

        found, number, day = [], 0, anchor
        while day <= end:
            month = anchor + relativedelta(months=number * months)
            day = month + timedelta(days=number * days)
            if clamp or month.day == anchor.day:
                found.append(day)
            number += 1
        return found

    def test_ends_with_the_calendar(self) -> None:
        for trigger in (
            Calendar(years=1),
            Calendar(months=7, days=5),
            Calendar(days=1),
            Calendar(years=1, month_end="skip"),
        ):
            last = trigger.previous(datetime.max.replace(tzinfo=UTC))
            assert last is not None
            assert trigger.next_after(last) is None

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"days": -1},
            {"days": 1.0},
            {"days": True},
            {"days": 1, "at": "2:30"},
            {"days": 1, "at": "24:00"},
            {"days": 1, "at": "02:30:00.5"},
            {"days": 1, "at": 2},
            {"days": 1, "at": time(1, tzinfo=UTC)},
            {"days": 1, "at": "0２:30"},
            {"days": 1, "anchor": datetime.fromisoformat("2026-01-01")},
            {"days": 1, "anchor": "soon"},
            {"days": 1, "month_end": "roll"},
        ],
    )
    def test_refuses_what_cannot_be_meant(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            Calendar(**arguments)


class TestOnce:
    def test_naive_text_is_wall_time_in_the_zone(self) -> None:
        once = Once("2026-01-01T09:00").bind(TOKYO, "job")
        assert walk(once, datetime(2025, 1, 1, tzinfo=UTC), 9) == ["2026-01-01T00:00"]
        assert once.previous(NOW) is None

    def test_a_time_in_a_gap_is_its_end_and_of_two_the_first(self) -> None:
        start = datetime(2020, 1, 1, tzinfo=UTC)
        assert walk(Once("2026-03-29T02:30", tz="Europe/Berlin"), start, 9) == ["2026-03-29T01:00"]
        assert walk(Once("2026-10-25T02:30", tz="Europe/Berlin"), start, 9) == ["2026-10-25T00:30"]
        assert walk(Once("2011-12-30T12:00", tz="Pacific/Apia"), datetime(2000, 1, 1, tzinfo=UTC), 9) == [
            "2011-12-30T10:00"
        ]

    @pytest.mark.parametrize(
        "when",
        [datetime.fromisoformat("2026-01-01"), "soon", 5, None, "0001-01-01T00:00+14:00", "9999-12-31T23:00-05:00"],
    )
    def test_refuses_what_is_no_instant(self, when: Any) -> None:
        with pytest.raises(ConfigurationError):
            Once(when)


class TestAnyOf:
    def test_names_each_instant_once(self) -> None:
        trigger = Cron("0 * * * *") | Interval(minutes=40)
        assert walk(trigger, NOW, 5) == [
            "2026-01-01T00:40",
            "2026-01-01T01:00",
            "2026-01-01T01:20",
            "2026-01-01T02:00",
            "2026-01-01T02:40",
        ]

    def test_is_flat_and_without_doubles(self) -> None:
        daily, hourly = Cron("0 0 * * *"), Cron("0 * * * *")
        assert daily | hourly | daily == AnyOf(daily, hourly)
        assert (AnyOf(daily) | AnyOf(hourly, daily)).triggers == (daily, hourly)

    def test_has_the_zone_its_triggers_share(self) -> None:
        assert AnyOf(Cron("0 0 * * *", tz="Asia/Tokyo"), Cron("1 0 * * *", tz="Asia/Tokyo")).zone.key == "Asia/Tokyo"
        assert AnyOf(Cron("0 0 * * *", tz="Asia/Tokyo"), Interval(hours=1)).zone.key == "UTC"

    def test_refuses_what_is_no_trigger(self) -> None:
        with pytest.raises(ConfigurationError):
            AnyOf()
        with pytest.raises(ConfigurationError):
            AnyOf("0 0 * * *")  # type: ignore[arg-type]  # refused
        with pytest.raises(TypeError):
            Cron("0 0 * * *") | "0 0 * * *"  # type: ignore[operator]  # refused


class TestWithin:
    def test_start_is_within_and_end_is_not(self) -> None:
        trigger = Within(Interval(days=1), start=NOW, end=NOW + timedelta(days=2))
        assert walk(trigger, datetime(2000, 1, 1, tzinfo=UTC), 9) == ["2026-01-01T00:00", "2026-01-02T00:00"]
        assert trigger.previous(datetime(2030, 1, 1, tzinfo=UTC)) == NOW + timedelta(days=1)
        assert trigger.previous(NOW) is None
        assert Within(Interval(days=1)).next_after(NOW) == NOW + timedelta(days=1)

    @pytest.mark.parametrize(
        "bounds", [{"start": NOW, "end": NOW}, {"start": datetime.fromisoformat("2026-01-01")}, {"end": "2026-01-01"}]
    )
    def test_refuses_bounds_that_bound_nothing(self, bounds: dict[str, datetime | str]) -> None:
        with pytest.raises(ConfigurationError):
            Within(Interval(days=1), **bounds)


class Weekends:
    """An open container: it can be asked, not listed."""

    def __init__(self) -> None:
        self.asked = 0

    def __contains__(self, day: object) -> bool:
        self.asked += 1
        return isinstance(day, date) and day.weekday() > 4


class Always:
    def __contains__(self, day: object) -> bool:
        return True


class TestExcluding:
    def test_dates_are_those_of_the_zone(self) -> None:
        trigger = Excluding(Cron("0 8 * * *", tz="Asia/Tokyo"), {date(2026, 1, 2)})
        assert walk(trigger, NOW - timedelta(hours=2), 3) == [
            "2025-12-31T23:00",
            "2026-01-02T23:00",
            "2026-01-03T23:00",
        ]

    def test_an_excluded_day_is_passed_over_at_once(self) -> None:
        weekends = Weekends()
        trigger = Excluding(Cron("* * * * *", tz="America/New_York"), weekends)
        assert trigger.next_after(datetime(2026, 3, 7, 12, tzinfo=UTC)) == datetime(2026, 3, 9, 4, 0, tzinfo=UTC)
        assert trigger.previous(datetime(2026, 3, 8, 12, tzinfo=UTC)) == datetime(2026, 3, 7, 4, 59, tzinfo=UTC)
        assert weekends.asked < 12

    def test_a_clock_set_back_over_midnight_loses_no_tick(self) -> None:
        # In São Paulo 17 February 2018 had its last hour twice; the 18th began once.
        trigger = Excluding(Cron("*/30 * * * *", tz="America/Sao_Paulo"), [date(2018, 2, 18)])
        assert trigger.next_after(datetime(2018, 2, 18, 1, 40, tzinfo=UTC)) == datetime(2018, 2, 18, 2, 0, tzinfo=UTC)
        assert trigger.next_after(datetime(2018, 2, 18, 2, 30, tzinfo=UTC)) == datetime(2018, 2, 19, 3, 0, tzinfo=UTC)

    def test_excluding_everything_leaves_nothing_and_soon(self) -> None:
        trigger = Excluding(Cron("* * * * *", tz="Europe/Berlin"), Always())
        assert trigger.next_after(NOW) is None
        assert trigger.previous(NOW) is None

    def test_a_long_set_is_passed_over_however_long(self) -> None:
        days = [date(2026, 1, 1) + timedelta(days=number) for number in range(5000)]
        assert Excluding(Interval(hours=1), days).next_after(NOW) == NOW + timedelta(days=5000)

    def test_an_open_container_is_neither_json_nor_signature(self) -> None:
        trigger = Excluding(Cron("0 8 * * *"), Weekends())
        with pytest.raises(ConfigurationError, match="Weekends"):
            trigger.to_json()
        assert trigger.signature() == Excluding(Cron("0 8 * * *"), []).signature()
        assert hash(trigger) == hash(Excluding(Cron("0 8 * * *"), []))
        assert trigger != Excluding(Cron("0 8 * * *"), [])
        assert "except on the dates excluded" in trigger.describe()

    @pytest.mark.parametrize("dates", ["2026-01-01", 5, [5], ["soon"], [datetime.fromisoformat("2026-01-01")]])
    def test_refuses_what_holds_no_dates(self, dates: Any) -> None:
        with pytest.raises(ConfigurationError):
            Excluding(Interval(days=1), dates)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"type": "sundial"},
        {"type": "cron"},
        {"type": "cron", "expr": 5},
        {"type": "cron", "expr": "* * * * *", "colour": 1},
        {"type": "within", "trigger": 5},
        {"type": "any_of"},
        {"type": "any_of", "triggers": []},
        {"type": "excluding", "trigger": {"type": "once"}},
    ],
)
def test_refuses_json_that_is_no_trigger(data: Any) -> None:
    with pytest.raises(ConfigurationError):
        trigger_from_json(data)


def test_json_of_one_class_is_not_another() -> None:
    with pytest.raises(ConfigurationError, match="Interval"):
        Cron.from_json(Interval(days=1).to_json())


def test_signatures_stay_short() -> None:
    dates = ",".join(f"2026{month:02}{day:02}T000000" for month in range(1, 13) for day in range(1, 29))
    assert len(RRule(f"RRULE:FREQ=DAILY\nEXDATE:{dates}").signature()) < 250


def test_the_same_cron_expression_is_the_same_object() -> None:
    daily = Cron("0 2 * * *", tz="Europe/Paris")
    assert Cron("0 2 * * *", tz="Europe/Paris", seed="backup") is daily
    assert Cron("0 2 * * *").in_zone(ZoneInfo("Europe/Paris")) == daily
    assert Cron("0 2 * * *", tz="UTC") is not daily
    assert Cron("H 2 * * *", seed="a") is not Cron("H 2 * * *", seed="b")


@pytest.mark.parametrize("expr", [["0 2 * * *"], {}, 5, None, b"0 2 * * *"])
def test_what_is_no_text_is_refused_whether_it_can_be_hashed_or_not(expr: object) -> None:
    with pytest.raises(ConfigurationError, match="a cron expression is text, not"):
        Cron(expr)


def test_options_of_a_wrong_type_are_refused_whether_they_can_be_hashed_or_not() -> None:
    for options in ({"dst_gap": []}, {"day_match": {}}, {"tz": ["UTC"]}, {"seed": [1]}):
        with pytest.raises(ConfigurationError):
            Cron("0 2 * * *", **options)


@pytest.mark.parametrize("flag", ["no", 1, 0, None, [], ("a",)])
def test_a_flag_is_true_or_false_and_nothing_that_is_like_it(flag: Any) -> None:
    assert Cron("* * * * * *", seconds=True).seconds
    with pytest.raises(ConfigurationError, match="seconds is True or False, not"):
        Cron("* * * * * *", seconds=flag)
    with pytest.raises(ConfigurationError, match="seconds is True or False, not"):
        Trigger.from_json({"type": "cron", "expr": "* * * * * *", "seconds": flag})
    with pytest.raises(ConfigurationError, match="day_or is True or False, not"):
        Cron.from_croniter("0 0 1 * 1", day_or=flag)


def test_bytes_hold_no_dates() -> None:
    for dates in (b"2026-01-01", bytearray()):
        with pytest.raises(ConfigurationError, match="a container of dates, not byte"):
            Excluding(Cron("0 2 * * *"), dates)
