"""One measurement in this process: `python -m benchmarks.one CASE LIBRARY [SCALE]` prints its figures as JSON.

Where a server that it needs is not at hand, it says which, and fails."""

import json
import sys

from tests.services import Unavailable

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
    try:
        figures = CASES[case, library](float(rest[0]) if rest else 1.0)
    except Unavailable as error:
        raise SystemExit(f"not measured: {error}") from None
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
