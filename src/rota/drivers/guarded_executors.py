"""The executors as the engine asks them: an executor of the host's is user code, and may raise.

Law: what an executor raises is told, and is the trouble of its own calls: those it does not take up fail by its error,
one it cannot stop is not stopped by force, and one that cannot say how much it takes is given a call at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rota.core.outcome import Outcome

if TYPE_CHECKING:
    from rota.drivers.calls import AttemptCall
    from rota.drivers.telling import Teller
    from rota.ports import Executor


class GuardedExecutors:
    """By name. Nothing here raises."""

    def __init__(self, executors: Mapping[str, Executor], teller: Teller) -> None:
        self._executors = executors
        self._teller = teller

    def capacity(self, name: str) -> int:
        """How many more calls it can take up at once."""
        try:
            return self._executors[name].capacity()
        except Exception as error:  # noqa: BLE001  # user code
            self._teller.error("executor.failed", error)
            return 1

    def submit(self, name: str, calls: Sequence[AttemptCall]) -> None:
        """Have it take calls up."""
        try:
            self._executors[name].submit(calls)
        except Exception as error:  # noqa: BLE001  # user code
            self._teller.error("executor.failed", error)
            for call in calls:
                call.done(Outcome(error=error))

    def stop(self, call: AttemptCall, reason: str) -> bool:
        """Stop a call by force; `False`: it goes on."""
        try:
            return self._executors[call.job.executor].stop(call, reason)
        except Exception as error:  # noqa: BLE001  # user code
            self._teller.error("executor.failed", error)
            return False

    def abandon(self, call: AttemptCall) -> None:
        """Have another thread take the place of the call's."""
        try:
            self._executors[call.job.executor].abandon(call)
        except Exception as error:  # noqa: BLE001  # user code
            self._teller.error("executor.failed", error)

    def shutdown(self, timeout: float) -> None:
        """Let go of all that were made."""
        for executor in list(self._executors.values()):
            try:
                executor.shutdown(timeout)
            except Exception as error:  # noqa: BLE001  # user code
                self._teller.error("executor.failed", error)
