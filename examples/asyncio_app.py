"""Rota in an asyncio program: `python examples/asyncio_app.py`.

A weather service imports a file of readings, slowly, and reports daily means meanwhile. Stop it with Ctrl-C in the
middle of the import and start it again: the import goes on where it stopped.

Law: what blocks (files, SQLite) is done off the loop; a coroutine that takes long says where it can be stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import cast

from rota import AsyncRun, Retry, Scheduler

READINGS = Path(__file__).parent / "data" / "readings.csv"
BATCH = 48

scheduler = Scheduler("weather", retention=timedelta(days=7))


class Weather:
    """The service's own work: a table of readings, and a report."""

    def __init__(self, directory: Path, pause: float = 0.25) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.database = directory / "weather.sqlite3"
        self.report = directory / "means.json"
        self.pause = pause  # seconds between two batches, as a slow network would take

    def create_table(self) -> None:
        """Make the table, if it is not there."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS reading (station TEXT, measured_at TEXT, celsius REAL, hectopascal REAL,"
                " PRIMARY KEY (station, measured_at))"
            )

    def insert(self, rows: Sequence[Sequence[str]]) -> None:
        """Put readings in; one that is there already is replaced, so a batch may come twice."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO reading VALUES (?, ?, ?, ?)", rows)

    def write_means(self) -> dict[str, float]:
        """The mean temperature of each station and day."""
        with closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute(
                "SELECT station || ' ' || substr(measured_at, 1, 10), round(avg(celsius), 2) FROM reading"
                " GROUP BY 1 ORDER BY 1"
            ).fetchall()
        means: dict[str, float] = dict(rows)
        unfinished = self.report.with_suffix(".part")
        unfinished.write_text(json.dumps(means, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self.report)
        return means


def weather_of(run: AsyncRun) -> Weather:
    """The service, which `main()` put on the scheduler for the jobs to find."""
    return cast(Weather, run.state.weather)


@scheduler.job(retry=Retry(attempts=3))
async def import_readings(run: AsyncRun) -> str:
    """Import the file, batch by batch. Its checkpoint tells the next attempt, and the next process, how far it is."""
    weather = weather_of(run)
    rows = await asyncio.to_thread(read_rows)
    done = first = cast(int, run.checkpoint.get("done", 0))
    while batch := rows[done : done + BATCH]:
        run.check_cancelled()
        await asyncio.sleep(weather.pause)
        await asyncio.to_thread(weather.insert, batch)
        done += len(batch)
        await run.checkpoint.set("done", done)
        await run.progress(done, len(rows), "rows")
    since = f", from row {first + 1} on" if first else ""
    return f"{len(rows)} rows{since}"


@scheduler.interval(seconds=2)
async def daily_means(run: AsyncRun) -> str:
    """Report what has been imported so far."""
    means = await asyncio.to_thread(weather_of(run).write_means)
    return f"{len(means)} means"


def read_rows() -> list[list[str]]:
    """The rows of the file, without its head."""
    with READINGS.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


async def main(directory: Path, seconds: float) -> None:
    """Run the service for so many seconds, or until Ctrl-C or SIGTERM."""
    weather = scheduler.state.weather = Weather(directory)
    weather.create_table()
    scheduler.configure(store=f"sqlite:///{directory / 'rota.db'}")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async with scheduler:
        # Under a key it is one run, however often the service starts.
        await scheduler.aio.enqueue(import_readings, key=READINGS.name)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)

    for run in reversed(await scheduler.aio.runs()):
        print(f"{run.job_id:<16} {run.status:<10} {run.result or run.progress or run.error or run.reason}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A weather service that imports a file of readings.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--directory", type=Path, default=Path("instance/weather"))
    arguments = parser.parse_args()
    asyncio.run(main(arguments.directory, arguments.seconds))
