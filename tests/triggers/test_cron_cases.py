"""Every row of the shared table of cases, at its own rule and policy."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from rota.errors import CronSyntaxError
from rota.triggers import Calendar, Cron, Interval, Trigger

Row = dict[str, str]

CASES: list[Row] = json.loads((Path(__file__).parents[1] / "data" / "cron_cases.json").read_text(encoding="utf-8"))
REJECTED = [row for row in CASES if row["kind"] == "reject"]
CALENDARS = {
    "cal-006": {"days": 1, "at": "02:30", "anchor": date(2024, 3, 8)},
    "cal-007": {"days": 1, "at": "01:30", "anchor": date(2024, 11, 2)},
    "cal-009": {"months": 1, "at": "02:30", "anchor": date(2024, 1, 31), "month_end": "skip"},
    "cal-011": {"months": 1, "at": "02:30", "anchor": date(2024, 2, 10)},
    "cal-012": {"months": 12, "at": "12:00", "anchor": date(2024, 2, 29)},
    "cal-013": {"days": 7, "at": "12:00", "anchor": date(2024, 10, 24)},
}
REASONS = {
    "rej-002": ("hour", "24 is out of range 0-23"),
    "rej-004": ("month", "13 is out of range 1-12"),
    "rej-006": ("fields", "4 fields"),
    "rej-007": ("minute", "step must be >= 1"),
    "rej-010": ("month", "unknown name"),
    "rej-011": ("day of week", "1..5"),
    "rej-016": ("minute", "not an ASCII digit"),
    "rej-019": ("minute", "needs a seed"),
}


def trigger_of(row: Row) -> Trigger:
    gap, _, fold = row["policy"].partition("/")
    policies = {"dst_gap": gap, "dst_fold": fold} if fold else {}
    if row["kind"] == "interval":
        return Interval(timedelta(minutes=90), anchor=datetime.fromisoformat(row["start_utc"]))
    if row["kind"] == "calendar":
        return Calendar(tz=row["tz"], **policies, **CALENDARS[row["id"]])
    return Cron(row["expr"], tz=row["tz"], seconds=len(row["expr"].split()) == 6, **policies)


@pytest.mark.parametrize("row", [row for row in CASES if row["kind"] != "reject"], ids=lambda row: row["id"])
def test_names_exactly_the_instants_expected(row: Row) -> None:
    trigger = trigger_of(row)
    instant = datetime.fromisoformat(row["start_utc"])
    expected = [datetime.fromisoformat(text) for text in row["expected_utc"]]
    found = []
    for _ in expected:
        following = trigger.next_after(instant)
        assert following is not None, row["why"]
        found.append(instant := following)
    assert found == expected, row["why"]


@pytest.mark.parametrize("row", [row for row in CASES if row["kind"] != "reject"], ids=lambda row: row["id"])
def test_names_the_same_instants_backwards(row: Row) -> None:
    trigger = trigger_of(row)
    expected = [datetime.fromisoformat(text) for text in row["expected_utc"]]
    instant = expected[-1] + timedelta(microseconds=1)
    found = []
    for _ in expected:
        before = trigger.previous(instant)
        assert before is not None, row["why"]
        found.append(instant := before)
    assert found == expected[::-1], row["why"]


@pytest.mark.parametrize("row", REJECTED, ids=lambda row: row["id"])
def test_refuses_with_field_and_reason(row: Row) -> None:
    field, reason = REASONS[row["id"]]
    with pytest.raises(CronSyntaxError) as caught:
        Cron(row["expr"], tz=row["tz"])
    assert caught.value.field == field
    assert reason in caught.value.reason


def test_every_kind_of_row_is_known() -> None:
    assert {row["kind"] for row in CASES} == {"cron", "interval", "calendar", "reject"}
    assert {row["id"] for row in REJECTED} == set(REASONS)
    assert {row["id"] for row in CASES if row["kind"] == "calendar"} == set(CALENDARS)
