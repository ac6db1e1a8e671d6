"""Changes of the clock are found in every zone, and stretches cut instants and wall times alike."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from tests.triggers.zone_files import listed_changes

from rota.errors import ConfigurationError, UnknownTimeZoneError
from rota.triggers import Cron
from rota.triggers.wall_clock import (
    FIXED,
    WILDCARD,
    YEAR_BITS,
    Change,
    Plain,
    WallClock,
    forget_zones,
    policy,
    wall_clock,
)

ZONES = sorted(zoneinfo.available_timezones() - {"localtime"})
FIRST, LAST = -4_000_000_000, 2_100_000_000
SHOWN = datetime(2024, 3, 10, 7, 0, tzinfo=UTC)


def explored_changes(clock: WallClock) -> list[tuple[int, int, int]]:
    found = set()
    for number in range(FIRST >> YEAR_BITS, (LAST >> YEAR_BITS) + 1):
        for stretch in clock._year(number << YEAR_BITS).stretches:
            if isinstance(stretch, Change):
                found.update(zip(stretch.instants, stretch.offsets, stretch.offsets[1:], strict=False))
    return sorted(found)


@pytest.mark.parametrize("letters", ["A", "BCDEFGHIJKLMNOPQRSTUVWXYZ"])
def test_finds_every_change_that_the_zone_file_lists(letters: str) -> None:
    for key in ZONES:
        if key[0] not in letters:
            continue
        explored = explored_changes(WallClock(key))
        listed = [change for change in listed_changes(key) if FIRST < change[0] < LAST]
        within = [change for change in explored if FIRST < change[0] < (listed[-1][0] + 1 if listed else LAST)]
        assert within == listed, key


def test_neighbouring_years_agree_on_the_stretch_at_their_border() -> None:
    for key in ("Africa/Casablanca", "America/New_York", "Asia/Gaza", "Pacific/Apia"):
        clock = WallClock(key)
        for number in range(20, 66):
            border = number << YEAR_BITS
            here, before = clock._at_instant(border), stretch_of(clock, number - 1, border)
            assert (here.low_wall - here.low) == (before.low_wall - before.low), key
            assert isinstance(here, Change) == isinstance(before, Change), key


def stretch_of(clock: WallClock, number: int, second: int) -> Plain | Change:
    year = clock._year(number << YEAR_BITS)
    return [stretch for stretch in year.stretches if stretch.low <= second][-1]


@pytest.mark.parametrize(
    "key", ["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "Africa/Cairo"]
)
def test_stretches_cut_wall_times_without_gap_or_overlap(key: str) -> None:
    clock = WallClock(key)
    for number in range(30, 56):
        stretches = clock._year(number << YEAR_BITS).stretches
        for earlier, later in pairwise(stretches):
            assert earlier.high == later.low
            last = earlier.offsets[-1] if isinstance(earlier, Change) else earlier.offset
            assert earlier.high + last == later.low_wall


def test_close_changes_share_a_stretch() -> None:
    joined = Change([1_000_000], [0, 7200]).joined(Change([1_003_600], [7200, 0]))
    # The clock jumps from 10:46:40 ahead by two hours, and an hour later back again.
    first, second = 1_000_000, 1_003_600
    told = [(piece.low, piece.high, piece.offset) for piece in joined.pieces(FIXED) if piece.at is None]
    assert sorted(told) == [
        (first - 14_400, first, 0),
        (second, first + 7200, 0),
        (first + 7200, second + 7200, 7200),
        (second + 7200, second + 14_400, 0),
    ]
    # What it passed over and then showed after all ran then; only the hour it never showed runs after the gap.
    assert [(piece.low, piece.high) for piece in joined.pieces(FIXED) if piece.at == first] == [(first, second)]


def test_a_long_gap_is_caught_up_only_on_request() -> None:
    assert policy(FIXED, None, None).longest == 3 * 3600
    assert policy(FIXED, "run_after", None).longest > 24 * 3600
    assert policy(WILDCARD, "shift", None).fold == "both"
    # Apia had no 30 December 2011.
    start = datetime(2011, 12, 30, 9, 0, tzinfo=UTC)
    assert Cron("30 0 * * *", tz="Pacific/Apia").next_after(start) == datetime(2011, 12, 30, 10, 30, tzinfo=UTC)
    asked = Cron("30 0 * * *", tz="Pacific/Apia", dst_gap="run_after")
    assert asked.next_after(start) == datetime(2011, 12, 30, 10, 0, tzinfo=UTC)


def test_what_a_zone_was_is_forgotten_on_request() -> None:
    clock = wall_clock("Europe/Berlin")
    trigger = Cron("0 0 * * *", tz="Europe/Berlin")
    before = trigger.next_after(SHOWN)
    clock._recent = Plain(0, 4_000_000_000, 0)
    assert trigger.next_after(SHOWN) != before
    forget_zones()
    assert trigger.next_after(SHOWN) == before


def test_a_zone_made_without_the_cache_is_the_zone_of_its_key() -> None:
    assert Cron("0 0 * * *", tz=ZoneInfo.no_cache("Asia/Tokyo")) == Cron("0 0 * * *", tz="Asia/Tokyo")


@pytest.mark.parametrize(
    ("written", "nearest"),
    [("Europe/Pariss", "Europe/Paris"), ("paris", "Europe/Paris"), ("New York", "America/New_York"), ("zzzzzz", None)],
)
def test_an_unknown_zone_is_refused_with_the_nearest_name(written: str, nearest: str | None) -> None:
    with pytest.raises(UnknownTimeZoneError) as caught:
        Cron("0 0 * * *", tz=written)
    assert caught.value.suggestion == nearest
    assert repr(written) in str(caught.value)


@pytest.mark.parametrize("written", ["", "../etc/passwd", "/etc/passwd", "a\0b", "Europe", "x" * 5000])
def test_what_is_no_zone_at_all_is_refused_alike(written: str) -> None:
    with pytest.raises(UnknownTimeZoneError):
        Cron("0 0 * * *", tz=written)


def test_a_zone_without_a_key_is_refused() -> None:
    from io import BytesIO

    from tests.triggers.zone_files import zone_bytes

    with pytest.raises(ConfigurationError, match="without a key"):
        Cron("0 0 * * *", tz=ZoneInfo.from_file(BytesIO(zone_bytes("Europe/Paris"))))


@pytest.mark.parametrize(
    ("option", "value"), [("dst_gap", "both"), ("dst_fold", "skip"), ("dst_gap", ""), ("dst_fold", ["first"])]
)
def test_an_unknown_policy_is_refused(option: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        Cron("0 0 * * *", **{option: value})
