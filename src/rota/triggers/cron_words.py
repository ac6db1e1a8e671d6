"""Cron fields to and from words: the sentence of ``describe``, the expression of ``Cron.of``."""

from __future__ import annotations

from typing import Final

from rota.errors import ConfigurationError
from rota.triggers.cron_syntax import (
    ANY_DAY,
    FIELDS,
    MINUTE,
    SECOND,
    WEEKDAY,
    DayMatch,
    Field,
    ParsedCron,
    either_day,
    values_of,
)
from rota.triggers.cron_table import Special, bits_of
from rota.triggers.words import MONTHS, every, listed, ordinal

MOST_TIMES: Final = 6
"""So many times of day are listed one by one."""

_WEEKDAYS: Final = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_NTH: Final = ("", "first", "second", "third", "fourth", "fifth")
_LEVELS: Final = (0, 1, 2, 3, 4, 3)


def expression_of(values: tuple[int | str | None, ...]) -> str:
    """The text of an expression from its six fields, ``None`` where left out; five fields without a second."""
    named = [level for level, value in zip(_LEVELS, values, strict=True) if value is not None]
    if not named:
        raise ConfigurationError("Cron.of needs a field: second, minute, hour, day, month or day_of_week")
    smallest = min(named)
    texts = [
        _left_out(field, level < smallest) if value is None else _written(field, value)
        for field, level, value in zip(FIELDS, _LEVELS, values, strict=True)
    ]
    return " ".join(texts if values[0] is not None else texts[1:])


def _left_out(field: Field, smaller: bool) -> str:
    return str(field.low) if smaller and field is not WEEKDAY else "*"


def _written(field: Field, value: int | str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ConfigurationError(f"{field.name} is a number or text, not {type(value).__name__}")
    text = str(value).strip()
    if not text or len(text.split()) > 1:
        raise ConfigurationError(f"{field.name} is the text of one field, not {value!r}")
    return text


def sentence(parsed: ParsedCron, day_match: DayMatch | None, seed: str | None, zone: str) -> str:
    """What an expression means, in one plain English sentence."""
    said = _Said(parsed.texts, seed)
    time = said.time()
    days = said.days(day_match)
    if not days and time.startswith("At ") and not said.every_hour:
        days = " every day"
    return f"{time}{days}{said.months()}, {zone}."


class _Said:
    """The phrases of one expression."""

    def __init__(self, texts: tuple[str, ...], seed: str | None) -> None:
        self.texts = texts
        self.values = [values_of(field, text, seed) for field, text in zip(FIELDS, texts, strict=True)]
        self.every_hour = self.texts[2] in ("*", "*/1") or len(self._bits(2)) == 24

    def _bits(self, index: int) -> list[int]:
        return bits_of(self.values[index][0])

    def time(self) -> str:
        """When within a day."""
        minutes, hours = self._bits(1), self._bits(2)
        if self.texts[0] != "0":
            return self._with_seconds()
        if len(minutes) * len(hours) <= MOST_TIMES:
            return f"At {listed([f'{hour:02}:{minute:02}' for hour in hours for minute in minutes])}"
        if len(minutes) == 1:
            return self._once_an_hour(minutes[0], hours)
        return f"{_capital(self._spread(1, MINUTE))}{self._hours(minutes[-1])}"

    def _with_seconds(self) -> str:
        seconds = self._bits(0)
        minutes, hours = self._bits(1), self._bits(2)
        if len(seconds) == 1 and len(minutes) * len(hours) <= MOST_TIMES:
            times = [f"{hour:02}:{minute:02}:{seconds[0]:02}" for hour in hours for minute in minutes]
            return f"At {listed(times)}"
        within = "" if len(minutes) == 60 else f" of {self._spread(1, MINUTE).removeprefix('at ')}"
        return f"{_capital(self._spread(0, SECOND))}{within}{self._hours(minutes[-1])}"

    def _once_an_hour(self, minute: int, hours: list[int]) -> str:
        past = "" if minute == 0 else f" at {every(minute, 'minute') if minute > 1 else '1 minute'} past"
        step = _step_of(hours, 24)
        if self.every_hour:
            return f"Every hour{past}"
        if step is not None:
            return f"Every {step} hours, from {hours[0]:02}:{minute:02}"
        if hours == list(range(hours[0], hours[-1] + 1)):
            return f"Every hour from {hours[0]:02}:{minute:02} to {hours[-1]:02}:{minute:02}"
        return f"At {listed([f'{hour:02}:{minute:02}' for hour in hours])}"

    def _spread(self, index: int, field: Field) -> str:
        """The values of minute or second that are more than one, or not tied to one hour."""
        found = self._bits(index)
        unit = field.name
        if len(found) == field.high + 1:
            return f"every {unit}"
        step = _step_of(found, field.high + 1)
        if step is not None and found[0] == 0:
            uneven = "" if (field.high + 1) % step == 0 else f", anew each {'hour' if field is MINUTE else 'minute'}"
            return f"every {step} {unit}s{uneven}"
        if len(found) > 2 and found == list(range(found[0], found[-1] + 1)):
            return f"every {unit} from {unit} {found[0]} to {found[-1]}"
        return f"at {unit}{'s' * (len(found) > 1)} {listed([str(value) for value in found])}"

    def _hours(self, last_minute: int) -> str:
        """The hours, after something that happens several times in each."""
        hours = self._bits(2)
        if self.every_hour:
            return ""
        if hours == list(range(hours[0], hours[-1] + 1)):
            return f" from {hours[0]:02}:00 to {hours[-1]:02}:{last_minute:02}"
        step = _step_of(hours, 24)
        if step is not None and hours[0] == 0:
            return f" in every {ordinal(step)} hour from midnight"
        return f" in the hours {listed([str(hour) for hour in hours])}"

    def days(self, day_match: DayMatch | None) -> str:
        """On which days of month and week."""
        dates = "" if self.texts[3] in ANY_DAY else self._dates()
        if self.texts[5] in ANY_DAY:
            return f" on {dates}" if dates else ""
        if not dates:
            return f" on {self._weekdays('and')}"
        if either_day(self.texts, day_match):
            return f" on {dates} or on {self._weekdays('or')}"
        return f" on {dates}, if that is {self._weekdays('or')}"

    def _dates(self) -> str:
        plain, special = self.values[3]
        days = bits_of(plain)
        phrases = []
        if days:
            phrases.append(f"{'day' if len(days) == 1 else 'days'} {_runs([str(day) for day in days], days)}")
        phrases += [_special_words(rule) for rule in special]
        return f"{listed(phrases)} of the month"

    def _weekdays(self, last: str) -> str:
        plain, special = self.values[5]
        days = sorted(bits_of(plain), key=lambda day: (day - 1) % 7)
        phrases = []
        if days:
            phrases.append(_runs([_WEEKDAYS[day] for day in days], [(day - 1) % 7 for day in days], last))
        phrases += [f"{_special_words(rule)} of the month" for rule in special]
        return listed(phrases, last)

    def months(self) -> str:
        """In which months."""
        months = self._bits(4)
        if len(months) == 12:
            return ""
        return f" in {_runs([MONTHS[month - 1] for month in months], months)}"


def _special_words(rule: Special) -> str:
    kind, number, nth = rule
    words = {
        "L": "the last day",
        "LW": "the last working day",
        "W": f"the working day nearest to day {number}",
        "#": f"the {_NTH[nth]} {_WEEKDAYS[number % 7]}",
        "dL": f"the last {_WEEKDAYS[number % 7]}",
    }
    return words[kind]


def _runs(names: list[str], numbers: list[int], last: str = "and") -> str:
    """A list of names in which three or more in a row are told as first to last."""
    groups: list[list[int]] = []
    for index, number in enumerate(numbers):
        if groups and numbers[groups[-1][-1]] + 1 == number:
            groups[-1].append(index)
        else:
            groups.append([index])
    phrases: list[str] = []
    for group in groups:
        if len(group) > 2:
            phrases.append(f"{names[group[0]]} to {names[group[-1]]}")
        else:
            phrases += [names[index] for index in group]
    return listed(phrases, last)


def _step_of(values: list[int], size: int) -> int | None:
    """The step, if the values are every so many, from the first to the end of the field."""
    if len(values) < 2:
        return None
    step = values[1] - values[0]
    return step if step > 1 and values == list(range(values[0], size, step)) and values[0] < step else None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
