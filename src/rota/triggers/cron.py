"""The cron trigger: an expression, a zone, and what to do where the clock changes.

Law: the text decides the class (``dst_class``), the class the default policy; ``cron_syntax`` reads the text,
``cron_table`` knows the wall times, ``wall_clock`` turns them into instants. This file only brings them together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Final, Literal, Never
from zoneinfo import ZoneInfo

from rota.errors import ConfigurationError
from rota.peer_words import CRON_WORDS, ZONE_WORDS
from rota.spelling import corrects_names, refuse_misspelt
from rota.triggers.base import Micros, Trigger
from rota.triggers.cron_syntax import REMEMBERED, DayMatch, ParsedCron, parse
from rota.triggers.wall_clock import FIXED, WILDCARD, Fold, Gap, Policy, WallClock, policy, wall_clock
from rota.triggers.zones import UTC_KEY, zone_key

_set: Final = object.__setattr__


class Cron(Trigger):
    """The wall times a cron expression names, in a zone.

    ``expr``: five fields (with ``seconds=True`` six, the second first) or a macro such as ``@daily``. ``tz``: a name or
    a ``ZoneInfo``; left out, the job's, and alone UTC. ``dst_gap``: ``"run_after"``, ``"shift"`` or ``"skip"``;
    ``dst_fold``: ``"first"``, ``"second"`` or ``"both"``; each left out is Debian's rule for the class of the job
    (fixed: once after the gap, unless it is longer than 3 h, and the first pass; wildcard: nothing, and both passes).
    Given, they hold for either class and for gaps of any length. ``day_match``: ``"and"`` or ``"or"`` for the two day
    fields. ``seed``: what ``H`` is computed from; without one, ``H`` is refused. Raises ``CronSyntaxError``,
    ``UnknownTimeZoneError``, ``ConfigurationError``.
    """

    __slots__ = (
        "_clock",
        "_parsed",
        "_policy",
        "_signature",
        "day_match",
        "dst_fold",
        "dst_gap",
        "seconds",
        "seed",
        "tz",
    )

    kind: ClassVar[str] = "cron"
    positional: ClassVar[tuple[str, ...]] = ("expr",)

    tz: str | None
    seconds: bool
    dst_gap: Gap | None
    dst_fold: Fold | None
    day_match: DayMatch | None
    seed: str | None
    _parsed: ParsedCron
    _policy: Policy
    _clock: WallClock
    _signature: str

    def __new__(
        cls,
        expr: str,
        *,
        tz: str | ZoneInfo | None = None,
        seconds: bool = False,
        dst_gap: Gap | None = None,
        dst_fold: Fold | None = None,
        day_match: DayMatch | None = None,
        seed: str | None = None,
        **unknown: Never,
    ) -> Cron:
        if unknown:
            refuse_misspelt(unknown, Cron.__new__, "Cron", CRON_WORDS)
        # Looked at first: to what remembers triggers 1 and True are the same argument.
        _check_flag("seconds", seconds)
        if type(seed) is str and type(expr) is str and "H" not in expr and "h" not in expr:
            seed = None
        try:
            return _shared(cls, expr, tz, seconds, dst_gap, dst_fold, day_match, seed)  # type: ignore[arg-type]  # mypy doubts that a class can be hashed
        except TypeError:  # an argument that cannot be hashed is of a wrong type, which is told here
            return _made(cls, expr, tz, seconds, dst_gap, dst_fold, day_match, seed)

    @classmethod
    @corrects_names("Cron.of", ZONE_WORDS)
    def of(
        cls,
        *,
        second: int | str | None = None,
        minute: int | str | None = None,
        hour: int | str | None = None,
        day: int | str | None = None,
        month: int | str | None = None,
        day_of_week: int | str | None = None,
        tz: str | ZoneInfo | None = None,
        dst_gap: Gap | None = None,
        dst_fold: Fold | None = None,
        day_match: DayMatch | None = None,
        seed: str | None = None,
    ) -> Cron:
        """A cron trigger from named fields, each a number or the text of the field.

        What is left out is ``*``, but below the smallest field that is named it is 0 (1 for the day of the month).
        """
        from rota.triggers.cron_words import expression_of

        expr = expression_of((second, minute, hour, day, month, day_of_week))
        return cls(
            expr,
            tz=tz,
            seconds=second is not None,
            dst_gap=dst_gap,
            dst_fold=dst_fold,
            day_match=day_match,
            seed=seed,
        )

    @classmethod
    @corrects_names("Cron.from_croniter", ZONE_WORDS)
    def from_croniter(
        cls,
        expr: str,
        *,
        tz: str | ZoneInfo | None = None,
        day_or: bool = True,
        dst_gap: Gap | None = None,
        dst_fold: Fold | None = None,
    ) -> Cron:
        """The trigger that means what croniter reads in ``expr`` (six fields: the second last).

        ``day_or`` is croniter's option of that name. The result is compared with croniter in UTC; raises
        ``ConfigurationError`` where croniter cannot read the text, Rota cannot say it, or they name other instants.
        """
        from rota.triggers.croniter_dialect import check_against_croniter, converted

        _check_flag("day_or", day_or)
        text, seconds, day_match = converted(expr, day_or)
        trigger = cls(text, seconds=seconds, day_match=day_match)
        check_against_croniter(trigger, trigger._parsed.table.times, expr, day_or)
        return cls(text, tz=tz, seconds=seconds, dst_gap=dst_gap, dst_fold=dst_fold, day_match=day_match)

    @property
    def expr(self) -> str:
        """The expression, with single spaces."""
        return self._parsed.text

    @property
    def dst_class(self) -> Literal["wildcard", "fixed"]:
        """``"wildcard"`` if the text of second, minute or hour starts with ``*``, else ``"fixed"``."""
        return "wildcard" if self._parsed.wildcard else "fixed"

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose wall time the expression means."""
        return self._clock.zone

    def next_tick(self, after: Micros) -> Micros | None:
        """The first tick strictly later than ``after``; ``None`` if there is none."""
        return self._clock.next_tick(self._parsed.table, after, self._policy)

    def previous_tick(self, before: Micros) -> Micros | None:
        """The last tick strictly earlier than ``before``; ``None`` if there is none."""
        return self._clock.previous_tick(self._parsed.table, before, self._policy)

    def in_zone(self, tz: ZoneInfo) -> Cron:
        """This trigger in ``tz``."""
        return Cron(
            self._parsed.text,
            tz=tz,
            seconds=self.seconds,
            dst_gap=self.dst_gap,
            dst_fold=self.dst_fold,
            day_match=self.day_match,
            seed=self.seed,
        )

    def zones(self) -> frozenset[str]:
        """The zone, if one was named."""
        return frozenset() if self.tz is None else frozenset((self.tz,))

    def signature(self) -> str:
        """A short text of the definition, the same in every process and release; made once."""
        try:
            return self._signature
        except AttributeError:
            _set(self, "_signature", super().signature())
            return self._signature

    def describe(self) -> str:
        """What it means, in one plain English sentence."""
        from rota.triggers.cron_words import sentence

        return sentence(self._parsed, self.day_match, self.seed, self._clock.key)

    def arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and keyword arguments that build an equal trigger."""
        options = {
            "tz": self.tz,
            "seconds": self.seconds or None,
            "dst_gap": self.dst_gap,
            "dst_fold": self.dst_fold,
            "day_match": self.day_match,
            "seed": self.seed,
        }
        return (self._parsed.text,), {name: value for name, value in options.items() if value is not None}


def _check_flag(name: str, value: object) -> None:
    if type(value) is not bool:
        raise ConfigurationError(f"{name} is True or False, not {value!r}")


def _made(
    cls: type[Cron],
    expr: str,
    tz: str | ZoneInfo | None,
    seconds: bool,
    dst_gap: Gap | None,
    dst_fold: Fold | None,
    day_match: DayMatch | None,
    seed: str | None,
) -> Cron:
    if seed is not None and not isinstance(seed, str):
        raise ConfigurationError(f"seed is text, not {type(seed).__name__}")
    parsed = parse(expr, seconds=seconds, day_match=day_match, seed=seed)
    key = zone_key(tz)
    made = object.__new__(cls)
    _set(made, "tz", key)
    _set(made, "seconds", seconds)
    _set(made, "dst_gap", dst_gap)
    _set(made, "dst_fold", dst_fold)
    _set(made, "day_match", day_match)
    _set(made, "seed", seed if parsed.hashed else None)
    _set(made, "_parsed", parsed)
    _set(made, "_policy", policy(WILDCARD if parsed.wildcard else FIXED, dst_gap, dst_fold))
    _set(made, "_clock", wall_clock(key or UTC_KEY))
    return made


_shared = lru_cache(maxsize=REMEMBERED)(_made)
"""Triggers are values: who writes the same one again is given the one that is there."""
