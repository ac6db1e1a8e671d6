"""From JSON back to a trigger.

Law: what ``to_json`` wrote in one release, this reads in every later one; anything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final, cast

from rota.errors import ConfigurationError
from rota.triggers.base import Json, Trigger, rebuild

_CLASSES: Final = {
    "cron": ("cron", "Cron"),
    "interval": ("interval", "Interval"),
    "calendar": ("calendar", "Calendar"),
    "once": ("once", "Once"),
    "rrule": ("rrule", "RRule"),
    "any_of": ("combine", "AnyOf"),
    "within": ("combine", "Within"),
    "excluding": ("combine", "Excluding"),
}


def trigger_from_json(data: Mapping[str, Json]) -> Trigger:
    """The trigger that ``to_json`` described. Raises ``ConfigurationError`` for anything else."""
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"the definition of a trigger is a JSON object, not {type(data).__name__}")
    kind = _class_of(data.get("type"))
    rest = {name: _value(value) for name, value in data.items() if name != "type"}
    several = rest.pop("triggers", None) if kind.kind == "any_of" else None
    missing = [name for name in kind.positional if name not in rest]
    if missing:
        raise ConfigurationError(f"the definition of {kind.__name__} lacks {missing[0]!r}")
    positional = [rest.pop(name) for name in kind.positional]
    positional += several if isinstance(several, list) else []
    try:
        return rebuild(kind, tuple(positional), rest)
    except TypeError as error:
        raise ConfigurationError(f"this is no definition of {kind.__name__}: {error}") from None


def _class_of(name: Json) -> type[Trigger]:
    found = _CLASSES.get(name) if isinstance(name, str) else None
    if found is None:
        raise ConfigurationError(f"unknown type of trigger {name!r}; there are {', '.join(_CLASSES)}")
    return cast("type[Trigger]", getattr(import_module(f"rota.triggers.{found[0]}"), found[1]))


def _value(value: Json) -> object:
    """A nested definition as its trigger; anything else as it is."""
    if isinstance(value, dict) and "type" in value:
        return trigger_from_json(value)
    if isinstance(value, list):
        return [_value(each) for each in value]
    return value
