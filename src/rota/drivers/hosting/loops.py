"""What the host's event loop is told by other threads, and waits for, when a scheduler on it begins and ends.

Law: imported where a loop runs already, since it needs asyncio. Beginning and ending take no thread of the host's pool,
all of which may be at work for jobs, and are waited for to their end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


class Waker:
    """Wakes a coroutine of the loop that it was made on, from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self.is_awake = False

    def wake(self, *others: Waker) -> None:
        """Once and for all; then the others."""
        self.is_awake = True
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._event.set)
        for other in others:
            other.wake()

    async def wait(self) -> None:
        """Until `wake`."""
        await self._event.wait()


async def in_own_thread(work: Callable[[], T]) -> T:
    """Do `work` in a thread of its own, with the context of the caller."""
    context, waker = copy_context(), Waker()
    given: list[T] = []
    raised: list[BaseException] = []

    def do() -> None:
        try:
            given.append(context.run(work))
        except BaseException as error:  # noqa: BLE001  # raised again in the coroutine that waits
            raised.append(error)
        waker.wake()

    try:
        threading.Thread(target=do, name="rota-aside", daemon=True).start()
    except RuntimeError:  # the interpreter is ending
        return work()
    await waker.wait()
    if raised:
        raise raised[0]
    return given[0]


async def whatever_comes(work: Coroutine[object, object, T]) -> T:
    """Wait for `work` to its end, however often this task is cancelled meanwhile; a cancellation is passed on after."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not task.cancelled() and task.exception() is None:
        raise asyncio.CancelledError
    return task.result()
