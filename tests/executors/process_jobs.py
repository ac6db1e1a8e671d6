"""Functions that the tests of the process executor have called in child processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import NoReturn

from rota import errors
from rota.core.context import AsyncRun, Run, current_run
from rota.drivers.hosting.autostart import decide_here


class Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.where = object()


class Jobs:
    @classmethod
    def of_class(cls) -> None: ...

    @staticmethod
    def static() -> None: ...


def add(left: int, right: int) -> int:
    return left + right


def whoami() -> list[object]:
    return [os.getpid(), os.getppid(), threading.current_thread() is threading.main_thread()]


def not_json() -> object:
    return object()


def refuse(status: int) -> NoReturn:
    raise Refused(status)


def answer(name: str, value: float) -> NoReturn:
    raise getattr(errors, name)(value)


def break_off(name: str) -> NoReturn:
    raise {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt}[name](3)


def local_error() -> NoReturn:
    class Local(Exception): ...

    raise Local("nobody else knows it")


def die(how: str) -> None:
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGKILL)


def use_run(run: Run, name: str) -> list[object]:
    before = run.checkpoint.get("seen")
    run.checkpoint["seen"] = name
    run.progress(1, 2, "half")
    run.log.warning("hello", name=name, thing=threading.Lock)
    result = run.step("once", add, 1, 2)
    return [run.key, run.attempt, before, result, run.lease.held, current_run() is run, run.local.isoformat()]


async def use_async_run(run: AsyncRun) -> list[object]:
    await asyncio.sleep(0)
    await run.checkpoint.set("seen", 1)
    await run.progress(1)
    return [run.checkpoint["seen"], await run.step("twice", add, 2, 2)]


def write_to_a_lost_run(run: Run) -> None:
    run.checkpoint["seen"] = 1


def until_cancelled(run: Run, started: str) -> None:
    Path(started).touch()
    while True:
        run.check_cancelled()
        threading.Event().wait(0.01)


def wait_and_clean_up(started: str, cleaned: str) -> None:
    Path(started).touch()
    try:
        threading.Event().wait()
    finally:
        Path(cleaned).touch()


async def wait_and_clean_up_async(started: str, cleaned: str) -> None:
    Path(started).touch()  # noqa: ASYNC240  # a test's signal, over in a moment
    try:
        await asyncio.Event().wait()
    finally:
        Path(cleaned).touch()  # noqa: ASYNC240  # as above


def wait_and_ignore(started: str) -> None:
    Path(started).touch()
    while True:
        with contextlib.suppress(BaseException):
            threading.Event().wait()


def ignore_signals_of_others() -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"


def may_start() -> list[object]:
    decision = decide_here()
    return [decision.run, decision.why]


def leave_a_process_with_the_pipe() -> None:
    if os.fork() == 0:
        signal.alarm(10)
        threading.Event().wait()
    os._exit(1)
