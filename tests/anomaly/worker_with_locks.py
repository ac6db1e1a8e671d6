"""A worker of a pre-fork server, played by `test_shared_locks`: started, told what to do by its arguments, stopped by
the end of its standard input.

`python worker_with_locks.py LOCKS STORE JOURNAL`; STORE is `memory` or a URL. Whatever a job does is one line appended
to JOURNAL: process, job, event and tick.
"""

from __future__ import annotations

import os
import sys
import time

from rota import Run, Scheduler


def main(locks: str, store: str, journal: str) -> None:
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(job: str, event: str, tick: object, fence: int) -> None:
        os.write(file, f"{os.getpid()} {job} {event} {tick} {fence}\n".encode())

    scheduler = Scheduler("web", locks=locks, store=None if store == "memory" else store)

    @scheduler.cron("* * * * * *", seconds=True, overlap="allow")
    def quick(run: Run) -> None:
        note("quick", "ran", int(run.scheduled_for.timestamp()), run.lease.fence)

    @scheduler.cron("* * * * * *", seconds=True)
    def slow(run: Run) -> None:
        note("slow", "began", int(run.scheduled_for.timestamp()), run.lease.fence)
        time.sleep(1.3)  # the next tick comes meanwhile
        note("slow", "ended", int(run.scheduled_for.timestamp()), run.lease.fence)

    scheduler.start()
    print("started", flush=True)
    sys.stdin.read()
    scheduler.shutdown(60)
    for job in ("quick", "slow"):
        for run in scheduler.runs(job, limit=1_000):
            if run.scheduled_for is not None:
                note(job, f"recorded:{run.status}:{run.count}", int(run.scheduled_for.timestamp()), 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
