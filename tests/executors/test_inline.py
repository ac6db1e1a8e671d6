"""The inline executor."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest
from tests.executors.fakes import FakeCall, raising

from rota.executors.inline import InlineExecutor


def test_every_call_has_ended_when_submit_returns() -> None:
    calls = [FakeCall(lambda: 1), FakeCall(raising(SystemExit(3))), FakeCall(lambda: 2)]
    InlineExecutor().submit(calls)
    assert [call.outcomes[0].value for call in calls] == [1, None, 2]
    assert isinstance(calls[1].outcomes[0].error, SystemExit)
    assert {call.thread for call in calls} == {threading.current_thread()}


def test_a_coroutine_is_run_to_its_end_in_this_thread() -> None:
    async def wait() -> str:
        await asyncio.sleep(0)
        return "over"

    call = FakeCall(coroutine=wait)
    InlineExecutor().submit([call])
    assert call.outcomes[0].value == "over"
    assert call.thread is threading.current_thread()


def test_a_coroutine_is_run_to_its_end_where_this_thread_has_a_loop() -> None:
    async def wait() -> str:
        await asyncio.sleep(0)
        return "over"

    call = FakeCall(coroutine=wait)

    async def main() -> None:
        InlineExecutor().submit([call])

    asyncio.run(main())
    assert call.outcomes[0].value == "over"


def test_a_coroutine_that_cancels_itself_ends_as_cancelled() -> None:
    async def give_in() -> None:
        raise asyncio.CancelledError

    call = FakeCall(coroutine=give_in)
    InlineExecutor().submit([call])
    assert isinstance(call.outcomes[0].error, asyncio.CancelledError)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_ctrl_c_during_a_coroutine_is_its_outcome_after_its_clean_up() -> None:
    seen = []

    async def wait() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    call = FakeCall(coroutine=wait)
    InlineExecutor().submit([call])
    assert isinstance(call.outcomes[0].error, KeyboardInterrupt)
    assert seen == ["cleaned up"]


def test_nothing_of_an_inline_call_can_be_stopped_or_waits() -> None:
    executor = InlineExecutor()
    call = FakeCall(lambda: None)
    assert executor.capacity() == 1
    assert not executor.stop(call, "timeout")
    executor.abandon(call)
    executor.shutdown(0)
