"""A tick against the live tick runs of its job: the overlap rule, as a table.

Law: pure, and decided on the state that the claim is conditional on, so that two nodes cannot decide differently.
"""

from __future__ import annotations

from typing import Literal

from rota.core.effects import Live
from rota.core.options import JobOptions

Decision = Literal["start", "queue", "replace", "skip", "wait"]


def decide(options: JobOptions, live: tuple[Live, ...], *, in_order: bool) -> Decision:
    """What becomes of a due tick: `start` now; `queue` behind the live one; `replace` it; `skip`; or `wait` unclaimed.

    `in_order`: the tick is one of several that are caught up one after the other, and is not skipped; only under
    `catch_up="all"` does it wait for a thread that does not return.
    """
    if not live or options.overlap == "allow":
        return "start"
    if in_order and (options.catch_up == "all" or not any(run.stuck for run in live)):
        return "wait"
    if options.overlap == "replace":
        return "replace"
    if options.overlap == "queue" and not any(run.status == "queued" for run in live):
        return "queue"
    return "skip"


def skip_reason(live: tuple[Live, ...]) -> str:
    """`stuck` when the thread of a live run does not return, else `overlap`."""
    return "stuck" if any(run.stuck for run in live) else "overlap"
