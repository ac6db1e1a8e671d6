"""Scenarios of rolling deploys: an old and a new version of an application share a store."""

from __future__ import annotations

from tests.fleet.nodes import Fleet, assert_each_tick_once, assert_sound, so_many_more, starts
from tests.fleet.places import Place
from tests.waiting import until

EVERY_SECOND = "every = Interval(timedelta(seconds=1))\n"
ADD = 'scheduler.add(lambda run: note(run, "start"), {trigger}, id="{id}", overlap="allow", catch_up="all"{more})\n'


def _added(job_id: str, trigger: str = "every", more: str = "") -> str:
    return ADD.format(id=job_id, trigger=trigger, more=more)


def removed(place: Place) -> str:
    """Half of the nodes no longer know a job: the others go on running it, and what is stored stays."""
    old = EVERY_SECOND + _added("stays") + _added("goes")
    with Fleet(place, old) as fleet:
        fleet.start()
        fleet.ready()
        so_many_more(fleet, 2, job="goes")
        fleet.start(jobs=EVERY_SECOND + _added("stays"))
        fleet.ready()
        so_many_more(fleet, 2, job="goes")
        so_many_more(fleet, 1, job="stays")
        fleet.stop()
        entries = fleet.ledger()
    assert_sound(entries)
    count = assert_each_tick_once(entries, "goes", 1_000_000)
    assert_each_tick_once(entries, "stays", 1_000_000)
    kept = [run for run in place.scheduler().runs(limit=1000) if run.job_id == "goes"]
    assert len(kept) == count, (len(kept), count)
    return f"all {count} ticks once by the nodes that know the job; all {count} records kept"


def renamed(place: Place) -> str:
    """Half of the nodes know a job by a new name (`renamed_from`): each tick once, under either name."""
    with Fleet(place, EVERY_SECOND + _added("before")) as fleet:
        old = fleet.start()
        fleet.ready()
        so_many_more(fleet, 2, job="before")
        fleet.start(jobs=EVERY_SECOND + _added("after", more=', renamed_from="before"'))
        fleet.ready()
        _more_of_either(fleet, 3)
        fleet.kill(old)
        so_many_more(fleet, 2, job="after")
        fleet.stop()
        entries = [entry._replace(job="it") for entry in fleet.ledger()]
    assert_sound(entries)
    count = assert_each_tick_once(entries, "it", 1_000_000)
    return f"all {count} ticks once, under the one name or the other"


def rescheduled(place: Place) -> str:
    """Half of the nodes run a job every second, half every 1.5 s: each instant of either grid once."""
    with Fleet(place, EVERY_SECOND + _added("it")) as fleet:
        fleet.start()
        fleet.ready()
        so_many_more(fleet, 2, job="it")
        fleet.start(jobs=_added("it", "Interval(timedelta(milliseconds=1500))"))
        fleet.ready()
        so_many_more(fleet, 8, job="it")
        fleet.stop()
        entries = fleet.ledger()
    assert_sound(entries)
    due = [entry.due for entry in starts(entries, "it")]
    assert len(due) == len(set(due)), "an instant was run twice"
    off = [instant for instant in due if instant % 1_000_000 and instant % 1_500_000]
    assert not off, off
    assert any(instant % 1_000_000 for instant in due), "the new schedule was never run"
    return f"{len(due)} instants of both grids, each once"


def _more_of_either(fleet: Fleet, count: int) -> None:
    goal = len(fleet.ledger()) + count
    assert until(lambda: len(fleet.ledger()) >= goal), fleet.ledger()
