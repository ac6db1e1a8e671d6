"""From a function, a trigger and options to a `Job`: every check that can be made before 2 a.m. is made here.

Law: what is wrong raises `ConfigurationError` naming the job, the place and what would be right; nothing is half
registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rota.core.calling import CallShape, check_arguments, shape_of
from rota.core.job import Job, JobHome, default_id, place_of
from rota.core.options import DEFAULT_OPTIONS, OPTION_NAMES, JobOptions, make_options
from rota.errors import ConfigurationError, DuplicateJobError, UnknownJobError
from rota.peer_words import TRIGGER_WORDS
from rota.triggers.base import Trigger
from rota.triggers.zones import zone

LONGEST_ID = 500
"""Bytes of a job id in UTF-8: it becomes part of lock names, which hold 1 kB."""

NOTHING: Mapping[str, object] = MappingProxyType({})
"""What is given where nothing is: one for all declarations."""


class Terms(NamedTuple):
    """What a scheduler says of all its jobs: the default options, the zone of their wall times, and the name of the
    executor for a function, an option `executor` and the job's name in errors."""

    defaults: Mapping[str, object]
    tz: ZoneInfo
    choose: Callable[[Callable[..., object], str | None, str], str]


class Declared:
    """What was written at a declaration, kept so that `configure` can apply it again under other defaults.

    `defaults` are those of its `Jobs`: they stand between the scheduler's and what is `given` for the job itself."""

    __slots__ = ("defaults", "func", "given", "id", "trigger")

    def __init__(
        self,
        id: str,
        func: Callable[..., object],
        trigger: Trigger | None,
        given: Mapping[str, object],
        defaults: Mapping[str, object] = NOTHING,
    ) -> None:
        self.id: str = id
        self.func: Callable[..., object] = func
        self.trigger: Trigger | None = trigger
        self.given: Mapping[str, object] = given
        self.defaults: Mapping[str, object] = defaults

    def changed(self, trigger: Trigger | None, given: Mapping[str, object]) -> Declared:
        """The same job with another trigger or other options."""
        return Declared(self.id, self.func, trigger, given, self.defaults)


def declared(
    func: Callable[..., object], trigger: Trigger | None, id: str | None, given: Mapping[str, object]
) -> Declared:
    """A declaration with its id settled and its types looked at."""
    given_class: object = trigger
    if isinstance(given_class, type) and issubclass(given_class, Trigger):
        name = given_class.__name__
        raise ConfigurationError(f"a trigger is expected: {name}(…), and not the class {name}")
    if trigger is not None and not isinstance(trigger, Trigger):
        raise ConfigurationError(f"a trigger is expected, such as {as_trigger(trigger)}, not {trigger!r}")
    job_id = job_id_of(func, id)
    if shape_of(func).is_generator:
        raise ConfigurationError(f"{place_of(func)}: a generator function does nothing when called; write no yield")
    return Declared(job_id, func, trigger, given or NOTHING)


def as_trigger(given: object) -> str:
    """The trigger that may have been meant, as it is written."""
    if isinstance(given, timedelta):
        return f"Interval({given!r})"
    if isinstance(given, int | float):
        return f"Interval(seconds={given!r})"
    return TRIGGER_WORDS.get(str(given)) or f"Cron({str(given)!r})"


def job_id_of(func: Callable[..., object], id: str | None) -> str:
    """The id given, else the function's name; `ConfigurationError` where it has none of its own."""
    _refuse_no_function(func)
    name = default_id(func) if id is None else id
    if name is None:
        raise ConfigurationError(f"{place_of(func)}: a lambda, partial or callable object needs an id: id='…'")
    if type(name) is not str or not name.strip():
        raise ConfigurationError(f"{place_of(func)}: id is a text that is not blank, not {name!r}")
    if not name.isascii() or len(name) > LONGEST_ID:
        _check_id(name)
    return name


def _refuse_no_function(func: object) -> None:
    if not callable(func):
        raise ConfigurationError(f"a job needs a function (or 'package.module:name'), not {func!r}")


def build(entry: Declared, terms: Terms, home: JobHome) -> Job:
    """The job of a declaration, its trigger bound to zone and seed."""
    defaults, tz, choose = terms
    where = f"job {entry.id!r}"
    options = _options({**defaults, **entry.defaults} if entry.defaults else defaults, entry.given, where)
    shape = shape_of(entry.func)
    trigger = _bound(entry, options, tz, where)
    _check_job(entry, shape, trigger, options, where)
    executor = choose(entry.func, options.executor, where)
    is_plain = entry.given is NOTHING and entry.defaults is NOTHING and trigger is entry.trigger
    return Job(entry.id, entry.func, trigger, options, shape, executor, home, None if is_plain else entry)


def declaration_of(job: Job) -> Declared:
    """What was written for a job: kept where the job does not say it all."""
    return job.declared or Declared(job.id, job.func, job.trigger, NOTHING)


def refuse_clash(new: Job, old: Job) -> None:
    """Raise where two jobs of one id are not the same declaration made again."""
    same_place = new.place == old.place
    if same_place and new.trigger == old.trigger and new.options == old.options:
        return
    if same_place:
        raise DuplicateJobError(
            f"the function at {new.place} is declared twice as job {new.id!r}, with {_difference(old, new)}; give one"
            " of the two its own id='…', or change the job with update() or reschedule()"
        )
    raise DuplicateJobError(
        f"there are two jobs {new.id!r}: at {old.place} and at {new.place}; give one of them its own id='…', or say"
        " replace=True in add()"
    )


def _difference(old: Job, new: Job) -> str:
    if old.trigger != new.trigger:
        return f"{old.trigger!r} and with {new.trigger!r}"
    for name in OPTION_NAMES:
        one, other = getattr(old.options, name), getattr(new.options, name)
        if one != other:
            return f"{name}={one!r} and with {name}={other!r}"
    return "options that differ"


def refuse_shared_claims(new: Job, jobs: Iterable[Job]) -> None:
    """Raise where another job goes by the id under which the store knows this one: both would claim the same ticks."""
    for other in jobs:
        if other.id != new.id and other.claim_id == new.claim_id:
            raise DuplicateJobError(
                f"jobs {other.id!r} (at {other.place}) and {new.id!r} (at {new.place}) are both known to the store as"
                f" {new.claim_id!r}: renamed_from names an earlier id, which no other job may have"
            )


def unknown_job(id: str, known: Iterable[str]) -> UnknownJobError:
    """The error for an id that is not declared here, naming the nearest that is."""
    near = get_close_matches(id, list(known), n=1, cutoff=0.6)
    return UnknownJobError(f"no job {id!r} is declared here{f'; did you mean {near[0]!r}?' if near else ''}")


def _options(defaults: Mapping[str, object], given: Mapping[str, object], where: str) -> JobOptions:
    if not defaults and not given:
        return DEFAULT_OPTIONS
    return make_options({**defaults, **given} if defaults else given, where)


def _bound(entry: Declared, options: JobOptions, tz: ZoneInfo, where: str) -> Trigger | None:
    trigger = entry.trigger
    if trigger is None:
        return None
    job_zone = tz if options.tz is None else zone(options.tz)
    if "tz" in entry.given and options.tz is not None:
        others = trigger.zones() - {options.tz}
        if others:
            raise ConfigurationError(
                f"{where}: tz={options.tz!r} contradicts its trigger, in {', '.join(sorted(others))}; write one of them"
            )
    trigger = trigger.bind(job_zone, options.renamed_from or entry.id)
    if options.start is not None or options.end is not None:
        from rota.triggers.combine import Within

        trigger = Within(trigger, start=options.start, end=options.end)
    return trigger


def _check_job(entry: Declared, shape: CallShape, trigger: Trigger | None, options: JobOptions, where: str) -> None:
    func, given = entry.func, entry.given
    if options.renamed_from == entry.id:
        raise ConfigurationError(f"{where}: renamed_from is its own id; write the earlier one, or leave it out")
    if options.renamed_from is not None:
        _check_id(options.renamed_from, f"{where}: renamed_from")
    if trigger is not None or options.args or options.kwargs:
        check_arguments(func, shape, options.args, dict(options.kwargs), where)
    if trigger is None:
        _refuse_tick_options(given, where)


def _refuse_tick_options(given: Mapping[str, object], where: str) -> None:
    """Options of ticks make no sense without a trigger, unless they come from defaults."""
    for name in ("jitter", "max_lateness", "max_runs", "start", "end"):
        if given.get(name) is not None:
            raise ConfigurationError(f"{where}: {name} speaks of ticks, and the job has no trigger")


def _check_id(name: str, what: str = "job id") -> None:
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise ConfigurationError(f"{what} {name!r} has a lone surrogate, which no store can keep") from None
    if size > LONGEST_ID:
        raise ConfigurationError(f"{what} {name[:40]!r}… is {size} bytes long; at most {LONGEST_ID} are kept")
