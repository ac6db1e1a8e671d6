"""Rota, a scheduler that an application embeds: once per tick, whatever dies, across clock changes.

Start with `Scheduler`. Triggers are in `rota.triggers`, tools for your tests in `rota.testing`. A name is imported when
it is first used, so that `import rota` costs its host next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.core.context import AsyncRun, Run, current_run
    from rota.core.declaring import Jobs
    from rota.core.job import Job
    from rota.core.retry import Retry
    from rota.core.run import Attempt, RunRecord
    from rota.errors import (
        Answer,
        ArgumentsError,
        BackendError,
        ConfigurationError,
        CronSyntaxError,
        DuplicateJobError,
        GiveUp,
        InProgress,
        LeaseLost,
        LockBackendError,
        LockHeld,
        ResultNotStored,
        RetryAfter,
        RotaError,
        RRuleSyntaxError,
        RunCancelled,
        RunTimeout,
        Snooze,
        StateError,
        StoreError,
        UnknownJobError,
        UnknownTimeZoneError,
    )
    from rota.scheduler import Scheduler

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "ArgumentsError",
    "AsyncRun",
    "Attempt",
    "BackendError",
    "ConfigurationError",
    "CronSyntaxError",
    "DuplicateJobError",
    "GiveUp",
    "InProgress",
    "Job",
    "Jobs",
    "LeaseLost",
    "LockBackendError",
    "LockHeld",
    "RRuleSyntaxError",
    "ResultNotStored",
    "Retry",
    "RetryAfter",
    "RotaError",
    "Run",
    "RunCancelled",
    "RunRecord",
    "RunTimeout",
    "Scheduler",
    "Snooze",
    "StateError",
    "StoreError",
    "UnknownJobError",
    "UnknownTimeZoneError",
    "current_run",
]

_HOMES = {
    "AsyncRun": "rota.core.context",
    "Run": "rota.core.context",
    "current_run": "rota.core.context",
    "Jobs": "rota.core.declaring",
    "Job": "rota.core.job",
    "Retry": "rota.core.retry",
    "Attempt": "rota.core.run",
    "RunRecord": "rota.core.run",
    "Answer": "rota.errors",
    "ArgumentsError": "rota.errors",
    "BackendError": "rota.errors",
    "ConfigurationError": "rota.errors",
    "CronSyntaxError": "rota.errors",
    "DuplicateJobError": "rota.errors",
    "GiveUp": "rota.errors",
    "InProgress": "rota.errors",
    "LeaseLost": "rota.errors",
    "LockBackendError": "rota.errors",
    "LockHeld": "rota.errors",
    "RRuleSyntaxError": "rota.errors",
    "ResultNotStored": "rota.errors",
    "RetryAfter": "rota.errors",
    "RotaError": "rota.errors",
    "RunCancelled": "rota.errors",
    "RunTimeout": "rota.errors",
    "Snooze": "rota.errors",
    "StateError": "rota.errors",
    "StoreError": "rota.errors",
    "UnknownJobError": "rota.errors",
    "UnknownTimeZoneError": "rota.errors",
    "Scheduler": "rota.scheduler",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rota' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
