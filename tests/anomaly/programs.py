"""Programs for tests that need processes of their own: started, told, waited for with a deadline, never left behind.

A program writes lines to its standard output; a test waits for the line that it needs. What a job does is written to a
ledger outside of the store, so that a store that lies is found out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from tests.waiting import PATIENCE, until

import rota

SOURCE = str(Path(rota.__file__).parents[1])

HEAD = """
import asyncio, faulthandler, os, signal, sys, threading, time
from rota import Scheduler, Retry
faulthandler.dump_traceback_later(280, exit=True)  # nothing is left behind, whatever becomes of the test

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def note(run, what):
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    tick = run.scheduled_for.isoformat() if run.scheduled_for else run.id
    os.write(ledger, f"{what} {run.job_id} {tick} {run.attempt} {run.lease.fence} {os.getpid()}\\n".encode())
    os.close(ledger)
"""


class Entry(NamedTuple):
    """A line of the ledger."""

    what: str
    job: str
    tick: str
    attempt: int
    fence: int
    pid: int


def ledger(directory: Path) -> list[Entry]:
    """What the jobs of all programs in a directory have written so far."""
    path = directory / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    words = [line.split() for line in lines]
    return [Entry(w[0], w[1], w[2], int(w[3]), int(w[4]), int(w[5])) for w in words]


def assert_sound(entries: list[Entry]) -> None:
    """At most one start of each attempt of a tick, and fences that grow with each start of a job."""
    starts = [entry for entry in entries if entry.what == "start"]
    attempts = [(entry.job, entry.tick, entry.attempt) for entry in starts]
    assert len(attempts) == len(set(attempts)), "an attempt was started twice"
    fences = defaultdict(list)
    for entry in starts:
        fences[entry.job].append(entry.fence)
    for job, given in fences.items():
        assert len(given) == len(set(given)), f"a fence of {job} was given twice"


class Program:
    """A Python program in a directory, with its output as it comes."""

    def __init__(self, directory: Path, text: str, *argv: str, head: str = HEAD, **environ: str) -> None:
        path = directory / "program.py"
        path.write_text(head + textwrap.dedent(text))
        self.__init_command(directory, [sys.executable, str(path), *argv], environ)

    @classmethod
    def of(cls, directory: Path, command: list[str], **environ: str) -> Program:
        """Another command."""
        program = cls.__new__(cls)
        program.__init_command(directory, command, environ)
        return program

    def __init_command(self, directory: Path, command: list[str], environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": SOURCE, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._join_readers()
        self.process.stdout.close()
        self.process.stderr.close()

    @staticmethod
    def _read(stream, lines: list[str]) -> None:
        lines.extend(line.rstrip("\n") for line in stream)

    def wait_for(self, line: str, times: int = 1, seconds: float = PATIENCE) -> None:
        """Wait until it has written the line so often."""
        until(lambda: self.lines.count(line) >= times or self.process.poll() is not None, seconds)
        if self.process.poll() is not None:
            self._join_readers()
        came = self.lines.count(line) >= times
        assert came, f"no {line!r} in {self.lines}, {self.errors}"

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, seconds: float = PATIENCE) -> int:
        """Wait for its end; its exit code."""
        code = self.process.wait(seconds)
        self._join_readers()
        return code

    def _join_readers(self) -> None:
        """Until all is read that it wrote; a process that it left behind may keep its pipes open."""
        for reader in self._readers:
            reader.join(5)

    @property
    def stderr(self) -> str:
        """What it has written to standard error."""
        return "\n".join(self.errors)
