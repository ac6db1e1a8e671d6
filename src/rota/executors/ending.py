"""How a call leaves its executor: by one report, whatever goes wrong on the way.

Law: an executor never keeps a call to itself. One that cannot be begun is handed back as `not_begun`, an interruption
that costs the run nothing; a report that fails is logged and never takes a worker with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from rota.core.outcome import NotBegun, Outcome

_log = logging.getLogger("rota")


class Reporting(Protocol):
    """What can be told how it ended."""

    def done(self, outcome: Outcome) -> None: ...


def end(call: Reporting, outcome: Outcome) -> None:
    """Report how a call ended. Never raises."""
    try:
        call.done(outcome)
    except BaseException:  # noqa: BLE001  # a broken listener must not end the thread or loop that serves all others
        _log.exception("executor.outcome_not_reported call=%r error=%r", call, outcome.error)


def not_begun(why: str, kind: type[NotBegun] = NotBegun) -> Outcome:
    """The outcome of a call whose function was never called because the executor, or its process, is ending, or for
    want of a thread (`NoThread`)."""
    error = kind("shutdown")
    error.add_note(why)
    return Outcome(error=error)


def hand_back(calls: Iterable[Reporting], why: str, kind: type[NotBegun] = NotBegun) -> None:
    """End calls that were not begun."""
    for call in calls:
        end(call, not_begun(why, kind))
