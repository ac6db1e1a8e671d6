"""Inline: a call is made at once, in the thread that submits it.

Law: when `submit` returns, every call has ended. After a Ctrl-C in the main thread no further call is made there: what
is left is handed back.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Final

from rota.containment import is_main_thread
from rota.core.outcome import Outcome
from rota.executors.ending import end, hand_back

if TYPE_CHECKING:
    from rota.ports import Call


class CtrlC:
    """What a handler of SIGINT needs to know of the main thread, and leaves for it. `may_raise`: a job is being called
    there, which `KeyboardInterrupt` may end. `is_noted`: a Ctrl-C came."""

    def __init__(self) -> None:
        self.may_raise = False
        self.is_noted = False


ctrl_c: Final = CtrlC()


class InlineExecutor:
    """Calls at once. A call with a true attribute `is_async` is run to its end on a private loop."""

    def capacity(self) -> int:
        """One: the next begins when it is its turn, and may be cancelled, or taken by another node, until then."""
        return 1

    def submit(self, calls: Sequence[Call]) -> None:
        """Make the calls, one after the other."""
        for index, call in enumerate(calls):
            if ctrl_c.is_noted and is_main_thread():
                hand_back(calls[index:], "Ctrl-C came first")
                return
            end(call, _made(call))

    def stop(self, call: Call, reason: str) -> bool:  # noqa: ARG002  # the port's signature
        """`False`: the thread that would stop it is the one that runs it."""
        return False

    def abandon(self, call: Call) -> None:
        """Nothing: no worker is bound by a call."""

    def shutdown(self, timeout: float) -> None:
        """Nothing to let go of."""


def _made(call: Call) -> Outcome:
    """The call's outcome; in the main thread a Ctrl-C may end it meanwhile."""
    is_main, before = is_main_thread(), ctrl_c.may_raise
    try:
        if is_main:
            ctrl_c.may_raise = True
        # A context of its own: what is bound for the call is not left behind, wherever the Ctrl-C comes.
        return _run_coroutine(call) if getattr(call, "is_async", False) else copy_context().run(call.invoke)
    except BaseException as error:  # noqa: BLE001  # `invoke` promises not to raise; the caller's loop must survive it
        return Outcome(error=error)
    finally:
        if is_main:
            ctrl_c.may_raise = before


def _run_coroutine(call: Call) -> Outcome:
    """The coroutine's outcome, from a loop of its own; from a thread of its own too where this one has a loop."""
    import asyncio  # 46 ms that a program without coroutines does not pay

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_to_end(call)
    return _in_a_thread(call)


def _run_to_end(call: Call) -> Outcome:
    import asyncio  # as above

    ended: list[Outcome] = []

    async def main() -> None:
        outcome = await call.ainvoke()
        if isinstance(outcome.error, asyncio.CancelledError):
            task = asyncio.current_task()
            outcome = outcome.replaced(forced=task is not None and task.cancelling() > 0)
        ended.append(outcome)
        if isinstance(outcome.error, asyncio.CancelledError):
            raise outcome.error  # the Runner turns it into KeyboardInterrupt where a Ctrl-C was what cancelled

    try:
        with asyncio.Runner() as runner:
            runner.run(main())
    except asyncio.CancelledError as error:
        return ended[0] if ended else Outcome(error=error)
    except BaseException as error:  # noqa: BLE001  # the loop's own failure, or a Ctrl-C, which the caller raises again
        return Outcome(error=error)
    return ended[0]


def _in_a_thread(call: Call) -> Outcome:
    ended: list[Outcome] = []
    thread = threading.Thread(target=lambda: ended.append(_run_to_end(call)), name="rota-inline", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no more threads, or the interpreter is ending
        return Outcome(error=error)
    thread.join()
    return ended[0]
