"""Scenarios of stores that are down, hang, lose replies, end sessions, are full: nothing doubled, nothing lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests import services
from tests.anomaly.programs import Program
from tests.fleet.nodes import EVERY, Fleet, assert_each_tick_once, assert_sound, pause, so_many_more, starts
from tests.fleet.places import Place
from tests.waiting import until

from rota.testing import FaultProxy

WATCHED = (
    EVERY
    + """
def watch():
    before = None
    while True:
        health = scheduler.health()
        now = (health.alive, health.store)
        if now != before:
            say("health", *now)
            before = now
        time.sleep(0.02)

threading.Thread(target=watch, daemon=True).start()
"""
)
"""The same, and the program says how its scheduler is whenever that changes."""

DOWN, UP = "health True False", "health True True"


def _through_an_outage(fleet: Fleet, outage: AbstractContextManager[object], seconds: float) -> None:
    """All nodes notice that the store is gone, live on, and say so once; when it is back they go on."""
    ups = [node.lines.count(UP) for node in fleet.nodes]
    with outage:
        pause(seconds)
        for node in fleet.nodes:
            node.wait_for(DOWN)
            assert until(lambda node=node: "the store does not answer" in node.stderr), node.stderr
            assert node.process.poll() is None, node.stderr
    for node, before in zip(fleet.nodes, ups, strict=True):
        node.wait_for(UP, times=before + 1)
    so_many_more(fleet, 3)


def _assert_said_once(fleet: Fleet) -> None:
    for node in fleet.nodes:
        assert sum("the store does not answer" in line for line in node.errors) == 1, node.stderr


@contextmanager
def _refusing(proxy: FaultProxy) -> Iterator[None]:
    proxy.refuse()
    yield
    proxy.restore()


@contextmanager
def _hanging(proxy: FaultProxy) -> Iterator[None]:
    proxy.hang()
    yield
    proxy.restore()


def store_down(place: Place, *, seconds: float = 3.0, hangs: bool = False) -> str:
    """The store's server refuses connections, or accepts them and never answers, while ticks come due."""
    with FaultProxy(*place.server) as proxy, Fleet(place.behind(proxy), WATCHED.format(milliseconds=500),
                                                   lease_ttl=6.0, seconds=180 + seconds) as fleet:  # fmt: skip
        for _ in range(2):
            fleet.start()
        fleet.ready()
        so_many_more(fleet, 2)
        _through_an_outage(fleet, _hanging(proxy) if hangs else _refusing(proxy), seconds)
        fleet.stop()
        ticks = assert_each_tick_once(fleet.ledger(), "each", 500_000)
        _assert_said_once(fleet)
    what = "hung" if hangs else "was down"
    return f"store {what} {seconds:g} s: loops alive, health false, one line each, all {ticks} ticks once"


TWO_STORES = (
    EVERY
    + """
other = Scheduler("other", store="sqlite:///other.db")
other.add(lambda run: note(run, "start"), every, id="other", overlap="allow", catch_up="all")
other.start()
"""
)


def hang_beside_another_store(place: Place, *, seconds: float = 5.0) -> str:
    """In one process, a scheduler whose store hangs and one whose store does not."""
    with FaultProxy(*place.server) as proxy, Fleet(place.behind(proxy), TWO_STORES.format(milliseconds=500)) as fleet:
        node = fleet.start()
        fleet.ready()
        so_many_more(fleet, 1)
        proxy.hang()
        before = _threads(node)
        late = len(starts(fleet.ledger(), "other"))
        assert until(lambda: len(starts(fleet.ledger(), "other")) >= late + seconds * 2, 4 * seconds + 15)
        more = _threads(node) - before
        proxy.restore()
        so_many_more(fleet, 3)
        fleet.stop()
        entries = fleet.ledger()
        others = assert_each_tick_once(entries, "other", 500_000)
        ticks = assert_each_tick_once(entries, "each", 500_000)
    assert more <= 4, f"{more} threads more"
    return f"all {others} ticks on the other store once, {more} threads more; then all {ticks} ticks here once"


def _threads(node: Program) -> int:
    return len(list(Path(f"/proc/{node.process.pid}/task").iterdir()))


def sessions_ended(place: Place, *, times: int = 3) -> str:
    """All sessions on the server are ended by its administrator, again and again."""
    with FaultProxy(*place.server) as proxy, Fleet(place.behind(proxy), EVERY.format(milliseconds=500)) as fleet:
        for _ in range(3):
            fleet.start()
        fleet.ready()
        for _ in range(times):
            so_many_more(fleet, 2)
            END_SESSIONS.get(place.kind, lambda _: proxy.reset())(place)
        so_many_more(fleet, 2)
        fleet.stop()
        ticks = assert_each_tick_once(fleet.ledger(), "each", 500_000)
    return f"sessions ended {times} times; all {ticks} ticks once"


def _end_in_postgresql(place: Place) -> None:
    import psycopg

    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _end_in_mysql(place: Place) -> None:
    import pymysql

    with services._mysql(services.server_url("mysql")) as cursor:
        database = urlsplit(place.url or "").path[1:]
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (database,))
        for (session,) in cursor.fetchall():
            try:
                cursor.execute(f"KILL {session}")
            except pymysql.MySQLError:
                continue  # it has just ended


END_SESSIONS: dict[str, Callable[[Place], None]] = {"postgresql": _end_in_postgresql, "mysql": _end_in_mysql}


def replies_lost(place: Place, *, seconds: float = 8.0, seed: int = 10) -> str:
    """Again and again the server carries a request out, a commit among them, and its reply is lost."""
    chance = random.Random(seed)
    lost = 0
    with FaultProxy(*place.server) as proxy, Fleet(place.behind(proxy), WATCHED.format(milliseconds=250)) as fleet:
        for node in (fleet.start(), fleet.start()):
            node.wait_for(UP)
        over = threading.Event()
        threading.Timer(seconds, over.set).start()
        while not over.is_set():
            proxy.lose_reply(chance.randint(1, 6))
            assert until(lambda: proxy.fired or over.is_set(), 30)
            lost += proxy.fired
            pause(0.1)
        proxy.restore()
        so_many_more(fleet, 3)
        looking = place.scheduler()
        assert until(lambda: not looking.runs(status=("queued", "running"), limit=1000), 30) or _is_moving(looking)
        fleet.stop()
        entries = fleet.ledger()
        assert_sound(entries)
        ticks = _assert_accounted(place, [entry.tick for entry in starts(entries, "each")])
    return f"{lost} replies lost; {ticks} ticks, none started twice, each with its record, none stuck"


def _is_moving(looking) -> bool:
    """Whether what is open now is not what was open a while ago."""
    before = {run.id for run in looking.runs(status=("queued", "running"), limit=1000)}
    pause(6)
    return not before & {run.id for run in looking.runs(status=("queued", "running"), limit=1000)}


def _assert_accounted(place: Place, started: list[str]) -> int:
    """Each tick on record once, in one final state; none was started twice or without a record."""
    runs = [run for run in place.scheduler().runs("each", limit=100_000) if run.scheduled_for]
    ticks = sorted(run.scheduled_for.isoformat() for run in runs)
    assert len(ticks) == len(set(ticks))
    assert set(started) <= set(ticks)
    assert len(started) == len(set(started)), "a tick was started twice"
    assert {run.status for run in runs} <= {"succeeded", "lost"}, {run.status for run in runs}
    return len(ticks)


FULL = (
    EVERY
    + """
import resource

def fill():
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    was_full = False
    while True:
        is_full = os.path.exists("full")
        if is_full != was_full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 if is_full else hard, hard))
            was_full = is_full
        time.sleep(0.01)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
threading.Thread(target=fill, daemon=True).start()
"""
)


@contextmanager
def _file(path: Path) -> Iterator[None]:
    path.touch()
    yield
    path.unlink()


def disk_full(place: Place, *, seconds: float = 3.0) -> str:
    """No process can write another byte into a file, while ticks come due; then there is room again."""
    watched = FULL.replace('note(run, "start")', "started.append(run)") + WATCHED.removeprefix(EVERY) + NOTED_LATER
    with Fleet(place, watched.format(milliseconds=500), lease_ttl=6.0) as fleet:
        for _ in range(2):
            fleet.start()
        fleet.ready()
        so_many_more(fleet, 2)
        _through_an_outage(fleet, _file(place.directory / "full"), seconds)
        fleet.stop()
        ticks = assert_each_tick_once(fleet.ledger(), "each", 500_000)
    return f"no room for {seconds:g} s: loops alive, health false; afterwards all {ticks} ticks once, no claim lost"


NOTED_LATER = """
started = []

def note_when_there_is_room():
    while True:
        while started and not os.path.exists("full"):
            try:
                note(started[0], "start")
            except OSError:
                break
            started.pop(0)
        time.sleep(0.01)

threading.Thread(target=note_when_there_is_room, daemon=True).start()
"""
