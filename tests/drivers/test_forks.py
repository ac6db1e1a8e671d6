"""What is told in forked children."""

from __future__ import annotations

import gc
import os
import sys
import types
import warnings
import weakref
from collections.abc import Callable

import pytest

from rota.drivers import forks
from rota.drivers.autostart import decide, look_at_process
from rota.drivers.forks import is_server_worker, on_fork_in_child


class Member:
    def __init__(self) -> None:
        self.told = 0

    def after_fork_in_child(self) -> None:
        self.told += 1


class Broken(Member):
    def after_fork_in_child(self) -> None:
        raise ValueError("cannot")


def in_a_fork(look: Callable[[], object], fork: Callable[[], int] = os.fork) -> str:
    """What `look` gives in a forked child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forking a process with threads
        pid = fork()
    if pid == 0:
        try:
            os.write(writer, repr(look()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text


def test_living_objects_are_told_in_the_child_and_not_in_the_parent() -> None:
    member = Member()
    on_fork_in_child(member)
    on_fork_in_child(member)
    assert in_a_fork(lambda: member.told) == "1"
    assert member.told == 0


def test_a_grandchild_is_told_again() -> None:
    member = Member()
    on_fork_in_child(member)
    assert in_a_fork(lambda: in_a_fork(lambda: member.told)) == "'2'"


def test_one_that_fails_does_not_keep_the_others_from_being_told() -> None:
    members = [Broken(), Member(), Broken(), Member()]
    for member in members:
        on_fork_in_child(member)
    assert in_a_fork(lambda: [member.told for member in members]) == "[0, 1, 0, 1]"


def test_registration_keeps_nothing_alive() -> None:
    member = Member()
    on_fork_in_child(member)
    known = weakref.ref(member)
    del member
    gc.collect()
    assert known() is None


def test_a_fork_of_anybody_makes_no_server_worker() -> None:
    member = Member()
    on_fork_in_child(member)
    assert in_a_fork(is_server_worker) == "False"
    assert not is_server_worker()


def test_a_fork_by_gunicorn_makes_a_server_worker_that_runs_jobs() -> None:
    member = Member()
    on_fork_in_child(member)
    arbiter = types.ModuleType("gunicorn.arbiter")
    exec("import os\ndef spawn_worker():\n    return os.fork()\n", arbiter.__dict__)
    assert in_a_fork(is_server_worker, arbiter.spawn_worker) == "True"

    def decided() -> bool:
        return decide({}, ["/venv/bin/gunicorn"], (), look_at_process()).run

    assert in_a_fork(decided, arbiter.spawn_worker) == "True"


def test_uwsgi_tells_through_its_own_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    uwsgi = types.SimpleNamespace(worker_id=lambda: 1, post_fork_hook=lambda: called.append("earlier"))
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    registry = forks._Registry()
    monkeypatch.setattr(forks, "_registry", registry)
    member = Member()
    on_fork_in_child(member)

    def look() -> object:
        registry._pid = 0  # uWSGI forks without telling Python
        before = member.told
        uwsgi.post_fork_hook()
        uwsgi.post_fork_hook()
        return [called, member.told - before, is_server_worker()]

    assert in_a_fork(look) == "[['earlier', 'earlier'], 1, True]"
