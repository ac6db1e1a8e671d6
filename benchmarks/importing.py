"""Importing: seconds that a program waits for its scheduler before it has done anything."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.cases import Figures, case

STATEMENTS = {
    "rota": "import rota",
    "rota.Scheduler": "from rota import Scheduler",
    "apscheduler": "import apscheduler.schedulers.background",
}
TIMED = "import time; began = time.perf_counter(); {}; print((time.perf_counter() - began) * 1e3)"


@case("import", *STATEMENTS)
def importing(scale: float, library: str) -> Figures:
    """Milliseconds, in an interpreter that has imported nothing yet; the best of a few, files being in the cache."""
    command = [sys.executable, "-c", TIMED.format(STATEMENTS[library])]
    runs = [subprocess.run(command, capture_output=True, check=True, text=True) for _ in range(5)]  # noqa: S603  # the command is this Python and our own words
    return {"ms": min(float(run.stdout) for run in runs)}
