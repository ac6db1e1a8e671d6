"""The table: `python -m benchmarks [WORD …] [--rounds N]`. Words choose the rows whose text has one of them, or that
are made of a measurement of that name (`dispatch`, `sqlite`).

Every measurement is made in a process of its own, round after round, all libraries in turn; medians are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from math import isnan
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.rows import ROWS, Key, Row

Measured = dict[tuple[str, str], list[dict[str, float]]]


def main() -> None:
    options = _options()
    rows = [row for row in ROWS if not options.words or any(_names(word, row) for word in options.words)]
    if not rows:
        raise SystemExit(f"no row has one of these words; there are: {'; '.join(row.work for row in ROWS)}")
    with TemporaryDirectory() as compiled:
        measured = _measure(rows, options.rounds, compiled)
    print("| work | Rota | peer | ratio | to reach | met |\n|---|---|---|---|---|---|")
    for row in rows:
        print(_line(row, measured))


def _names(word: str, row: Row) -> bool:
    """Whether a row is meant by a word: it stands in its text, or names what is measured."""
    return word.lower() in row.work.lower() or word == row.ours[0]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="What Rota costs beside its peers.")
    parser.add_argument("words", nargs="*", help="only rows whose text has one of these words")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    return parser.parse_args()


def _measure(rows: Iterable[Row], rounds: int, compiled: str) -> Measured:
    """What every measurement that the rows need has given, round by round."""
    keys = [key for row in rows for key in (row.ours, row.theirs) if key is not None]
    measured: Measured = {(case, library): [] for case, library, _ in keys}
    for number in range(rounds):
        for (case, library), figures in measured.items():
            print(f"round {number + 1} of {rounds}: {case}, {library}", file=sys.stderr)
            figures.append(_one(case, library, compiled))
    return measured


def _one(case: str, library: str, compiled: str) -> dict[str, float]:
    """A measurement in a fresh process, in which modules are compiled once and kept, as they are in production."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = compiled
    command = [sys.executable, "-m", "benchmarks.one", case, library]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # noqa: S603  # the command is this Python and our own words
    if run.returncode:
        print(run.stderr[-2000:], file=sys.stderr)
        return {}
    figures: dict[str, float] = json.loads(run.stdout)
    return figures


def _line(row: Row, measured: Measured) -> str:
    def value(key: Key) -> float:
        case, library, figure = key
        return median(figures.get(figure, float("nan")) for figures in measured[case, library])

    ratio = row.ratio(value)
    shown = ["–" if row.theirs is None else _figure(value(row.theirs)), "–" if ratio is None else f"{ratio:.2f}"]
    met = ("yes" if row.is_met(value) else "no") if row.target else "–"
    return f"| {row.work} | {_figure(value(row.ours))} | {' | '.join(shown)} | {row.target or '–'} | {met} |"


def _figure(number: float) -> str:
    if isnan(number):
        return "not measured"
    return f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:.3g}"


if __name__ == "__main__":
    main()
