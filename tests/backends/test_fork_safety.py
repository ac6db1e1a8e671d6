"""A mutex is never caught in another thread's hands by a fork."""

import os
import threading
from pathlib import Path

import pytest
from tests import services

from rota.backends.fork_safety import ForkGate, ForkSafeLock
from rota.backends.memory_locks import MemoryLocks
from rota.locks import SQLLocks

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def exit_code_of(work):
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_waits_for_the_holder():
    mutex, is_held, order = ForkSafeLock(), threading.Event(), []

    def hold():
        with mutex.lock:
            is_held.set()
            threading.Event().wait(0.2)
            order.append("released")

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(60)

    def in_child():
        with mutex.lock:
            return order == ["released"]

    assert exit_code_of(in_child) == 0
    thread.join(60)
    with mutex.lock:
        pass


def test_a_child_nobody_announced_starts_afresh():
    mutex = ForkSafeLock()
    mutex.lock.acquire()
    mutex.after_fork_in_child()
    with mutex.lock:
        pass


def test_a_child_of_a_child():
    locks = MemoryLocks()

    def in_child():
        return exit_code_of(lambda: locks.acquire("a", "token", 30.0) is not None) == 0

    assert exit_code_of(in_child) == 0
    assert locks.acquire("a", "token", 30.0) is not None


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no list of threads on this system")
def test_a_fork_waits_for_the_end_of_a_thread_that_has_left_a_gate(monkeypatch):
    monkeypatch.setattr("rota.backends.fork_safety.LOOKS_AT_ENDING", 100_000)  # however slow the machine is
    gate, has_left, order = ForkGate(patience=60), threading.Event(), []

    def connect():
        with gate:
            gate.note_ending()
        has_left.set()
        threading.Event().wait(0.05)  # what it still does as it ends
        order.append("ended")

    threading.Thread(target=connect).start()
    has_left.wait(60)
    assert exit_code_of(lambda: order == ["ended"]) == 0


def test_a_fork_waits_for_nobody_who_stays():
    gate = ForkGate(patience=60)
    gate._ending = {0}  # nobody
    assert exit_code_of(lambda: True) == 0
    assert gate._ending == set()


@pytest.mark.requires_service("mysql")
def test_a_child_learns_for_itself_what_server_it_is():
    locks = SQLLocks(services.url("mysql"), "forks")
    dialect = locks._space._database.engine.dialect
    is_asked, go_on, ask = threading.Event(), threading.Event(), dialect.initialize

    def initialize(connection):
        is_asked.set()
        go_on.wait(60)
        ask(connection)

    dialect.initialize = initialize
    thread = threading.Thread(target=lambda: locks.acquire("parent", "token", 1.0), daemon=True)
    thread.start()
    is_asked.wait(60)
    assert exit_code_of(lambda: locks.acquire("child", "token", 1.0) is not None) == 0
    go_on.set()
    thread.join(60)
