"""What a person hands to an operation, checked before the store hears of it.

Law: pure. What is wrong raises `ConfigurationError`, or `TypeError` for arguments that are not JSON, naming what would
be right.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from rota.core.calling import check_arguments
from rota.core.job import Job
from rota.core.json_values import storable, to_text
from rota.core.options import LONGEST_SPAN
from rota.core.run import FINAL, OPEN, UNHAPPY, RunRow
from rota.errors import ConfigurationError
from rota.triggers.base import to_micros
from rota.triggers.zones import instant_of

Statuses: TypeAlias = "str | Collection[str] | None"


def statuses(status: Statuses) -> Collection[str] | None:
    """The statuses meant: one, several, or `"unhappy"` for failed, timed_out, lost and missed."""
    if status is None:
        return None
    if not isinstance(status, Iterable):
        raise ConfigurationError(f"runs: status is one word or several, not {status!r}")
    named = (status,) if isinstance(status, str) else tuple(status)
    wanted: set[str] = set()
    for name in named:
        if name == "unhappy":
            wanted |= UNHAPPY
        elif name in FINAL or name in OPEN:
            wanted.add(name)
        else:
            known = ", ".join(sorted(FINAL | OPEN | {"unhappy"}))
            raise ConfigurationError(f"runs: {name!r} is no status; there are {known}")
    return wanted


def check_call(job: Job, args: Sequence[object], kwargs: Mapping[str, object] | None) -> None:
    """Raise for arguments that are not JSON, or that the function cannot be called with."""
    if isinstance(args, str | bytes) or not isinstance(args, list | tuple):
        raise TypeError(f"args is a list or tuple of positional arguments, not {args!r}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"kwargs is a dict of named arguments, not {kwargs!r}")
    to_text(list(args), "args")
    to_text(dict(kwargs or {}), "kwargs")
    used_args = args or job.options.args
    used_kwargs = kwargs or dict(job.options.kwargs)
    check_arguments(job.func, job.shape, used_args, used_kwargs, f"job {job.id!r}")


def arguments_of(row: RunRow) -> str:
    """What a run was given as JSON text, whatever the order of its named arguments: neither `true` nor 1.0 is 1."""
    return json.dumps([json.loads(row.args or "[]"), json.loads(row.kwargs or "{}")], sort_keys=True)


def check_key(key: str) -> None:
    """Raise for a key that no store can keep."""
    storable(key, "enqueue: key")
    if not key or len(key.encode("utf-8", "replace")) > 1_000:
        raise ConfigurationError(f"enqueue: key is a text of 1 to 1,000 bytes, not {key!r:.100}")


def due_at(now: int, delay: float | timedelta | None, at: datetime | str | None) -> int:
    """When a run that is enqueued with `delay` or `at` is due, microseconds."""
    if delay is not None and at is not None:
        raise ConfigurationError("enqueue: give delay or at, not both")
    if at is not None:
        return instant(at, "at")
    if delay is None:
        return now
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if type(seconds) not in (int, float) or not 0 <= seconds <= LONGEST_SPAN:
        raise ConfigurationError(
            f"enqueue: delay is a number of seconds from 0 to {LONGEST_SPAN:g}, or a timedelta, not {delay!r}"
        )
    return now + int(seconds * 1_000_000)


def tick_count(n: int) -> int:
    """How many ticks are asked for."""
    if type(n) is not int or n < 0:
        raise ConfigurationError(f"next_fires: n is a whole number, not {n!r}")
    return n


def instant(moment: datetime | str, what: str) -> int:
    """An aware datetime, or ISO text with its offset, as microseconds; `what` names it in the error."""
    return to_micros(instant_of(moment, what))
