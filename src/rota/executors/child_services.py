"""What a run asks of its process, answered in a child process by its parent.

Law: what needs the store or the lease is asked of the parent, through `ask`; the child decides nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from rota.clock import SYSTEM
from rota.core.json_values import to_text
from rota.core.run import JSON, RunRow

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger

T = TypeVar("T")

HELD_FOR: Final = 0.25
"""Seconds for which the parent's answer that the lease is held is good: `run.cancelled` may be read in a tight loop."""

PATIENCE: Final = 5.0
"""Seconds after which a silent parent counts as frozen, and the lease as lost: it renews the lease, or nobody does."""

_STATE: Final = SimpleNamespace()


class Ask(Protocol):
    """Have the parent do something and give its answer."""

    def __call__(self, method: str, params: Mapping[str, JSON], timeout: float | None = None) -> JSON: ...


class ChildServices:
    """Implements `rota.core.context.RunServices` over a pipe. The parent's `Call.serve` knows the methods
    `load_values`, `keep_value` (`key`, `text`), `keep_progress` (`text`), `held`, and `log` (`level`, `event`, `at` in
    microseconds, `fields`)."""

    def __init__(self, ask: Ask, tell: Callable[[str, Mapping[str, JSON]], None]) -> None:
        self._ask = ask
        self._tell = tell
        self._pid = os.getpid()
        self._is_held = True
        self._ask_again_at = 0.0

    @property
    def state(self) -> SimpleNamespace:
        """A namespace of this child process, the same for all its calls."""
        return _STATE

    def now(self) -> int:
        """The wall clock, in microseconds."""
        return SYSTEM.now()

    def held(self, row: RunRow) -> bool:  # noqa: ARG002  # the parent knows which run this process is at
        """Whether the parent holds the run's lease. Once it does not, it never does again. What the job forks has no
        part in it."""
        if os.getpid() != self._pid:
            return False
        if self._is_held and SYSTEM.boottime() >= self._ask_again_at:
            try:
                self._is_held = bool(self._ask("held", {}, PATIENCE))
            except TimeoutError:
                self._is_held = False
            self._ask_again_at = SYSTEM.boottime() + HELD_FOR
        return self._is_held

    def load_values(self, row: RunRow) -> dict[str, str]:  # noqa: ARG002  # as above
        """Checkpoint and steps of earlier attempts."""
        return cast("dict[str, str]", self._ask("load_values", {}))

    def keep_value(self, row: RunRow, key: str, text: str | None) -> None:  # noqa: ARG002  # as above
        """Keep or forget a value; durable when this returns."""
        self._ask("keep_value", {"key": key, "text": text})

    def keep_progress(self, row: RunRow, text: str) -> None:  # noqa: ARG002  # as above
        """Keep how far the run is."""
        self._ask("keep_progress", {"text": text})

    def logger(self, run: object) -> FilteringBoundLogger:  # noqa: ARG002  # the parent binds job, run and attempt
        """A structlog logger that hands each line to the parent."""
        import structlog  # 70 ms that a job which does not log need not pay

        def hand_over(_: object, level: str, event: EventDict) -> EventDict:
            text = str(event.pop("event", ""))
            fields: dict[str, JSON] = {str(name): _as_json(value) for name, value in event.items()}
            self._tell("log", {"level": level, "event": text, "at": SYSTEM.now(), "fields": fields})
            raise structlog.DropEvent

        return cast(
            "FilteringBoundLogger",
            structlog.wrap_logger(
                None,
                processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, hand_over],
                wrapper_class=structlog.make_filtering_bound_logger(0),
            ),
        )

    def in_pool(self, func: Callable[[], T]) -> Awaitable[T]:
        """Call `func` off the loop."""
        return asyncio.to_thread(func)


def _as_json(value: object) -> JSON:
    try:
        to_text(value, "")
    except TypeError:
        return repr(value)
    return cast(JSON, value)
