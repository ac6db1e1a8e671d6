"""The asyncio executor."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.executors.fakes import FakeCall
from tests.waiting import PATIENCE

from rota.core.outcome import NoThread
from rota.errors import RunCancelled
from rota.executors.aio import ROUND, AsyncioExecutor

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE")


@pytest.fixture
def executor() -> Iterator[AsyncioExecutor]:
    executor = AsyncioExecutor()
    yield executor
    executor.shutdown(PATIENCE)


def call_of(coroutine: Callable[[], Awaitable[object]]) -> FakeCall:
    return FakeCall(coroutine=coroutine)


async def nothing() -> None:
    pass


class Barrier:
    """Coroutines that all wait until so many have begun."""

    def __init__(self, parties: int) -> None:
        self.parties = parties
        self.begun = 0
        self.is_full = asyncio.Event()

    async def __call__(self) -> None:
        self.begun += 1
        if self.begun == self.parties:
            self.is_full.set()
        await self.is_full.wait()


def test_its_own_loop_runs_in_a_daemon_thread_started_with_the_first_call(executor: AsyncioExecutor) -> None:
    before = threading.active_count()
    call = call_of(nothing)
    assert threading.active_count() == before
    executor.submit([call])
    assert call.outcome().error is None
    assert call.thread is not None
    assert (call.thread.name, call.thread.daemon) == ("rota-loop", True)


def test_coroutines_that_wait_are_all_at_work_at_once(executor: AsyncioExecutor) -> None:
    barrier = Barrier(1_000)
    calls = [call_of(barrier) for _ in range(1_000)]
    executor.submit(calls)
    assert all(call.outcome().error is None for call in calls)


def test_coroutines_that_never_wait_share_a_task_and_are_made_once(executor: AsyncioExecutor) -> None:
    tasks = []

    async def note() -> None:
        tasks.append(asyncio.current_task())

    calls = [call_of(note) for _ in range(5 * ROUND)]
    executor.submit(calls)
    for call in calls:
        call.outcome()
    assert all(len(call.outcomes) == 1 for call in calls)
    assert len(set(tasks)) < ROUND


def test_context_variables_set_by_a_call_are_not_seen_by_the_next(executor: AsyncioExecutor) -> None:
    seen = []

    async def spoil() -> None:
        seen.append(VARIABLE.get("clean"))
        VARIABLE.set("dirty")

    async def spoil_later() -> None:
        await asyncio.sleep(0)
        await spoil()

    calls = [call_of(spoil if number % 2 else spoil_later) for number in range(20)]
    executor.submit(calls)
    for call in calls:
        call.outcome()
    assert seen == ["clean"] * 20


def test_a_call_that_cancels_its_own_task_leaves_no_mark_on_the_next(executor: AsyncioExecutor) -> None:
    async def cancel_oneself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def count() -> int:
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return task.cancelling()

    first, second = call_of(cancel_oneself), call_of(count)
    executor.submit([first, second])
    assert first.outcome().error is None
    assert second.outcome().value == 0


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_whatever_a_coroutine_raises_ends_its_call_only(executor: AsyncioExecutor, error: BaseException) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    calls = [call_of(fail), call_of(nothing), call_of(fail), call_of(nothing)]
    executor.submit(calls)
    assert [type(call.outcome().error) for call in calls] == [type(error), type(None)] * 2
    assert not any(call.outcome().forced for call in calls)


def test_its_own_loop_survives_a_task_left_behind_that_raises_system_exit(executor: AsyncioExecutor) -> None:
    has_raised = threading.Event()

    async def leave() -> None:
        has_raised.set()
        raise SystemExit(3)

    kept = []

    async def spawn() -> None:
        kept.append(asyncio.create_task(leave()))

    executor.submit([call_of(spawn)])
    assert has_raised.wait(PATIENCE)
    call = call_of(nothing)
    executor.submit([call])
    assert call.outcome().error is None
    assert isinstance(kept[0].exception(), SystemExit)


def begun_call(executor: AsyncioExecutor, body: Callable[[], Awaitable[object]]) -> FakeCall:
    begun = threading.Event()

    async def coroutine() -> object:
        begun.set()
        return await body()

    call = call_of(coroutine)
    executor.submit([call])
    assert begun.wait(PATIENCE)
    return call


async def for_ever() -> None:
    await asyncio.Event().wait()


async def for_ever_but_swallow() -> str:
    with contextlib.suppress(asyncio.CancelledError):
        await for_ever()
    return "returned"


async def for_ever_but_stop_oneself() -> None:
    try:
        await for_ever()
    except asyncio.CancelledError:
        raise RunCancelled("shutdown") from None


async def for_ever_but_break() -> None:
    try:
        await for_ever()
    finally:
        raise ValueError("in the clean-up")


@pytest.mark.parametrize(
    ("body", "error", "forced"),
    [
        (for_ever, asyncio.CancelledError, True),
        (for_ever_but_swallow, type(None), False),
        (for_ever_but_stop_oneself, RunCancelled, False),
        (for_ever_but_break, ValueError, True),
    ],
)
def test_a_stopped_coroutine_says_how_it_took_it(
    executor: AsyncioExecutor, body: Callable[[], Awaitable[object]], error: type, forced: bool
) -> None:
    call = begun_call(executor, body)
    other = begun_call(executor, asyncio.Event().wait)
    assert executor.stop(call, "timeout")
    outcome = call.outcome()
    assert (type(outcome.error), outcome.forced) == (error, forced)
    assert not other.has_ended


def test_a_call_that_has_not_begun_is_stopped_without_beginning() -> None:
    loop = asyncio.new_event_loop()
    executor = AsyncioExecutor(loop)
    call = call_of(nothing)
    loop.call_soon(executor._cancel, call, "cancel")
    executor.submit([call])
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert [type(outcome.error) for outcome in call.outcomes] == [RunCancelled]
    assert call.thread is None


def test_an_abandoned_call_does_not_count_and_reports_when_it_ends(executor: AsyncioExecutor) -> None:
    free = executor.capacity()
    call = begun_call(executor, for_ever)
    assert executor.capacity() == free - 1
    executor.abandon(call)
    assert executor.capacity() == free
    executor.stop(call, "timeout")
    assert call.outcome().forced


def test_coroutines_run_on_the_host_s_loop() -> None:
    async def where() -> object:
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    async def main() -> None:
        executor = AsyncioExecutor(asyncio.get_running_loop())
        calls = [call_of(where), call_of(nothing)]
        await asyncio.to_thread(executor.submit, calls)
        await asyncio.to_thread(calls[0].outcome)
        assert calls[0].outcomes[0].value is asyncio.get_running_loop()
        await asyncio.to_thread(executor.shutdown, PATIENCE)

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 3, 2 * ROUND])
def test_a_host_that_cancels_all_tasks_of_its_loop_loses_no_call_that_has_not_begun(count: int) -> None:
    calls = [call_of(nothing) for _ in range(count)]

    async def main() -> None:
        executor = AsyncioExecutor(asyncio.get_running_loop())
        executor.submit(calls)
        cancelled = 0
        while not cancelled:
            await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                cancelled += task.cancel()
        for call in calls:
            await asyncio.to_thread(call.outcome)

    asyncio.run(main())
    assert [call.outcome().error for call in calls] == [None] * count


def test_a_host_that_ends_its_loop_cuts_calls_off() -> None:
    call = call_of(for_ever)

    async def main() -> None:
        AsyncioExecutor(asyncio.get_running_loop()).submit([call])
        await asyncio.sleep(0.01)

    asyncio.run(main())
    outcome = call.outcome(0)
    assert isinstance(outcome.error, asyncio.CancelledError)
    assert outcome.forced


def test_a_closed_loop_takes_nothing_and_what_hung_on_it_was_cut_off() -> None:
    loop = asyncio.new_event_loop()
    executor = AsyncioExecutor(loop)
    hanging = call_of(for_ever)
    executor.submit([hanging])
    loop.run_until_complete(asyncio.sleep(0.01))
    task = next(iter(executor._tasks.values()))
    loop.close()
    assert executor.capacity() == 0
    assert hanging.outcome(0).forced
    late = call_of(nothing)
    executor.submit([late])
    assert isinstance(late.outcome(0).error, RunCancelled)
    assert executor.stop(late, "timeout")
    executor.shutdown(0)
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # this test is what destroys it


def test_shutdown_hands_back_what_has_not_begun_and_cancels_the_rest() -> None:
    executor = AsyncioExecutor()
    call = begun_call(executor, for_ever)
    executor.shutdown(PATIENCE)
    assert call.outcome(0).forced
    assert call.thread is not None
    assert not call.thread.is_alive()
    late = call_of(nothing)
    executor.submit([late])
    assert isinstance(late.outcome(0).error, RunCancelled)
    assert executor.capacity() == 0


def test_an_unused_executor_shuts_down() -> None:
    AsyncioExecutor().shutdown(0)


def test_where_no_thread_can_be_started_calls_are_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    executor = AsyncioExecutor()
    with monkeypatch.context() as machine:
        machine.setattr(threading.Thread, "start", refuse)
        calls = [call_of(nothing) for _ in range(3)]
        executor.submit(calls)
    assert [type(call.outcome(0).error) for call in calls] == [NoThread] * 3
    later = call_of(nothing)
    executor.submit([later])
    assert later.outcome().error is None
    executor.shutdown(PATIENCE)
