"""The log of a run in a child process: what its job says through `logging` and `structlog`, kept with the run.

Law: this is called in the child, by its name, since executors know nothing of logging. Each line is handed over as it
is said, so that a process that is killed has told what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rota.clock import SYSTEM
from rota.hooks import capture
from rota.hooks.log_buffer import HandedOver
from rota.hooks.logging import bind_run, unbind_run

AROUND = f"{__name__}:captured"
"""What `ProcessExecutor` is given."""


@contextmanager
def captured(job_id: str, run_id: str, attempt: int, hand_over: Callable[[str], None]) -> Iterator[None]:
    """Hand the lines over that this context says, and bind the ids of the run to them."""
    capture.install()
    bound = bind_run(job_id, run_id, attempt, HandedOver(SYSTEM.now, run_id, hand_over))
    try:
        yield
    finally:
        unbind_run(bound)
        capture.uninstall()
