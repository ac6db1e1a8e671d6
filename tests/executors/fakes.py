"""Calls without an engine: they remember how they ended."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping

from tests.waiting import PATIENCE

from rota.core.outcome import Outcome
from rota.core.run import JSON, RunRow


class FakeCall:
    """A call of `func`, plain or async; with `facts` given, of what they name in a child process."""

    def __init__(
        self,
        func: Callable[[], object] | None = None,
        *,
        coroutine: Callable[[], Awaitable[object]] | None = None,
        facts: Mapping[str, JSON] | None = None,
        serve: Callable[[str, Mapping[str, JSON]], JSON] | None = None,
    ) -> None:
        self._func = func
        self._coroutine = coroutine
        self._facts = facts
        self._serve = serve
        self.is_async = coroutine is not None
        self.cancel_reason: str | None = None
        self.outcomes: list[Outcome] = []
        self.thread: threading.Thread | None = None
        self._ended = threading.Event()

    def invoke(self) -> Outcome:
        self.thread = threading.current_thread()
        try:
            return Outcome(self._func() if self._func else None)
        except BaseException as error:
            return Outcome(error=error)

    async def ainvoke(self) -> Outcome:
        self.thread = threading.current_thread()
        try:
            return Outcome(await self._coroutine() if self._coroutine else None)
        except BaseException as error:
            return Outcome(error=error)

    def facts(self) -> Mapping[str, JSON]:
        assert self._facts is not None
        return self._facts

    def serve(self, method: str, params: Mapping[str, JSON]) -> JSON:
        assert self._serve is not None
        return self._serve(method, params)

    def done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._ended.set()

    def outcome(self, within: float = PATIENCE) -> Outcome:
        """How it ended, waited for."""
        assert self._ended.wait(within), "the call has not ended"
        return self.outcomes[0]

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()


def raising(error: BaseException) -> Callable[[], object]:
    def func() -> object:
        raise error

    return func


def facts(target: str, *args: JSON, **kwargs: JSON) -> dict[str, JSON]:
    """The facts of a process call."""
    row = RunRow("6b1d0f3e-8b0a-4c43-9d7e-000000000001", "report", "tick", "running", 0, 0, scheduled_for=0, attempt=2)
    return {
        "target": target,
        "wrappers": 0,
        "args": list(args),
        "kwargs": kwargs,
        "job_id": "report",
        "row": {name: getattr(row, name) for name in RunRow.__slots__},
        "zone": "Europe/Paris",
        "due": 0,
        "deadline": 5_000_000,
    }
