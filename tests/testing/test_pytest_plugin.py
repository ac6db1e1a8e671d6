"""The fixtures, in a pytest of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STORY = """
import asyncio

def test_a_clock(rota_clock):
    assert rota_clock.time.isoformat() == "2026-01-01T00:00:00+00:00"
    rota_clock.advance(hours=1)

def test_a_scheduler(rota_clock, rota_scheduler):
    calls = []

    @rota_scheduler.cron("0 * * * *")
    def hourly():
        calls.append(1)

    @rota_scheduler.cron("0 * * * *")
    async def endless():
        await asyncio.Event().wait()

    rota_clock.advance(hours=3)
    assert len(calls) == 3
    assert rota_scheduler.health().alive
    rota_scheduler.shutdown()
"""


def run_pytest(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "rota.testing.pytest_plugin", "-W", "error", *args]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_fixtures_work(tmp_path: Path) -> None:
    (tmp_path / "test_story.py").write_text(STORY)
    done = run_pytest(tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_locks_at_a_url_are_proved(tmp_path: Path) -> None:
    which = ["--pyargs", "rota.testing.conformance.at_url", "-k", "test_17 or test_31"]
    done = run_pytest(tmp_path, f"--lock-backend=file://{tmp_path}/locks", *which)
    assert re.search(r"^\d+ passed, \d+ deselected", done.stdout, re.MULTILINE), done.stdout + done.stderr
    assert "passed" not in (done := run_pytest(tmp_path, *which)).stdout
    assert "say which locks are to be proved: --lock-backend=URL" in done.stdout + done.stderr


def test_the_plugin_imports_nothing_of_rota() -> None:
    code = "import sys, rota.testing.pytest_plugin; print([name for name in sys.modules if name.startswith('rota')])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['rota', 'rota.testing', 'rota.testing.pytest_plugin']"


def test_the_public_names_do_not_import_pytest() -> None:
    code = "import sys; from rota.testing import FakeClock, simulate; print('pytest' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_entry_point_names_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    value = project["entry-points"]["pytest11"]["rota"]
    assert EntryPoint("rota", value, "pytest11").load().__name__ == "rota.testing.pytest_plugin"


def test_rota_testing_names_what_it_has() -> None:
    import rota.testing

    assert {"FakeClock", "simulate"} <= set(dir(rota.testing))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rota.testing.nothing
