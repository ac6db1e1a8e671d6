"""Scenarios of ticks: many processes, clocks minutes apart, random starts; each tick once."""

from __future__ import annotations

import random
import signal

from tests.fleet.nodes import EVERY, Fleet, assert_each_tick_once, pause, so_many_more, starts, wrong_clocks
from tests.fleet.places import Place
from tests.waiting import until


def each_tick_once(
    place: Place, *, nodes: int = 8, ticks: int = 5, milliseconds: int = 500, seed: int = 1, apart: float = 0.3
) -> str:
    """So many processes with clocks up to three minutes apart, started at random moments."""
    chance = random.Random(seed)
    offsets = wrong_clocks(nodes, chance, place)
    jobs, seconds = EVERY.format(milliseconds=milliseconds), 180 + ticks * milliseconds / 500
    with Fleet(place, jobs, lease_ttl=30, seconds=seconds) as fleet:  # no lease is to run out
        for offset in offsets:
            fleet.start(offset=offset)
            pause(chance.random() * apart)
        fleet.ready()
        so_many_more(fleet, ticks, seconds=60 + 2 * ticks * milliseconds / 1000)
        fleet.stop()
        started = assert_each_tick_once(fleet.ledger(), "each", milliseconds * 1000)
        shares = {entry.pid for entry in starts(fleet.ledger(), "each")}
    if place.url is not None:
        records = place.scheduler().runs("each", limit=100_000)
        assert {run.status for run in records} <= {"succeeded"}, {(run.status, run.scheduled_for) for run in records}
        assert len(records) == len({run.scheduled_for for run in records}) == started
    wrong = f", clocks up to {max(map(abs, offsets)):.0f} s wrong" if any(offsets) else ""
    return f"{started} ticks, each once, none early, by {len(shares)} of {nodes} processes{wrong}"


def quick_job_slow_wakers(place: Place, *, ticks: int = 5) -> str:
    """Four processes of which three are held up for up to 0.9 s at random moments; the job itself takes no time."""
    chance = random.Random(4)
    with Fleet(place, EVERY.format(milliseconds=1000)) as fleet:
        for _ in range(4):
            fleet.start()
        fleet.ready()
        goal = len(starts(fleet.ledger(), "each")) + ticks
        held_up = 0
        while len(starts(fleet.ledger(), "each")) < goal:
            node = chance.choice(fleet.nodes[1:])
            node.send(signal.SIGSTOP)
            pause(chance.random() * 0.9)
            node.send(signal.SIGCONT)
            held_up += 1
            assert held_up < 40 * ticks, "ticks do not come"
        fleet.stop()
        started = assert_each_tick_once(fleet.ledger(), "each", 1_000_000)
    return f"{started} ticks, each once; processes were held up {held_up} times"


def one_grid(place: Place, *, milliseconds: int = 700) -> str:
    """Processes started at random phases of the interval, one after the other, each alone for a while."""
    chance = random.Random(5)
    with Fleet(place, EVERY.format(milliseconds=milliseconds)) as fleet:
        for _ in range(3):
            node = fleet.start()
            so_many_more(fleet, 2)
            pause(chance.random())
            fleet.stop()
            assert until(lambda node=node: node.process.poll() is not None)
        began = starts(fleet.ledger(), "each")
    off = {entry.due % (milliseconds * 1000) for entry in began}
    assert off == {0}, off
    assert len({entry.due for entry in began}) == len(began)
    return f"{len(began)} ticks of three programs, all on one grid"
