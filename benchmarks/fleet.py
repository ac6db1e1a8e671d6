"""A fleet: four processes, one job ten times a second, 200 ticks; how often one runs twice or never, and how late.

    python -m benchmarks.fleet URL NAME JOURNAL

is one of the processes: it says when it has started, runs until its standard input ends, and notes each run in JOURNAL.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from benchmarks.cases import Figures, case, scaled

PROCESSES = 4
TICKS = 200
EVERY = 0.1
SETTLE = 2.0
"""Seconds from the start of the last process to the first tick that counts."""


@case("fleet", "rota postgresql", "rota mysql", "rota redis")
def fleet(scale: float, library: str) -> Figures:
    """Ticks doubled and missed, and milliseconds from the tick to its run at the median and the 99th percentile."""
    from tests import services

    with services.opened(), TemporaryDirectory() as directory:
        journal = Path(directory, "journal")
        arguments = [services.url(library.removeprefix("rota ")), uuid4().hex, str(journal)]
        nodes = [_started(arguments) for _ in range(PROCESSES)]
        for node in nodes:
            next(iter(node.stdout or ()))
        first = int((time.time() + SETTLE) / EVERY) + 1
        ticks = range(first, first + scaled(TICKS, scale))
        time.sleep(max(0.0, ticks[-1] * EVERY + 2.0 - time.time()))
        for node in nodes:
            node.communicate(timeout=60)
        return _figures(journal.read_text().splitlines(), ticks)


def _started(arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.fleet", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  # the command is this Python and our own words


def _figures(lines: list[str], ticks: range) -> Figures:
    runs = [(round(float(due) / EVERY), float(at) - float(due)) for due, at in (line.split() for line in lines)]
    times = Counter(tick for tick, _ in runs if tick in ticks)
    late = sorted(seconds for tick, seconds in runs if tick in ticks)
    return {
        "doubled": sum(count - 1 for count in times.values()),
        "missed": len(ticks) - len(times),
        "p50_ms": late[len(late) // 2] * 1e3,
        "p99_ms": late[len(late) * 99 // 100] * 1e3,
    }


def node(url: str, name: str, journal: str) -> None:
    """One of the processes."""
    from rota import Run, Scheduler
    from rota.triggers import Interval

    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    scheduler = Scheduler(name, store=url)

    @scheduler.job(Interval(timedelta(seconds=EVERY)), id="tick", overlap="allow")
    def tick(run: Run) -> None:
        if run.scheduled_for is not None:
            os.write(file, f"{run.scheduled_for.timestamp()} {time.time()}\n".encode())

    scheduler.start()
    print("started", flush=True)
    sys.stdin.read()
    scheduler.shutdown(5)


if __name__ == "__main__":
    node(*sys.argv[1:])
