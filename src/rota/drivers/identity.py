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
from uuid import NAMESPACE_OID, uuid5

from rota.core.run import tick_key
from rota.ports import Clock, NodeRow

_chance = random.SystemRandom()


class _Batch(NamedTuple):
    """Ids of one process that end alike: they differ in a number of 12 bits, whatever the time."""

    process: int
    numbers: Iterator[int]
    ends: str


def _new_batch(process: int) -> _Batch:
    chance = _chance.getrandbits(62)
    return _Batch(process, count(), f"-{0x8000 | chance >> 48:04x}-{chance & _48_BITS:012x}")


def id_maker(now: Callable[[], int]) -> Callable[[], str]:
    """Makes UUIDs of version 7 (RFC 9562): they begin with the millisecond, so that a store appends them to its index;
    a counter follows (its method 1), then 62 random bits, drawn anew where the counter is at its end, and by a process
    that was forked in whatever way: some servers call no hooks when they fork. Safe in threads."""
    batch = _new_batch(os.getpid())

    def make() -> str:
        nonlocal batch  # replaced whole: a thread never sees half of one
        mine, millisecond, process = batch, now() // 1000 & _48_BITS, os.getpid()
        number = next(mine.numbers)
        if number > _12_BITS or mine.process != process:
            batch = mine = _new_batch(process)
            number = next(mine.numbers)
        return f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7{number:03x}{mine.ends}"

    return make


def tick_run_id(job_id: str, tick: int) -> str:
    """The id of a record that any process may make of a tick which nobody ran: all of them make the same one."""
    return str(uuid5(NAMESPACE_OID, tick_key(job_id, tick)))


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
