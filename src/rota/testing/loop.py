"""An event loop whose time is a fake clock: it never sleeps, it says when it next has something to do.

Theory. Before a loop sleeps it asks its selector to wait. The selector here looks at once, and where nothing is ready
it notes how long the loop would have slept and stops it. Whoever turns the loop moves the clock by that, no further
than anything else that is due, and turns it again. So `asyncio.sleep`, `asyncio.timeout` and every timer of any library
that asks the loop the time are in step with the ticks of jobs.

Law: time moves only when nothing is runnable. What would leave the loop for a thread (`asyncio.to_thread`,
`run_in_executor`) is called on the spot, so that the same test does the same thing each time. Real descriptors are the
one thing that is waited for, a moment at a time.
"""

from __future__ import annotations

import asyncio
import selectors
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

from rota.drivers.driven import micros_until

if TYPE_CHECKING:
    from rota.testing.clock import FakeClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE: Final = 0.02
"""Real seconds for which sockets that a job has open are waited for before time moves on."""

MOST_ROUNDS: Final = 1_000_000
"""Rounds of the loop at one instant after which a coroutine goes round in circles."""


class _IdleSelector(selectors.DefaultSelector):
    """Never waits: tells `on_idle` for how long the loop would have (`None`: for ever)."""

    def __init__(self, on_idle: Callable[[float | None], None]) -> None:
        super().__init__()
        self._on_idle = on_idle
        self.rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is not None and timeout <= 0:
            self._count_round()
        elif not ready:
            if len(self.get_map()) > 1:  # more than the loop's own wake-up pipe
                ready = super().select(PATIENCE)
            if not ready:
                self._on_idle(timeout)
        return ready

    def _count_round(self) -> None:
        self.rounds += 1
        if self.rounds > MOST_ROUNDS:
            raise RuntimeError(
                "a coroutine never sleeps, so that time cannot move on: `while True: await sleep(0)`, say"
            )


class FakeLoop(asyncio.SelectorEventLoop):
    """A loop on a `FakeClock`, which turns it."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._selector_of_ours = _IdleSelector(self._be_idle)
        self._has_news = False
        self._wakes_at: float | None = None
        self._is_dropped = False
        super().__init__(self._selector_of_ours)
        # The clock counts in microseconds; a timer that is nearer than one is due.
        self._clock_resolution = 1e-6

    @property
    def is_alive(self) -> bool:
        """Whether it is to be turned any more."""
        return not self._is_dropped and not self.is_closed()

    def turn(self) -> None:
        """Run until nothing is runnable now. Does nothing while it is running."""
        if self.is_running():
            return
        self._selector_of_ours.rounds = 0
        with beside_running_loop():
            self.run_forever()
        self._has_news = False

    def next_wakeup(self) -> int | None:
        """The instant of its next timer; now, where something is runnable; `None`: only others can wake it."""
        if self._has_news:
            return self._clock.now()
        if self._wakes_at is None:
            return None
        return self._clock.now() + micros_until(self._wakes_at - self.time())

    def drop(self) -> None:
        """Never turn it again, as if its process had died: its coroutines stay where they are."""
        self._is_dropped = True
        self.set_exception_handler(lambda *_: None)

    def end(self) -> None:
        """Cancel every task, let them end, and close it."""
        if self.is_closed() or self.is_running():
            return
        if not self._is_dropped:
            for task in asyncio.all_tasks(self):
                task.cancel("the loop is ending")
            self.turn()
            with beside_running_loop(), suppress(RuntimeError):  # stopped by its selector where a generator sleeps
                self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    # The loop's own ----------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds of the fake clock."""
        return self._clock.monotonic()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As any loop, and know that there is something to run."""
        self._has_news = True
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As any loop, and know that there is something to run."""
        self._has_news = True
        return super().call_soon_threadsafe(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As any loop, and know that there is something new."""
        self._has_news = True
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002  # whichever it is, the call is made here
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Call it on the spot."""
        future: asyncio.Future[T] = self.create_future()
        try:
            with beside_running_loop():
                result = func(*args)
        except StopIteration as error:
            future.set_exception(RuntimeError(f"{error!r} cannot leave a coroutine"))
        except BaseException as error:  # noqa: BLE001  # a thread pool hands everything on, too
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    def _be_idle(self, seconds: float | None) -> None:
        self._wakes_at = None if seconds is None else self.time() + seconds
        self.stop()

    def __del__(self) -> None:
        # A test that leaves a scheduler unstopped is not told off for a loop that it never saw.
        if not self.is_closed():
            self.close()


class LazyLoop:
    """The loop of one node, made when it is first needed: a schedule of plain functions never imports one."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.made: FakeLoop | None = None

    def get(self) -> FakeLoop:
        """The loop; the clock turns it from then on."""
        if self.made is None:
            self.made = FakeLoop(self._clock)
            self._clock.attach(self.made)
        return self.made


@contextmanager
def beside_running_loop() -> Iterator[None]:
    """Let a loop run, or `asyncio.run` be called, although one is running in this thread: it stands still meanwhile."""
    outer: Any = _get_running_loop()
    if outer is None:
        yield
        return
    task = _swap_current_task(outer, None)
    _set_running_loop(None)
    try:
        yield
    finally:
        _set_running_loop(outer)
        _swap_current_task(outer, task)


def _swap_current_task(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None) -> asyncio.Task[Any] | None:
    """From Python 3.12 on asyncio can be told which task is current; before, loops do not disturb one another."""
    swap = getattr(asyncio.tasks, "_swap_current_task", None)
    return None if swap is None else swap(loop, task)
