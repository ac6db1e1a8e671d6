"""`each_store(…)` runs a test on kinds of stores; those whose server is missing are skipped, and named at the end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fleet import places


def each_store(*kinds: str) -> Callable:
    """Parametrise a test by `place`."""
    marked = [
        pytest.param(kind, marks=[pytest.mark.requires_service(kind)] if kind in places.SERVERS else [])
        for kind in kinds or places.KINDS
    ]
    return pytest.mark.parametrize("place", marked, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[places.Place]:
    """A store of its own."""
    with places.opened(request.param, tmp_path) as place:
        yield place
