"""Which executor calls a function: by its kind, unless an option says otherwise.

Law: decided at registration, from the function and the option alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from typing import Final

from rota.core.calling import shape_of
from rota.errors import ConfigurationError
from rota.executors.targets import refuse_unless_importable

EXECUTORS: Final = ("inline", "thread", "asyncio", "process")


def choose_executor(
    func: Callable[..., object], option: str | None = None, where: str = "job", others: Collection[str] = ()
) -> str:
    """The executor's name: `thread` for a plain function, `asyncio` for what gives a coroutine, or `option`, one of
    `EXECUTORS` or of `others` (the scheduler's `executors`). `where` names the job in errors."""
    is_async = shape_of(func).is_async
    if option is None:
        return "asyncio" if is_async else "thread"
    if option in others:
        return option
    if option not in EXECUTORS:
        known = [*EXECUTORS, *others]
        near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
        raise ConfigurationError(f"{where}: unknown executor {option!r}{hint}")
    if option == "asyncio" and not is_async:
        raise ConfigurationError(
            f'{where}: executor="asyncio" needs an `async def`; a plain function would block the loop:'
            f' leave the option out (it runs in a thread) or write executor="thread"'
        )
    if option == "thread" and is_async:
        raise ConfigurationError(
            f'{where}: executor="thread" calls plain functions, and this is an `async def`:'
            f' leave the option out (it runs on the loop) or write executor="asyncio"'
        )
    if option == "process":
        _refuse_as_process_job(func, where)
    return option


def _refuse_as_process_job(func: object, where: str) -> None:
    try:
        refuse_unless_importable(func)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
