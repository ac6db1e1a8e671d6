"""The executors of a node by name, each made when it is first asked for.

Law: asyncio and multiprocessing, 50 ms of imports, come with the executor that needs them. A node asks for those of its
jobs when it is opened, so that no tick waits for an import.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rota.drivers.child_logs import AROUND
from rota.drivers.settings import Settings
from rota.executors.inline import InlineExecutor
from rota.executors.thread import ThreadExecutor
from rota.ports import Executor

if TYPE_CHECKING:
    import asyncio

Maker = Callable[[], Executor]


class ExecutorSet(dict[str, Executor]):
    """What is in it has been made, or was given by the host. Only one thread at a time asks for more."""

    def __init__(self, makers: Mapping[str, Maker], given: Mapping[str, Executor]) -> None:
        super().__init__(given)
        self._makers = makers

    def __missing__(self, name: str) -> Executor:
        executor = self[name] = self._makers[name]()
        return executor


def thread_executors(
    settings: Settings, loop: asyncio.AbstractEventLoop | None, given: Mapping[str, Executor]
) -> ExecutorSet:
    """How jobs are called in production: threads, the host's loop or Rota's own, processes; and what the host gives."""
    return ExecutorSet(_makers(settings, loop), given)


def manual_executors(settings: Settings, given: Mapping[str, Executor]) -> ExecutorSet:
    """How jobs are called by `run_due()`: plain functions in the caller's own thread."""
    return ExecutorSet(_makers(settings, None) | {"thread": InlineExecutor}, given)


def _makers(settings: Settings, loop: asyncio.AbstractEventLoop | None) -> dict[str, Maker]:
    def on_loop() -> Executor:
        from rota.executors.aio import AsyncioExecutor  # see the law

        return AsyncioExecutor(loop)

    def in_processes() -> Executor:
        from rota.executors.process import ProcessExecutor  # see the law

        return ProcessExecutor(min(settings.max_workers, os.cpu_count() or 1), around=AROUND)

    return {
        "thread": lambda: ThreadExecutor(settings.max_workers, f"rota-{settings.name}"),
        "asyncio": on_loop,
        "process": in_processes,
        "inline": InlineExecutor,
    }
