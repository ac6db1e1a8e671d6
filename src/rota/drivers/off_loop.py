"""Blocking calls off an event loop, and what else the awaitable face asks of asyncio.

Law: asyncio is imported when a coroutine first needs it. That takes 40 ms, which a program of plain functions, the most
frequent kind, does not pay.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def to_thread(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `func` in a thread of the loop's pool, as `asyncio.to_thread` does. Where the pool takes no more, because
    interpreter or loop are ending, call it here: it is short, and whoever asks for it must get to its end."""
    import asyncio  # see the law

    call = partial(copy_context().run, func, *args, **kwargs)
    try:
        called = asyncio.get_running_loop().run_in_executor(None, call)
    except RuntimeError:
        return call()
    return await called


def is_on_loop() -> bool:
    """Whether an event loop runs in this thread."""
    if "asyncio" not in sys.modules:
        return False
    import asyncio  # loaded already

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def shielded(awaitable: Awaitable[T]) -> Awaitable[T]:
    """Go on with `awaitable` even where its waiter is cancelled, as `asyncio.shield` does."""
    import asyncio  # see the law

    return asyncio.shield(awaitable)


def sleep(seconds: float) -> Awaitable[None]:
    """Wait for so long, as `asyncio.sleep` does."""
    import asyncio  # see the law

    return asyncio.sleep(seconds)


async def at_once(func: Callable[[], T]) -> T:
    """Call `func` where it is awaited: in a simulation there is no loop to be kept free."""
    return func()
