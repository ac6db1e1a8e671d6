"""The shop's jobs: what is done when, and what is done about it if it fails.

Law: a job may be cut off anywhere and run again. Each names its output after its tick or its window, so that a second
attempt writes the same files, and what leaves the house carries a key.

The scheduler is a module's own object, as extensions of Flask are. `create_app()` tells it where its store is.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any, cast

from rota import GiveUp, Retry, Run, Scheduler
from rota.triggers import Interval

from .mail import MailRefused, MailUnavailable, send_mail
from .shop import Shop, file_stamp, words_of, write_whole

scheduler: Scheduler = Scheduler("shop")

BACKUPS_KEPT = 3

IN_SECONDS = {
    "visitors": 1,
    "hourly_rollup": 2,
    "search_index": 3,
    "nightly_backup": 4,
    "morning_digests": 5,
}
"""The schedule when hours shall pass in seconds, to watch it."""


def speed_up() -> None:
    """Run every job every few seconds instead."""
    for job, seconds in IN_SECONDS.items():
        scheduler.reschedule(job, Interval(timedelta(seconds=seconds)))


def shop_of(run: Run) -> Shop:
    """The shop, which `create_app()` put on the scheduler for the jobs to find."""
    return cast(Shop, run.state.shop)


@scheduler.interval(minutes=1)
def visitors(run: Run) -> str:
    """Stands in for the shop's visitors: a few more events of a recorded day happen now."""
    visits = shop_of(run).next_visits(5)
    shop_of(run).record(visits, run.now)
    return f"{len(visits)} events"


@scheduler.cron("0 * * * *", timeout=60, retry=Retry(attempts=3))
def hourly_rollup(run: Run) -> str:
    """Totals of the event log over the run's window.

    The window starts where the one before it ended, whatever happened in between: no event is left out, none counted
    twice.
    """
    assert run.window is not None
    totals = shop_of(run).roll_up(run.window.start, run.window.end)
    return f"{totals['events']} events of {run.window.start:%H:%M:%S} to {run.window.end:%H:%M:%S}"


@scheduler.cron("0 2 * * *", tz="Europe/Paris", timeout=600, retry=Retry(attempts=5))
def nightly_backup(run: Run) -> str:
    """A copy of the database, named after its tick; the newest three are kept."""
    assert run.window is not None
    copy = shop_of(run).back_up(run.window.end, keep=BACKUPS_KEPT)
    return copy.name


@scheduler.interval(minutes=15, on_crash="rerun")
def search_index(run: Run) -> str:
    """Which word is in which product. Slow, so it goes on at its checkpoint after a crash, and can be asked to stop."""
    shop = shop_of(run)
    products = shop.products()
    so_far = cast("dict[str, Any]", run.checkpoint.get("so_far", {"done": 0, "index": {}}))
    index, first = so_far["index"], so_far["done"]
    for done, (product_id, name) in enumerate(products[first:], first + 1):
        run.check_cancelled()
        time.sleep(shop.slowness)  # stands for the work of real indexing, so that a shutdown meets it
        for word in words_of(name):
            index.setdefault(word, []).append(product_id)
        if done % 10 == 0:
            run.checkpoint["so_far"] = {"done": done, "index": index}
            run.progress(done, len(products))
    write_whole(shop.search_index, json.dumps(index, indent=2) + "\n")
    since = f", from product {first + 1} on" if first else ""
    return f"{len(products)} products, {len(index)} words{since}"


@scheduler.cron("30 7 * * *", tz="Europe/Paris")
def morning_digests(run: Run) -> str:
    """One run per customer, each with attempts of its own. Enqueued twice under a key, it is still one run."""
    assert run.window is not None
    edition = file_stamp(run.window.end)
    customers = shop_of(run).customers()
    for customer in customers:
        args = [customer.id, customer.address, edition]
        scheduler.enqueue(send_digest, args=args, key=f"digest:{customer.id}:{edition}")
    return f"{len(customers)} digests enqueued"


@scheduler.job(timeout=30, max_running=2, retry=Retry(attempts=5, on=MailUnavailable, wait_initial=0.5))
def send_digest(run: Run, customer_id: int, address: str, edition: str) -> str:
    """One customer's digest by mail. A busy mail server is asked again, one that refuses the address is not."""
    text = run.step("text", shop_of(run).write_digest, customer_id)
    try:
        post_digest(shop_of(run).mail_url, address, edition, text)
    except MailRefused as error:
        raise GiveUp(str(error)) from error
    return f"sent to {address}"


@scheduler.idempotent("digest:{edition}:{address}", ttl=7 * 86_400)
def post_digest(url: str, address: str, edition: str, text: str) -> str:
    """Once per edition and address in the whole fleet, whoever asks for it."""
    return send_mail(url, key=f"{edition}-{address}", to=address, subject="Your digest", text=text)
