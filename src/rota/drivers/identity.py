"""Who a node is, and where ids and tokens come from.

Law: an id or a token is never made twice, by whatever process. So nothing here draws from the global generator of
`random`, which an application may have seeded: its processes would make the same ids, and take one another's runs.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from rota.ports import Clock, NodeRow

_chance = random.SystemRandom()
_drawn = random.Random(_chance.getrandbits(128))  # noqa: S311  # fast, for ids, which are no secrets
_drawn_by = os.getpid()


def _bits(count: int) -> int:
    """Random bits that no other process draws, forked in whatever way: some servers call no hooks when they fork."""
    global _drawn_by  # noqa: PLW0603  # a process changes without telling anybody
    if os.getpid() != _drawn_by:
        _drawn.seed(_chance.getrandbits(128))
        _drawn_by = os.getpid()
    return _drawn.getrandbits(count)


class _Batch(NamedTuple):
    """Ids of one process and one millisecond: they differ in a number of 12 bits between what they begin and end
    with."""

    millisecond: int
    process: int
    begins: str
    numbers: Iterator[int]
    ends: str


def _new_batch(millisecond: int, process: int) -> _Batch:
    time, chance = f"{millisecond & _48_BITS:012x}", _bits(62)
    ends = f"-{0x8000 | chance >> 48:04x}-{chance & _48_BITS:012x}"
    return _Batch(millisecond, process, f"{time[:8]}-{time[8:]}-7", count(), ends)


def id_maker(now: Callable[[], int]) -> Callable[[], str]:
    """Makes UUIDs of version 7 (RFC 9562): they begin with the millisecond, so that a store appends them to its index;
    a counter follows (its method 1), then 62 random bits, drawn anew for each millisecond and where the counter is at
    its end. Safe in threads."""
    batch = _new_batch(-1, -1)

    def make() -> str:
        nonlocal batch  # replaced whole: a thread never sees half of one
        mine, millisecond, process = batch, now() // 1000, os.getpid()
        number = next(mine.numbers)
        if mine.millisecond != millisecond or mine.process != process or number > _12_BITS:
            batch = mine = _new_batch(millisecond, process)
            number = next(mine.numbers)
        return f"{mine.begins}{number:03x}{mine.ends}"

    return make


def token_maker() -> Callable[[], str]:
    """Makes tokens for one node: 128 random bits of its own, and a number for each acquisition."""
    prefix, number = new_token(), count(1)
    return lambda: f"{prefix}-{next(number):x}"


def new_token() -> str:
    """128 random bits for one acquisition."""
    return f"{_chance.getrandbits(128):032x}"


def uuid_text(bits: int) -> str:
    """128 bits as the text of a version-4 UUID."""
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


_12_BITS = 2**12 - 1
_48_BITS = 2**48 - 1
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def seeded_ids(seed: str) -> tuple[Callable[[], str], Callable[[], str]]:
    """Ids and tokens that are the same each time, for simulations."""
    source = random.Random(seed)  # noqa: S311  # repeatable is what is wanted
    return lambda: uuid_text(source.getrandbits(128)), lambda: f"{source.getrandbits(128):032x}"


def node_row(clock: Clock, name: str | None = None) -> NodeRow:
    """This process as a node. Its id is readable and unique: host, process id and a few random digits."""
    import socket  # 3 ms, and needed when a node starts

    host, pid, now = socket.gethostname(), os.getpid(), clock.now()
    return NodeRow(name or f"{host}:{pid}:{_chance.getrandbits(24):06x}", host, pid, now, now)
