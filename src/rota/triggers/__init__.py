"""When: triggers, frozen values that name instants. Pure, and cheap to import; nothing here asks the clock.

A trigger is imported when it is first used: few programs use them all."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rota.triggers.base import Trigger

if TYPE_CHECKING:
    from rota.triggers.calendar import Calendar
    from rota.triggers.combine import AnyOf, Excluding, Within
    from rota.triggers.cron import Cron
    from rota.triggers.interval import Interval
    from rota.triggers.json_form import trigger_from_json
    from rota.triggers.once import Once
    from rota.triggers.rrule import RRule

__all__ = [
    "AnyOf",
    "Calendar",
    "Cron",
    "Excluding",
    "Interval",
    "Once",
    "RRule",
    "Trigger",
    "Within",
    "trigger_from_json",
]

_HOMES = {
    "AnyOf": "combine",
    "Calendar": "calendar",
    "Cron": "cron",
    "Excluding": "combine",
    "Interval": "interval",
    "Once": "once",
    "RRule": "rrule",
    "Within": "combine",
    "trigger_from_json": "json_form",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rota.triggers' has no attribute {name!r}")
    value: object = getattr(import_module(f"rota.triggers.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
