"""The thread executor."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from tests.executors.fakes import FakeCall, raising
from tests.waiting import LONGER, PATIENCE, until

from rota.core.outcome import NoThread, Outcome
from rota.errors import RunCancelled
from rota.executors.thread import ThreadExecutor

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE")


@pytest.fixture
def executor() -> Iterator[ThreadExecutor]:
    executor = ThreadExecutor(2, "test")
    yield executor
    executor.shutdown(PATIENCE)


def test_calls_are_made_in_daemon_threads_of_its_name(executor: ThreadExecutor) -> None:
    call = FakeCall(lambda: 7)
    executor.submit([call])
    assert call.outcome() == Outcome(7)
    assert call.thread is not None
    assert (call.thread.name, call.thread.daemon) == ("test-1", True)


def test_at_most_so_many_calls_are_at_work(executor: ThreadExecutor) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        begun.release()
        go.wait(LONGER)

    calls = [FakeCall(wait) for _ in range(4)]
    executor.submit(calls)
    assert begun.acquire(timeout=PATIENCE)
    assert begun.acquire(timeout=PATIENCE)
    assert not begun.acquire(timeout=0.05)
    assert executor.capacity() == 0
    go.set()
    assert len({call.thread for call in calls if call.outcome()}) == 2
    assert executor.capacity() == 2


def test_a_worker_survives_whatever_a_call_or_its_report_raises(executor: ThreadExecutor) -> None:
    class Broken(FakeCall):
        def invoke(self) -> Outcome:
            raise KeyboardInterrupt

    class Deaf(FakeCall):
        def done(self, outcome: Outcome) -> None:
            super().done(outcome)
            raise SystemExit(1)

    calls = [Broken(), Deaf(), FakeCall(raising(SystemExit(1))), FakeCall(raising(GeneratorExit()))]
    for call in calls:
        executor.submit([call])
        call.outcome()
    last = FakeCall(lambda: "alive")
    executor.submit([last])
    assert last.outcome().value == "alive"
    assert isinstance(calls[0].outcomes[0].error, KeyboardInterrupt)
    assert executor.capacity() == 2


def test_context_variables_set_by_a_call_are_not_seen_by_the_next() -> None:
    executor = ThreadExecutor(1)
    executor.submit([FakeCall(lambda: VARIABLE.set("first"))])
    second = FakeCall(lambda: VARIABLE.get("clean"))
    executor.submit([second])
    assert second.outcome().value == "clean"
    executor.shutdown(PATIENCE)


def test_an_abandoned_call_gives_its_place_to_another_and_reports_when_it_returns_after_all() -> None:
    executor = ThreadExecutor(1)
    go, begun = threading.Event(), threading.Event()

    def hang() -> str:
        begun.set()
        go.wait(LONGER)
        return "after all"

    stuck, next_one = FakeCall(hang), FakeCall(lambda: "next")
    executor.submit([stuck, next_one])
    assert begun.wait(PATIENCE)
    assert executor.capacity() == 0
    executor.abandon(stuck)
    assert next_one.outcome().value == "next"
    assert executor.capacity() == 1
    go.set()
    assert stuck.outcome().value == "after all"
    assert stuck.thread is not None
    stuck.thread.join(PATIENCE)
    assert not stuck.thread.is_alive()
    assert len(executor._threads) == 1
    executor.abandon(stuck)
    assert executor.capacity() == 1
    executor.shutdown(PATIENCE)


def with_idle_threads(number: int) -> ThreadExecutor:
    """An executor of so many threads, all of which sleep."""
    executor, together = ThreadExecutor(number, "test"), threading.Barrier(number)
    executor.submit([FakeCall(lambda: together.wait(PATIENCE)) for _ in range(number)])
    assert until(lambda: len(executor._asleep) == number)
    return executor


def test_a_call_wakes_one_thread_the_one_that_was_at_work_last() -> None:
    executor = with_idle_threads(3)
    others, last = executor._asleep[:2], executor._asleep[2]
    for _ in range(5):
        call = FakeCall(lambda: list(executor._asleep))
        executor.submit([call])
        assert call.outcome().value == others
        assert until(lambda: executor._asleep == [*others, last])
    executor.shutdown(PATIENCE)


def test_calls_that_come_together_wake_as_many_threads() -> None:
    executor, together = with_idle_threads(3), threading.Barrier(3)
    calls = [FakeCall(lambda: together.wait(PATIENCE)) for _ in range(3)]
    executor.submit(calls)
    assert [call.outcome().error for call in calls] == [None, None, None]
    executor.shutdown(PATIENCE)


def test_a_call_that_comes_while_a_thread_goes_to_sleep_is_found() -> None:
    executor, late = ThreadExecutor(1), FakeCall(lambda: "found")

    class Pile(list[threading.Lock]):
        def append(self, bell: threading.Lock) -> None:
            if not late.outcomes and late not in executor._waiting:
                executor.submit([late])  # the thread has looked, and nobody sleeps yet
            super().append(bell)

    executor._asleep = Pile()
    executor.submit([FakeCall(lambda: None)])
    assert late.outcome().value == "found"
    executor.shutdown(PATIENCE)


def test_who_is_interrupted_while_he_wakes_a_thread_takes_none_away_with_him() -> None:
    executor = with_idle_threads(1)

    class Interrupted(list[threading.Lock]):
        def __getitem__(self, index: object) -> threading.Lock:  # type: ignore[override]  # as far as it is used here
            executor._asleep = list(self)
            raise KeyboardInterrupt

    executor._asleep = Interrupted(executor._asleep)
    calls = [FakeCall(lambda: 1), FakeCall(lambda: 2)]
    with pytest.raises(KeyboardInterrupt):
        executor.submit(calls[:1])
    executor.submit(calls[1:])
    assert [call.outcome().value for call in calls] == [1, 2]
    executor.shutdown(PATIENCE)


def test_shutdown_ends_idle_threads_and_hands_back_what_has_not_begun() -> None:
    executor = ThreadExecutor(1)
    go, begun = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go.wait(LONGER)

    busy, queued = FakeCall(hang), FakeCall(lambda: None)
    executor.submit([busy, queued])
    assert begun.wait(PATIENCE)
    executor.shutdown(PATIENCE)
    error = queued.outcome().error
    assert isinstance(error, RunCancelled)
    assert error.reason == "shutdown"
    assert not busy.has_ended
    assert executor.capacity() == 0
    go.set()
    assert busy.outcome().error is None
    assert busy.thread is not None
    busy.thread.join(PATIENCE)
    assert not busy.thread.is_alive()


def test_a_call_submitted_after_the_end_is_handed_back() -> None:
    executor = ThreadExecutor(1)
    executor.shutdown(0)
    late = FakeCall(lambda: None)
    executor.submit([late])
    assert isinstance(late.outcome(0).error, RunCancelled)


def test_where_no_thread_can_be_started_calls_are_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    executor = ThreadExecutor(2)
    with monkeypatch.context() as machine:
        machine.setattr(threading.Thread, "start", refuse)
        calls = [FakeCall(lambda: None) for _ in range(3)]
        executor.submit(calls)
    for call in calls:
        error = call.outcome(0).error
        assert isinstance(error, NoThread)
        assert "interpreter shutdown" in error.__notes__[0]
    assert executor.capacity() == 2
    later = FakeCall(lambda: 7)
    executor.submit([later])
    assert later.outcome() == Outcome(7)
    executor.shutdown(PATIENCE)


def test_many_calls_are_all_made_once() -> None:
    executor = ThreadExecutor(8)
    calls = [FakeCall(lambda: None) for _ in range(5_000)]
    for start in range(0, len(calls), 100):
        executor.submit(calls[start : start + 100])
    for call in calls:
        call.outcome()
    executor.shutdown(PATIENCE)
    assert all(len(call.outcomes) == 1 for call in calls)
    assert not executor._threads


EXIT_WITH_CALLS_AT_WORK = """
import atexit, sys, threading
from rota.core.outcome import Outcome
from rota.executors.{module} import {executor}

begun = threading.Semaphore(0)

class Call:
    def invoke(self):
        begun.release()
        threading.Event().wait()
    async def ainvoke(self):
        import asyncio
        asyncio.get_running_loop().call_soon(begun.release)
        await asyncio.Event().wait()
    def done(self, outcome):
        print("done", outcome, file=sys.stderr)

def submit_late():
    executor.submit([Call() for _ in range(3)])
    {at_the_end}

executor = {executor}()
executor.submit([Call() for _ in range(3)])
begun.acquire()
atexit.register(submit_late)
"""
LET_THEM_BEGIN = "[begun.acquire(timeout=10) for _ in range(5)]"


@pytest.mark.parametrize(
    ("module", "executor", "at_the_end"),
    [
        ("thread", "ThreadExecutor", "pass"),
        ("aio", "AsyncioExecutor", "pass"),
        ("aio", "AsyncioExecutor", LET_THEM_BEGIN),
    ],
)
def test_the_interpreter_exits_in_silence_with_calls_at_work(module: str, executor: str, at_the_end: str) -> None:
    script = EXIT_WITH_CALLS_AT_WORK.format(module=module, executor=executor, at_the_end=at_the_end)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("done Outcome")]
    assert (ended.returncode, lines) == (0, [])
