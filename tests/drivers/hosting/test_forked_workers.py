"""Workers that a server forks off a process with a scheduler: what they start with, and that they start at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("filelock")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

SERVER = """
import os, sys, types
from rota import Scheduler

autostart, locks, store = sys.argv[1:]
scheduler = Scheduler("web", locks=locks or None, store=store or None)
scheduler.add(lambda: None, None, id="asked")
os.environ["ROTA_AUTOSTART"] = autostart
scheduler.start()
scheduler.run_now("asked")
os.environ["ROTA_AUTOSTART"] = "auto"

sys.argv[0] = "/venv/bin/gunicorn"
arbiter = types.ModuleType("gunicorn.arbiter")
exec("import os\\ndef spawn_worker():\\n    return os.fork()\\n", arbiter.__dict__)
worker = arbiter.spawn_worker()
if worker == 0:
    health = scheduler.health()
    print("alive" if health.alive else health.why, len(scheduler.runs()), health.locks, flush=True)
    scheduler.shutdown(1)
    os._exit(0)
os.waitpid(worker, 0)
scheduler.shutdown(1)
"""


def worker_of(autostart: str, locks: str, store: str) -> str:
    """What a worker says of itself whose parent called `start()`."""
    command = [sys.executable, "-W", "ignore", "-c", SERVER, autostart, locks, store]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.mark.parametrize("autostart", ["never", "always"])
def test_with_shared_locks_a_worker_runs_jobs_with_records_of_its_own(tmp_path: Path, autostart: str) -> None:
    assert worker_of(autostart, f"file://{tmp_path}/locks", "") == "alive 0 True"


@pytest.mark.parametrize("autostart", ["never", "always"])
def test_with_a_shared_store_a_worker_runs_jobs_with_the_records_of_all(tmp_path: Path, autostart: str) -> None:
    assert worker_of(autostart, "", f"sqlite:///{tmp_path}/rota.db") == "alive 1 True"


def test_in_memory_alone_a_worker_of_a_started_parent_runs_nothing() -> None:
    assert worker_of("always", "", "").startswith("it was started in the parent")
