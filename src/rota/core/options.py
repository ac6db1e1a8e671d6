"""Job options: one frozen value, checked when it is made, so that nothing is found out at 2 a.m.

Law: an unknown name, a wrong type or a contradiction raises `ConfigurationError` naming the option, what it was given
and what would be right. Spans of time are seconds; a `timedelta` is taken too.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final, Literal, cast, get_args

from rota.core.json_values import from_text, to_text
from rota.core.retry import Retry
from rota.core.run import FINAL, JSON
from rota.errors import ArgumentsError, ConfigurationError, UnknownTimeZoneError
from rota.spelling import refuse_unknown
from rota.triggers.zones import IF_NAIVE, zone_key

Overlap = Literal["skip", "queue", "allow", "replace"]
CatchUp = Literal["skip", "latest", "all"]
OnCrash = Literal["rerun", "lost"]

OVERLAPS: Final[tuple[str, ...]] = get_args(Overlap)
CATCH_UPS: Final[tuple[str, ...]] = get_args(CatchUp)
ON_CRASHES: Final[tuple[str, ...]] = get_args(OnCrash)

LONGEST_SPAN: Final = 1e10
"""Seconds, over three centuries: an instant so far off is one that every store can keep."""

RETENTION_KEYS: Final = FINAL | {"unhappy"}
Retention = timedelta | Mapping[str, timedelta] | None
Inherited = Literal["inherit"]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is run; the table in the reference says what each option means. Spans in seconds."""

    tz: str | None = None
    timeout: float | None = None
    retry: Retry | None = None
    overlap: Overlap = "skip"
    max_running: int | None = None
    catch_up: CatchUp = "latest"
    max_catch_up: int = 100
    max_lateness: float | None = None
    jitter: float | None = None
    start: datetime | None = None
    end: datetime | None = None
    max_runs: int | None = None
    executor: str | None = None
    args: tuple[JSON, ...] = ()
    kwargs: tuple[tuple[str, JSON], ...] = ()
    on_crash: OnCrash | None = None
    pause_after_failures: int | None = None
    tags: tuple[str, ...] = ()
    retention: Retention | Inherited = "inherit"
    renamed_from: str | None = None

    @property
    def reruns_after_crash(self) -> bool:
        """Whether a run whose process died is made again: `on_crash`, or where that is open, whether it is retried."""
        return self.retry is not None if self.on_crash is None else self.on_crash == "rerun"

    def is_too_late(self, due: int, now: int) -> bool:
        """Whether a tick that was due then (microseconds) is later than `max_lateness` allows."""
        return self.max_lateness is not None and now - due > self.max_lateness * 1_000_000

    @property
    def attempt_budget(self) -> int:
        """How many attempts may be spent by a run that asks for another without an error to be judged by `retry`."""
        return (self.retry or Retry()).attempts

    @property
    def windows_join(self) -> bool:
        """Whether a window starts where the last succeeded one ended: no gap and no double."""
        return self.catch_up == "latest" and self.overlap in ("skip", "queue")


OPTION_NAMES: Final = tuple(field.name for field in fields(JobOptions))
DEFAULT_OPTIONS: Final = JobOptions()


def make_options(given: Mapping[str, object], where: str) -> JobOptions:
    """The options of those names and values. `where` names the job in errors."""
    if not given:
        return DEFAULT_OPTIONS
    checked = {name: _check(name, value, where) for name, value in given.items()}
    options = JobOptions(**checked)  # type: ignore[arg-type]  # each value was checked against its field
    _refuse_contradictions(options, where)
    return options


def check_values(given: Mapping[str, object], where: str) -> None:
    """Raise for a value that no job could be given: of defaults, which jobs may override; nor can all have one id."""
    if given.get("renamed_from") is not None:
        raise ConfigurationError(f"{where}: renamed_from is the earlier id of one job: write it where that is declared")
    for name, value in given.items():
        _check(name, value, where)


def _check(name: str, value: object, where: str) -> object:
    check = _CHECKS.get(name)
    if check is None:
        refuse_unknown({name: value}, OPTION_NAMES, where)
        raise AssertionError(f"option {name!r} has no check")
    try:
        return check(value)
    except UnknownTimeZoneError:
        raise
    except (ValueError, TypeError) as error:
        kind = ArgumentsError if name in {"args", "kwargs"} else ConfigurationError
        raise kind(f"{where}: {name}: {error}") from None


def _refuse_contradictions(options: JobOptions, where: str) -> None:
    if options.start is not None and options.end is not None and options.end <= options.start:
        raise ConfigurationError(f"{where}: end {options.end} is not after start {options.start}: it would never run")
    if options.max_running is not None and options.overlap == "replace" and options.max_running > 1:
        raise ConfigurationError(f'{where}: overlap="replace" keeps one run at a time; max_running contradicts it')


def too_long(span: object) -> str:
    """What is said of a span that is longer than the longest."""
    return f"{span!r} is over {LONGEST_SPAN:g} seconds, three centuries"


def _seconds(*, positive: bool) -> Callable[[object], float | None]:
    def check(value: object) -> float | None:
        if value is None:
            return None
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        if type(seconds) not in (int, float) or not -math.inf < cast(float, seconds) < math.inf:
            raise TypeError(f"a number of seconds is expected, not {value!r}")
        if cast(float, seconds) < 0 or (positive and seconds == 0):
            raise ValueError(f"{value!r} is not {'more than' if positive else 'at least'} 0 seconds")
        if cast(float, seconds) > LONGEST_SPAN:
            raise ValueError(f"{too_long(value)}; leave it out where there is no limit")
        return float(cast(float, seconds))

    return check


def _whole(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise TypeError(f"a whole number from 1 is expected, not {value!r}")
    return value


def _one_of(words: tuple[str, ...], *, optional: bool = False) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        if (value is None and optional) or value in words:
            return value if value is None else str(value)
        near = difflib.get_close_matches(str(value), words, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{value!r} is none of {', '.join(words)}{hint}")

    return check


def _text(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise TypeError(f"a text is expected, not {value!r}")


def _earlier_id(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise TypeError(f"the earlier id of the job is expected, a text, not {value!r}")


def _zone_name(value: object) -> str | None:
    return zone_key(value)  # type: ignore[arg-type]  # it refuses other types itself


def _instant(value: object) -> datetime | None:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise TypeError(f"an aware datetime is expected, not {value!r}")
    if moment.tzinfo is None:
        raise ValueError(f"{value} is naive: {IF_NAIVE}")
    return moment


def _retry(value: object) -> Retry | None:
    if value is None or isinstance(value, Retry):
        return value
    if type(value) is int:
        raise TypeError(f"a Retry is expected: write Retry(attempts={value})")
    raise TypeError(f"a Retry is expected, such as Retry(attempts=3), not {value!r}")


def _arguments(value: object) -> tuple[JSON, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"a list of positional arguments is expected, not {value!r}")
    return tuple(cast("list[JSON]", from_text(to_text(list(value), "args"))))


def _named_arguments(value: object) -> tuple[tuple[str, JSON], ...]:
    pairs = dict(value) if isinstance(value, Mapping | tuple) else None
    if pairs is None:
        raise TypeError(f"a dict of named arguments is expected, not {value!r}")
    return tuple(cast("dict[str, JSON]", from_text(to_text(pairs, "kwargs"))).items())


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        raise TypeError(f"several texts are expected, not {value!r}; for one, write ({value!r},)")
    if not all(isinstance(tag, str) and tag for tag in value):
        raise TypeError(f"tags are texts, not {value!r}")
    return tuple(value) if isinstance(value, list | tuple) else tuple(sorted(value))


def check_retention(value: object) -> Retention | Inherited:
    """A time to keep records: one for all (unhappy runs three times as long), one per status, or `None`: for ever."""
    if value is None or value == "inherit":
        return value
    spans = value if isinstance(value, Mapping) else {"succeeded": value}
    for key, span in spans.items():
        if key not in RETENTION_KEYS:
            raise ValueError(f"{key!r} is no status a run ends in; there are {', '.join(sorted(RETENTION_KEYS))}")
        if not isinstance(span, timedelta) or span <= timedelta(0):
            raise TypeError(f"a positive timedelta is expected, not {span!r}")
        if span.total_seconds() > LONGEST_SPAN:
            raise ValueError(f"{too_long(span)}; None keeps records for ever, as does a status that is not named")
    return cast(Retention, value if not isinstance(value, Mapping) else dict(value))


_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "tz": _zone_name,
    "timeout": _seconds(positive=True),
    "retry": _retry,
    "overlap": _one_of(OVERLAPS),
    "max_running": _whole,
    "catch_up": _one_of(CATCH_UPS),
    "max_catch_up": lambda value: _required(_whole(value)),
    "max_lateness": _seconds(positive=True),
    "jitter": _seconds(positive=False),
    "start": _instant,
    "end": _instant,
    "max_runs": _whole,
    "executor": _text,
    "args": _arguments,
    "kwargs": _named_arguments,
    "on_crash": _one_of(ON_CRASHES, optional=True),
    "pause_after_failures": _whole,
    "tags": _tags,
    "retention": check_retention,
    "renamed_from": _earlier_id,
}


def _required(value: int | None) -> int:
    if value is None:
        raise TypeError("a whole number from 1 is expected, not None")
    return value
