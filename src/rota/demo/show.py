"""The story of `rota demo`: a shop runs, its process is killed, another goes on, and nothing is lost.

Law: the show only starts and ends processes and reads the store; every job is run by `process`.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from types import FrameType

from rota.clock import SystemClock
from rota.core.job import Job
from rota.core.run import RunRecord
from rota.demo.checks import Life, answered_for, check_all
from rota.demo.flask_app.jobs import IN_SECONDS, scheduler
from rota.demo.flask_app.mail_server import MailServer
from rota.demo.lines import heading, line, table
from rota.demo.process import configure, has_flask, say
from rota.triggers.base import from_micros

LONG_ENOUGH_FOR_A_KILL = 8.0
SECONDS_DEAD = 1.0
SETTLING = timedelta(seconds=2)
"""What a process that has come up may need to see to what is due, and the last of it to be in the records."""
PATIENCE = 30.0
"""Seconds for which the show goes on when its time is over, until a process on a slow machine has come up."""
MOST_RECORDS = 1_000_000


def show(seconds: float, directory: Path | None) -> int:
    """Run the demo for so many seconds; 0 if everything that it checks held, else 1."""
    where = Path(tempfile.mkdtemp(prefix="rota-demo-")) if directory is None else directory.absolute()
    where.mkdir(parents=True, exist_ok=True)
    mail_server = MailServer(where / "outbox")
    configure(where, mail_server.url)
    performance = Show(seconds, where, mail_server.url)
    try:
        return performance.play()
    finally:
        performance.leave_process()
        mail_server.close()


class Show:
    """One performance."""

    def __init__(self, seconds: float, directory: Path, mail_url: str) -> None:
        self.length = seconds
        self.directory = directory
        self.mail_url = mail_url
        self.port: int = free_port()
        self.clock: SystemClock = SystemClock()
        self.began: int = self.clock.now()
        self.endings: list[datetime] = []
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return (self.clock.now() - self.began) / 1_000_000

    def play(self) -> int:
        """The whole story."""
        self.introduce()
        with ended_by_signals() as asked_to_end:
            self.start_process()
            if self.length >= LONG_ENOUGH_FOR_A_KILL:
                self.wait_until_busy(asked_to_end, self.length * 0.4, self.length * 0.6)
                if not asked_to_end.is_set():
                    self.kill_process()
                if not asked_to_end.wait(SECONDS_DEAD):
                    self.start_process()
            while self.goes_on(self.length) and not asked_to_end.wait(0.1):
                self.check_process()
            self.end_process()
            return self.conclude()

    def say(self, who: str, what: str, text: str) -> None:
        """A line of the show's own."""
        say(line(self.seconds, who, what, text))

    def introduce(self) -> None:
        """What the spectator is about to see."""
        say(f"The jobs of a small shop, for {self.length:g} seconds. Hours of a real shop pass in seconds here.\n")
        for job in scheduler.jobs.values():
            when = f"every {IN_SECONDS[job.id]} s" if job.id in IN_SECONDS else "when asked"
            say(f"  {job.id:<15}  {when:<10}  {DESCRIPTIONS[job.id]}")
        say(f"\n  files  {self.directory}")
        if has_flask():
            say(f"  page   http://127.0.0.1:{self.port}/")
        else:
            say('  page   none: Flask is not installed (pip install "rota[flask]"); the jobs are the same')
        say("")
        if self.length >= LONG_ENOUGH_FOR_A_KILL:
            say("Halfway its process is killed, and another one takes over: look where search_index goes on.\n")
        say(heading())

    def start_process(self) -> None:
        """Start the process that runs the shop. It does not hear the terminal's Ctrl-C: the show ends it."""
        command = [sys.executable, "-m", "rota.demo.process", self.directory, self.mail_url, self.port, self.began]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603  # ourselves

    def wait_until_busy(self, asked_to_end: Event, earliest: float, latest: float) -> None:
        """Wait for a moment at which the slow job has been at work for a while, so that a kill hits it."""
        while self.goes_on(latest) and not asked_to_end.wait(0.1):
            self.check_process()
            running = scheduler.runs("search_index", status="running") if self.seconds >= earliest else []
            if any(self.seconds_at_work(run) > 1.5 for run in running):
                return

    def goes_on(self, until: float) -> bool:
        """Whether it is too early for what comes next: before its time, or nobody has come up yet to do it with."""
        if self.seconds < until:
            return True
        since = self.endings[-1] if self.endings else from_micros(self.began)
        return self.seconds < until + PATIENCE and not any(came >= since for came in self.came_up())

    def seconds_at_work(self, run: RunRecord) -> float:
        """How long a run has been at work."""
        started = 0.0 if run.started_at is None else run.started_at.timestamp()
        return self.clock.now() / 1_000_000 - started

    def kill_process(self) -> None:
        """Kill it as a power cut would: it has no moment to say goodbye."""
        assert self.process is not None
        self.say("process", "KILLED", f"process {self.process.pid}, with SIGKILL, in the middle of its work")
        self.endings.append(from_micros(self.clock.now()))
        self.leave_process()

    def end_process(self) -> None:
        """Ask it to end, as any supervisor would."""
        assert self.process is not None
        self.say("show", "ends", "the process is asked to end, with SIGTERM")
        self.endings.append(from_micros(self.clock.now()))
        self.process.terminate()
        self.process.wait()

    def leave_process(self) -> None:
        """Make sure that it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stdin is not None:
                self.process.stdin.close()

    def check_process(self) -> None:
        """Raise where it ended although nobody asked it to."""
        assert self.process is not None
        if self.process.poll() is not None:
            status = self.process.returncode
            raise ChildProcessError(f"the process that runs the shop ended by itself, with status {status}")

    def came_up(self) -> list[datetime]:
        """When processes came up, in order: each has a row in the store."""
        rows = scheduler._host.runtime.store.nodes()  # noqa: SLF001  # there is no public word for the nodes of a fleet
        return sorted(from_micros(row.started_at) for row in rows if row.started_at >= self.began)

    def lives(self) -> list[Life]:
        """From when to when each process was there; none outlived its ending."""
        return [Life(came, next((end for end in self.endings if end >= came), came)) for came in self.came_up()]

    def conclude(self) -> int:
        """The closing table, the checks, and where the files are."""
        say("")
        for row in table(HEAD, [row_of(job, all_runs(job)) for job in scheduler.jobs.values()]):
            say(f"  {row}")
        say("")
        span = answered_for(self.lives(), SETTLING, from_micros(self.began))
        checks = check_all(list(scheduler.jobs.values()), all_runs, self.directory, span)
        for check in checks:
            say(f"  {'ok   ' if check.holds else 'WRONG'}  {check.sentence}")
        letters = len(scheduler.dead_letters())
        if letters:
            say(f"\nFailed for good, waiting for a person to replay or discard: {letters} (scheduler.dead_letters())")
        say(f"\nThe files stay in {self.directory}")
        say(f"To go on with what is open:  {sys.executable} -m rota demo --directory {self.directory}")
        return 0 if all(check.holds for check in checks) else 1


HEAD = ("job", "runs", "retries", "skipped", "missed", "failed", "open", "next, UTC")

DESCRIPTIONS = {
    "visitors": "new lines in the event log (these runs are not shown below)",
    "hourly_rollup": "totals of the event log since the last roll-up",
    "nightly_backup": "a copy of the shop's database; the newest three are kept",
    "search_index": "slow: takes 4 s, so ticks are skipped while it is at work",
    "morning_digests": "enqueues one digest per customer",
    "send_digest": "mails over HTTP; the server fails at times, and refuses Dana's",
}


def row_of(job: Job, runs: list[RunRecord]) -> list[str]:
    """A job's row of the closing table."""
    count = Counter[str]()
    for run in runs:
        count[run.status] += run.count
        count["retries"] += max(0, len(run.attempts) - 1)
    failed = count["failed"] + count["timed_out"] + count["lost"]
    still_open = count["queued"] + count["running"] + count["waiting"]
    ended = count["succeeded"] + failed + count["cancelled"]
    numbers = (ended, count["retries"], count["skipped"], count["missed"], failed, still_open)
    following = job.next_fire
    return [job.id, *(str(number or "-") for number in numbers), "-" if following is None else f"{following:%H:%M:%S}"]


def all_runs(job: Job) -> list[RunRecord]:
    """A job's records, newest first."""
    return scheduler.runs(job, limit=MOST_RECORDS)


@contextmanager
def ended_by_signals() -> Iterator[Event]:
    """While it runs, Ctrl-C and SIGTERM set the event instead of ending this process."""
    asked = Event()

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
