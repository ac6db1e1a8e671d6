"""What cron text means, and what is refused, where and why."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.errors import ConfigurationError, CronSyntaxError
from rota.triggers import Cron
from rota.triggers.cron_syntax import FIELDS, HOUR, MINUTE, MONTH, WEEKDAY, DayMatch, Field, parse, values_of
from rota.triggers.cron_table import bits_of

START = datetime(2024, 1, 1, tzinfo=UTC)

HASHED = {"S": [4], "M": [26], "h": [21], "d": [26], "m": [6], "w": [3]}
HASHED_STEPS = [6, 16, 26]
HASHED_QUARTERS = [11, 26, 41, 56]


def values(field: int, text: str, seed: str | None = None) -> list[int]:
    return bits_of(values_of(FIELDS[field], text.upper(), seed)[0])


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        (1, "*", list(range(60))),
        (1, "*/20", [0, 20, 40]),
        (1, "*/99999", [0]),
        (1, "7/20", [7, 27, 47]),
        (1, "5-5", [5]),
        (1, "10-20/5", [10, 15, 20]),
        (1, "58-1", [0, 1, 58, 59]),
        (1, "50-10/7", [4, 50, 57]),
        (2, "22-2", [0, 1, 2, 22, 23]),
        (2, "21-2/5", [2, 21]),
        (2, "05,5", [5]),
        (4, "NOV-FEB", [1, 2, 11, 12]),
        (4, "jan,mar-may", [1, 3, 4, 5]),
        (5, "7", [0]),
        (5, "5-7", [0, 5, 6]),
        (5, "SUN-MON", [0, 1]),
        (5, "fri-mon", [0, 1, 5, 6]),
        (5, "7-2", [0, 1, 2]),
        (5, "7-7", [0]),
        (5, "0-7", list(range(7))),
        (5, "FRI-SUN/2", [0, 5]),
        (5, "1/2", [0, 1, 3, 5]),
        (5, "*/2", [0, 2, 4, 6]),
    ],
)
def test_an_item_means_these_values(field: int, text: str, expected: list[int]) -> None:
    assert values(field, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 24 * * *", "bad cron expression: hour: 24 is out of range 0-23\n  0 24 * * *\n    ^^"),
        ("\t0  24\t* * *", "bad cron expression: hour: 24 is out of range 0-23\n   0  24 * * *\n      ^^"),
        ("0 8-61 * * *", "bad cron expression: hour: 61 is out of range 0-23\n  0 8-61 * * *\n      ^^"),
        (
            "0 0 * * L5",
            "bad cron expression: day of week: the weekday comes first: write 5L\n  0 0 * * L5\n          ^^",
        ),
        ("0 0 30 2 *", "bad cron expression: day of month: no year has such a day\n  0 0 30 2 *\n      ^^"),
        (
            "* * * * 1#6",
            "bad cron expression: day of week: the n of d#n is 1..5, not 6\n  * * * * 1#6\n            ^",
        ),
    ],
)
def test_the_message_points_at_the_place(text: str, message: str) -> None:
    with pytest.raises(CronSyntaxError) as caught:
        Cron(text)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "field", "position", "reason"),
    [
        ("", "fields", 0, "empty"),
        ("   ", "fields", 0, "empty"),
        ("* * * * * *", "fields", 0, "seconds=True"),
        ("*/5 0 2 1 1 mon/2", "fields", 0, "seconds=True"),
        ("0 2 * * * /usr/bin/backup", "fields", 0, "of a crontab's line the first five belong here"),
        ("0 2 * * * cd /srv && ./backup --all", "fields", 0, "of a crontab's line the first five belong here"),
        ("CRON_TZ=Europe/Paris 0 2 * * *", "fields", 0, "as tz='…'"),
        ("MAILTO=root", "fields", 0, "sets a variable of a crontab"),
        ("0 2 * * * 1/x", "fields", 0, "seconds=True"),
        ("1,,2 * * * *", "minute", 2, "missing"),
        ("1, * * * *", "minute", 2, "missing"),
        ("*/ * * * *", "minute", 2, "missing"),
        ("5- * * * *", "minute", 2, "missing"),
        ("-5 * * * *", "minute", 0, "missing"),
        ("+5 * * * *", "minute", 0, "cannot read"),
        ("*/0 * * * *", "minute", 2, "step must be >= 1"),
        ("0 0 0 * *", "day of month", 4, "out of range 1-31"),
        ("0 0 * 0 *", "month", 6, "out of range 1-12"),
        ("0 0 * * 8", "day of week", 8, "out of range 0-7"),
        ("0 0 20-10 * *", "day of month", 4, "two ranges"),
        ("0 0 * * 5#6", "day of week", 10, "1..5"),
        ("0 0 * * 5#", "day of week", 10, "1..5"),
        ("0 0 * * L", "day of week", 8, "write 5L"),
        ("0 0 32W * *", "day of month", 4, "out of range"),
        ("0 0 W * *", "day of month", 4, "missing"),
        ("0 0 L-3 * *", "day of month", 4, "L, LW and nW"),
        ("0 L * * *", "hour", 2, "cannot read"),
        ("0 0 ?/2 * *", "day of month", 4, "? stands alone"),
        ("? * * * *", "minute", 0, "? stands alone"),
        ("0 0 1,? * *", "day of month", 6, "? stands alone"),
        ("R * * * *", "minute", 0, "jitter"),
        ("R(0-30) * * * *", "minute", 0, "jitter"),
        ("H(1-2 * * * *", "minute", 0, "H(a-b)"),
        ("0 0 * JANUARY *", "month", 6, "unknown name"),
        ("0 MON * * *", "hour", 2, "unknown name"),
        ("@reboot", "macro", 0, "run_now"),
        ("@every 5m", "macro", 0, "Interval"),
        ("@daily 5", "macro", 0, "alone"),
        ("@fortnightly", "macro", 0, "unknown name"),
        ("0 0 31 2,4,6 *", "day of month", 4, "no year"),
        ("0\n0 * * *", "minute", 1, "ASCII"),
        ("0 0 * * \0", "day of week", 8, "ASCII"),
        ("0\u00a00 * * *", "minute", 1, "ASCII"),
        ("0 \u0663 * * *", "hour", 2, "not an ASCII digit"),
        ("0 0 1\u00df * *", "day of month", 5, "ASCII"),
    ],
)
def test_a_refusal_names_field_place_and_reason(text: str, field: str, position: int, reason: str) -> None:
    with pytest.raises(CronSyntaxError) as caught:
        Cron(text)
    assert (caught.value.field, caught.value.position) == (field, position)
    assert reason in caught.value.reason
    assert caught.value.expression == text


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000,
        "0-99999999 * * * *",
        "*/99999999999999999999 * * * 99",
        "\0" * 10_000,
        "\uff11" * 900,
        "1," * 499,
        "* " * 499,
        "H(0-59)/1," * 90 + "Q * * * *",
        "0 0 31 2 1#5,2#5,3#5,4#5,5#5",
        ("9" * 900) + " * * * *",
        "0-59/2," * 140 + "Q * * * *",
        "1-0/2," * 160 + "Q * * * *",
        "* * 1W," + "1W," * 300 + "Q * *",
        "* * * JAN," + "JAN," * 220 + "Q *",
        "* * * * " + "H(0-6)/2," * 100 + "Q",
        "* * * * " + "1#5," * 220 + "8",
    ],
)
def test_hostile_text_is_refused_at_once(text: str) -> None:
    """In well under a millisecond, told by the calls that it takes: time would tell how busy the machine is."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        with pytest.raises(CronSyntaxError) as caught:
            parse(text, day_match="and", seed="job")
    finally:
        sys.setprofile(None)
    assert calls < 10_000
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("field", [MINUTE, HOUR, MONTH, WEEKDAY], ids=lambda field: field.name)
def test_every_range_and_step_is_what_counting_gives(field: Field) -> None:
    size = 7 if field is WEEKDAY else field.high - field.low + 1
    for first in range(field.low, field.low + size):
        for last in range(field.low, field.low + size):
            for step in range(1, size + 2):
                counted = range(0, (last - first) % size + 1, step)
                wanted = sum({1 << (first - field.low + number) % size + field.low for number in counted})
                assert values_of(field, f"{first}-{last}/{step}", None) == (wanted, ())


@pytest.mark.parametrize("value", [None, 5, b"* * * * *", ["*"]])
def test_what_is_not_text_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="text"):
        Cron(value)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_a_macro_is_its_expression(text: str, same: str) -> None:
    macro, written = Cron(text), Cron(same)
    assert macro.dst_class == written.dst_class
    assert macro.next_after(START) == written.next_after(START)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "wildcard"),
        ("*/15 2 * * *", "wildcard"),
        ("30 */2 * * *", "wildcard"),
        ("@hourly", "wildcard"),
        ("30 2 * * *", "fixed"),
        ("0 0-23 * * *", "fixed"),
        ("0-59 0-23 * * *", "fixed"),
        ("1,*/5 2 * * *", "fixed"),
    ],
)
def test_the_class_is_read_from_the_text(text: str, expected: str) -> None:
    assert Cron(text).dst_class == expected


def test_a_second_of_zero_means_what_five_fields_mean() -> None:
    six, five = Cron("0 30 2 * * *", tz="America/New_York", seconds=True), Cron("30 2 * * *", tz="America/New_York")
    assert six.dst_class == five.dst_class == "fixed"
    assert Cron("*/5 30 2 * * *", seconds=True).dst_class == "wildcard"
    start = datetime(2024, 3, 9, 12, tzinfo=UTC)
    for _ in range(5):
        assert six.next_after(start) == five.next_after(start)
        start = five.next_after(start) or start


@pytest.mark.parametrize(
    ("text", "day_match", "days"),
    [
        ("0 0 13 * 5", None, [5, 12, 13, 19, 26]),
        ("0 0 13 * 5", "and", []),
        ("0 0 */13 * 5", None, []),
        ("0 0 */11 * 5", "or", [1, 5, 12, 19, 23, 26]),
        ("0 0 ? * 5", None, [5, 12, 19, 26]),
        ("0 0 ? * 5", "or", [5, 12, 19, 26]),
        ("0 0 * * 5", "or", [5, 12, 19, 26]),
        ("0 0 L * 5#2", None, [12, 31]),
        ("0 0 1W,LW * *", None, [1, 31]),
    ],
)
def test_day_of_month_and_day_of_week_combine(text: str, day_match: str | None, days: list[int]) -> None:
    trigger = Cron(text, day_match=day_match)
    found = []
    instant = trigger.next_after(START - timedelta(seconds=1))
    while instant is not None and instant < datetime(2024, 2, 1, tzinfo=UTC):
        found.append(instant.day)
        instant = trigger.next_after(instant)
    assert found == days


def test_the_hash_is_frozen_for_ever() -> None:
    """These values were computed once, from the formula in the docstring; they may never change."""
    assert {name: values(index, "H", "nightly_backup") for index, name in enumerate("SMhdmw")} == HASHED
    assert values(1, "H(0-29)/10", "nightly_backup") == HASHED_STEPS
    assert values(1, "H/15", "nightly_backup") == HASHED_QUARTERS


def test_the_hash_stays_in_its_range_and_spreads() -> None:
    for number in range(300):
        seed = f"job-{number}"
        assert 9 <= values(2, "H(9-17)", seed)[0] <= 17
        assert values(3, "H", seed)[0] <= 28
        assert len(values(1, "H/15", seed)) == 4
        assert len(values(1, "H/99", seed)) == 1
        assert max(values(1, "H(10-20)/3", seed)) <= 20
    assert len({values(1, "H", f"job-{number}")[0] for number in range(600)}) == 60


def test_a_seed_counts_only_where_it_is_used() -> None:
    assert Cron("0 0 * * THU", seed="a") == Cron("0 0 * * THU", seed="b") == Cron("0 0 * * THU")
    assert Cron("H 0 * * *", seed="a").seed == "a"
    assert Cron("H 0 * * *", seed="a") != Cron("H 0 * * *", seed="b")


def test_the_same_text_shares_its_tables() -> None:
    first, second = Cron("1 2 3 4 *", tz="UTC"), Cron("1 2 3 4 *", tz="Europe/Paris")
    assert first._parsed is second._parsed


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"hour": 2, "minute": 0, "day_of_week": "mon-fri"}, "0 2 * * mon-fri"),
        ({"hour": 2}, "0 2 * * *"),
        ({"minute": 5}, "5 * * * *"),
        ({"second": 30}, "30 * * * * *"),
        ({"day": "L"}, "0 0 L * *"),
        ({"month": 3}, "0 0 1 3 *"),
        ({"month": "3", "hour": "2,4"}, "0 2,4 * 3 *"),
        ({"day_of_week": "mon"}, "0 0 * * mon"),
        ({"month": 12, "day_of_week": "fri"}, "0 0 * 12 fri"),
    ],
)
def test_fields_by_name(fields: dict[str, Any], expected: str) -> None:
    trigger = Cron.of(**fields)
    assert trigger.expr == expected
    assert trigger.seconds == ("second" in fields)


@pytest.mark.parametrize("fields", [{}, {"hour": True}, {"hour": 2.0}, {"hour": "2 3"}, {"hour": ""}])
def test_fields_by_name_refuse_what_is_no_field(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Cron.of(**fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 2 * * *", "At 02:00 every day, UTC."),
        ("*/15 9-17 * * mon-fri", "Every 15 minutes from 09:00 to 17:45 on Monday to Friday, UTC."),
        ("0 */2 * * *", "Every 2 hours, from 00:00, UTC."),
        ("5 * * * *", "Every hour at 5 minutes past, UTC."),
        ("* * * * *", "Every minute, UTC."),
        ("*/7 * * * *", "Every 7 minutes, anew each hour, UTC."),
        ("0 0 1,15 * *", "At 00:00 on days 1 and 15 of the month, UTC."),
        ("0 0 LW * *", "At 00:00 on the last working day of the month, UTC."),
        ("0 0 15W * *", "At 00:00 on the working day nearest to day 15 of the month, UTC."),
        ("0 0 * * 5#2", "At 00:00 on the second Friday of the month, UTC."),
        ("0 0 * * 5L", "At 00:00 on the last Friday of the month, UTC."),
        ("0 0 13 * fri", "At 00:00 on day 13 of the month or on Friday, UTC."),
        ("0 0 13 * */5", "At 00:00 on day 13 of the month, if that is Friday or Sunday, UTC."),
        ("30 8,12 * jun,dec sat,sun", "At 08:30 and 12:30 on Saturday and Sunday in June and December, UTC."),
        ("0 9-17 * 1-3 *", "Every hour from 09:00 to 17:00 in January to March, UTC."),
        ("5-7 * * * *", "Every minute from minute 5 to 7, UTC."),
        ("*/5 1,4,9 * * *", "Every 5 minutes in the hours 1, 4 and 9, UTC."),
        ("*/5 */3 * * *", "Every 5 minutes in every 3rd hour from midnight, UTC."),
    ],
)
def test_says_it_in_one_sentence(text: str, expected: str) -> None:
    assert Cron(text).describe() == expected


@pytest.mark.parametrize("day_match", [None, "and", "or"])
@pytest.mark.parametrize("any_day", ["*", "?", "*/1"])
def test_a_day_field_that_does_not_restrict_is_not_told(any_day: str, day_match: DayMatch | None) -> None:
    for text, expected in (
        (f"0 0 {any_day} * mon", "At 00:00 on Monday, UTC."),
        (f"0 0 13 * {any_day}", "At 00:00 on day 13 of the month, UTC."),
        (f"0 0 {any_day} * {any_day}", "At 00:00 every day, UTC."),
    ):
        trigger, plain = Cron(text, day_match=day_match), Cron(text.replace(any_day, "*"))
        assert trigger.describe() == expected
        tick = START
        for _ in range(10):
            assert trigger.next_after(tick) == (tick := plain.next_after(tick) or START)


def test_says_seconds() -> None:
    assert Cron("30 0 2 * * *", seconds=True).describe() == "At 02:00:30 every day, UTC."
    assert Cron("*/10 * * * * *", seconds=True).describe() == "Every 10 seconds, UTC."
    assert Cron("* 0 2 * * *", seconds=True).describe() == "Every second of minute 0 from 02:00 to 02:00, UTC."
