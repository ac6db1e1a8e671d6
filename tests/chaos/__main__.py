"""The chaos table: `python -m tests.chaos [--row 7] [--store postgresql]`; both may be given several times.

Runs each fault on each store with real processes, signals and servers, and prints a line for it when it has been seen
through: row, store, what was done, what was seen, verdict. Exits with 1 where something was seen that must not be, or
could not be tried although ROTA_REQUIRE_SERVICES=1.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests import services
from tests.chaos.rows import ROWS, Row
from tests.fleet import places

HELD, VIOLATED, NOT_HERE = "held", "VIOLATED", "not here"


def main() -> int:
    options = _options()
    chosen = [
        (row, kind)
        for row in ROWS
        for kind in row.kinds
        if (not options.row or row.number in options.row) and (not options.store or kind in options.store)
    ]
    verdicts: Counter[str] = Counter()
    print("| row | store | what was done | what was seen | verdict | s |\n|---|---|---|---|---|---|", flush=True)
    with services.opened():
        for row, kind in chosen:
            began = time.monotonic()
            seen, verdict = _seen(row, kind)
            verdicts[verdict] += 1
            took = time.monotonic() - began
            print(f"| {row.number} | {kind} | {row.what_is_done} | {seen} | {verdict} | {took:.0f} |", flush=True)
    print(f"\n{', '.join(f'{count} {verdict}' for verdict, count in verdicts.items()) or 'nothing was chosen'}")
    is_fine = not verdicts[VIOLATED] and bool(verdicts[HELD])
    if os.environ.get("ROTA_REQUIRE_SERVICES") == "1":
        is_fine = is_fine and not verdicts[NOT_HERE]
    return 0 if is_fine else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description="The faults that Rota survives, tried.")
    numbers = list(dict.fromkeys(row.number for row in ROWS))
    kinds = list(dict.fromkeys(kind for row in ROWS for kind in row.kinds))
    parser.add_argument("--row", action="append", choices=numbers, help="only this row; may be repeated")
    parser.add_argument("--store", action="append", choices=kinds, help="only on this store; may be repeated")
    return parser.parse_args()


def _seen(row: Row, kind: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory(prefix="rota-chaos-", ignore_cleanup_errors=True) as directory:
        try:
            with places.opened(kind, Path(directory)) as place:
                return row.run(place), HELD
        except services.Unavailable as reason:
            return str(reason), NOT_HERE
        except Exception as failure:
            traceback.print_exc(file=sys.stderr)
            words = " ".join(f"{type(failure).__name__}: {failure}".split())
            return words[:300].replace("|", "\\|"), VIOLATED


if __name__ == "__main__":
    sys.exit(main())
