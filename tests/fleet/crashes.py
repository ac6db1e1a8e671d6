"""Scenarios of crashes: processes killed and stopped at work; what they held is taken over, in one honest state."""

from __future__ import annotations

import random
import signal
import time

from tests.fleet.nodes import Fleet, assert_sound, pause, so_many_more, starts
from tests.fleet.places import Place
from tests.waiting import until

HOLDER = """
def work(run):
    note(run, "start")
    try:
        os.close(os.open(f"hung-{run.job_id}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        note(run, "end")
    else:
        time.sleep(60)

every = Interval(timedelta(seconds=1))
scheduler.add(work, every, id="again", on_crash="rerun", overlap="allow", catch_up="all")
scheduler.add(work, every, id="once", on_crash="lost", overlap="allow", catch_up="all")
"""


def holder_killed(place: Place) -> str:
    """The holder of two runs is killed in the middle; `on_crash` is "rerun" for the one and "lost" for the other."""
    jobs = ("again", "once")
    with Fleet(place, HOLDER) as fleet:
        holder = fleet.start()
        assert until(lambda: all(starts(fleet.ledger(), job) for job in jobs)), holder.stderr
        fleet.start()
        fleet.ready()
        killed = fleet.kill(holder)
        hung = {job: starts(fleet.ledger(), job)[0] for job in jobs}
        assert all(entry.pid == killed for entry in hung.values())

        def reran() -> bool:
            ends = [e for e in fleet.ledger() if (e.what, e.job, e.tick) == ("end", "again", hung["again"].tick)]
            return bool(ends)

        assert until(reran), fleet.ledger()
        looking = place.scheduler()

        def status(job: str) -> str:
            runs = looking.runs(job, limit=1000)
            return next(run.status for run in runs if run.scheduled_for.isoformat() == hung[job].tick)

        assert until(lambda: status("again") == "succeeded"), status("again")
        assert until(lambda: status("once") == "lost"), status("once")
        for job in jobs:
            so_many_more(fleet, 1, job=job)
        fleet.stop()
        entries = fleet.ledger()
    assert_sound(entries)
    again = [entry.attempt for entry in starts(entries, "again") if entry.tick == hung["again"].tick]
    once = [entry.attempt for entry in starts(entries, "once") if entry.tick == hung["once"].tick]
    assert (again, once) == ([1, 2], [1]), (again, once)
    return "rerun: attempts 1 and 2 of the same tick; lost: one attempt, status lost; the next ticks normal"


PAUSED = """
@scheduler.job(id="long", on_crash="rerun", retry=Retry(attempts=5))
def long(run):
    note(run, "start")
    say("begun", run.attempt)
    if run.attempt == 1:
        while not run.cancelled:
            time.sleep(0.005)
        say("cancelled", run.cancel_reason, run.lease.held)
        for late in (lambda: run.checkpoint.__setitem__("late", 1), lambda: run.progress(1)):
            try:
                late()
            except Exception as error:
                say("refused", type(error).__name__)
        return "from the first"
    time.sleep(0.2)
    return "from the second"
"""


def holder_paused(place: Place) -> str:
    """The holder of a run is stopped until another has taken it over, and then goes on."""
    run_id = place.scheduler("long").run_now("long")
    with Fleet(place, PAUSED) as fleet:
        first = fleet.start()
        first.wait_for("begun 1")
        second = fleet.start()
        second.wait_for("ready")
        first.send(signal.SIGSTOP)
        pause(4.0)  # twice the lease
        second.wait_for("begun 2")
        first.send(signal.SIGCONT)
        first.wait_for("cancelled lease_lost False")
        first.wait_for("refused LeaseLost", times=2)
        looking = place.scheduler()
        assert until(lambda: looking.get_run(run_id).status == "succeeded")
        fleet.stop()
        run = looking.get_run(run_id)
        fences = [entry.fence for entry in starts(fleet.ledger(), "long")]
    assert (run.result, [a.outcome for a in run.attempts]) == ("from the second", ["lost", "succeeded"]), run
    assert len(fences) == 2, fences
    assert fences[0] < fences[1], fences
    return "on waking cancelled (lease_lost), its late writes refused, its result not recorded; fences grow"


WAITING = """
@scheduler.job(id="flaky", retry=Retry(attempts=2, wait_initial=1.5, wait_jitter=0))
def flaky(run):
    note(run, "start")
    if run.attempt == 1:
        raise ValueError("once")

@scheduler.job(id="later")
def later(run):
    note(run, "start")

@scheduler.job(id="dead")
def dead(run):
    note(run, "start")
    raise ValueError("for a person")

@scheduler.job(id="steps", retry=Retry(attempts=3))
def steps(run):
    for number in range(run.checkpoint.get("done", 0), 5):
        note(run, f"step-{number}")
        run.checkpoint["done"] = number + 1
        if number == 2 and run.attempt == 1:
            is_at_work.set()
            time.sleep(60)

is_at_work = threading.Event()
"""

KILLS_ITSELF = """
def kill_when_all_wait():
    scheduler.run_now("flaky")
    scheduler.enqueue("later", delay=1.5)
    scheduler.run_now("dead")
    scheduler.run_now("steps")
    while not (
        scheduler.runs("flaky", status="waiting")
        and scheduler.runs("dead", status="failed")
        and is_at_work.is_set()
    ):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=kill_when_all_wait, daemon=True).start()
"""


def taken_over(place: Place) -> str:
    """A process dies that has a waiting retry, a dead letter, an enqueued run and one with checkpoints at work."""
    with Fleet(place, WAITING) as fleet:
        first = fleet.start(jobs=WAITING + KILLS_ITSELF)
        assert first.end() == -signal.SIGKILL, first.stderr
        fleet.start()
        looking = place.scheduler("dead")

        def is_done() -> bool:
            return {run.job_id: run.status for run in looking.runs()} == {
                "flaky": "succeeded", "later": "succeeded", "dead": "failed", "steps": "succeeded",
            }  # fmt: skip

        assert until(is_done), looking.runs()
        letters = [letter.job_id for letter in looking.dead_letters()]
        assert letters == ["dead"], letters
        fleet.stop()
        entries = fleet.ledger()
    assert_sound(entries)
    steps = [entry.what for entry in entries if entry.what.startswith("step-")]
    assert steps == [f"step-{number}" for number in range(5)], steps
    return "the retry was made, the enqueued run ran, the checkpoint went on at step 3, the dead letter still waits"


STORM = """
def guarded(run):
    note(run, "start")
    try:
        with scheduler.lock("resource", ttl=2.0, wait=0.5) as lease:
            enter = lease.fence
            mark("enter", enter)
            time.sleep(0.03)
            if lease.held:
                mark("leave", enter)
    except rota.LockHeld:
        pass

def mark(what, fence):
    journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{what} {fence} {os.getpid()} {time.monotonic_ns()}\\n".encode())
    os.close(journal)

import rota
every = Interval(timedelta(milliseconds=250))
scheduler.add(guarded, every, id="each", overlap="allow", catch_up="all", on_crash="lost")
scheduler.add(lambda run: note(run, "start"), every, id="again", overlap="allow", catch_up="all", on_crash="rerun")
"""

FINAL = {"succeeded", "lost"}


def storm(place: Place, *, nodes: int = 5, kills: int = 10, apart: float = 0.2, seed: int = 41) -> str:
    """A process of the fleet, drawn by chance, is killed every 200 ms and another started in its place."""
    chance = random.Random(seed)
    killed_at: dict[int, int] = {}
    with Fleet(place, STORM, seconds=180 + kills) as fleet:
        for _ in range(nodes):
            fleet.start()
        fleet.ready()
        for _ in range(kills):
            pause(apart)
            victim = chance.choice(fleet.alive())
            killed_at[fleet.kill(victim)] = time.monotonic_ns()
            fleet.start()
        fleet.ready()
        looking = place.scheduler()
        so_many_more(fleet, 3)

        def held_by_the_dead() -> list[object]:
            return [
                run for run in looking.runs(status="running", limit=1000) if int(run.node.split(":")[1]) in killed_at
            ]

        assert until(lambda: not held_by_the_dead()), held_by_the_dead()
        fleet.stop()
        entries = fleet.ledger()
    assert_sound(entries)
    assert_records_agree(
        place, {(entry.job, entry.tick) for entry in starts(entries, "each") + starts(entries, "again")}
    )
    held = assert_fences_exclude(place, killed_at)
    return (
        f"{kills} of {kills + nodes} processes killed, {len(starts(entries, 'each'))} runs, {held} leases: no overlap"
    )


def assert_records_agree(place: Place, started: set[tuple[str, str]]) -> None:
    """Every tick on record has ended honestly, and none was started that is not on record."""
    runs = place.scheduler().runs(limit=100_000)
    statuses = {run.status for run in runs}
    assert statuses <= FINAL | {"queued", "missed"}, statuses  # queued: interrupted by the end of the last process
    assert started <= {(run.job_id, run.scheduled_for.isoformat()) for run in runs}
    succeeded = {(run.job_id, run.scheduled_for.isoformat()) for run in runs if run.status == "succeeded"}
    assert succeeded <= started, succeeded - started


def assert_fences_exclude(place: Place, killed_at: dict[int, int]) -> int:
    """No lease was entered while another one was valid: left, or its holder killed, before; how many there were."""
    marks = [line.split() for line in (place.directory / "journal").read_text().splitlines()]
    entered = {int(fence): (int(at), int(pid)) for what, fence, pid, at in marks if what == "enter"}
    left = {int(fence): int(at) for what, fence, pid, at in marks if what == "leave"}
    assert len(entered) == sum(mark[0] == "enter" for mark in marks), "a fence was given twice"
    previous: tuple[int, int] | None = None
    for fence in sorted(entered):
        at, pid = entered[fence]
        if previous is not None:
            assert at >= previous[1], f"fence {fence} was entered while {previous[0]} was valid"
        previous = fence, left.get(fence, killed_at.get(pid, at))
    return len(entered)
