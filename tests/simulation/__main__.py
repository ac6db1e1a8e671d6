"""`python -m tests.simulation`: see the package."""

import sys

from tests.simulation.explorer import main

if __name__ == "__main__":
    sys.exit(main())
