"""Text that a store may be unable to keep, a lone surrogate or NUL, from wherever a user may hand it in.

It is kept in a readable form or refused at once, and stops nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from tests import services

from rota import ConfigurationError, GiveUp, RunCancelled, Scheduler, UnknownJobError

SERVERS = ("redis", "postgresql", "mysql")
STORES = ("memory", "sqlite", "file locks", *(pytest.param(n, marks=pytest.mark.requires_service(n)) for n in SERVERS))


@pytest.fixture(params=STORES)
def scheduler(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scheduler]:
    store = None
    if request.param in SERVERS:
        store = services.url(request.param)
    elif request.param == "sqlite":
        store = f"sqlite:///{tmp_path}/rota.db"
    locks = f"file://{tmp_path}/locks" if request.param == "file locks" else None
    scheduler = Scheduler(uuid4().hex, store=store, locks=locks)
    yield scheduler
    scheduler.shutdown()


@pytest.fixture(params=["\udcff", "\0"], ids=["surrogate", "nul"])
def odd(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def error_of(odd: str) -> Exception:
    class Odd(Exception):
        pass

    Odd.__module__, Odd.__qualname__ = f"plugin_{odd}", f"Odd{odd}"
    error = Odd(f"message {odd}")
    error.add_note(f"note {odd}")
    return error


def fails(run, odd):
    raise error_of(odd)


def fails_in_a_group(run, odd):
    raise ExceptionGroup(f"several {odd}", [error_of(odd)])


def gives_up(run, odd):
    raise GiveUp(f"why {odd}")


def stops(run, odd):
    raise RunCancelled(f"why {odd}")


def returns(run, odd):
    return {odd: odd}


def returns_no_json(run, odd):
    return {odd: error_of(odd)}


def logs(run, odd):
    run.log.info(odd, **{f"field_{odd}": odd}, error=error_of(odd))
    logging.getLogger(f"logger_{odd}").error("line %s", odd, exc_info=error_of(odd))


def keeps(run, odd):
    run.progress(1, note=odd)
    run.checkpoint["key"] = {odd: odd}
    assert run.step("step", lambda: odd) == odd
    with pytest.raises(TypeError):
        run.step("no JSON", error_of, odd)


@pytest.mark.parametrize(
    ("func", "status"),
    [
        (fails, "failed"),
        (fails_in_a_group, "failed"),
        (gives_up, "failed"),
        (stops, "cancelled"),
        (returns, "succeeded"),
        (returns_no_json, "succeeded"),
        (logs, "succeeded"),
        (keeps, "succeeded"),
    ],
)
def test_what_a_job_says_is_kept_and_the_next_one_runs(scheduler, odd, func, status, monkeypatch):
    scheduler.add(func, id="odd")
    scheduler.add(lambda: 1, id="next")
    run_id = scheduler.run_now("odd", args=[odd])
    with monkeypatch.context() as patched:
        patched.setattr(logging.root, "handlers", [])  # what pytest reports of a log must be UTF-8
        scheduler.run_due()
    after = scheduler.run_now("next")
    scheduler.run_due()
    run = scheduler.get_run(run_id)
    assert (run.status, scheduler.get_run(after).status, run.args) == (status, "succeeded", (odd,))
    scheduler.logs(run_id)
    if func is fails:
        shown = odd.encode("utf-8", "backslashreplace").decode().replace("\0", r"\0")
        assert run.attempts[0].error_type == f"plugin_{shown}.Odd{shown}"
        assert run.error == f"plugin_{shown}.Odd{shown}: message {shown}"


CALLS: dict[str, Callable[[Scheduler, str], object]] = {
    "id": lambda scheduler, odd: scheduler.run_now(scheduler.add(lambda: 1, id=odd)),
    "renamed_from": lambda scheduler, odd: scheduler.run_now(scheduler.add(lambda: 1, id="new", renamed_from=odd)),
    "key": lambda scheduler, odd: scheduler.enqueue("job", key=odd),
    "reason": lambda scheduler, odd: scheduler.pause("job", odd),
    "lock": lambda scheduler, odd: scheduler.lock(f"lock {odd}").__enter__(),
    "idempotent": lambda scheduler, odd: scheduler.idempotent(f"key {odd}")(lambda: odd)(),
    "get_run": lambda scheduler, odd: scheduler.get_run(odd),
    "cancel": lambda scheduler, odd: scheduler.cancel(odd),
    "replay": lambda scheduler, odd: scheduler.replay(odd),
    "logs": lambda scheduler, odd: scheduler.logs(odd),
    "runs": lambda scheduler, odd: scheduler.runs(odd),
    "dead_letters": lambda scheduler, odd: scheduler.dead_letters(odd),
    "explain": lambda scheduler, odd: scheduler.explain(odd),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_what_a_caller_says_is_refused_at_once_or_kept(scheduler, odd, call):
    scheduler.add(lambda: 1, id="job")
    refused = pytest.raises(ConfigurationError, match="lone surrogate")
    with refused if odd == "\udcff" else suppress(UnknownJobError):
        call(scheduler, odd)
    run_id = scheduler.run_now("job")
    scheduler.run_due()
    assert scheduler.get_run(run_id).status == "succeeded"
