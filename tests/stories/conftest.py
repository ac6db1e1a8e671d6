"""Fixtures of the stories: `make` gives a world with a configured scheduler, `world` one with the defaults.

A test that marks nothing is told in every world; `@in_worlds("driven-memory", …)` narrows that down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.stories.worlds import World, world

WORLDS = ("driven-memory", "driven-sqlite", "manual-memory", "manual-sqlite", "simulated")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("worlds")
        metafunc.parametrize("kind", marker.args if marker else WORLDS)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "worlds(*kinds): the worlds in which a story is told, instead of all")


@pytest.fixture
def make(kind: str, tmp_path: Path) -> Iterator[Callable[..., World]]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(world(kind, tmp_path, **options))


@pytest.fixture(name="world")
def _world(make: Callable[..., World]) -> World:
    return make()
