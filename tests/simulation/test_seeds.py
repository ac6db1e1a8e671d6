"""Stories of simulated fleets: C1 to C7 hold after every step of each, and everything comes to its end.

`nox -s simulate -- --seeds 100000` plays more of them, `nox -s simulate -- --replay SEED` one again.
"""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from tests.simulation import mutations
from tests.simulation.story import tell

from rota.backends.memory import MemoryStore

pytestmark = pytest.mark.any_versions

CHUNK = 100
CHUNKS = 20
FOUND_WITHIN = 300

FIRST = {"no keys": 70}
"""The seeds from which on rare faults are looked for."""


@pytest.mark.parametrize("first", range(0, CHUNK * CHUNKS, CHUNK))
def test_nothing_is_lost_doubled_early_or_for_ever(first):
    told = [tell(seed) for seed in range(first, first + CHUNK)]
    assert {story.seed: story.problems for story in told if story.problems} == {}
    assert sum(story.starts for story in told) > CHUNK


@pytest.mark.parametrize("name", [*mutations.STORES, *mutations.DRIVERS])
def test_mutations_are_found(name):
    first = FIRST.get(name, 0)
    make_store = mutations.STORES.get(name, MemoryStore)
    with mutations.DRIVERS.get(name, nullcontext)():
        found = any(tell(seed, make_store).problems for seed in range(first, first + FOUND_WITHIN))
    assert found


def test_a_seed_is_the_same_story_to_the_byte():
    assert [tell(seed).text() for seed in range(20)] == [tell(seed).text() for seed in range(20)]


def test_a_seed_is_the_same_story_in_another_process():
    seed = 4
    run = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--replay", str(seed)],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert f"journal {tell(seed).digest()}" in run.stdout
    assert run.stdout.startswith(tell(seed).text())
