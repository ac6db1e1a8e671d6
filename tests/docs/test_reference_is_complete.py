"""The reference names what the code has: arguments, options, methods, fields, words, variables, extras.

It is written by hand, so that it reads well without a build; this keeps it from falling behind.
"""

import inspect
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import rota
import rota.errors
import rota.locks
import rota.stores
import rota.testing
import rota.triggers
from rota import AsyncRun, Attempt, Jobs, Retry, Run, RunRecord, Scheduler
from rota.core.checkpoint import AsyncCheckpoint
from rota.core.explain import REASONS, Explanation
from rota.core.options import OPTION_NAMES
from rota.core.run import FINAL, OPEN, AttemptOutcome, CancelReason
from rota.drivers.hosting.health import Health
from rota.drivers.node_parts import ShutdownReport
from rota.ports import EventKind
from rota.testing import FakeClock, Simulation
from rota.triggers.base import Trigger

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
NOT_FOR_USERS = {"is_paused", "next_fire", "last_run"}  # what a `Job` asks of its scheduler


def public(cls: type) -> set[str]:
    """The public names of a class, its bases' included."""
    return {name for name in dir(cls) if not name.startswith("_")}


def arguments(callable_: Callable[..., object]) -> set[str]:
    """The names of its parameters, but for those that take what is left."""
    left = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name for p in inspect.signature(callable_).parameters.values() if p.kind not in left} - {"self"}


def missing(page: str, names: Iterable[str]) -> list[str]:
    """The names that do not occur in code quotes on that page of the reference."""
    text = (REFERENCE / page).read_text()
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`|```.*?```", text, re.DOTALL))))
    return sorted(name for name in names if name not in words)


def test_the_scheduler_page_names_every_argument_and_method():
    names = arguments(Scheduler.__init__) | (public(Scheduler) - NOT_FOR_USERS) | public(Jobs) - {"declarations"}
    assert missing("scheduler.md", names) == []


@pytest.mark.parametrize("name", sorted(public(Scheduler) - NOT_FOR_USERS))
def test_the_scheduler_page_names_the_arguments_of_its_methods(name):
    method = getattr(Scheduler, name)
    if callable(method):
        wanted = arguments(method) - {
            "func",
            "fn",
            "job",
            "id",
            "args",
            "given",
            "when",
            "rule",
            "expr",
            "every",
            "run_id",
        }
        assert missing("scheduler.md", wanted) == []


def test_the_scheduler_page_names_what_health_and_shutdown_tell():
    told = [field.name for kind in (Health, ShutdownReport, Explanation) for field in fields(kind)]
    assert missing("scheduler.md", told) == []


def test_the_scheduler_page_has_a_row_for_every_event_and_no_other():
    table = (REFERENCE / "scheduler.md").read_text().partition("## Events")[2].partition("```")[0]
    named = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    assert sorted(named) == sorted(get_args(EventKind))


def test_the_options_page_has_a_row_for_every_option():
    rows = (REFERENCE / "job-options.md").read_text()
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE))))
    assert named >= {*OPTION_NAMES, "id"}


def test_the_run_page_names_every_attribute():
    assert missing("run.md", public(Run) | public(AsyncRun) - {"load"} | {"current_run"}) == []
    assert missing("run.md", public(AsyncCheckpoint) - {"keys", "values", "items"}) == []
    assert missing("run.md", CancelReason.__args__) == []


def test_the_records_page_names_every_field_status_and_reason():
    assert missing("records.md", [field.name for kind in (RunRecord, Attempt) for field in fields(kind)]) == []
    assert missing("records.md", OPEN | FINAL | {*AttemptOutcome.__args__, *REASONS}) == []


def test_the_triggers_page_names_every_trigger_and_argument():
    kinds = [getattr(rota.triggers, name) for name in rota.triggers.__all__]
    triggers = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Trigger) and kind is not Trigger]
    assert missing("triggers.md", [kind.__name__ for kind in triggers]) == []
    for kind in triggers:
        assert missing("triggers.md", arguments(kind.__init__) - {"triggers", "text"}) == [], kind
    assert missing("triggers.md", ["next_after", "previous", "describe", "to_json", "from_json", "bind", "zone"]) == []


def test_the_retry_and_error_pages_are_whole():
    assert missing("retry.md", arguments(Retry) | {"Snooze", "RetryAfter", "GiveUp"}) == []
    own = [value for value in vars(rota.errors).values() if getattr(value, "__module__", "") == "rota.errors"]
    errors = [value.__name__ for value in own if isinstance(value, type)]
    text = (REFERENCE / "errors.md").read_text()
    assert [name for name in errors if name not in text] == []


def test_the_testing_page_names_what_there_is():
    names = {*rota.testing.__all__, *public(Simulation) - {"scheduler", "open", "close"}}
    driven = {"now", "monotonic", "boottime", "boot_id", "executors", "attach", "wait", "passing"}
    assert missing("testing.md", names | (public(FakeClock) - driven)) == []


def test_the_ports_page_names_every_backend():
    assert missing("ports.md", [*rota.stores.__all__, *rota.locks.__all__]) == []


def test_the_environment_page_names_every_variable_and_extra():
    sources = " ".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    internal = {"ROTA_CHILD"}  # how a process job's child knows itself
    assert missing("environment.md", set(re.findall(r"ROTA_[A-Z_]+[A-Z]", sources)) - internal) == []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert missing("environment.md", extras) == []


def test_every_public_name_of_the_package_is_in_the_reference():
    text = " ".join(path.read_text() for path in REFERENCE.glob("*.md"))
    assert [name for name in rota.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if f"- {page}\n" not in navigation] == []
