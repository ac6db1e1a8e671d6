"""A fleet of two on a server, on real clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from tests import services
from tests.waiting import PATIENCE, until

from rota import LockHeld, Scheduler


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.requires_service(name)) for name in ("redis", "postgresql", "mysql")]
)
def fleet(request: pytest.FixtureRequest) -> Iterator[tuple[Scheduler, Scheduler]]:
    name = uuid4().hex
    first, second = (Scheduler(name, store=services.url(request.param)) for _ in range(2))
    yield first, second
    first.shutdown(2)
    second.shutdown(2)


def test_two_schedulers_share_a_store_and_run_each_tick_once(fleet):
    ticks = []

    def job(run):
        ticks.append(run.scheduled_for)

    for scheduler in fleet:
        scheduler.interval(timedelta(milliseconds=100), id="job")(job)
        scheduler.start()
    assert until(lambda: len(ticks) >= 12)
    for scheduler in fleet:
        scheduler.shutdown(PATIENCE)
    assert len(set(ticks)) == len(ticks)
    records = fleet[0].runs("job", limit=1_000)
    assert sorted(ticks) == sorted(record.scheduled_for for record in records if record.status == "succeeded")
    assert all(record.status in {"succeeded", "skipped", "missed", "queued"} for record in records)


def test_what_one_enqueues_the_other_runs_once_under_one_key(fleet):
    asked, done = fleet[0], []

    def mail(address):
        done.append(address)

    for scheduler in fleet:
        scheduler.add(mail, id="mail")
    ids = {scheduler.enqueue("mail", args=("a@example.org",), key="welcome") for scheduler in fleet}
    assert len(ids) == 1
    fleet[1].start()
    assert until(lambda: asked.get_run(*ids).status == "succeeded")
    assert done == ["a@example.org"]


def test_a_pause_and_a_lock_hold_for_both(fleet):
    first, second = fleet
    for scheduler in fleet:
        scheduler.add(print, id="job")
    first.pause("job", "by hand")
    assert second.jobs["job"].paused
    with first.lock("invoice") as lease, pytest.raises(LockHeld), second.lock("invoice"):
        raise AssertionError
    with second.lock("invoice") as after:
        assert after.fence > lease.fence


def test_windows_join_where_those_before_did_not(fleet):
    scheduler = fleet[0]
    scheduler.interval(timedelta(milliseconds=100), id="job")(lambda run: None)
    scheduler.start()

    def happy():
        return sorted(scheduler.runs("job", status="succeeded", limit=1_000), key=lambda run: run.window.end)

    for overlap in ("skip", "allow", "skip"):
        scheduler.update("job", overlap=overlap)
        count = len(happy())
        assert until(lambda count=count: len(happy()) >= count + 4)
    scheduler.shutdown(PATIENCE)
    windows = [run.window for run in happy()]
    assert all(before.end <= after.start for before, after in pairwise(windows)), "nothing is done twice"
    assert all(before.end == after.start for before, after in pairwise(windows[-3:])), "nothing is left out"


@pytest.mark.requires_service("redis")
def test_a_fleet_whose_server_has_forgotten_everything_goes_on_and_runs_no_tick_again():
    import redis

    name, ticks = uuid4().hex, []
    fleet = [Scheduler(name, store=services.url("redis")) for _ in range(2)]
    for scheduler in fleet:
        scheduler.interval(timedelta(milliseconds=100), id="job", overlap="allow")(
            lambda run: ticks.append(run.scheduled_for)
        )
        scheduler.start()
    assert until(lambda: len(ticks) >= 3)
    with redis.Redis.from_url(services.url("redis")) as server:
        server.delete(*server.scan_iter(f"{{rota:{name}}}:*", count=10_000))
    count = len(ticks)
    assert until(lambda: len(ticks) >= count + 5)
    for scheduler in fleet:
        scheduler.shutdown(PATIENCE)
    assert len(set(ticks)) == len(ticks)
