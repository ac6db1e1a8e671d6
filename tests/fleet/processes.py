"""Scenarios of one process: jobs that never return, forks, signals, replies that are lost."""

from __future__ import annotations

import signal
import time
from uuid import uuid4

from tests.anomaly.programs import Program
from tests.fleet.nodes import EVERY, Fleet, assert_each_tick_once, assert_sound, pause, so_many_more
from tests.fleet.places import Place
from tests.fleet.replies import asked, every_fault

from rota.clock import SystemClock
from rota.drivers.opening import make_locks
from rota.testing import FaultProxy

STUCK = (
    EVERY
    + """
@scheduler.job(id="never", timeout=1)
def never():
    threading.Event().wait()

def tell():
    scheduler.run_now("never")
    while not scheduler.health().stuck:
        time.sleep(0.01)
    say("stuck", scheduler.health().stuck, scheduler.health().alive)
    time.sleep(2)  # the stuck thread is left alone for a while
    began = time.monotonic()
    report = scheduler.shutdown(5)
    say("over", time.monotonic() - began < 10, len(report.abandoned))
    os._exit(0)

threading.Timer(0.5, tell).start()
"""
)


def never_returns(place: Place) -> str:
    """A plain function with a time-out of 1 s never returns; then the scheduler is shut down."""
    with Fleet(place, STUCK.format(milliseconds=500)) as fleet:
        node = fleet.start()
        node.wait_for("stuck 1 True")
        so_many_more(fleet, 2)
        node.wait_for("over True 1")
        assert node.end() == 0
        ticks = assert_each_tick_once(fleet.ledger(), "each", 500_000)
    return f"told as stuck, all {ticks} ticks of the other job once; shutdown in time, 1 abandoned"


FORKS = (
    EVERY
    + """
import multiprocessing

def child(is_forked):
    threads = threading.active_count()
    health = scheduler.health()
    say("child", health.alive, bool(health.why), threads)
    say("looks", len(scheduler.runs("each", limit=1)))

def forked():
    pid = os.fork()
    if pid == 0:
        health = scheduler.health()
        say("forked", health.alive, "fork" in health.why)
        scheduler.start()
        say("started", scheduler.health().alive)
        time.sleep(2)  # a tick of its own comes due
        scheduler.shutdown()
        os._exit(0)
    say("forked child ended", os.waitpid(pid, 0)[1])

def tell():
    while not scheduler.health().alive or not scheduler.runs("each", limit=1):
        time.sleep(0.01)
    process = multiprocessing.get_context("fork").Process(target=child, args=(True,))
    process.start()
    process.join()
    say("exit", process.exitcode, scheduler.health().alive)
    forked()
    say("parent", scheduler.health().alive)

threading.Thread(target=tell).start()
"""
)


def forks(place: Place) -> str:
    """A process that runs jobs forks: a child of multiprocessing, and one that starts a scheduler of its own."""
    with Fleet(place, FORKS.format(milliseconds=500)) as fleet:
        node = fleet.start()
        node.wait_for("parent True")
        so_many_more(fleet, 2)
        fleet.stop()
        entries = fleet.ledger()
    expected = ["child False True 1", "looks 1", "exit 0 True", "forked False True", "started True"]
    assert [line for line in node.lines if line in expected] == expected, node.lines
    assert "forked child ended 0" in node.lines, node.lines
    assert_sound(entries)
    ticks = assert_each_tick_once(entries, "each", 500_000)
    by = len({entry.pid for entry in entries})
    return (
        f"the child of multiprocessing stopped and said so; the other ran jobs too ({by} processes), {ticks} ticks once"
    )


IN_FLIGHT = """
@scheduler.job(id="long", on_crash="rerun", retry=Retry(attempts=9))
def long(run):
    note(run, "start")
    say("begun")
    while not run.cancelled:
        time.sleep(0.005)
    run.check_cancelled()
"""


def signals(place: Place) -> str:
    """SIGTERM with a run in flight; five at once; SIGINT; SIGTERM while the store hangs."""
    asking = place.scheduler("long")
    for burst in ([signal.SIGTERM], [signal.SIGTERM] * 5, [signal.SIGINT]):
        run_id = asking.run_now("long")
        with Fleet(place, IN_FLIGHT) as fleet:
            node = fleet.start()
            node.wait_for("begun")
            _end(node, burst)
        run = asking.get_run(run_id)
        assert (run.status, run.attempts[-1].outcome) == ("queued", "interrupted"), run
        asking.cancel(run_id)
    told = "SIGTERM, 5 × SIGTERM, SIGINT: ended well, the run interrupted and given back"
    if not place.is_server:
        return told
    run_id = asking.run_now("long")
    with FaultProxy(*place.server) as proxy, Fleet(place.behind(proxy), IN_FLIGHT) as fleet:
        node = fleet.start()
        node.wait_for("begun")
        proxy.hang()
        pause(0.5)
        began = time.monotonic()
        node.send(signal.SIGTERM)
        code = node.end(40)
        took = time.monotonic() - began
    assert code == 0, (code, node.stderr[-2000:])
    assert "Traceback" not in node.stderr, node.stderr[-2000:]
    assert asking.get_run(run_id).status == "running"  # left to expire: nobody could be told
    return f"{told}; while the store hung: ended after {took:.1f} s, the lease left to expire"


def _end(node: Program, burst: list[signal.Signals]) -> None:
    for number in burst:
        node.send(number)
    code = node.end(30)
    assert code == 0, (code, node.stderr[-2000:])
    assert "Traceback" not in node.stderr, node.stderr[-2000:]


def acquire_replies_lost(place: Place) -> str:
    """Each request of an acquisition, a renewal and a release in turn: its reply is lost, or half of it is sent."""
    name, faults = f"lock-{uuid4().hex}", 0
    direct = make_locks(place.url, place.name, SystemClock())
    with FaultProxy(*place.server) as proxy:
        locks = make_locks(place.behind(proxy).url, place.name, SystemClock())
        assert direct is not None
        assert locks is not None
        for _ in every_fault(proxy):
            token, other = uuid4().hex, uuid4().hex
            assert asked(lambda token=token: locks.acquire(name, token, 30.0)) is not None
            assert direct.acquire(name, other, 30.0) is None
            assert asked(lambda token=token: locks.renew(name, token, 30.0))
            assert direct.renew(name, token, 30.0)
            asked(lambda token=token: locks.release(name, token))
            assert direct.acquire(name, other, 30.0) is not None
            direct.release(name, other)
            faults += proxy.fired
        locks.close()
    direct.close()
    return f"{faults} faults: each time granted to its own token, held against others, and free in the end"
