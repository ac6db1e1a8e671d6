"""A job: a function, its trigger and its options, as this process declares it.

Law: a declaration is never stored. What the fleet knows of a job (watermark, pause, runs) is the store's, by
`claim_id`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Protocol
from zoneinfo import ZoneInfo

from rota.core.calling import CallShape
from rota.core.options import JobOptions
from rota.triggers.base import Trigger
from rota.triggers.zones import zone

if TYPE_CHECKING:
    from rota.core.registration import Declared
    from rota.core.run import RunRecord


class JobHome(Protocol):
    """What a job asks of the scheduler it was declared on, for the properties that are not its own."""

    def is_paused(self, job: Job) -> bool: ...

    def next_fire(self, job: Job) -> datetime | None: ...

    def last_run(self, job: Job) -> RunRecord | None: ...


class Job:
    """A declared job. `id`, `trigger` and `options` are fixed; `paused`, `next_fire` and `last_run` are looked up."""

    __slots__ = ("_home", "declared", "executor", "func", "id", "options", "shape", "trigger")

    id: str
    func: Callable[..., object]
    trigger: Trigger | None
    options: JobOptions
    shape: CallShape
    executor: str
    declared: Declared | None
    _home: JobHome

    def __init__(
        self,
        id: str,
        func: Callable[..., object],
        trigger: Trigger | None,
        options: JobOptions,
        shape: CallShape,
        executor: str,
        home: JobHome,
        declared: Declared | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "id", id)
        put(self, "func", func)
        put(self, "trigger", trigger)
        put(self, "options", options)
        put(self, "shape", shape)
        put(self, "executor", executor)
        put(self, "declared", declared)
        put(self, "_home", home)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"job {self.id!r} stays as it was declared: scheduler.update and reschedule declare it anew"
        )

    def played_by(self, func: Callable[..., object], shape: CallShape) -> Job:
        """The same job with another function: for simulations."""
        return Job(self.id, func, self.trigger, self.options, shape, self.executor, self._home, self.declared)

    @property
    def signature(self) -> str:
        """What tells one schedule of it from another: ticks from before a change do not exist for it."""
        if self.trigger is None:
            return ""
        most = self.options.max_runs
        return self.trigger.signature() if most is None else f"{self.trigger.signature()} max_runs={most}"

    @property
    def claim_id(self) -> str:
        """The id under which the store knows it: its own, or the earlier one while `renamed_from` is written."""
        return self.options.renamed_from or self.id

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone its ticks are shown in: the trigger's, else that of its option `tz`; `None`: the scheduler's."""
        if self.trigger is not None and self.trigger.zones():
            return self.trigger.zone
        return None if self.options.tz is None else zone(self.options.tz)

    @property
    def paused(self) -> bool:
        """Whether it is paused, for the whole fleet."""
        return self._home.is_paused(self)

    @property
    def next_fire(self) -> datetime | None:
        """The next tick, aware UTC; `None`: none, or no trigger."""
        return self._home.next_fire(self)

    @property
    def last_run(self) -> RunRecord | None:
        """The newest run, or `None`."""
        return self._home.last_run(self)

    @property
    def place(self) -> str:
        """Where its function stands, `file:line`, as far as can be told."""
        return place_of(self.func)

    def __repr__(self) -> str:
        return f"<Job {self.id!r} {self.trigger!r}>"


def unwrapped(func: object) -> Iterator[object]:
    """A function, and what its decorators and partials are around, from the outermost to the one within."""
    seen: list[object] = []
    while func is not None and not any(func is one for one in seen):
        seen.append(func)
        yield func
        func = func.func if isinstance(func, partial) else getattr(func, "__wrapped__", None)


def place_of(func: object) -> str:
    """`file:line` of a function, its qualified name where it has no code of its own."""
    *_, target = unwrapped(func)
    target = getattr(target, "__func__", target)
    code = getattr(target, "__code__", None)
    if code is None:
        return f"{getattr(func, '__module__', '?')}.{getattr(func, '__qualname__', type(func).__qualname__)}"
    return f"{code.co_filename}:{code.co_firstlineno}"


def default_id(func: object) -> str | None:
    """`__qualname__` after the last `<locals>.`; `None` for lambdas, partials and callable objects, which need an
    id."""
    name = getattr(func, "__qualname__", None)
    if not isinstance(name, str) or isinstance(func, type) or "<lambda>" in name:
        return None
    return name.rpartition("<locals>.")[2] or None
