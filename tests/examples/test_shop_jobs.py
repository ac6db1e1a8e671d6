"""The jobs of the shop, on simulated time: days pass in the schedule of `jobs.py`, and the files are looked at."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from rota.demo.flask_app import jobs
from rota.demo.flask_app.mail_server import MailServer
from rota.demo.flask_app.shop import Shop
from rota.testing import simulate

MIDNIGHT = "2026-03-02T00:00+01:00"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    server = MailServer(tmp_path / "outbox")
    jobs.scheduler.state.shop = Shop(tmp_path, server.url, slowness=0)
    yield jobs.scheduler.state.shop
    server.close()


def test_roll_ups_count_each_event_once_though_some_fail(shop: Shop) -> None:
    with simulate(jobs.scheduler, start=MIDNIGHT) as sim:
        sim.advance(hours=2)
        sim.fail(jobs.hourly_rollup, OSError("disk full"), times=3)
        sim.advance(hours=3)
        rollups = sim.runs(jobs.hourly_rollup)
    assert [run.status for run in rollups] == ["succeeded", "succeeded", "failed", "succeeded", "succeeded"]
    windows = [run.window for run in rollups if run.window is not None and run.status == "succeeded"]
    assert all(before.end == after.start for before, after in pairwise(windows))
    totals = [json.loads(file.read_text(encoding="utf-8"))["events"] for file in sorted(shop.rollups.iterdir())]
    assert len(totals) == 4
    assert sum(totals) == len(shop.events_between(windows[0].start, windows[-1].end)) > 0


def test_backups_are_made_at_two_in_paris_and_three_are_kept(shop: Shop) -> None:
    jobs_at_work = jobs.scheduler.jobs.keys() - {"nightly_backup"}
    with simulate(jobs.scheduler, start="2026-03-26T00:00+01:00") as sim:
        for job in jobs_at_work:
            jobs.scheduler.pause(job)
        sim.advance(days=5)
        assert [run.scheduled_for.hour for run in sim.runs("nightly_backup") if run.scheduled_for] == [1, 1, 1, 1, 0]
    assert [copy.name for copy in sorted(shop.backups.iterdir())] == [
        "shop-20260328T010000Z.sqlite3",
        "shop-20260329T010000Z.sqlite3",
        "shop-20260330T000000Z.sqlite3",
    ]
    newest = Shop(shop.directory, "")
    newest.database = max(shop.backups.iterdir())
    assert newest.customers() == shop.customers()


def test_digests_are_sent_once_each_though_the_mail_server_fails(shop: Shop) -> None:
    with simulate(jobs.scheduler, start="2026-03-02T07:29+01:00") as sim:
        sim.advance(minutes=5)
        digests = sim.runs(jobs.send_digest)
        assert len(jobs.scheduler.dead_letters(jobs.send_digest)) == 1
    assert sorted(run.status for run in digests) == ["failed", "succeeded", "succeeded", "succeeded"]
    assert max(len(run.attempts) for run in digests) == 2
    mails = sorted(mail.name.rpartition("-")[2] for mail in (shop.directory / "outbox").iterdir())
    assert mails == ["ada@example.org.json", "bo@example.org.json", "chidi@example.org.json"]


def test_the_search_index_goes_on_at_its_checkpoint_when_its_process_dies(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulate(jobs.scheduler, start=MIDNIGHT, nodes=2) as sim:
        looked_at: list[float] = []

        def die_at_the_25th(seconds: float) -> None:
            looked_at.append(seconds)
            if len(looked_at) == 25:
                sim.kill(0)
                sim.kill(1)

        monkeypatch.setattr(jobs.time, "sleep", die_at_the_25th)
        jobs.scheduler.run_now(jobs.search_index)
        sim.advance()
        sim.restart(0)
        sim.advance(minutes=2)
        (run,) = sim.runs(jobs.search_index)
    assert run.result == "40 products, 91 words, from product 21 on"
    assert [attempt.outcome for attempt in run.attempts] == ["lost", "succeeded"]
    index = json.loads(shop.search_index.read_text(encoding="utf-8"))
    assert sorted({product for products in index.values() for product in products}) == list(range(1, 41))
    assert all(len(products) == len(set(products)) for products in index.values())
