"""Scenarios of servers that fork and reload: nothing dead that claims to live, nothing doubled."""

from __future__ import annotations

import os
import signal

from tests.fleet.nodes import Entry, assert_each_tick_once, assert_sound, ledger
from tests.fleet.places import Place
from tests.fleet.web import Web
from tests.waiting import until

SECOND = 1_000_000


def gunicorn(place: Place, *, workers: int = 4, preload: bool = False, ticks: int = 3) -> str:
    """The application under gunicorn: a worker is killed, then a reload replaces all, two generations at once."""
    options = [f"--workers={workers}", *(["--preload"] if preload else [])]
    count = _served(place, Web(place.directory, *options, store=place.url, name=place.name), workers, ticks)
    how = "with" if preload else "without"
    return f"{workers} workers {how} --preload, one killed, all reloaded: alive, and all {count} ticks once"


def uwsgi(place: Place, *, workers: int = 3, option: str = "", ticks: int = 3) -> str:
    """The application under uWSGI with a master: a worker is killed, then a graceful reload replaces all."""
    options = ["--master", "--die-on-term", "--enable-threads", f"--processes={workers}", *option.split()]
    web = Web(place.directory, *options, store=place.url, name=place.name, server="uwsgi")
    count = _served(place, web, workers, ticks)
    return f"{workers} workers, one killed, all reloaded: alive, and all {count} ticks once"


def _served(place: Place, web: Web, workers: int, ticks: int) -> int:
    """Serve with so many workers, kill one, reload all, stop; how many ticks ran, each of them once."""
    with web.program:
        first = web.workers(workers)
        assert all(first.values()), first
        _more(place, ticks)
        os.kill(next(iter(first)), signal.SIGKILL)
        web.workers(1, without=first)  # uWSGI loses a signal to a worker that it has only just forked
        _more(place, 1)
        web.program.send(signal.SIGHUP)
        second = web.workers(workers, without=first)
        assert all(second.values()), second
        _more(place, ticks)
        _nothing_left(place)
        assert web.stop() == 0, web.program.stderr
        assert "Traceback" not in web.program.stderr, web.program.stderr
    entries = ledger(place.directory)
    assert_sound(entries)
    return assert_each_tick_once(_first_starts(entries), "each", SECOND)


def uvicorn(place: Place, *, workers: int = 3, ticks: int = 3) -> str:
    """The application under uvicorn with several workers, of which one is killed and replaced."""
    web = Web(place.directory, f"--workers={workers}", store=place.url, name=place.name, server="uvicorn")
    with web.program:
        first = web.workers(workers)
        assert all(first.values()), first
        _more(place, ticks)
        os.kill(next(iter(first)), signal.SIGKILL)
        _more(place, ticks)
        _nothing_left(place)
        assert web.stop() == 0, web.program.stderr
    entries = ledger(place.directory)
    assert_sound(entries)
    count = assert_each_tick_once(_first_starts(entries), "each", SECOND)
    return f"{workers} workers, one killed: alive, and all {count} ticks once"


def uvicorn_reload(place: Place) -> str:
    """The application under uvicorn's reloader, whose source is touched."""
    web = Web(place.directory, "--reload", store=place.url, name=place.name, server="uvicorn")
    with web.program:
        first = web.workers(1)
        assert all(first.values()), first
        _more(place, 2)
        (place.directory / "app.py").touch()
        second = web.workers(1, without=first)
        assert all(second.values()), second
        _more(place, 2)
        by = {entry.pid for entry in ledger(place.directory)}
        assert by == {*first, *second}, (by, first, second)
        assert web.stop() == 0, web.program.stderr
    entries = ledger(place.directory)
    assert_sound(entries)
    return f"{len(entries)} ticks by the worker before and the one after, none by the reloader"


def _more(place: Place, count: int) -> None:
    goal = len(ledger(place.directory)) + count
    assert until(lambda: len(ledger(place.directory)) >= goal), ledger(place.directory)


def _nothing_left(place: Place) -> None:
    """Wait until nothing is open, not even what a killed worker had taken."""
    looking = place.scheduler()
    assert until(lambda: not looking.runs(status=("queued", "running"))), looking.runs()


def _first_starts(entries: list[Entry]) -> list[Entry]:
    """Of each tick the first start; a worker that was killed may have noted nothing of the very first."""
    firsts: dict[int, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.attempt):
        firsts.setdefault(entry.due, entry)
    return list(firsts.values())
