"""How a typed application uses Rota: checked by mypy and, strictly, by pyright; never run.

Law: nothing here is `Any` or unknown, no decorator changes the type of a function, and each call gives what it says.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import assert_type

from sqlalchemy import Engine, create_engine

from rota import AsyncRun, Job, Jobs, Retry, Run, RunRecord, Scheduler
from rota.stores import MemoryStore
from rota.testing import FakeClock, simulate
from rota.triggers import Calendar, Cron, Interval


def engine() -> Engine:
    return create_engine("postgresql://postgres@127.0.0.1/shop")


Scheduler("shop", store=engine, locks=engine)
Scheduler("shop", store=MemoryStore, locks=lambda: create_engine("mysql://root@127.0.0.1/shop"))
scheduler = Scheduler("billing", tz="Europe/Paris", retention=timedelta(days=7), defaults={"timeout": 60})


@scheduler.cron("0 2 * * *", timeout=600, retry=Retry(attempts=5), overlap="queue")
def nightly(run: Run, region: str = "eu") -> int:
    run.checkpoint["region"] = region
    run.log.info("working", since=run.now())
    return run.step("count", len, region)


@scheduler.interval(minutes=5)
async def sync(run: AsyncRun) -> str:
    await run.checkpoint.set("seen", 1)
    return run.id


@scheduler.idempotent("charge:{invoice_id}", ttl=86_400)
def charge(invoice_id: int) -> str:
    return str(invoice_id)


jobs = Jobs("reports")


@jobs.calendar(months=1, at="06:30")
def monthly() -> None: ...


@jobs.calendar(weeks=2, at=time(6, 30), anchor="2026-01-05", tags={"money"})
def fortnightly() -> None: ...


@jobs.interval(hours=1, anchor="2026-01-01T00:30+01:00")
def hourly() -> None: ...


assert_type(charge(3), str)
assert_type(monthly(), None)
assert_type(scheduler.add(monthly, Cron("0 3 * * *") | Interval(timedelta(hours=1)), id="also"), Job)
assert_type(scheduler.enqueue(nightly, args=["eu"], delay=3.0, key="a"), str)
assert_type(scheduler.runs(nightly, status="unhappy"), list[RunRecord])
assert_type(scheduler.next_fires("nightly"), list[datetime])
assert_type(scheduler.cancel("id"), bool)
assert_type(scheduler.start(), bool)
assert_type(scheduler.health().alive, bool)

with simulate(scheduler, start="2026-01-01T00:00+00:00") as sim:
    sim.advance(days=1)
    assert_type(sim.runs(nightly), list[RunRecord])

clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
clock.advance(hours=1)


scheduler.listen(lambda e: print(e.kind), "run_ended")
scheduler.listen(print)


@scheduler.cron("H 2 1,15 * mon", on_crash="rerun", dst_gap="shift", dst_fold="both", day_match="and", catch_up="all")
def every_word() -> None: ...


@scheduler.calendar(months=1, anchor="2026-01-31", month_end="skip", dst_gap="run_after", dst_fold="second")
def at_the_end() -> None: ...


scheduler.update(every_word, overlap="replace", catch_up="skip", on_crash="lost")
scheduler.listen(print, "run_ended", "store_down")


# A word that is none is an error too.
scheduler.update(every_word, overlap="que")  # type: ignore[arg-type]  # misspelt on purpose
scheduler.add(every_word, id="b", catch_up="newest")  # type: ignore[arg-type]  # the same
scheduler.interval(hours=1, on_crash="retry")  # type: ignore[arg-type]  # the same
scheduler.cron("@daily", dst_gap="after")  # type: ignore[arg-type]  # the same
scheduler.calendar(days=1, dst_fold="last")  # type: ignore[arg-type]  # the same
Cron("@daily", day_match="xor")  # type: ignore[arg-type]  # the same
Calendar(months=1, month_end="last")  # type: ignore[arg-type]  # the same
scheduler.listen(print, "run_end")  # type: ignore[arg-type]  # the same


# A misspelt name is an error to the type checkers; one that were not would make its ignore an unused one.
Retry(attempt=5)  # type: ignore[call-arg]  # misspelt on purpose
Cron("0 2 * * *", timezone="UTC")  # type: ignore[arg-type]  # the same
Interval(minute=5)  # type: ignore[arg-type]  # the same
scheduler.lock("invoice:42", tttl=5)  # type: ignore[call-arg]  # the same


async def steer() -> None:
    async with scheduler, scheduler.lock("invoice:42") as lease:
        assert_type(lease.fence, int)
        assert_type(await scheduler.aio.run_now(sync), str)
        assert_type(await scheduler.aio.runs(sync, before="2026-01-01T00:00Z"), list[RunRecord])
