"""The benchmarks run: every measurement of Rota once, at a size that takes no time. What they measure is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import dispatching, importing, lateness, persistent, registering, triggers, waking
from benchmarks.cases import CASES
from benchmarks.rows import ROWS

ROOT = Path(__file__).parents[2]
SLOW = {"burst", "dispatch", "fleet", "idle", "lateness", "mysql", "postgresql", "redis", "simulate", "sqlite"}
FAMILIES = (dispatching, importing, lateness, persistent, registering, triggers, waking)
QUICK = sorted(key for key in CASES if key[1].startswith("rota") and key[0] not in SLOW)


@pytest.mark.parametrize(("case", "library"), QUICK)
def test_a_measurement_of_rota_gives_figures(case: str, library: str) -> None:
    figures = CASES[case, library](0.001)
    assert figures
    assert all(isinstance(figure, int | float) for figure in figures.values())


def test_a_measurement_runs_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "benchmarks.one", "dispatch", "rota threads", "0.001"]
    run = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT)
    assert json.loads(run.stdout)["per_s"] > 0


def test_every_row_of_the_table_names_measurements_that_exist() -> None:
    from benchmarks import one

    assert one.FAMILIES
    wanted = {key[:2] for row in ROWS for key in (row.ours, row.theirs) if key is not None}
    assert wanted <= CASES.keys()
