"""Clocks that are stepped and machines that are suspended, under real threads: one late wake-up, no tick twice or lost.

The half minute for which a new time must stand is one second here.
"""

import threading
import time
from itertools import pairwise

import pytest
from tests.waiting import LONGER, until

from rota import Scheduler
from rota.stores import MemoryStore, SQLiteStore

pytestmark = pytest.mark.any_versions

STANDS = "rota.backends.embedded_clock.STANDS"
SOON = 20.0
"""Seconds within which it goes on: less than the half minute after which every scheduler looks at its clock anyway."""


class SettableClock:
    """A wall clock that can be set, a boot clock that counts a suspend, and a monotonic clock that does not."""

    def __init__(self):
        self._began = time.monotonic()
        self._epoch = 1_800_000_000_000_000
        self._stepped = 0.0
        self._slept = 0.0

    def _passed(self):
        return time.monotonic() - self._began

    def now(self):
        return self._epoch + int((self._passed() + self._slept + self._stepped) * 1_000_000)

    def monotonic(self):
        return self._passed()

    def boottime(self):
        return 1000 + self._passed() + self._slept

    def boot_id(self):
        return "one boot"

    def step(self, seconds):
        self._stepped += seconds

    def suspend(self, seconds):
        self._slept += seconds


def between_ticks(clock, scheduler):
    """Wait until no tick is due soon, and none at work: one whose clock is set while it is would start early by it."""
    assert until(lambda: 300_000 < clock.now() % 1_000_000 < 600_000 and not scheduler.runs(status="running"))


@pytest.fixture(params=["memory", "sqlite"])
def world(request, tmp_path, monkeypatch):
    monkeypatch.setattr(STANDS, 1.0)
    clock = SettableClock()
    store = MemoryStore(clock) if request.param == "memory" else SQLiteStore(f"{tmp_path}/rota.db", "steps", clock)
    scheduler = Scheduler("steps", store=store, clock=clock, shutdown_timeout=3)
    ran = []
    lock = threading.Lock()

    def job(run):
        with lock:
            ran.append((run.scheduled_for, run.now()))

    scheduler.interval(seconds=1, id="job", overlap="allow")(job)
    scheduler.start()
    yield clock, scheduler, ran
    scheduler.shutdown()


def ticks(ran):
    return [tick for tick, _ in ran]


def assert_once_and_never_early(ran):
    assert len(ticks(ran)) == len(set(ticks(ran)))
    assert all(now >= tick for tick, now in ran)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_stepped_by_an_hour_repeats_no_tick_and_stalls_for_no_longer_than_it_must(world, hours):
    clock, scheduler, ran = world
    assert until(lambda: len(ran) >= 2)
    between_ticks(clock, scheduler)
    before = ticks(ran)[-1]
    clock.step(hours * 3600)
    if hours > 0:
        assert until(lambda: len(ran) >= 5, SOON)
        assert (ticks(ran)[-1] - before).total_seconds() > 3500
        assert [run.count > 3_000 for run in scheduler.runs("job", status="missed")] == [True]
    else:
        time.sleep(2.5)  # what was claimed before lies in its future
        assert ticks(ran)[-1] == before
        clock.step(3600)
        scheduler._host.node.engine.post(None)  # the wake-up that would else come within half a minute
        count = len(ran)
        assert until(lambda: len(ran) >= count + 2, SOON)
    assert_once_and_never_early(ran)


def test_a_jump_of_a_day_and_back_poisons_nothing(world, monkeypatch):
    clock, scheduler, ran = world
    assert until(lambda: len(ran) >= 2)
    between_ticks(clock, scheduler)
    monkeypatch.setattr(STANDS, LONGER)  # it is not to be believed, however slow the machine is
    clock.step(86_400)
    time.sleep(1.2)  # a tick of the new time comes due
    between_ticks(clock, scheduler)
    during = len(ran)
    monkeypatch.setattr(STANDS, 1.0)
    clock.step(-86_400)
    assert until(lambda: len(ran) >= during + 3, SOON)
    assert_once_and_never_early(ran)
    assert (max(ticks(ran)) - min(ticks(ran))).total_seconds() < 300
    runs = scheduler.runs("job", limit=1000)
    covered = sorted(run.scheduled_for for run in runs)
    assert all(after > before for before, after in pairwise(covered))
    assert sum(run.count for run in runs) == (covered[-1] - covered[0]).total_seconds() + 1


def test_a_suspended_machine_wakes_once_and_catches_up_once(world):
    clock, scheduler, ran = world
    assert until(lambda: len(ran) >= 2)
    count = len(ran)
    clock.suspend(8 * 3600)
    assert until(lambda: len(ran) >= count + 2, SOON)
    assert_once_and_never_early(ran)
    (missed,) = scheduler.runs("job", status="missed")
    assert missed.count > 28_000
