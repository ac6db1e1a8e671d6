"""The command behind `nox -s simulate`: play many stories, or one again."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.simulation.story import Told, tell

CHUNK = 250
SHOWN = 20
"""Problems printed in full; of more only the seeds are."""


class Tally(NamedTuple):
    """What became of some stories. `bad`: seed, digest and first problem of those that went wrong."""

    stories: int
    starts: int
    seconds: float
    bad: list[tuple[int, str, str]]


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 1 where a story went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulated fleets, one per seed.")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many stories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes at work")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play one story and print its journal")
    given = parser.parse_args(arguments)
    if given.replay is not None:
        return replay(given.replay)
    return explore(given.first, given.seeds, given.jobs)


def replay(seed: int) -> int:
    """Print the journal of a story, and a hash of it."""
    told = tell(seed)
    print(told.text(), end="")
    print(f"seed {seed}: {told.runs} runs, {told.starts} starts, {told.seconds:.0f} s, journal {told.digest()}")
    for problem in told.problems:
        print(f"  {problem}")
    return 1 if told.problems else 0


def explore(first: int, count: int, jobs: int) -> int:
    """Play stories and print what went wrong, and how many there were."""
    began = time.monotonic()
    stories = starts = 0
    seconds = 0.0
    bad: list[int] = []
    for tally in _tallies(first, count, jobs):
        stories, starts, seconds = stories + tally.stories, starts + tally.starts, seconds + tally.seconds
        for seed, digest, problem in tally.bad:
            bad.append(seed)
            if len(bad) <= SHOWN:
                print(f"seed {seed} (journal {digest}): {problem}")
                print(f"    again: nox -s simulate -- --replay {seed}", flush=True)
        if sys.stderr.isatty():
            print(f"\r{stories} of {count}", end="", file=sys.stderr, flush=True)
    took = time.monotonic() - began
    print(
        f"{stories} seeds from {first}: {len(bad)} went wrong; {starts} attempts in {seconds / 86_400:.1f} simulated"
        f" days; {took:.0f} s, {stories / took:.0f} seeds a second"
    )
    if len(bad) > SHOWN:
        print("all of them:", *bad)
    return 1 if bad else 0


def _tallies(first: int, count: int, jobs: int) -> Iterator[Tally]:
    chunks = [(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    if jobs == 1:
        yield from map(_tell_all, chunks)
        return
    # Spawned, so that the children are alike on every platform and inherit nothing.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(_tell_all, chunks)


def _tell_all(chunk: tuple[int, int]) -> Tally:
    told = [_told(seed) for seed in range(*chunk)]
    bad = [(story.seed, story.digest(), story.problems[0]) for story in told if story.problems]
    return Tally(len(told), sum(story.starts for story in told), sum(story.seconds for story in told), bad)


def _told(seed: int) -> Told:
    """The story; of one that went well the journal is not kept."""
    told = tell(seed)
    return told if told.problems else told._replace(journal=[])
