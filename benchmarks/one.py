"""One measurement in this process: `python -m benchmarks.one CASE LIBRARY [SCALE]` prints its figures as JSON."""

import json
import sys

from benchmarks import (
    dispatching,
    fleet,
    idling,
    importing,
    lateness,
    persistent,
    registering,
    servers,
    simulating,
    triggers,
    waking,
)
from benchmarks.cases import CASES

FAMILIES = (
    triggers,
    registering,
    waking,
    dispatching,
    lateness,
    idling,
    persistent,
    servers,
    fleet,
    importing,
    simulating,
)


def main() -> None:
    case, library, *rest = sys.argv[1:]
    print(json.dumps(CASES[case, library](float(rest[0]) if rest else 1.0)))


if __name__ == "__main__":
    main()
