"""The processes of a fleet: programs with a scheduler on one place, each by a clock of its own that may be wrong.

What their jobs do is written to a ledger outside of the store, with the true time, so that a store that lies is found.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import sys
import textwrap
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tests.anomaly.programs import Program
from tests.fleet.places import Place
from tests.waiting import PATIENCE, until

HEAD = """
import faulthandler, json, os, signal, sys, threading, time
from datetime import timedelta
from rota import Retry, Scheduler
from rota.clock import SystemClock
from rota.triggers import Interval

given = json.loads(sys.argv[1])
faulthandler.register(signal.SIGUSR1, all_threads=True)
faulthandler.dump_traceback_later(given["seconds"], exit=True)  # nothing is left behind, whatever becomes of the test

class WrongClock(SystemClock):
    def now(self):
        return super().now() + given["offset"]

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def note(run, what):
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    tick = run.scheduled_for.isoformat() if run.scheduled_for else run.id
    line = f"{what} {run.job_id} {tick} {run.attempt} {run.lease.fence} {os.getpid()} {time.time_ns() // 1000}\\n"
    os.write(ledger, line.encode())
    os.close(ledger)

options = {"lease_ttl": given["lease_ttl"], "shutdown_timeout": 4}
if given["offset"]:
    options["clock"] = WrongClock()
scheduler = Scheduler(given["name"], store=given["store"], locks=given["locks"], **options)
"""

RUN = """
scheduler.health()  # imports what run() needs, so that a signal after "ready" finds its handlers
scheduler.runs(limit=1)
say("ready")
scheduler.run()
"""

EVERY = """
every = Interval(timedelta(milliseconds={milliseconds}))
scheduler.add(lambda run: note(run, "start"), every, id="each", overlap="allow", catch_up="all", on_crash="lost")
"""
"""A job that starts on every tick of a grid."""


class Entry(NamedTuple):
    """A line of the ledger. `at`: true time, microseconds."""

    what: str
    job: str
    tick: str
    attempt: int
    fence: int
    pid: int
    at: int

    @property
    def due(self) -> int:
        """The tick in microseconds."""
        return int(datetime.fromisoformat(self.tick).timestamp() * 1_000_000)


def ledger(directory: Path) -> list[Entry]:
    """What the jobs of all programs in a directory have written so far; a line that is being written is left out."""
    path = directory / "ledger"
    text = path.read_text() if path.exists() else ""
    words = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
    return [Entry(w[0], w[1], w[2], *map(int, w[3:7])) for w in words]


def starts(entries: Iterable[Entry], job: str) -> list[Entry]:
    """The starts of a job."""
    return [entry for entry in entries if (entry.what, entry.job) == ("start", job)]


class Fleet:
    """Programs on one place; killed at the end of the block, whatever happened."""

    def __init__(self, place: Place, jobs: str, *, lease_ttl: float = 2.0, seconds: float = 180.0) -> None:
        self.place = place
        self.nodes: list[Program] = []
        self._jobs = jobs
        self._lease_ttl = lease_ttl
        self._seconds = seconds

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.__exit__()

    def start(self, *, offset: float = 0.0, jobs: str | None = None, store: str | None = None) -> Program:
        """Start one more. `offset`: seconds by which its clock is wrong; `jobs`, `store`: others than the fleet's."""
        path = self.place.directory / f"node-{secrets.token_hex(4)}.py"
        path.write_text(HEAD + textwrap.dedent(jobs or self._jobs) + RUN)
        given = {
            "name": self.place.name,
            "store": store or self.place.url,
            "locks": self.place.locks,
            "offset": int(offset * 1_000_000),
            "lease_ttl": self._lease_ttl,
            "seconds": self._seconds,
        }
        node = Program.of(self.place.directory, [sys.executable, str(path), json.dumps(given)])
        self.nodes.append(node)
        return node

    def ready(self) -> None:
        """Wait until all have begun."""
        for node in self.nodes:
            if node.process.poll() is None:
                node.wait_for("ready")

    def alive(self) -> list[Program]:
        """Those that have not ended."""
        return [node for node in self.nodes if node.process.poll() is None]

    def ledger(self) -> list[Entry]:
        """What their jobs have written so far."""
        return ledger(self.place.directory)

    def stop(self) -> None:
        """End all that live as a deployment would; each must end well and say nothing it should not."""
        for node in self.alive():
            node.send(signal.SIGTERM)
        for node in self.nodes:
            assert until(lambda node=node: node.process.poll() is not None), self._stacks(node)
            code = node.end()
            assert code in (0, -signal.SIGKILL), (code, node.stderr[-3000:])
            assert "Traceback" not in node.stderr, node.stderr

    @staticmethod
    def _stacks(node: Program) -> str:
        """Where the threads of a process are that does not end."""
        node.send(signal.SIGUSR1)
        until(lambda: "most recent call first" in node.stderr, 5)
        return node.stderr

    def kill(self, node: Program) -> int:
        """Kill it; its process id."""
        node.process.kill()
        node.process.wait()
        return node.process.pid


def wrong_clocks(count: int, chance: random.Random, place: Place) -> list[float]:
    """Seconds by which the clocks of so many nodes are wrong, one of them right; all right where the store has no clock
    but that of this machine."""
    if not place.is_server:
        return [0.0] * count
    return [0.0, -180.0, 180.0, *(chance.uniform(-180, 180) for _ in range(count - 3))][:count]


def assert_each_tick_once(entries: list[Entry], job: str, every: int) -> int:
    """Of a grid of `every` microseconds each tick from the first to the last was started, once, not early; how many."""
    started = sorted(entry.due for entry in starts(entries, job))
    assert started, "nothing was started"
    assert len(started) == len(set(started)), f"started twice: {sorted({t for t in started if started.count(t) > 1})}"
    expected = list(range(started[0], started[-1] + 1, every))
    assert started == expected, f"never started: {sorted(set(expected) - set(started))}"
    early = [entry for entry in starts(entries, job) if entry.at < entry.due]
    assert not early, early
    return len(started)


def assert_sound(entries: list[Entry]) -> None:
    """No attempt was started twice, and no fence of a job given twice."""
    began = [entry for entry in entries if entry.what == "start"]
    attempts = [(entry.job, entry.tick, entry.attempt) for entry in began]
    assert len(attempts) == len(set(attempts)), "an attempt was started twice"
    fences = [(entry.job, entry.fence) for entry in began]
    assert len(fences) == len(set(fences)), "a fence was given twice"


def so_many_more(fleet: Fleet, count: int, seconds: float = PATIENCE, job: str = "each") -> None:
    """Wait until a job has been started so often again."""
    before = len(starts(fleet.ledger(), job))
    came = until(lambda: len(starts(fleet.ledger(), job)) >= before + count, seconds)
    assert came, (fleet.ledger()[-5:], [node.errors[-3:] for node in fleet.nodes])


def pause(seconds: float) -> None:
    """Let real time pass."""
    time.sleep(seconds)


def pids(nodes: Iterable[Program]) -> set[int]:
    """The process ids of programs."""
    return {node.process.pid for node in nodes}


def signal_to(pid: int, number: int) -> None:
    """Send a signal to a process."""
    os.kill(pid, number)
