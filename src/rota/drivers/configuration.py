"""What a `Scheduler` was told, checked, and filled in by `configure` until first use.

Law: a value is checked when it is given; what was given once is not changed silently.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import copy
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from zoneinfo import ZoneInfo

from rota.backends.urls import without_password
from rota.core.calling import is_coroutine_function, takes_one_argument
from rota.core.json_values import storable
from rota.core.options import LONGEST_SPAN, OPTION_NAMES, Retention, check_retention, check_values, too_long
from rota.core.registration import Terms
from rota.drivers.opening import LocksSpec, StoreSpec, has_all_of, settled_locks, settled_store
from rota.drivers.settings import Settings
from rota.errors import ConfigurationError
from rota.executors.choose import EXECUTORS, choose_executor
from rota.peer_words import SCHEDULER_WORDS
from rota.spelling import refuse_unknown
from rota.triggers.zones import zone, zone_hint

if TYPE_CHECKING:
    from rota.ports import Clock, Executor, Hook

Constructor = TypeVar("Constructor", bound=Callable[..., None])

MEMORY_NAME: Final = "rota"
SHUTDOWN_TIMEOUT: Final = "ROTA_SHUTDOWN_TIMEOUT"


def notes_given(constructor: Constructor) -> Constructor:
    """Decorator of a constructor that takes but `name` by position: it finds in `self._given` the names of the
    arguments that were really given. By its own look it could not tell a default from an equal value."""

    @wraps(constructor)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        self._given = frozenset(kwargs) | ({"name"} if args else set())
        constructor(self, *args, **kwargs)

    return cast(Constructor, construct)


class Configuration:
    """The constructor's arguments by name, and which of them were given; the others have their defaults.

    `None` leaves out where it may be given, as an application's own setting may; only for `retention` it is a value:
    for ever.
    """

    def __init__(self, arguments: Mapping[str, object], given: Collection[str]) -> None:
        self._values = _checked(arguments)
        self._written = _said({name: arguments[name] for name in given})
        _require_name(self._values)

    def has(self, given: Mapping[str, object]) -> bool:
        """Whether all of that was given already."""
        said = _said(given)
        return bool(given) and all(
            name in self._written and self._written[name] == value for name, value in said.items()
        )

    def filled_in(self, given: Mapping[str, object]) -> Configuration:
        """One with what was left out so far in this one; this one stays as it is."""
        refuse_unknown(given, tuple(_CHECKS), "Scheduler", SCHEDULER_WORDS)
        checked = _checked(given)
        given = _said(given)
        for name in given:
            if name in self._written and self._values[name] != checked[name]:
                before = self._values[name]
                raise ConfigurationError(
                    f"configure: {name} was given already, {before!r}; only what was left out can be"
                )
        filled: Configuration = copy(self)
        filled._values = {**self._values, **{name: checked[name] for name in given}}
        filled._written = {**self._written, **given}
        _require_name(filled._values)
        return filled

    def adopt(self, other: Configuration) -> None:
        """Say what the other one says."""
        self._values, self._written = dict(other._values), dict(other._written)

    def __getitem__(self, name: str) -> object:
        return self._values[name]

    @property
    def name(self) -> str:
        """The namespace of locks, records and metrics."""
        return cast(str, self["name"] or MEMORY_NAME)

    @property
    def tz(self) -> ZoneInfo:
        """The default zone of the jobs."""
        return zone(cast(str, self["tz"]))

    @property
    def clock(self) -> Clock | None:
        """The clock given, or `None`: the system's."""
        return cast("Clock | None", self["clock"])

    @property
    def store(self) -> StoreSpec:
        """The store's spec, a relative file made absolute."""
        return cast(StoreSpec, self["store"])

    @property
    def locks(self) -> LocksSpec:
        """The locks' spec."""
        return cast(LocksSpec, self["locks"])

    @property
    def lease_ttl(self) -> float:
        """Seconds after which a dead process's runs are taken over."""
        return cast(float, self["lease_ttl"])

    @property
    def defaults(self) -> Mapping[str, object]:
        """Default job options."""
        return cast("Mapping[str, object]", self["defaults"] or {})

    @property
    def executors(self) -> Mapping[str, Executor]:
        """Executors by the names that jobs ask for."""
        return cast("Mapping[str, Executor]", self["executors"] or {})

    def terms(self) -> Terms:
        """What it says of all jobs."""
        return Terms(self.defaults, self.tz, partial(choose_executor, others=tuple(self.executors)))

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Hooks that hear of everything."""
        return cast("tuple[Hook, ...]", self["hooks"])

    def settings(self, *, leased: bool) -> Settings:
        """The numbers that drivers need."""
        return Settings(
            name=self.name,
            tz=self.tz,
            max_workers=cast(int, self["max_workers"]),
            lease_ttl=self.lease_ttl,
            shutdown_timeout=self._shutdown_timeout(),
            retention=cast(Retention, self["retention"]),
            create_tables=cast(bool, self["create_tables"]),
            leased=leased,
        )

    def _shutdown_timeout(self) -> float:
        text = os.environ.get(SHUTDOWN_TIMEOUT)
        if "shutdown_timeout" in self._written or not text:
            return cast(float, self["shutdown_timeout"])
        try:
            return _seconds("Scheduler: shutdown_timeout", 0.0)(float(text))
        except ValueError:
            raise ConfigurationError(f"{SHUTDOWN_TIMEOUT}={text!r}: a number of seconds is expected") from None


def _checked(arguments: Mapping[str, object]) -> dict[str, object]:
    return {name: _CHECKS[name](value) for name, value in arguments.items()}


def _is_in_memory(spec: object) -> bool:
    """Whether a store or locks are those of this process. Asked by name, so that no backend is imported for it."""
    return any(kind.__module__.startswith("rota.backends.memory") for kind in type(spec).__mro__)


def _said(given: Mapping[str, object]) -> dict[str, object]:
    """What is left when `None` leaves out."""
    return {name: value for name, value in given.items() if value is not None or name == "retention"}


def _require_name(given: Mapping[str, object]) -> None:
    if given.get("name") is not None:
        return
    for what in ("store", "locks"):
        spec = given.get(what)
        if spec is not None and not _is_in_memory(spec):
            raise ConfigurationError(
                f'Scheduler: {what} may be shared with other programs, so a name is needed: Scheduler("billing", …)'
            )


def _name(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or len(value.encode("utf-8", "replace")) > 100:
        raise ConfigurationError(f"Scheduler: name is a text of 1 to 100 bytes, not {value!r:.200}")
    if "://" in value:
        address = without_password(value)
        raise ConfigurationError(f"Scheduler: {address!r} is no name: write Scheduler('name', store='{address}')")
    storable(str.__str__(value), "Scheduler: name")
    return value


def _zone_key(value: object) -> str:
    key = getattr(value, "key", value)
    if not isinstance(key, str):
        raise ConfigurationError(f"Scheduler: tz is an IANA zone name or a ZoneInfo, not {value!r}{zone_hint(value)}")
    return zone(key).key


def _seconds(what: str, least: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        if type(value) not in (int, float) or not least <= cast(float, value) < math.inf:
            raise ConfigurationError(f"{what} is a number of seconds of at least {least:g}, not {value!r}")
        if cast(float, value) > LONGEST_SPAN:
            raise ConfigurationError(f"{what}: {too_long(value)}")
        return float(cast(float, value))

    return check


def leaving_time(value: object) -> float | None:
    """The timeout of a shutdown, checked; `None`: as configured."""
    return None if value is None else _seconds("shutdown: timeout", 0.0)(value)


def _workers(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"Scheduler: max_workers is a whole number from 1, not {value!r}")
    return value


def _clock(value: object) -> Clock | None:
    if value is None:
        return None
    from rota.ports import Clock  # a scheduler that is given none does not wait for it

    if has_all_of(Clock, value):
        return cast(Clock, value)
    raise ConfigurationError(
        f"Scheduler: clock is a rota.ports.Clock, such as rota.testing.FakeClock('2026-03-01T00:00Z'), not {value!r}"
    )


def _retention(value: object) -> object:
    try:
        return check_retention(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"Scheduler: retention: {error}") from None


def _executors(value: object) -> Mapping[str, Executor]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"Scheduler: executors maps names to executors, not {value!r}")
    from rota.ports import Executor  # as above

    for name, executor in value.items():
        if not isinstance(name, str) or name in EXECUTORS:
            taken = ", ".join(sorted(EXECUTORS))
            raise ConfigurationError(f"Scheduler: an executor's name is a text other than {taken}, not {name!r}")
        if not has_all_of(Executor, executor):
            raise ConfigurationError(
                f"Scheduler: executors[{name!r}] is a rota.ports.Executor, an object with capacity(), submit(), stop(),"
                f" abandon() and shutdown(), not {executor!r}"
            )
    return dict(value)


def _defaults(value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"Scheduler: defaults maps job options to values, not {value!r}")
    refuse_unknown(value, OPTION_NAMES, "Scheduler: defaults")
    check_values(value, "Scheduler: defaults")
    return dict(value)


def _hooks(value: object) -> tuple[Hook, ...]:
    hooks = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(callable(hook) for hook in hooks):
        raise ConfigurationError(f"Scheduler: hooks are callables that take an Event, not {value!r}")
    for hook in hooks:
        refuse_unusable_hook(hook, "Scheduler: hooks")
    return hooks


def refuse_unusable_hook(hook: Hook, where: str) -> None:
    """Raise for a coroutine function, since hooks have a thread and no loop, so that nobody would await it; and for
    what does not take an event."""
    if is_coroutine_function(hook):
        raise ConfigurationError(f"{where}: {hook!r} is a coroutine function, which nobody would await")
    if not takes_one_argument(hook):
        raise ConfigurationError(f"{where}: {hook!r} cannot be called with an Event: write def hook(event)")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"Scheduler: create_tables is True or False, not {value!r}")
    return value


_CHECKS: Final[Mapping[str, Callable[[Any], object]]] = {
    "name": _name,
    "tz": _zone_key,
    "store": settled_store,
    "locks": settled_locks,
    "clock": _clock,
    "max_workers": _workers,
    "lease_ttl": _seconds("Scheduler: lease_ttl", 1.0),
    "shutdown_timeout": _seconds("Scheduler: shutdown_timeout", 0.0),
    "retention": _retention,
    "executors": _executors,
    "defaults": _defaults,
    "hooks": _hooks,
    "create_tables": _flag,
}
