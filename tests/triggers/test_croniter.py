"""croniter: a second opinion on plain expressions in UTC, and where expressions come from."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from croniter import croniter

from rota.errors import ConfigurationError
from rota.triggers import Cron
from rota.triggers.croniter_dialect import converted


def plain_field(draw: random.Random, low: int, high: int) -> str:
    first, last = sorted(draw.sample(range(low, high + 1), 2))
    return draw.choice(
        [
            "*",
            f"*/{draw.randint(2, high)}",
            str(first),
            f"{first},{last}",
            f"{first}-{last}",
            f"{first}-{last}/{draw.randint(1, 5)}",
        ]
    )


def test_agrees_with_croniter_on_plain_expressions_in_utc() -> None:
    draw = random.Random(2026)
    for _ in range(400):
        days, weekdays = draw.choice([("*", "*"), (plain_field(draw, 1, 28), "*"), ("*", plain_field(draw, 0, 6))])
        text = f"{plain_field(draw, 0, 59)} {plain_field(draw, 0, 23)} {days} {plain_field(draw, 1, 12)} {weekdays}"
        start = datetime(
            draw.randint(1990, 2060), draw.randint(1, 12), draw.randint(1, 28), draw.randint(0, 23), tzinfo=UTC
        )
        trigger, theirs = Cron(text), croniter(text, start, ret_type=datetime)
        instant: datetime | None = start
        for _ in range(8):
            assert instant is not None
            instant = trigger.next_after(instant)
            assert instant == theirs.get_next(datetime), text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 2 * * *", Cron("0 2 * * *")),
        ("0 2 * * * 30", Cron("30 0 2 * * *", seconds=True)),
        ("*/5 * * * * */10", Cron("*/10 */5 * * * *", seconds=True)),
        ("0 0 * * L5", Cron("0 0 * * 5l")),
        ("0 0 l * *", Cron("0 0 l * *")),
        ("0 0 13 * 5", Cron("0 0 13 * 5")),
        ("0 0 */2 * 1-5", Cron("0 0 */2 * 1-5", day_match="or")),
        ("0 0 * * sun", Cron("0 0 * * sun")),
        ("0 0 29 2 *", Cron("0 0 29 2 *")),
        ("@hourly", Cron("@hourly")),
    ],
)
def test_converts_what_both_can_say(text: str, expected: Cron) -> None:
    assert Cron.from_croniter(text) == expected


def test_a_nearest_weekday_may_have_its_letter_first() -> None:
    assert converted("0 0 W15,1 * *", day_or=True) == ("0 0 15w,1 * *", False, None)


def test_keeps_zone_and_policies() -> None:
    converted = Cron.from_croniter("0 2 13 * 5", tz="Europe/Paris", day_or=False, dst_gap="skip", dst_fold="both")
    assert converted == Cron("0 2 13 * 5", tz="Europe/Paris", day_match="and", dst_gap="skip", dst_fold="both")


@pytest.mark.parametrize(
    "text",
    [
        "0 0 31W * *",
        "0 0 13 * 5#2",
        "0 21-2/5 * * *",
        "18-5 12-10,6-6 * */3 */4",
        "* * */2 1 1,*,7-7/7 58",
        "0-30,7-7 * * 12 * 0",
        "0 0 1 1 * 0 2030",
        "H * * * *",
        "R * * * *",
        "junk",
        "0 0 30 2 *",
        "0 0 LW * *",
        "* * * *",
    ],
)
def test_refuses_what_the_two_read_differently(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Cron.from_croniter(text)


def test_a_difference_is_shown_with_both_instants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(croniter, "get_next", lambda *_: datetime(2031, 5, 6, tzinfo=UTC))
    with pytest.raises(ConfigurationError, match=r"runs at 2031-05-06.*by Rota's rules at 2024-01-01T00:05"):
        Cron.from_croniter("5 * * * *")
