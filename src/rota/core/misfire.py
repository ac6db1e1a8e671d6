"""What becomes of the due ticks of a job: which one runs, which are passed over, and why.

Law: pure. A tick is *late* when it was first seen more than 30 s after it was due, whatever the cause; being seen on
time and then waiting for a worker is not lateness. `catch_up` speaks of late ticks, `max_lateness` of any that are too
old to start now. All ticks that are not run become one record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from rota.core.options import JobOptions
from rota.core.retry import fraction
from rota.core.values import Value, value
from rota.triggers.base import Trigger

LATE: Final = 30_000_000
"""Microseconds after which a tick that nobody saw come due is late."""

BEHIND: Final = 1_000_000
"""Microseconds after which nobody was there when a tick came due, however short the absence."""

LOOK_AHEAD: Final = 50_000
"""Due ticks looked at in one go: after a year's outage of a secondly job the loop stays alive between the batches."""


class Passed(NamedTuple):
    """Ticks that will not run, as one record: the first and last of them, how many, and why."""

    first: int
    last: int
    ticks: int
    status: str
    reason: str


@value
class Plan(Value):
    """What to claim: the ticks `passed` over, then `tick` (`None`: no run). `following` is the tick after all these.
    `due` is when `tick` was due.

    `in_order`: the tick takes its turn after those before it, and is not skipped for them. `mark`: the watermark after
    the claim.
    """

    tick: int | None
    due: int
    mark: int
    following: int | None
    passed: Passed | None = None
    is_catch_up: bool = False
    in_order: bool = False


def due_of(trigger: Trigger, options: JobOptions, claim_id: str, tick: int) -> int:
    """When a tick is due: itself, plus its share of `jitter`, the same on every node, always before the next tick."""
    if not options.jitter:
        return tick
    span = int(options.jitter * 1_000_000)
    following = trigger.next_tick(tick)
    if following is not None:
        span = min(span, following - tick)
    return tick + int(span * fraction(f"jitter:{claim_id}:{tick}"))


def plan(
    trigger: Trigger,
    options: JobOptions,
    claim_id: str,
    first: int,
    seen_at: int,
    now: int,
    *,
    paused: bool,
    follows: bool = False,
) -> Plan:
    """The plan for the due ticks from `first` on; `first` itself is due. `seen_at`: when it was first seen due.
    `follows`: a tick of the same absence has begun, which was first seen at the same instant and is `behind`."""
    if not options.jitter and not paused:
        following = trigger.next_tick(first)
        if (following is None or following > now) and seen_at - first <= LATE and options.max_lateness is None:
            return Plan(first, first, first, following, in_order=_in_order(options, first, seen_at, follows=follows))

    def due(tick: int) -> int:
        return due_of(trigger, options, claim_id, tick)

    ticks, following = _due_ticks(trigger, due, first, now)
    if paused:
        return Plan(None, first, ticks[-1], following, _passed(ticks, "skipped", "paused"))
    if following is not None and due(following) <= now:
        given_up = len(ticks) - (options.max_catch_up if options.catch_up == "all" else 0)
        if given_up > 0:
            return _give_up(ticks[:given_up], [*ticks[given_up:], following][0], options, due, now)
    index = _first_to_run(options, ticks, due, seen_at, now)
    if index == len(ticks):
        return _give_up(ticks, following, options, due, now)
    tick = ticks[index]
    is_late = seen_at - due(tick) > LATE
    passed = _passed(ticks[:index], "missed", _reason(options, ticks[:index], due, now)) if index else None
    after = ticks[index + 1] if index + 1 < len(ticks) else following
    in_order = _in_order(options, due(tick), seen_at, follows=follows)
    return Plan(tick, due(tick), tick, after, passed, is_late, in_order)


def _in_order(options: JobOptions, due: int, seen_at: int, *, follows: bool) -> bool:
    """Under `catch_up="all"` the ticks of an absence are all run, those of its last half minute as well. Otherwise a
    tick is not skipped for one that came due in the same absence: on time, it might not have met it. Where the newest
    is to replace what is at work, it does."""
    if options.catch_up == "all":
        return follows or behind(due, seen_at)
    return follows and options.overlap != "replace"


def behind(due: int, seen_at: int) -> bool:
    """Whether nobody was there when a tick came due, however short the absence."""
    return seen_at - due > BEHIND


def _give_up(ticks: list[int], following: int | None, options: JobOptions, due: Callable[[int], int], now: int) -> Plan:
    """None of these runs; there may be more due ones after them."""
    return Plan(None, ticks[0], ticks[-1], following, _passed(ticks, "missed", _reason(options, ticks, due, now)))


def _due_ticks(trigger: Trigger, due: Callable[[int], int], first: int, now: int) -> tuple[list[int], int | None]:
    """The due ticks from `first`, at most `LOOK_AHEAD`, and the one after them."""
    ticks = [first]
    following = trigger.next_tick(first)
    while following is not None and len(ticks) < LOOK_AHEAD and due(following) <= now:
        ticks.append(following)
        following = trigger.next_tick(following)
    return ticks, following


def _first_to_run(options: JobOptions, ticks: list[int], due: Callable[[int], int], seen_at: int, now: int) -> int:
    """The index of the tick to run; `len(ticks)`: none of them."""
    late = sum(1 for tick in ticks if seen_at - due(tick) > LATE)
    if options.catch_up == "latest":
        index = len(ticks) - 1 if late else 0
    elif options.catch_up == "skip":
        index = late
    else:
        index = max(0, late - options.max_catch_up)
    while index < len(ticks) and options.is_too_late(due(ticks[index]), now):
        index += 1
    return index


def _reason(options: JobOptions, ticks: list[int], due: Callable[[int], int], now: int) -> str:
    if options.catch_up == "skip" or options.is_too_late(due(ticks[-1]), now):
        return "too_late"
    return "passed_over"


def _passed(ticks: list[int], status: str, reason: str) -> Passed:
    return Passed(ticks[0], ticks[-1], len(ticks), status, reason)
