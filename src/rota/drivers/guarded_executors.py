"""The executors as the engine asks them: an executor of the host's is user code, and may raise.

Laws:

* What an executor raises is told, and is the trouble of its own calls: those it does not take up fail by its error, one
  it cannot stop is not stopped by force, and one that cannot say how much it takes is given a call at a time.
* One for which no thread can be started hands its calls back, and they are due at once. It is given nothing for a
  while, and then a single call, to see. It is told of when that fails as well: an interpreter that is ending starts no
  threads either, and ends quietly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rota.containment import whatever_it_raises
from rota.core.outcome import NoThread, Outcome

if TYPE_CHECKING:
    from rota.drivers.calls import AttemptCall
    from rota.drivers.telling import Teller
    from rota.ports import Executor

TRY_AGAIN: Final = 1.0
"""Seconds after which an executor without threads is given a call again."""


class GuardedExecutors:
    """By name. Nothing here raises."""

    def __init__(self, executors: Mapping[str, Executor], teller: Teller, monotonic: Callable[[], float]) -> None:
        self._executors = executors
        self._teller = teller
        self._monotonic = monotonic
        self._try_at: dict[str, float] = {}
        self._told_of: set[str] = set()

    @property
    def without_threads(self) -> tuple[str, ...]:
        """The names of those that begin nothing, since no thread can be started for them."""
        return tuple(sorted(self._try_at))

    def seconds_to_try(self, name: str) -> float:
        """Seconds until this one, which is without threads, may be given a call again."""
        return max(0.0, self._try_at[name] - self._monotonic())

    def capacity(self, name: str) -> int:
        """How many more calls it can take up at once."""
        try:
            free = self._executors[name].capacity()
        except whatever_it_raises() as error:  # user code
            self._teller.error("executor.failed", error)
            free = 1
        if name in self._try_at:
            return min(free, 1) if self._monotonic() >= self._try_at[name] else 0
        return free

    def submit(self, name: str, calls: Sequence[AttemptCall]) -> None:
        """Have it take calls up."""
        try:
            self._executors[name].submit(calls)
        except whatever_it_raises() as error:  # user code
            self._teller.error("executor.failed", error)
            for call in calls:
                call.done(Outcome(error=error))
        last = calls[-1].outcome  # where one has no thread, those behind it have none either
        if last is not None and isinstance(last.error, NoThread):
            self._note_no_thread(name, last.error)
        elif self._try_at and self._try_at.pop(name, None) is not None and name in self._told_of:
            self._told_of.discard(name)
            self._teller.threads_back(name)

    def _note_no_thread(self, name: str, error: NoThread) -> None:
        if name in self._try_at and name not in self._told_of:
            self._told_of.add(name)
            self._teller.no_threads(name, "; ".join(error.__notes__))
        self._try_at[name] = self._monotonic() + TRY_AGAIN

    def stop(self, call: AttemptCall, reason: str) -> bool:
        """Stop a call by force; `False`: it goes on."""
        try:
            return self._executors[call.job.executor].stop(call, reason)
        except whatever_it_raises() as error:  # user code
            self._teller.error("executor.failed", error)
            return False

    def abandon(self, call: AttemptCall) -> None:
        """Have another thread take the place of the call's."""
        try:
            self._executors[call.job.executor].abandon(call)
        except whatever_it_raises() as error:  # user code
            self._teller.error("executor.failed", error)

    def shutdown(self, timeout: float) -> None:
        """Let go of all that were made."""
        for executor in list(self._executors.values()):
            try:
                executor.shutdown(timeout)
            except whatever_it_raises() as error:  # user code
                self._teller.error("executor.failed", error)
