"""The shop's own work on its own files. Nothing here knows of schedules; `jobs.py` says when it is done.

Law: a file appears whole or not at all, and doing the same piece of work again gives the same files. So a job that died
halfway can simply be run again.
"""

from __future__ import annotations

import fcntl
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

SHIPPED = Path(__file__).parent / "data"


class Customer(NamedTuple):
    """A row of the table of customers."""

    id: int
    name: str
    address: str


class Shop:
    """Everything the shop keeps, below one directory."""

    def __init__(self, directory: str | Path, mail_url: str, slowness: float = 0.1) -> None:
        self.directory: Path = Path(directory)
        self.mail_url = mail_url
        self.slowness = slowness  # seconds that the search index takes for each product
        self.events: Path = self.directory / "events.jsonl"
        self.database: Path = self.directory / "shop.sqlite3"
        self.rollups: Path = self.directory / "rollups"
        self.backups: Path = self.directory / "backups"
        self.search_index: Path = self.directory / "search_index.json"
        for folder in (self.directory, self.rollups, self.backups):
            folder.mkdir(parents=True, exist_ok=True)
        self.events.touch()
        with self._locked_log("a"):  # several workers may start at once
            if not self.database.exists():
                self._create_database()

    # The event log ---------------------------------------------------------------------------------------------------

    def record(self, events: list[dict[str, Any]], now: Callable[[], datetime]) -> None:
        """Append events that happen now.

        Stamped while the log is locked: whoever reads it at 10:00:00 sees every event of before 10:00:00.
        """
        with self._locked_log("a") as log:
            at = now().isoformat()
            log.write("".join(json.dumps({**event, "at": at}) + "\n" for event in events))

    def events_between(self, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """The events of `[start, end)`."""
        with self._locked_log("r") as log:
            events = [json.loads(line) for line in log]
        return [event for event in events if start <= datetime.fromisoformat(event["at"]) < end]

    def next_visits(self, count: int) -> list[dict[str, Any]]:
        """The next so many events of the recorded day that comes with the shop; after its end it begins again."""
        recorded = (SHIPPED / "events.jsonl").read_text(encoding="utf-8").splitlines()
        with self._locked_log("r") as log:
            position = sum(1 for _ in log)
        return [json.loads(recorded[(position + index) % len(recorded)]) for index in range(count)]

    def roll_up(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Sum up the events of `[start, end)` and keep the totals as a file that is named after its end."""
        events = self.events_between(start, end)
        totals = {
            "start": start.isoformat(),
            "end": end.isoformat(),
            "events": len(events),
            "kinds": dict(sorted(Counter(event["kind"] for event in events).items())),
            "cents": sum(event.get("cents", 0) for event in events),
        }
        write_whole(self.rollups / f"{file_stamp(end)}.json", json.dumps(totals, indent=2) + "\n")
        return totals

    # The database ----------------------------------------------------------------------------------------------------

    def customers(self) -> list[Customer]:
        """All customers."""
        return [Customer(*row) for row in self._query("SELECT id, name, address FROM customer ORDER BY id")]

    def products(self) -> list[tuple[int, str]]:
        """Id and name of all products."""
        return [(row[0], row[1]) for row in self._query("SELECT id, name FROM product ORDER BY id")]

    def write_digest(self, customer_id: int) -> str:
        """The text of a customer's digest: what they bought most."""
        rows = self._query(
            "SELECT product.name, SUM(quantity) AS pieces, SUM(quantity * price) FROM purchase"
            " JOIN product ON product.id = product_id WHERE customer_id = ?"
            " GROUP BY product.id ORDER BY pieces DESC, product.name LIMIT 5",
            customer_id,
        )
        return "\n".join(f"{pieces} x {name}, {cents / 100:.2f}" for name, pieces, cents in rows)

    def back_up(self, at: datetime, keep: int) -> Path:
        """Copy the database while it is in use, and remove all but the newest `keep` copies."""
        target = self.backups / f"shop-{file_stamp(at)}.sqlite3"
        unfinished = target.with_suffix(".part")
        with closing(sqlite3.connect(self.database)) as live, closing(sqlite3.connect(unfinished)) as copy:
            live.backup(copy)
        unfinished.replace(target)
        for old in sorted(self.backups.glob("shop-*.sqlite3"))[:-keep]:
            old.unlink(missing_ok=True)
        return target

    # Inside ----------------------------------------------------------------------------------------------------------

    def _query(self, statement: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(statement, values).fetchall()

    def _create_database(self) -> None:
        unfinished = self.database.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        with closing(sqlite3.connect(unfinished)) as connection:
            connection.executescript((SHIPPED / "shop.sql").read_text(encoding="utf-8"))
        unfinished.replace(self.database)

    @contextmanager
    def _locked_log(self, mode: str) -> Iterator[Any]:
        with self.events.open(mode, encoding="utf-8") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            yield log


def words_of(name: str) -> list[str]:
    """What a search for a product looks at."""
    return re.findall(r"\w+", name.lower())


def file_stamp(moment: datetime) -> str:
    """An instant as part of a file name; names sort as their instants do."""
    return f"{moment:%Y%m%dT%H%M%SZ}"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever reads half of it."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
