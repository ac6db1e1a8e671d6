"""The asyncio program of the examples: its import goes on where it was cut off, by an error or by Ctrl-C."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from examples import asyncio_app as app

from rota.testing import simulate


@pytest.fixture
def weather(tmp_path: Path) -> app.Weather:
    weather = app.scheduler.state.weather = app.Weather(tmp_path)
    weather.create_table()
    return weather


def test_the_import_goes_on_at_its_checkpoint(weather: app.Weather, monkeypatch: pytest.MonkeyPatch) -> None:
    insert, batches = weather.insert, []

    def fail_at_the_third(rows: list[list[str]]) -> None:
        batches.append(len(rows))
        if len(batches) == 3:
            raise OSError("disk full")
        insert(rows)

    monkeypatch.setattr(weather, "insert", fail_at_the_third)
    with simulate(app.scheduler) as sim:
        app.scheduler.enqueue(app.import_readings)
        sim.advance(minutes=1)
        (run,) = sim.runs(app.import_readings)
    assert run.result == "576 rows, from row 97 on"
    assert run.progress == {"done": 576, "total": 576, "note": "rows"}
    assert len(batches) == 12 + 1


def test_the_report_has_a_mean_for_each_station_and_day(weather: app.Weather) -> None:
    with simulate(app.scheduler) as sim:
        app.scheduler.enqueue(app.import_readings)
        sim.advance(seconds=6)
    means = json.loads(weather.report.read_text(encoding="utf-8"))
    assert len(means) == 3 * 4
    assert 0 < means["harbour 2026-03-02"] < 15


def test_it_stops_on_ctrl_c_and_goes_on_when_started_again(tmp_path: Path) -> None:
    assert "import_readings  queued" in run_until_rows(1, tmp_path)
    assert "576 rows, from row" in run_until_rows(576, tmp_path)


def run_until_rows(rows: int, directory: Path) -> str:
    """Run the program, press Ctrl-C when so many rows are imported; what it prints."""
    command = [sys.executable, app.__file__, "--directory", directory, "--seconds", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        end = time.monotonic() + 60
        while imported(directory / "weather.sqlite3") < rows and time.monotonic() < end:
            time.sleep(0.05)
        program.send_signal(signal.SIGINT)
        said, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    return said


def imported(database: Path) -> int:
    """How many rows are in; none as long as there is no table."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database)) as connection:
        try:
            (rows,) = connection.execute("SELECT count(*) FROM reading").fetchone()
        except sqlite3.OperationalError:
            return 0
    return int(rows)
