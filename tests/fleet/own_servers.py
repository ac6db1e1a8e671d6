"""Scenarios that stop, restart or misconfigure a server: each starts one of its own, from a wheel."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fleet.nodes import EVERY, Fleet, assert_each_tick_once, assert_sound, pause, so_many_more, starts
from tests.fleet.places import Place
from tests.more_servers import PgBouncer
from tests.services import Unavailable
from tests.wheel_servers import PostgreSQL, Valkey, WheelServer, is_installed

from rota import Scheduler
from rota.errors import BackendError, ConfigurationError


@contextmanager
def _own(place: Place) -> Iterator[tuple[WheelServer, Place]]:
    """A server for this scenario alone, and the place on it."""
    if not is_installed(place.kind):
        raise Unavailable(f"{place.kind}: no wheel brings a server that may be stopped")
    with tempfile.TemporaryDirectory(prefix="rota-own-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        made = Valkey(Path(directory), durable=True) if place.kind == "redis" else PostgreSQL(Path(directory))
        with made as server:
            yield server, place._replace(url=server.url)


LONG = """
@scheduler.job(id="long", on_crash="rerun", retry=Retry(attempts=5))
def long(run):
    note(run, "start")
    say("begun", run.attempt)
    if run.attempt == 1:
        while not run.cancelled:
            time.sleep(0.005)
        say("cancelled", run.cancel_reason, run.lease.held)
        run.check_cancelled()

threading.Timer(1.0, lambda: scheduler.run_now("long")).start()
"""


def server_paused(place: Place, *, lease_ttl: float = 2.0) -> str:
    """The server is stopped for more than twice the lease and goes on; what was held when it stopped has run out."""
    with _own(place) as (server, own):
        jobs = EVERY.format(milliseconds=500) + LONG
        with Fleet(own, jobs, lease_ttl=lease_ttl, seconds=180) as fleet:
            node = fleet.start()
            fleet.ready()
            node.wait_for("begun 1")
            os.kill(server.pid, signal.SIGSTOP)
            stopped = _children(server.pid)
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            try:
                node.wait_for("cancelled lease_lost False")
                pause(2 * lease_ttl)
            finally:
                for pid in (*stopped, server.pid):
                    os.kill(pid, signal.SIGCONT)
            node.wait_for("begun 2")
            so_many_more(fleet, 2)
            fleet.stop()
            entries = fleet.ledger()
    assert_sound(entries)
    fences = [entry.fence for entry in starts(entries, "long")]
    assert fences == sorted(set(fences)), fences
    ticks = assert_each_tick_once(entries, "each", 500_000)
    return f"the holder stepped down while the server stood still; a higher fence ran after it; all {ticks} ticks once"


def server_restarted(place: Place, *, seconds: float = 3.0) -> str:
    """The server is shut down and started again; then it is killed and started again."""
    with _own(place) as (server, own), Fleet(own, EVERY.format(milliseconds=500), lease_ttl=6.0, seconds=180) as fleet:
        for _ in range(2):
            fleet.start()
        fleet.ready()
        for number in (signal.SIGINT, signal.SIGKILL):
            so_many_more(fleet, 2)
            server.stop(number)
            pause(seconds)
            server.start()
        so_many_more(fleet, 3)
        fleet.stop()
        ticks = assert_each_tick_once(fleet.ledger(), "each", 500_000)
    return f"shut down and killed, {seconds:g} s each, and back with what it held: all {ticks} ticks once"


def pooled(place: Place, *, mode: str = "transaction", nodes: int = 8) -> str:
    """PgBouncer stands before the server, with fewer sessions than the fleet has processes; it is killed and comes
    back."""
    with tempfile.TemporaryDirectory(prefix="rota-own-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        pool = PgBouncer(Path(directory), place.url or "", mode)
        own = place._replace(url=pool.url)
        with pool, Fleet(own, EVERY.format(milliseconds=500), lease_ttl=6.0, seconds=180) as fleet:
            for _ in range(nodes):
                fleet.start()
            fleet.ready()
            so_many_more(fleet, 5)
            pool.stop(signal.SIGKILL)
            pause(2.0)
            pool.start()
            so_many_more(fleet, 5)
            fleet.stop()
            ticks = assert_each_tick_once(fleet.ledger(), "each", 500_000)
    return f"all {ticks} ticks once, by {nodes} processes through 4 sessions"


def server_evicts(place: Place) -> str:
    """A Redis that may evict any key (`maxmemory-policy allkeys-lru`)."""
    import redis

    with _own(place) as (server, own):
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", "100mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises((BackendError, ConfigurationError), match="maxmemory-policy") as refused:
            Scheduler(own.name, store=own.url).runs()
    return f"refused: {refused.value}"


def _children(pid: int) -> list[int]:
    """The processes of a server, which forks one for each connection."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid:
            found.append(int(stat.parent.name))
    return found
