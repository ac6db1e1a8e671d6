"""For pytest: fixtures `rota_clock`, and `rota_scheduler` on it; the option `--lock-backend`, for the conformance kit.
Registered by the package's `pytest11` entry point.

Law: loaded into every test run of every project that has Rota installed, so it imports nothing of Rota before a fixture
is asked for.

::

    def test_reminders_go_out_once_a_day(rota_clock, rota_scheduler):
        rota_scheduler.include(reminders.jobs)
        rota_clock.advance(days=2)
        assert len(rota_scheduler.runs("remind")) == 2
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rota.scheduler import Scheduler
    from rota.testing.clock import FakeClock

START = "2026-01-01T00:00:00+00:00"

LOCK_BACKEND = "ROTA_LOCK_BACKEND"
"""Where the option is kept for the processes that the kit starts."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--lock-backend`."""
    parser.getgroup("rota").addoption(
        "--lock-backend",
        metavar="URL",
        help="the locks that `--pyargs rota.testing.conformance.at_url` proves, such as redis://localhost/1",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep the option where other processes find it."""
    url = config.getoption("--lock-backend", None)
    if url is not None:
        os.environ[LOCK_BACKEND] = url


@pytest.fixture
def rota_clock() -> FakeClock:
    """A `rota.testing.FakeClock` that stands at midnight UTC of 1 January 2026, a Thursday, until it is advanced."""
    from rota.testing.clock import FakeClock  # see the law

    return FakeClock(START)


@pytest.fixture
def rota_scheduler(rota_clock: FakeClock) -> Iterator[Scheduler]:
    """A started `rota.Scheduler` on `rota_clock`, with a store in memory and no thread; shut down after the test."""
    from rota.scheduler import Scheduler  # see the law

    scheduler = Scheduler(clock=rota_clock)
    scheduler.run_due()
    yield scheduler
    scheduler.shutdown(timeout=0)
