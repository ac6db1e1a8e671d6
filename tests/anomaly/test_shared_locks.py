"""Four real processes with locks in files: every tick once on the machine, and overlap respected across them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.any_versions

pytest.importorskip("filelock")

WORKER = Path(__file__).with_name("worker_with_locks.py")
WORKERS = 4
TICKS = 4
DEADLINE = 60.0


class Line(NamedTuple):
    process: str
    job: str
    event: str
    tick: int
    fence: int


class Workers:
    """Started together; stopped at the end, whatever happens."""

    def __init__(self, directory: Path, store: str) -> None:
        self.journal = directory / "journal"
        arguments = [f"file://{directory}/locks", store, str(self.journal)]
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-u", str(WORKER), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(WORKERS)
        ]

    def await_start(self) -> None:
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n", process.stderr and process.stderr.read()

    def lines(self) -> list[Line]:
        text = self.journal.read_text() if self.journal.exists() else ""
        words = [line.split() for line in text.splitlines()]
        return [Line(process, job, event, int(tick), int(fence)) for process, job, event, tick, fence in words]

    def await_events(self, event: str, number: int) -> None:
        deadline = time.monotonic() + DEADLINE
        while sum(1 for line in self.lines() if line.event == event) < number:
            assert time.monotonic() < deadline, f"{number} × {event!r} did not come about: {self.lines()}"
            time.sleep(0.05)

    def stop(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        for process in self.processes:
            _, errors = process.communicate(timeout=DEADLINE)
            assert process.returncode == 0, errors

    def kill(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture(params=["memory", "sqlite"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workers]:
    store = "memory" if request.param == "memory" else f"sqlite:///{tmp_path}/rota.db"
    workers = Workers(tmp_path, store)
    yield workers
    workers.kill()


def test_every_tick_once_on_the_machine_and_one_slow_run_at_a_time(workers: Workers) -> None:
    workers.await_start()
    workers.await_events("ran", TICKS)
    workers.await_events("ended", 2)
    workers.stop()
    lines = workers.lines()
    _assert_every_tick_ran_once(lines)
    _assert_runs_do_not_overlap([line for line in lines if line.job == "slow" and line.event in {"began", "ended"}])
    _assert_fences_grow([line for line in lines if line.event == "began"])
    _assert_every_tick_is_on_record(lines)


def _assert_every_tick_ran_once(lines: list[Line]) -> None:
    ran = Counter(line.tick for line in lines if line.event == "ran")
    assert set(ran.values()) == {1}
    assert sorted(ran) == list(range(min(ran), max(ran) + 1))


def _assert_runs_do_not_overlap(lines: list[Line]) -> None:
    for began, ended in zip(lines[::2], lines[1::2], strict=True):
        assert (began.event, ended.event) == ("began", "ended")
        assert began.tick == ended.tick


def _assert_fences_grow(lines: list[Line]) -> None:
    fences = [line.fence for line in lines]
    assert fences == sorted(set(fences))


def _assert_every_tick_is_on_record(lines: list[Line]) -> None:
    """Each tick has its record somewhere: in the one store, or in that of one process."""
    for job in ("quick", "slow"):
        records = {line for line in lines if line.job == job and line.event.startswith("recorded:")}
        ticks = Counter(tick for tick, _ in {(line.tick, line.event) for line in records})
        assert set(ticks.values()) == {1}
        assert sorted(ticks) == list(range(min(ticks), max(ticks) + 1))
