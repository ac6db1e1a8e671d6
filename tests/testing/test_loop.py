"""The loop whose time is a fake clock."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from rota.testing import FakeClock
from rota.testing.loop import FakeLoop

Run = Callable[[Coroutine[Any, Any, object]], object]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock("2026-03-01T00:00Z")


@pytest.fixture
def loop(clock: FakeClock) -> Iterator[FakeLoop]:
    loop = FakeLoop(clock)
    clock.attach(loop)
    yield loop
    loop.end()


def test_sleeps_end_exactly_when_the_clock_gets_there(clock: FakeClock, loop: FakeLoop) -> None:
    ends: list[tuple[str, int]] = []
    start = clock.now()

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        ends.append((name, clock.now() - start))

    for name, seconds in (("c", 90_000.0), ("a", 0.1), ("b", 3600.000001), ("now", 0.0)):
        loop.create_task(sleep(name, seconds))
    clock.advance(hours=24)
    assert ends == [("now", 0), ("a", 100_000), ("b", 3_600_000_001)]
    clock.advance(hours=1)
    assert ends[3:] == [("c", 90_000_000_000)]


def test_what_is_called_from_outside_is_noticed(clock: FakeClock, loop: FakeLoop) -> None:
    event, seen = asyncio.Event(), []

    async def wait() -> None:
        await event.wait()
        seen.append(clock.time)

    loop.create_task(wait())
    clock.advance(hours=1)
    loop.call_soon_threadsafe(event.set)
    clock.advance()
    assert seen == [clock.time]


def test_calls_off_the_loop_are_made_on_the_spot(clock: FakeClock, loop: FakeLoop) -> None:
    seen: list[object] = []

    async def main() -> None:
        seen.append(await asyncio.to_thread(lambda: asyncio.run(asyncio.sleep(0, "own loop"))))
        seen.append(await asyncio.get_running_loop().run_in_executor(None, divmod, 7, 2))
        for wrong, error in ((lambda: 1 / 0, ZeroDivisionError), (lambda: next(iter([])), RuntimeError)):
            try:
                await asyncio.to_thread(wrong)
            except error as caught:
                seen.append(type(caught))

    loop.create_task(main())
    clock.advance()
    assert seen == ["own loop", (3, 1), ZeroDivisionError, RuntimeError]


def test_it_runs_beside_a_running_loop(clock: FakeClock, loop: FakeLoop) -> None:
    seen: list[float] = []

    async def inner() -> None:
        await asyncio.sleep(60)
        seen.append(clock.monotonic())

    async def outer() -> None:
        task = asyncio.current_task()
        loop.create_task(inner())
        clock.advance(minutes=2)
        assert asyncio.current_task() is task
        await asyncio.sleep(0)

    asyncio.run(outer(), debug=True)
    assert len(seen) == 1


def test_sockets_of_a_job_are_waited_for(clock: FakeClock, loop: FakeLoop) -> None:
    here, there = socket.socketpair()
    seen: list[object] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(sock=here)
        writer.write(b"ping\n")
        seen.append(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def answer() -> None:
        reader, writer = await asyncio.open_connection(sock=there)
        seen.append(await reader.readline())
        writer.write(b"pong\n")
        writer.close()
        await writer.wait_closed()

    loop.create_task(ask())
    loop.create_task(answer())
    clock.advance()
    assert seen == [b"ping\n", b"pong\n"]


def test_a_coroutine_that_never_sleeps_is_found_out(
    clock: FakeClock, loop: FakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.testing.loop.MOST_ROUNDS", 100)

    async def spin() -> None:
        while True:  # noqa: ASYNC110  # it is what is found out
            await asyncio.sleep(0)

    task = loop.create_task(spin())
    with pytest.raises(RuntimeError, match="never sleeps"):
        clock.advance()
    task.cancel()


def test_generators_and_tasks_end_with_it(clock: FakeClock, loop: FakeLoop) -> None:
    ends: list[str] = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            ends.append("generator")

    async def main() -> None:
        try:
            async for _ in numbers():
                await asyncio.sleep(60)
        finally:
            ends.append("task")

    loop.create_task(main())
    clock.advance()
    loop.end()
    assert "task" in ends
    assert not loop.is_alive
