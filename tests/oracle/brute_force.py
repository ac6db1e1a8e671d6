"""A cron engine that is slow and simple: every wall minute is looked at, every zone asked for every minute.

It shares nothing with ``rota.triggers``: fields are sets of numbers made by a parser of its own, wall minutes are
naive datetimes counted one by one, and a zone is asked by converting each instant to wall time. What it says is the
definition in words: a wall time that is told once runs then; one that is told twice runs in the passes the policy
names; one that is never told runs as the gap policy says.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
WEEKDAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def number(text: str) -> int:
    lowered = text.lower()
    return MONTHS.get(lowered, WEEKDAYS.get(lowered, -1)) if lowered.isalpha() else int(text)


def plain(text: str, low: int, high: int) -> list[int]:
    """The values of one item, in the order the step counts them."""
    body, _, step = text.partition("/")
    if body in ("*", "?"):
        values = list(range(low, min(high, 6) + 1 if high == 7 else high + 1))
    elif "-" in body:
        first, last = (number(part) for part in body.split("-"))
        if high == 7 and first == 7 and last < 7:
            first = 0
        if first <= last:
            values = list(range(first, last + 1))
        else:
            values = [*range(first, 7 if high == 7 else high + 1), *range(low, last + 1)]
    else:
        values = list(range(number(body), high + 1)) if step else [number(body)]
    return values[:: int(step or 1)]


class Expression:
    """Five fields, matched against naive datetimes."""

    def __init__(self, text: str) -> None:
        self.texts = text.split()
        self.minutes, self.hours = (self.values(index) for index in (0, 1))
        self.months = self.values(3)
        self.fixed = not (self.texts[0].startswith("*") or self.texts[1].startswith("*"))

    def values(self, index: int) -> set[int]:
        return {value for item in self.texts[index].split(",") for value in plain(item, *RANGES[index])}

    def is_date(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        dates = any(self.is_day_item(item, day) for item in self.texts[2].split(","))
        weekdays = any(self.is_weekday_item(item, day) for item in self.texts[4].split(","))
        if self.texts[2][0] in "*?" or self.texts[4][0] in "*?":
            return dates and weekdays
        return dates or weekdays

    @staticmethod
    def is_day_item(item: str, day: date) -> bool:
        last = monthrange(day.year, day.month)[1]
        working = [n for n in range(1, last + 1) if date(day.year, day.month, n).weekday() < 5]
        if item.upper() == "L":
            return day.day == last
        if item.upper() == "LW":
            return day.day == working[-1]
        if item.upper().endswith("W"):
            wanted = int(item[:-1])
            if wanted > last:
                return False
            # The nearest; a Saturday is nearer to Friday, a Sunday to Monday, so that there is no tie inside a week.
            return day.day == min(working, key=lambda n: abs(n - wanted))
        return day.day in plain(item, 1, 31)

    @staticmethod
    def is_weekday_item(item: str, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if "#" in item:
            wanted, nth = item.split("#")
            return weekday == number(wanted) % 7 and (day.day - 1) // 7 + 1 == int(nth)
        if len(item) > 1 and item.upper().endswith("L"):
            return weekday == number(item[:-1]) % 7 and day.day + 7 > monthrange(day.year, day.month)[1]
        return weekday in {value % 7 for value in plain(item, 0, 7)}

    def wall_minutes(self, first: date, last: date) -> Iterator[datetime]:
        day = first
        while day <= last:
            if self.is_date(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        yield datetime.combine(day, time(hour, minute))
            day += timedelta(days=1)


class Told:
    """For a stretch of time in one zone: which instants tell which wall minute, found minute by minute."""

    def __init__(self, zone: ZoneInfo, first: date, last: date) -> None:
        self.instants: dict[datetime, list[datetime]] = {}
        self.jumps: list[tuple[datetime, datetime, datetime]] = []
        instant = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=2)
        end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=3)
        shown_before = None
        while instant < end:
            shown = instant.astimezone(zone).replace(tzinfo=None, fold=0)
            self.instants.setdefault(shown, []).append(instant)
            if shown_before is not None and shown > shown_before + MINUTE:
                self.jumps.append((shown_before + MINUTE, shown, instant))
            shown_before = shown
            instant += MINUTE

    def runs(self, wall: datetime, gap: str, fold: str, longest: timedelta) -> list[datetime]:
        """The instants at which a wall minute runs."""
        told = self.instants.get(wall, [])
        if told:
            return {"first": told[:1], "second": told[-1:], "both": told}[fold]
        for start, end, instant in self.jumps:
            if start <= wall < end and end - start <= longest and gap != "skip":
                return [instant if gap == "run_after" else instant + (wall - start)]
        return []


def expected(
    expression: Expression, told: Told, first: date, last: date, gap: str | None, fold: str | None
) -> list[datetime]:
    """The runs of the wall minutes from the date ``first`` to ``last``, each instant once, in order."""
    longest = timedelta(hours=3) if gap is None and expression.fixed else timedelta(days=3)
    gap = gap or ("run_after" if expression.fixed else "skip")
    fold = fold or ("first" if expression.fixed else "both")
    walls = expression.wall_minutes(first, last)
    return sorted({instant for wall in walls for instant in told.runs(wall, gap, fold, longest)})
