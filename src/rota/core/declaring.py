"""The decorators that declare jobs, shared by `Scheduler` and `Jobs`.

Law: a decorator returns the function unchanged. What a call means is in `registration`; here are only the signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack
from zoneinfo import ZoneInfo

from rota.core.options import OPTION_NAMES, CatchUp, OnCrash, Overlap, check_values
from rota.core.registration import Declared, as_trigger, declared, job_id_of
from rota.core.retry import Retry
from rota.errors import ConfigurationError
from rota.spelling import corrects_methods, refuse_unknown
from rota.triggers.base import Trigger

if TYPE_CHECKING:
    from dateutil.rrule import rrule, rruleset

    from rota.triggers.calendar import MonthEnd
    from rota.triggers.cron_syntax import DayMatch
    from rota.triggers.wall_clock import Fold, Gap

Function = TypeVar("Function", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """The options every declaration takes; see the reference."""

    tz: str | ZoneInfo | None
    timeout: float | timedelta | None
    retry: Retry | None
    overlap: Overlap
    max_running: int | None
    catch_up: CatchUp
    max_catch_up: int
    max_lateness: float | timedelta | None
    jitter: float | timedelta | None
    start: datetime | str | None
    end: datetime | str | None
    max_runs: int | None
    executor: str | None
    args: list[Any] | tuple[Any, ...]
    kwargs: Mapping[str, Any]
    on_crash: OnCrash | None
    pause_after_failures: int | None
    tags: tuple[str, ...] | list[str] | set[str] | frozenset[str]
    retention: timedelta | Mapping[str, timedelta] | None
    renamed_from: str | None


@corrects_methods({})
class Declaring:
    """The decorators. Who inherits says what becomes of a declaration."""

    def _declare(self, entry: Declared) -> None:
        raise NotImplementedError  # who inherits gives it

    def _full_id(self, job_id: str) -> str:
        return job_id

    def cron(
        self,
        expr: str | None = None,
        *,
        id: str | None = None,
        seconds: bool = False,
        dst_gap: Gap | None = None,
        dst_fold: Fold | None = None,
        day_match: DayMatch | None = None,
        **options: Unpack[Options],
    ) -> Callable[[Function], Function]:
        """Run the function at the instants of a cron expression: `@scheduler.cron("0 2 * * *", tz="Europe/Paris")`."""
        from rota.triggers.cron import Cron

        _check_names(options, "seconds", "dst_gap", "dst_fold", "day_match")
        _refuse_function(expr, "cron", '"0 2 * * *"')
        if expr is None:
            raise ConfigurationError('cron: an expression is expected: write @scheduler.cron("0 2 * * *")')

        def trigger(job_id: str) -> Trigger:
            renamed_from = options.get("renamed_from")
            seed = renamed_from if isinstance(renamed_from, str) and renamed_from else job_id
            return Cron(
                expr,
                tz=options.get("tz"),
                seconds=seconds,
                dst_gap=dst_gap,
                dst_fold=dst_fold,
                day_match=day_match,
                seed=seed,
            )

        return self._decorator(trigger, id, options)

    def interval(
        self,
        every: timedelta | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        anchor: datetime | str | None = None,
        id: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[[Function], Function]:
        """Run it at every so much elapsed time, on a grid fixed at `anchor` (the Unix epoch), whenever a process
        started."""
        from rota.triggers.interval import Interval

        _check_names(options, "weeks", "days", "hours", "minutes", "seconds", "anchor")
        _refuse_function(every, "interval", "minutes=5")
        trigger = Interval(every, anchor, weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self._decorator(lambda _: trigger, id, options)

    def calendar(
        self,
        *,
        years: int = 0,
        months: int = 0,
        weeks: int = 0,
        days: int = 0,
        at: str | time = "00:00",
        anchor: date | str | None = None,
        month_end: MonthEnd = "clamp",
        dst_gap: Gap | None = None,
        dst_fold: Fold | None = None,
        id: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[[Function], Function]:
        """Run it every so many calendar units at a wall time: `@scheduler.calendar(months=1, at="06:30")`."""
        from rota.triggers.calendar import Calendar

        _check_names(options, "years", "months", "weeks", "days", "at", "anchor", "month_end", "dst_gap", "dst_fold")

        def trigger(_: str) -> Trigger:
            return Calendar(
                years=years,
                months=months,
                weeks=weeks,
                days=days,
                at=at,
                anchor=anchor,
                tz=options.get("tz"),
                month_end=month_end,
                dst_gap=dst_gap,
                dst_fold=dst_fold,
            )

        return self._decorator(trigger, id, options)

    def once(
        self, when: datetime | str, *, id: str | None = None, **options: Unpack[Options]
    ) -> Callable[[Function], Function]:
        """Run it once: at an aware datetime, or ISO text (read in `tz` where it names no offset)."""
        from rota.triggers.once import Once

        _check_names(options)
        _refuse_function(when, "once", '"2026-12-24T18:00"')
        return self._decorator(lambda _: Once(when, tz=options.get("tz")), id, options)

    def rrule(
        self, rule: str | rrule | rruleset, *, id: str | None = None, **options: Unpack[Options]
    ) -> Callable[[Function], Function]:
        """Run it by an RFC 5545 recurrence rule: `@scheduler.rrule("FREQ=MONTHLY;BYDAY=-1FR")`."""
        from rota.triggers.rrule import RRule

        _check_names(options)
        _refuse_function(rule, "rrule", '"FREQ=DAILY"')
        return self._decorator(lambda _: RRule(rule, tz=options.get("tz")), id, options)

    def job(
        self, trigger: Trigger | None = None, *, id: str | None = None, **options: Unpack[Options]
    ) -> Callable[[Function], Function]:
        """Run it by any trigger; without one it runs only when asked: `run_now`, `enqueue`."""
        _check_names(options)
        given: object = trigger
        if given is not None and not isinstance(given, Trigger):
            meant = f"@scheduler.job({as_trigger(given)})" if not callable(given) else "@scheduler.job()"
            raise ConfigurationError(f"job: a trigger is expected, not {given!r}; write {meant}")
        return self._decorator(lambda _: trigger, id, options)

    def _decorator(
        self, trigger: Callable[[str], Trigger | None], id: str | None, options: Options
    ) -> Callable[[Function], Function]:
        def decorate(func: Function) -> Function:
            job_id = self._full_id(job_id_of(func, id))
            self._declare(declared(func, trigger(job_id), job_id, options))
            return func

        return decorate


class Jobs(Declaring):
    """Declarations without a scheduler, to be taken in by `scheduler.include(jobs)`, as a blueprint is by an app.

    `prefix` goes before every id; `defaults` are options of all of them.
    """

    def __init__(self, prefix: str = "", **defaults: Unpack[Options]) -> None:
        if not isinstance(prefix, str):
            raise ConfigurationError(f"Jobs: prefix is a text, not {prefix!r}")
        _check_names(defaults, "prefix")
        check_values(defaults, "Jobs")
        self.prefix: str = f"{prefix}." if prefix and prefix[-1].isalnum() else prefix
        self.defaults: Options = defaults
        self.declarations: list[Declared] = []

    def add(
        self,
        func: Callable[..., object],
        trigger: Trigger | None = None,
        *,
        id: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Declare a job without a decorator."""
        _check_names(options, "trigger")
        self._declare(declared(func, trigger, self._full_id(job_id_of(func, id)), options))

    def _full_id(self, job_id: str) -> str:
        return self.prefix + job_id

    def _declare(self, entry: Declared) -> None:
        self.declarations.append(Declared(entry.id, entry.func, entry.trigger, entry.given, self.defaults))


def _refuse_function(given: object, name: str, example: str) -> None:
    """A decorator that was written without its call has the function for its first argument."""
    if callable(given):
        raise ConfigurationError(f"write @scheduler.{name}({example}), with its arguments")


def _check_names(options: Mapping[str, object], *others: str) -> None:
    """Refuse names that are no option; `others` are the words that the decorator itself takes."""
    refuse_unknown(options, ("id", *others, *OPTION_NAMES), "job options")
