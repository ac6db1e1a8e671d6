"""Cron text to integer tables.

Law: whatever cannot be meant is refused here, with the field, the place and the reason, and before any work that grows
with what the text says. Syntax (Debian's, and what others added to it)::

    expression = [second] minute hour day-of-month month day-of-week     separated by spaces and tabs
               | @yearly | @annually | @monthly | @weekly | @daily | @midnight | @hourly
    field      = item {"," item} | "?"                                   ? in the two day fields
    item       = "*" ["/" step] | value ["/" step] | value "-" value ["/" step] | hash | special
    value      = number | JAN … DEC | SUN … SAT                          any case
    hash       = "H" ["(" number "-" number ")"] ["/" step]
    special    = "L" | "LW" | number "W"      day of month
               | value "#" n | value "L"      day of week

``a/s`` is ``a-max/s``. A range whose end is below its start wraps around (not in the day of month), steps counted from
its start across the wrap. Day of week is 0 to 7, 0 and 7 both Sunday. If both day fields restrict, a day matches
either, but if the text of one starts with ``*`` or ``?``, both.

``H`` picks by the seed (a job's id), for ever in the same way. With ``h = int.from_bytes(blake2b(seed + "\\n" + field,
digest_size=8).digest(), "big")``, both in UTF-8, ``field`` being the name of the field as below: ``H(a-b)`` is ``a + h
% (b - a + 1)``; ``H(a-b)/n`` is every n-th value up to ``b`` from ``a + h % min(n, b - a + 1)``. Without a range it is
the field's own, for the day of month 1-28 (so that every month has a run), for the day of week 0-6.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, get_args

from rota.errors import ConfigurationError, CronSyntaxError
from rota.triggers.cron_table import CronTable, DayRule, Special, Values

LONGEST: Final = 1000
"""More characters than this are no cron expression; every list written out in full is shorter."""

REMEMBERED: Final = 4096

DayMatch = Literal["and", "or"]
DAY_MATCHES: Final[tuple[str, ...]] = get_args(DayMatch)

ANY_DAY: Final = ("*", "?", "*/1")
"""The texts of a day field that does not restrict, whatever ``day_match`` says."""


class Field:
    """One column of an expression: its name, its least and greatest value, its range for ``H``, its names."""

    __slots__ = ("hash_high", "hash_low", "high", "low", "name", "names")

    def __init__(self, name: str, low: int, high: int, hash_low: int, hash_high: int, names: dict[str, int]) -> None:
        self.name = name
        self.low = low
        self.high = high
        self.hash_low = hash_low
        self.hash_high = hash_high
        self.names = names


_MONTHS: Final = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS: Final = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]

SECOND: Final = Field("second", 0, 59, 0, 59, {})
MINUTE: Final = Field("minute", 0, 59, 0, 59, {})
HOUR: Final = Field("hour", 0, 23, 0, 23, {})
DAY: Final = Field("day of month", 1, 31, 1, 28, {})
MONTH: Final = Field("month", 1, 12, 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)})
WEEKDAY: Final = Field("day of week", 0, 7, 0, 6, {name: number for number, name in enumerate(_WEEKDAYS)})
FIELDS: Final = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)

MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_INSTEAD: Final = {
    "@reboot": "call the function where the program starts, or scheduler.run_now",
    "@every": "use an Interval, or @scheduler.interval",
}


class ParsedCron:
    """What an expression says. ``texts`` are its six fields in capitals, the second's being ``0`` where left out."""

    __slots__ = ("hashed", "table", "text", "texts", "wildcard")

    def __init__(self, text: str, texts: tuple[str, ...], table: CronTable, hashed: bool) -> None:
        self.text = text
        self.texts = texts
        self.table = table
        self.hashed = hashed
        self.wildcard = texts[0][0] == "*" or texts[1][0] == "*" or texts[2][0] == "*"


def parse(
    text: str, *, seconds: bool = False, day_match: DayMatch | None = None, seed: str | None = None
) -> ParsedCron:
    """What the expression ``text`` says; the same object for the same text. Raises ``CronSyntaxError``.

    ``seconds``: six fields, the second first. ``day_match``: ``"and"`` or ``"or"`` decides how the two day fields
    combine; ``None`` leaves it to their text. ``seed``: what ``H`` is computed from; without one, ``H`` is refused.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"a cron expression is text, not {type(text).__name__}")
    if day_match is not None and day_match not in DAY_MATCHES:
        raise ConfigurationError(f"day_match is 'and', 'or' or None, not {day_match!r}")
    if len(text) > LONGEST:
        raise CronSyntaxError(text, "fields", 0, f"{len(text)} characters are too many, {LONGEST} the most", LONGEST)
    if seed is not None and not ("H" in text or "h" in text):
        seed = None
    return _parsed(text, seconds, day_match, seed)


def uses_hash(texts: tuple[str, ...]) -> bool:
    """Whether any item of these fields, in capitals, is an ``H``."""
    return any(item[:1] == "H" for text in texts if "H" in text for item in text.split(","))


class _Refused(Exception):
    """Within one field: at which character, how many of them, and why."""

    def __init__(self, offset: int, length: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.length = length
        self.reason = reason


@lru_cache(maxsize=REMEMBERED)
def _parsed(text: str, seconds: bool, day_match: DayMatch | None, seed: str | None) -> ParsedCron:
    texts = _fields(text, seconds)
    values: list[Values] = []
    for index, (field, written) in enumerate(zip(FIELDS, texts, strict=True)):
        try:
            values.append(values_of(field, written, seed))
        except _Refused as refused:
            start = _start_of(text, index if seconds else index - 1)
            raise CronSyntaxError(text, field.name, start + refused.offset, refused.reason, refused.length) from None
    days, weekdays = _restriction(texts[3], values[3]), _restriction(texts[5], values[5])
    rule = DayRule(values[4][0], days, weekdays, either_day(texts, day_match))
    table = CronTable(values[0][0], values[1][0], values[2][0], rule)
    if not rule.plainly_possible and not table.names_a_day:
        at = 3 if seconds else 2
        raise CronSyntaxError(text, DAY.name, _start_of(text, at), "no year has such a day", len(texts[3]))
    return ParsedCron(" ".join(text.split()), texts, table, uses_hash(texts))


def _fields(text: str, seconds: bool) -> tuple[str, ...]:
    """The six fields in capitals."""
    if not (text.isascii() and text.isprintable()):
        _refuse_characters(text, seconds)
    written = tuple(text.upper().split())
    if len(written) == 5 and not seconds:
        return ("0", *written)
    if len(written) == 6 and seconds:
        return written
    if written and written[0][0] == "@":
        return _macro(text, written)
    raise CronSyntaxError(text, "fields", 0, _miscount(written, seconds), max(1, len(text)))


def _miscount(written: tuple[str, ...], seconds: bool) -> str:
    count = len(written)
    if count == 0:
        return "the expression is empty"
    if "=" in written[0]:
        return _assignment(written[0].partition("=")[0])
    given = f"{count} field{'s' * (count != 1)} given, {6 if seconds else 5} needed"
    if count > 5 and not seconds and any("/" in text and not _may_be_step(text) for text in written[5:]):
        return f"{given}: of a crontab's line the first five belong here; its command is for the job to run"
    if count == 6:
        return f"{given}; a first field for the second needs seconds=True"
    if count == 5:
        return f"{given}, as seconds=True asks for a first field for the second"
    return f"{given}: {'second ' * seconds}minute hour day-of-month month day-of-week"


def _assignment(name: str) -> str:
    if name in {"TZ", "CRON_TZ"}:
        return f"{name}= is no field; the zone is given beside the expression, as tz='…'"
    return f"{name}= sets a variable of a crontab, and is no field of an expression"


def _may_be_step(text: str) -> bool:
    """Whether a field with a slash may be one of an expression, and not a path."""
    values, _, step = text.partition("/")
    return values != "" and (step.isdecimal() or not set(values) - set("0123456789*,-"))


def _macro(text: str, written: tuple[str, ...]) -> tuple[str, ...]:
    name = written[0].lower()
    expansion = MACROS.get(name)
    if expansion is not None and len(written) == 1:
        return ("0", *expansion.split())
    instead = _INSTEAD.get(name)
    if instead is not None:
        reason = f"{name} is not a time: {instead}"
    elif expansion is not None:
        reason = f"{name} stands alone"
    else:
        reason = f"unknown name {name}; there are {', '.join(MACROS)}"
    raise CronSyntaxError(text, "macro", text.index("@"), reason, len(name))


def _refuse_characters(text: str, seconds: bool) -> None:
    """Refuse the first character that is neither printable ASCII nor a tab."""
    names = [field.name for field in (FIELDS if seconds else FIELDS[1:])]
    for position, character in enumerate(text):
        if character == "\t" or (character.isascii() and character.isprintable()):
            continue
        before = (text[:position] + "x").split()
        name = names[min(len(before), len(names)) - 1]
        kind = "an ASCII digit" if character.isnumeric() else "a printable ASCII character"
        raise CronSyntaxError(text, name, position, f"{character!r} is not {kind}")


def _start_of(text: str, index: int) -> int:
    """Where the field of this number begins in the text."""
    if text.lstrip(" \t")[:1] == "@":
        return text.index("@")
    position = 0
    for count, word in enumerate(text.split()):
        position = text.index(word, position)
        if count == index:
            return position
        position += len(word)
    return 0


def _restriction(text: str, values: Values) -> Values | None:
    return None if text in ANY_DAY else values


def either_day(texts: tuple[str, ...], day_match: DayMatch | None) -> bool:
    """Whether a day need match only one of the two day fields."""
    if texts[3] in ANY_DAY or texts[5] in ANY_DAY:
        return False
    if day_match is not None:
        return day_match == "or"
    return texts[3][0] != "*" and texts[5][0] != "*"


@lru_cache(maxsize=REMEMBERED)
def values_of(field: Field, text: str, seed: str | None) -> Values:
    """The values of a field whose text, in capitals, is known to be right or about to be found wrong."""
    if text == "?" and (field is DAY or field is WEEKDAY):
        text = "*"
    bits = 0
    special: list[Special] = []
    offset = 0
    for item in text.split(","):
        rule = _special(field, item, offset)
        if rule is None:
            bits |= _item(field, item, offset, seed)
        else:
            special.append(rule)
        offset += len(item) + 1
    if field is WEEKDAY and bits >> 7:
        bits = bits & 0b111_1111 | 1
    return bits, tuple(special)


def _special(field: Field, item: str, offset: int) -> Special | None:
    """The day rule that an item with ``L``, ``W`` or ``#`` is."""
    if field is DAY:
        if item in ("L", "LW"):
            return (item, 0, 0)
        if item[-1:] == "W":
            return ("W", _value(field, item[:-1], offset), 0)
        if item[:1] == "L":
            raise _Refused(offset, len(item), f"cannot read {item}: there are L, LW and nW")
    elif field is WEEKDAY:
        weekday, sharp, nth = item.partition("#")
        if sharp:
            return ("#", _value(field, weekday, offset) % 7, _nth(nth, offset + len(weekday) + 1))
        if item[-1:] == "L" and len(item) > 1:
            return ("dL", _value(field, item[:-1], offset) % 7, 0)
        if item[:1] == "L":
            raise _Refused(offset, len(item), f"the weekday comes first: write {item[1:] or 5}L")
    return None


def _nth(text: str, offset: int) -> int:
    if text not in ("1", "2", "3", "4", "5"):
        raise _Refused(offset, max(1, len(text)), f"the n of d#n is 1..5, not {text or 'nothing'}")
    return int(text)


def _item(field: Field, item: str, offset: int, seed: str | None) -> int:
    """The values of one plain item, as bits."""
    body, slash, step_text = item.partition("/")
    step = _step(step_text, offset + len(body) + 1) if slash else 1
    if body == "*":
        return _stepped(range(field.low, field.high + 1), step)
    if body[:1] == "H":
        return _hashed(field, body, step if slash else None, offset, seed)
    first_text, dash, last_text = body.partition("-")
    first = _value(field, first_text, offset)
    if not dash:
        return _stepped(range(first, field.high + 1), step) if slash else 1 << first
    last = _value(field, last_text, offset + len(first_text) + 1)
    if first <= last:
        return _stepped(range(first, last + 1), step)
    return _wrapped(field, first, last, step, offset, len(body))


def _wrapped(field: Field, first: int, last: int, step: int, offset: int, length: int) -> int:
    """A range that goes on at the least value when it has come to the greatest."""
    if field is DAY:
        raise _Refused(offset, length, f"{first}-{last} runs backwards: months differ in length, so write two ranges")
    over = 7 if field is WEEKDAY else field.high + 1  # Sunday is 0 from here on
    straight = _stepped(range(first, over + last - field.low + 1), step)
    return straight & ((1 << over) - 1) | straight >> over << field.low


def _stepped(values: range, step: int) -> int:
    """Every ``step``-th of the values as bits, at a cost that no text can raise."""
    count = -(-len(values) // step)
    if count <= 1:
        return count << values.start
    return ((1 << step * count) - 1) // ((1 << step) - 1) << values.start


def _hashed(field: Field, body: str, step: int | None, offset: int, seed: str | None) -> int:
    """The values that ``H``, ``H(a-b)``, ``H/n`` or ``H(a-b)/n`` picks."""
    low, high = field.hash_low, field.hash_high
    if len(body) > 1:
        if body[1] != "(" or body[-1] != ")" or "-" not in body:
            raise _Refused(offset, len(body), f"cannot read {body}: there are H, H(a-b), H/n and H(a-b)/n")
        low_text, _, high_text = body[2:-1].partition("-")
        low = _value(field, low_text, offset + 2)
        high = _value(field, high_text, offset + 3 + len(low_text))
        if low > high:
            raise _Refused(offset, len(body), f"{low}-{high} runs backwards")
    if seed is None:
        raise _Refused(
            offset, len(body), "H needs a seed: pass seed=..., or use @scheduler.cron, which takes the job's id"
        )
    size = high - low + 1
    number = _hash(seed, field.name)
    if step is None:
        return 1 << (low + number % size)
    return _stepped(range(low + number % min(step, size), high + 1), step)


@lru_cache(maxsize=REMEMBERED)
def _hash(seed: str, field: str) -> int:
    from hashlib import blake2b

    text = f"{seed}\n{field}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def _step(text: str, offset: int) -> int:
    step = _number(text, offset)
    if step == 0:
        raise _Refused(offset, len(text), "the step must be >= 1")
    return step


def _value(field: Field, text: str, offset: int) -> int:
    """A number or a name, within the range of the field."""
    if not text.isdigit():
        named = field.names.get(text)
        if named is not None:
            return named
        if len(text) > 1 and text.isalpha():
            hint = f"; write {text[:3]}" if text[:3] in field.names else ""
            raise _Refused(offset, len(text), f"unknown name {text[:20]}{hint}")
    value = _number(text, offset)
    if not field.low <= value <= field.high:
        raise _Refused(offset, len(text), f"{text[:20]} is out of range {field.low}-{field.high}")
    return value


def _number(text: str, offset: int) -> int:
    if text.isdigit():
        return int(text)
    if not text:
        raise _Refused(offset, 1, "a value is missing")
    if text == "R" or text[:2] == "R(":
        raise _Refused(offset, len(text), "R would change at each restart: use the job's jitter, or H")
    if text == "?":
        raise _Refused(offset, 1, "? stands alone, and only in the two day fields")
    raise _Refused(offset, len(text), f"cannot read {text[:20]}")
