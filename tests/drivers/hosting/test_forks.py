"""What is told in forked children."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import types
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from rota.backends import uwsgi
from rota.drivers.hosting import forks
from rota.drivers.hosting.autostart import decide, look_at_process
from rota.drivers.hosting.forks import is_server_worker, on_fork_in_child


class Member:
    def __init__(self) -> None:
        self.told = 0
        self.became_worker = 0

    def after_fork_in_child(self) -> None:
        self.told += 1

    def after_becoming_worker(self) -> None:
        self.became_worker += 1


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


class FakeUWSGI(types.SimpleNamespace):
    """What uWSGI's module tells a process: the application is being loaded for two workers."""

    number = 0
    numproc = 2
    has_threads = 1

    def worker_id(self) -> int:
        return self.number

    def masterpid(self) -> int:
        return 0

    def mule_id(self) -> int:
        return 0

    def i_am_the_spooler(self) -> None:
        return None

    def set_to_work(self, number: int) -> None:
        """Tell this process what it is; Python was not told that it was forked."""
        self.number = number
        forks._registry._pid = 0
        self.post_fork_hook()


@pytest.fixture
def fake_uwsgi(monkeypatch: pytest.MonkeyPatch) -> FakeUWSGI:
    """uWSGI while it loads the application, and nobody registered yet."""
    fake = FakeUWSGI()
    monkeypatch.setitem(sys.modules, "uwsgi", fake)
    monkeypatch.setattr(uwsgi, "_told", [])
    monkeypatch.setattr(forks, "_registry", forks._Registry())
    return fake


def test_a_worker_of_uwsgi_is_told_once_after_a_hook_that_was_there(fake_uwsgi: FakeUWSGI) -> None:
    called = []
    fake_uwsgi.post_fork_hook = lambda: called.append("earlier")
    member = Member()
    on_fork_in_child(member)

    def look() -> object:
        before = member.told
        fake_uwsgi.set_to_work(1)
        fake_uwsgi.post_fork_hook()
        return [called, member.told - before, is_server_worker()]

    assert in_a_fork(look) == "[['earlier', 'earlier'], 1, True]"


def test_a_mule_of_uwsgi_is_no_server_worker(fake_uwsgi: FakeUWSGI) -> None:
    member = Member()
    on_fork_in_child(member)
    fake_uwsgi.set_to_work(0)
    assert (member.told, is_server_worker()) == (1, False)


def test_without_a_master_of_uwsgi_the_process_that_loaded_becomes_a_worker(fake_uwsgi: FakeUWSGI) -> None:
    member = Member()
    on_fork_in_child(member)
    assert not decide({}, ["uwsgi"], (), look_at_process()).run
    fake_uwsgi.number = 1
    fake_uwsgi.post_fork_hook()
    fake_uwsgi.post_fork_hook()
    assert (member.told, member.became_worker, is_server_worker()) == (0, 1, True)
    assert decide({}, ["uwsgi"], (), look_at_process()).run


def test_a_child_that_a_worker_of_uwsgi_forks_is_no_server_worker(fake_uwsgi: FakeUWSGI) -> None:
    fake_uwsgi.number = 1
    member = Member()
    on_fork_in_child(member)
    assert in_a_fork(lambda: [member.told, is_server_worker()]) == "[1, False]"


def test_where_uwsgi_has_python_told_of_a_fork_all_wait_until_the_worker_has_its_number(
    fake_uwsgi: FakeUWSGI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "_forking_package", lambda: "")  # C called it
    member = Member()
    on_fork_in_child(member)
    forks._registry.tell_of_fork()
    assert member.told == 0
    fake_uwsgi.set_to_work(1)
    assert (member.told, is_server_worker()) == (1, True)


DECORATORS = "import uwsgi\n\ndef chain():\n    uwsgi.called.append('decorated')\n\nuwsgi.post_fork_hook = chain\n"


def test_the_decorators_of_uwsgi_imported_later_do_not_take_the_place_of_our_hook(
    fake_uwsgi: FakeUWSGI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uwsgidecorators.py").write_text(DECORATORS)
    monkeypatch.syspath_prepend(tmp_path)
    fake_uwsgi.called = []
    member = Member()
    on_fork_in_child(member)
    importlib.import_module("uwsgidecorators")
    fake_uwsgi.set_to_work(1)
    monkeypatch.delitem(sys.modules, "uwsgidecorators")
    assert (fake_uwsgi.called, member.told) == (["decorated"], 1)
