"""The sentence of a recurrence rule."""

from __future__ import annotations

from typing import Final

from rota.triggers.rrule_text import Recurrence
from rota.triggers.words import MONTHS, every, listed, ordinal

_UNITS: Final = {
    "YEARLY": "year",
    "MONTHLY": "month",
    "WEEKLY": "week",
    "DAILY": "day",
    "HOURLY": "hour",
    "MINUTELY": "minute",
    "SECONDLY": "second",
}
_WEEKDAYS: Final = {
    "MO": "Monday",
    "TU": "Tuesday",
    "WE": "Wednesday",
    "TH": "Thursday",
    "FR": "Friday",
    "SA": "Saturday",
    "SU": "Sunday",
}
_SAID: Final = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYHOUR", "BYMINUTE", "WKST")


def sentence(recurrence: Recurrence) -> str:
    """What a recurrence means, in one plain English sentence."""
    lines = recurrence.written
    clauses = [_rule(parts, recurrence) for parts in lines.rules]
    if lines.dates:
        clauses.append(f"on {len(lines.dates)} single date{'s' * (len(lines.dates) > 1)}")
    text = "; and ".join(clauses)
    if lines.exclusions or lines.excluded:
        text += ", with exceptions"
    return f"{text[:1].upper()}{text[1:]}, {recurrence.shown_in}."


def _rule(parts: dict[str, str], recurrence: Recurrence) -> str:
    text = f"every {every(int(parts.get('INTERVAL', '1')), _UNITS[parts['FREQ']])}"
    if "BYDAY" in parts:
        text += f" on {listed([_weekday(item) for item in parts['BYDAY'].split(',')])}"
    if "BYMONTHDAY" in parts:
        text += f" on {listed([_date(int(item)) for item in parts['BYMONTHDAY'].split(',')])}"
    if "BYMONTH" in parts:
        text += f" in {listed([MONTHS[int(item) - 1] for item in parts['BYMONTH'].split(',')])}"
    text += _times(parts, recurrence)
    text += "".join(f", with {name} {value}" for name, value in parts.items() if name not in _SAID)
    if "COUNT" in parts:
        text += f", {every(int(parts['COUNT']), 'time') if parts['COUNT'] != '1' else 'once'}"
    return text + (f", until {parts['UNTIL']}" if "UNTIL" in parts else "")


def _times(parts: dict[str, str], recurrence: Recurrence) -> str:
    """The times of day, as far as the rule is by the day or coarser."""
    if parts["FREQ"] in ("HOURLY", "MINUTELY", "SECONDLY"):
        return "".join(f", with {name} {parts[name]} in UTC" for name in ("BYHOUR", "BYMINUTE") if name in parts)
    start = recurrence.start
    hours = [int(item) for item in parts.get("BYHOUR", str(start.hour)).split(",")]
    minutes = [int(item) for item in parts.get("BYMINUTE", str(start.minute)).split(",")]
    return f" at {listed([f'{hour:02}:{minute:02}' for hour in sorted(hours) for minute in sorted(minutes)])}"


def _weekday(item: str) -> str:
    name = _WEEKDAYS.get(item[-2:], item)
    number = item[:-2].lstrip("+")
    if not number:
        return name
    place = int(number)
    if place > 0:
        return f"the {ordinal(place)} {name}"
    return f"the last {name}" if place == -1 else f"the {ordinal(-place)} {name} from the end"


def _date(day: int) -> str:
    if day > 0:
        return f"day {day}"
    return "the last day" if day == -1 else f"the {ordinal(-day)} day from the end"
