"""Servers that fork: gunicorn with and without --preload, uWSGI with and without a master, workers killed and reloaded,
children that are no servers."""

import os
import signal
from importlib.util import find_spec

import pytest
from tests.anomaly.programs import Program, assert_sound, ledger
from tests.fleet.web import Web, uwsgi_command
from tests.services import Unavailable
from tests.waiting import until

from rota import Scheduler

pytestmark = pytest.mark.any_versions

needs_gunicorn = pytest.mark.skipif(
    find_spec("gunicorn") is None or find_spec("flask") is None, reason="gunicorn and Flask are not installed"
)

WORKERS = 4


def web_app(directory, *options, store="sqlite:///rota.db"):
    """The application under gunicorn."""
    return Web(directory, f"--workers={WORKERS}", *options, store=store)


def assert_each_tick_once(directory):
    """No attempt of a tick was started twice; the ticks that ran."""
    entries = ledger(directory)
    assert_sound(entries)
    return sorted({entry.tick for entry in entries})


@needs_gunicorn
@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["each worker loads the app", "preload"])
def test_four_workers_each_run_jobs_and_each_tick_runs_once(tmp_path, options):
    web = web_app(tmp_path, *options)
    with web.program:
        workers = web.workers(WORKERS)
        assert all(workers.values())
        assert until(lambda: len(ledger(tmp_path)) >= 3)
        assert web.stop() == 0
    assert len(assert_each_tick_once(tmp_path)) >= 3
    assert "Traceback" not in web.program.stderr
    assert ("only armed" in web.program.stderr or "does not run jobs" in web.program.stderr) == bool(options)


@needs_gunicorn
def test_a_killed_worker_and_a_reload_lose_no_tick_and_double_none(tmp_path):
    web = web_app(tmp_path, "--preload")
    with web.program:
        first = web.workers(WORKERS)
        os.kill(next(iter(first)), signal.SIGKILL)
        web.program.send(signal.SIGHUP)
        second = web.workers(WORKERS, without=first)
        assert all(second.values())
        count = len(ledger(tmp_path))
        assert until(lambda: len(ledger(tmp_path)) >= count + 2)
        looking = Scheduler("web", store=f"sqlite:///{tmp_path}/rota.db")
        assert until(lambda: not looking.runs(status=("queued", "running"))), looking.runs()  # nor what the dead held
        assert web.stop() == 0
    ticks = assert_each_tick_once(tmp_path)
    seconds = [tick[17:19] for tick in ticks]
    expected = [f"{(int(seconds[0]) + number) % 60:02}" for number in range(len(seconds))]
    assert seconds == expected


@needs_gunicorn
def test_in_memory_under_several_workers_warns(tmp_path):
    web = web_app(tmp_path, store=None)
    with web.program:
        web.workers(WORKERS)
        assert until(lambda: "each of this server's workers runs every tick" in web.program.stderr)
        web.stop()


@pytest.fixture
def uwsgi(tmp_path):
    """Makes the application under uWSGI with these options."""
    pytest.importorskip("flask")
    try:
        uwsgi_command()
    except Unavailable as reason:
        pytest.skip(str(reason))

    def web(*options, **more):
        return Web(tmp_path, *options, store="sqlite:///rota.db", server="uwsgi", **more)

    return web


@pytest.mark.parametrize("options", ["--master", "--master --lazy-apps", "--master --py-call-uwsgi-fork-hooks", ""])
def test_the_workers_of_uwsgi_each_run_jobs_though_the_store_was_open_before_the_fork(uwsgi, tmp_path, options):
    web = uwsgi(*options.split(), "--enable-threads", "--processes=3", before_start="scheduler.runs()")
    with web.program:
        workers = web.workers(3)
        assert all(workers.values())
        assert until(lambda: len(ledger(tmp_path)) >= 3)
    assert len(assert_each_tick_once(tmp_path)) >= 3
    assert "Traceback" not in web.program.stderr
    assert ("yet to fork" in web.program.stderr) == ("--lazy-apps" not in options)


def test_the_decorators_of_uwsgi_imported_after_the_start_keep_no_worker_from_running_jobs(uwsgi, tmp_path):
    text = (
        "scheduler.start()\nfrom contextlib import suppress\nwith suppress(ImportError):\n    import uwsgidecorators\n"
    )
    web = uwsgi("--master", "--enable-threads", "--processes=2", before_start=text)
    with web.program:
        assert all(web.workers(2).values())


def test_a_uwsgi_either_lets_threads_run_or_is_said_not_to(uwsgi):
    web = uwsgi("--master", "--processes=2")
    with web.program:
        workers = web.workers(2)
    assert set(workers.values()) == {"enable-threads, and start it anew" not in web.program.stderr}


def test_uwsgi_that_is_told_to_stop_or_to_reload_waits_for_the_jobs_at_work(uwsgi, tmp_path):
    work = "scheduler.interval(seconds=1, id='long', overlap='allow')(lambda: time.sleep(1.5))"
    web = uwsgi("--master", "--die-on-term", "--enable-threads", "--processes=2", before_start=work)
    with web.program:
        first = web.workers(2)
        looking = Scheduler("web", store=f"sqlite:///{tmp_path}/rota.db")
        assert until(lambda: looking.runs("long", status="running"))
        web.program.send(signal.SIGHUP)
        web.workers(2, without=first)
        count = len(looking.runs("long"))
        assert until(lambda: len(looking.runs("long")) > count)
        assert web.stop() == 0
    assert {run.status for run in looking.runs("long")} == {"succeeded"}
    looking.shutdown()


FORKS = """
import multiprocessing
scheduler = Scheduler("forks", store="sqlite:///rota.db", shutdown_timeout=3)

@scheduler.interval(seconds=1)
def each(run):
    note(run, "start")

def child(started):
    health = scheduler.health()
    say("child", health.alive, bool(health.why), scheduler.start() is started, threading.active_count())
    os.write(2, b"")

if __name__ == "__main__":
    scheduler.start()
    while not scheduler.runs("each", status="succeeded"):
        time.sleep(0.01)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_stay_stopped_and_say_so(tmp_path, method):
    text = (
        FORKS
        + f"""
    process = multiprocessing.get_context("{method}").Process(target=child, args=(False,))
    process.start()
    process.join()
    say("exit", process.exitcode, scheduler.health().alive)
    scheduler.shutdown()
"""
    )
    with Program(tmp_path, text, PYTHONWARNINGS="ignore::DeprecationWarning") as program:
        assert program.end() == 0, program.stderr
        assert program.lines == ["child False True True 1", "exit 0 True"]
        assert "rota: WARNING" in program.stderr
        assert "Traceback" not in program.stderr


def test_a_forked_child_is_stopped_touches_nothing_and_may_start_its_own(tmp_path):
    text = (
        FORKS
        + """
    pid = os.fork()
    if pid == 0:
        health = scheduler.health()
        say("child", health.alive, "fork" in health.why, len(scheduler.runs("each")) > 0)
        scheduler.start()
        say("started", scheduler.health().alive)
        count = len(scheduler.runs("each"))
        while len(scheduler.runs("each")) < count + 2:
            time.sleep(0.02)
        scheduler.shutdown()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    say("exit", status, scheduler.health().alive)
    count = len(scheduler.runs("each"))
    while len(scheduler.runs("each")) < count + 1:
        time.sleep(0.02)
    scheduler.shutdown()
"""
    )
    with Program(tmp_path, text, PYTHONWARNINGS="ignore::DeprecationWarning") as program:
        assert program.end() == 0, program.stderr
        assert program.lines == ["child False True True", "started True", "exit 0 True"]
        assert "Traceback" not in program.stderr
    assert_sound(ledger(tmp_path))


@pytest.mark.skipif(find_spec("flask") is None, reason="Flask is not installed")
def test_the_parent_of_flasks_reloader_is_disarmed(tmp_path):
    text = """
from flask import Flask
app = Flask(__name__)
scheduler = Scheduler("dev", store="sqlite:///rota.db", shutdown_timeout=2)

@scheduler.interval(seconds=1)
def each(run):
    note(run, "start")

scheduler.start()
is_child = os.environ.get("WERKZEUG_RUN_MAIN") == "true"

def watch():
    while True:
        if is_child and scheduler.health().alive:
            say("child runs")
            return
        if not is_child and "reloader" in scheduler.health().why:
            say("parent armed")
            return
        time.sleep(0.05)

threading.Thread(target=watch, daemon=True).start()
app.run(debug=True, port=0)
"""
    with Program(tmp_path, text) as program:
        program.wait_for("child runs")
        program.wait_for("parent armed")


needs_uvicorn = pytest.mark.skipif(find_spec("uvicorn") is None, reason="uvicorn is not installed")


@needs_uvicorn
@pytest.mark.parametrize("how", ["reload=True", "workers=2"])
def test_the_parent_of_uvicorns_children_is_disarmed(tmp_path, how):
    text = f"""
scheduler = Scheduler("dev", store="sqlite:///rota.db", shutdown_timeout=2)

@scheduler.interval(seconds=1)
def each(run):
    note(run, "start")

scheduler.start()

async def app(scope, receive, send):
    assert scope["type"] == "http"

def watch():
    while __name__ == "program" and not scheduler.health().alive:
        time.sleep(0.05)
    while __name__ == "__main__" and "parent of uvicorn's" not in scheduler.health().why:
        time.sleep(0.05)
    say(__name__, scheduler.health().alive)

threading.Thread(target=watch, daemon=True).start()

if __name__ == "__main__":
    import uvicorn
    uvicorn.run("program:app", {how}, port=0, log_level="warning", lifespan="off")
"""
    with Program(tmp_path, text) as program:
        program.wait_for("program True", times=2 if how == "workers=2" else 1)
        program.wait_for("__main__ False")
        by_the_parent = len([entry for entry in ledger(tmp_path) if entry.pid == program.process.pid])
        count = len(ledger(tmp_path))
        assert until(lambda: len(ledger(tmp_path)) >= count + 2)
        entries = ledger(tmp_path)
        program.send(signal.SIGTERM)
        program.end()
    assert len([entry for entry in entries if entry.pid == program.process.pid]) == by_the_parent
    assert "__mp_main__ True" not in program.lines
    assert_sound(entries)


@needs_uvicorn
@pytest.mark.parametrize(("how", "children"), [("reload=True", 1), ("workers=2", 2)])
def test_a_scheduler_of_the_lifespan_runs_in_the_children_of_uvicorn_alone(tmp_path, how, children):
    text = f"""
scheduler = Scheduler("dev", store="sqlite:///rota.db", shutdown_timeout=2)

@scheduler.interval(seconds=1)
def each(run):
    note(run, "start")

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    async with scheduler:
        say(__name__, scheduler.health().alive)
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
    await send({{"type": "lifespan.shutdown.complete"}})

if __name__ == "__main__":
    import uvicorn
    uvicorn.run("program:app", {how}, port=0, log_level="warning")
"""
    with Program(tmp_path, text) as program:
        program.wait_for("program True", times=children)
        assert until(lambda: len(ledger(tmp_path)) >= 2)
        program.send(signal.SIGTERM)
        program.end()
    entries = ledger(tmp_path)
    assert_sound(entries)
    assert program.process.pid not in {entry.pid for entry in entries}
    assert "does not run jobs" not in program.stderr
