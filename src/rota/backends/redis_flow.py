"""The life of a run on a Redis server: claimed or added, begun, swapped.

Law: what is decided is decided by the scripts, as `rota.backends.rules` has it. Here asks become texts and answers
values. A long batch goes as several scripts, one after the other in one round trip, so that others get their turn in
between. `add` is all or none up to `ALL_OR_NONE` rows; of more, what was sent before the network failed is kept, and
known when they are added again: a server that is held up for seconds would cost the fleet its leases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, TypeVar

from rota.backends import redis_rows as texts
from rota.backends import rules
from rota.backends.redis_space import RedisSpace
from rota.core.run import RunRow
from rota.errors import StoreError
from rota.ports import Begin, BeginAnswer, Swap, SwapAnswer, TickAnswer, TickClaim

A = TypeVar("A")

CHUNK: Final = 250
"""How many of a batch go into one script: a few milliseconds of the server's time."""

ALL_OR_NONE: Final = 5_000
"""How many rows are added in one script: a tenth of a second."""


def claim(space: RedisSpace, claims: Sequence[TickClaim]) -> list[TickAnswer]:
    """Judge each claim and insert the rows of those that hold."""
    chunks = _chunks(claims)
    calls = ([texts.batch(list(map(_claim_ask, chunk))), _rows(chunk), _cancelled(chunk)] for chunk in chunks)
    answers: list[TickAnswer] = []
    for chunk, (now, *flat) in zip(chunks, _run(space, "claim", calls), strict=True):
        found = texts.groups(flat, 2 + texts.STATE)
        answers += [_claimed(ask, now, facts) for ask, facts in zip(chunk, found, strict=True)]
    return answers


def _claim_ask(ask: TickClaim) -> tuple[object, ...]:
    start = ask.start
    begun: tuple[object, ...] = (0, None, None, 0, None, False)
    if start is not None:
        place = next((number for number, row in enumerate(ask.rows, 1) if row.id == start.run_id), 0)
        begun = (place, *_limits(start))
    return (
        ask.job_id, ask.previous, ask.tick, ask.paused, ask.counts, *begun, len(ask.rows), len(ask.cancel), ask.live,
    )  # fmt: skip


def _limits(ask: Begin) -> tuple[object, ...]:
    return ask.token, ask.node, round(ask.ttl * 1_000_000), ask.job_limit, ask.after_ticks


def _rows(claims: Iterable[TickClaim]) -> bytes:
    return texts.rows_text([row for ask in claims for row in ask.rows])


def _cancelled(claims: Iterable[TickClaim]) -> bytes:
    return texts.listed([run_id for ask in claims for run_id in ask.cancel])


def _claimed(ask: TickClaim, now: int, facts: Sequence[Any]) -> TickAnswer:
    verdict, begun = facts[:2]
    row: RunRow | None = None
    if begun is not None and type(begun) is not int:
        row = texts.row_of(begun)
    elif begun is not None and ask.start is not None:
        row = next(row for row in ask.rows if row.id == ask.start.run_id)
        rules.take(row, ask.start, begun, now)
    return TickAnswer(verdict, texts.state_of(ask.job_id, facts), now, row)


def add(space: RedisSpace, rows: Sequence[RunRow]) -> list[RunRow]:
    """Insert rows that are not known yet; the rows now kept."""
    calls = ([texts.rows_text(chunk)] for chunk in _chunks(rows, ALL_OR_NONE))
    kept = [known for answers in _run(space, "add", calls) for known in answers]
    return [row if known is None else texts.row_of(known) for row, known in zip(rows, kept, strict=True)]


def begin(space: RedisSpace, asks: Sequence[Begin]) -> list[BeginAnswer]:
    """Take each run that may be taken."""
    calls = ([texts.batch([(ask.run_id, ask.attempt, *_limits(ask)) for ask in chunk])] for chunk in _chunks(asks))
    return [
        BeginAnswer(answer) if isinstance(answer, str) else BeginAnswer("begun", texts.row_of(answer))  # type: ignore[arg-type]  # the script says one of the words
        for answers in _run(space, "begin", calls)
        for answer in answers
    ]


def swap(space: RedisSpace, swaps: Sequence[Swap]) -> list[SwapAnswer]:
    """Replace each row that is still as the swap expects it."""
    chunks = _chunks(swaps)
    calls = (
        [
            texts.batch([(*_swap_facts(ask), len(ask.logs)) for ask in chunk]),
            texts.rows_text([ask.row for ask in chunk]),
            texts.listed([line for ask in chunk for line in ask.logs]),
        ]
        for chunk in chunks
    )
    return [
        SwapAnswer("swapped" if facts[0] else "lost", texts.known_state_of(ask.row.job_id, facts))
        for chunk, answers in zip(chunks, _run(space, "swap", calls), strict=True)
        for ask, facts in zip(chunk, texts.groups(answers, 1 + texts.STATE), strict=True)
    ]


_swap_facts = attrgetter("status", "token", "expired", "covered", "streak")


def _chunks(batch: Sequence[A], size: int = CHUNK) -> list[Sequence[A]]:
    return [batch[at : at + size] for at in range(0, len(batch), size)]


def _run(space: RedisSpace, script: str, calls: Iterable[Sequence[bytes]]) -> list[list[Any]]:
    return [_answered(reply) for reply in space.run_all(script, calls)]


def _answered(reply: bytes) -> list[Any]:
    answers = texts.items(reply)
    if answers and isinstance(answers[0], dict):
        unknown = answers[0]["unknown"]
        raise StoreError(f"the store does not know the job {unknown!r}: declare it with sync_jobs first")
    return answers
