"""Signals: `run()` ends on SIGTERM and SIGINT whenever they come and however often; a Ctrl-C loses no run."""

import signal
import time

import pytest
from tests.anomaly.programs import Program
from tests.waiting import PATIENCE

from rota import Scheduler

pytestmark = pytest.mark.any_versions

RUN = """
scheduler = Scheduler("signals", store="sqlite:///rota.db", shutdown_timeout=120)

@scheduler.interval(seconds=1)
def work(run):
    say("begun")
    while not run.cancelled:
        time.sleep(0.005)
    run.check_cancelled()

before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
say("ready")
scheduler.run()
assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
say("over", scheduler.health().alive, [r.status for r in scheduler.runs(status=("queued", "running"))])
"""


def store_of(directory):
    return Scheduler("signals", store=f"sqlite:///{directory}/rota.db")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_ends_cleanly_with_a_run_in_flight_which_another_process_may_take(tmp_path, number):
    with Program(tmp_path, RUN) as program:
        program.wait_for("begun")
        began = time.monotonic()
        program.send(number)
        assert program.end() == 0
        assert time.monotonic() - began < PATIENCE
        assert program.lines[-1] == "over False ['queued']"
        assert program.stderr == ""
    (run,) = store_of(tmp_path).runs(status="queued")
    assert [attempt.outcome for attempt in run.attempts] == ["interrupted"]


def test_a_signal_that_comes_again_and_again_changes_nothing(tmp_path):
    with Program(tmp_path, RUN) as program:
        program.wait_for("begun")
        while program.process.poll() is None:
            program.send(signal.SIGTERM)
            time.sleep(0.0005)  # as dense as signals come
        assert program.end() == 0 or program.process.returncode == -signal.SIGTERM  # one may come after the end
        assert "Traceback" not in program.stderr
    (run,) = store_of(tmp_path).runs(status="queued")
    assert run.attempts[-1].outcome == "interrupted"


def test_a_second_ctrl_c_ends_the_waiting_for_what_does_not_stop(tmp_path):
    text = """
import asyncio
scheduler = Scheduler("signals", store="sqlite:///rota.db", shutdown_timeout=100_000)

@scheduler.interval(seconds=1)
def thread():
    say("begun")
    threading.Event().wait()

@scheduler.interval(seconds=1)
async def coroutine():
    say("begun")
    while True:
        try:
            await asyncio.sleep(100_000)
        except asyncio.CancelledError:
            pass

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)  # for those that come when run() is over
scheduler.run()
say("over", scheduler.health().alive, sorted(run.status for run in scheduler.runs()))
"""
    with Program(tmp_path, text) as program:
        program.wait_for("begun", 2)
        began = time.monotonic()
        while program.process.poll() is None:
            program.send(signal.SIGINT)
            program.send(signal.SIGTERM)
            time.sleep(0.1)  # between one press and the next
            assert time.monotonic() - began < PATIENCE
        assert "over False ['lost', 'lost']" in program.lines
        assert "Traceback" not in program.stderr


def test_a_second_ctrl_c_ends_the_waiting_for_hooks(tmp_path):
    text = """
scheduler = Scheduler("signals", shutdown_timeout=100_000)

@scheduler.interval(seconds=1)
def work():
    pass

def hook(event):
    say("told")
    threading.Event().wait()

scheduler.listen(hook, "run_ended")
signal.signal(signal.SIGINT, signal.SIG_IGN)  # for those that come when run() is over
scheduler.run()
say("over")
"""
    with Program(tmp_path, text) as program:
        program.wait_for("told")
        began = time.monotonic()
        while program.process.poll() is None:
            program.send(signal.SIGINT)
            time.sleep(0.1)  # between one press and the next
            assert time.monotonic() - began < PATIENCE
        assert program.lines == ["told", "over"]


def test_a_signal_that_the_system_hands_to_another_thread_ends_it_too(tmp_path):
    text = """
scheduler = Scheduler("signals", shutdown_timeout=120)

@scheduler.interval(seconds=1)
def work():
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

scheduler.run()
say("over")
"""
    with Program(tmp_path, text) as program:
        assert program.end() == 0, program.stderr
        assert program.lines == ["over"]


def test_five_signals_at_once_end_it_once(tmp_path):
    with Program(tmp_path, RUN) as program:
        program.wait_for("begun")
        for _ in range(5):
            program.send(signal.SIGTERM)
        assert program.end() == 0
        assert program.lines[-1].startswith("over")
        assert program.stderr == ""


def test_a_signal_while_it_starts_and_claims_is_obeyed(tmp_path):
    text = RUN.replace("scheduler.run()", "threading.Timer(DELAY, os.kill, (os.getpid(), 15)).start(); scheduler.run()")
    for delay in ("0", "0.01", "0.05"):
        with Program(tmp_path, text.replace("DELAY", delay)) as program:
            assert program.end() in (0, -signal.SIGTERM)  # before run() has begun, it is the host's
            assert "Traceback" not in program.stderr


def test_run_ends_when_another_thread_shuts_down_and_only_when_all_is_done(tmp_path):
    with Program(
        tmp_path,
        """
        scheduler = Scheduler("signals", store="sqlite:///rota.db", shutdown_timeout=120)

        @scheduler.job(id="slow")
        def slow(run):
            say("begun")
            threading.Thread(target=scheduler.shutdown).start()
            while not run.cancelled:
                time.sleep(0.005)
            time.sleep(0.5)  # it is still at work when the program comes to its end
            say("done")

        scheduler.run_now("slow")
        scheduler.run()
        say("over")
        """,
    ) as program:
        assert program.end() == 0
        assert program.lines == ["begun", "done", "over"]
        assert program.stderr == ""


def test_a_child_that_imports_the_main_module_again_is_not_kept_by_run(tmp_path):
    with Program(
        tmp_path,
        """
        scheduler = Scheduler("signals", store="sqlite:///rota.db", shutdown_timeout=120)

        @scheduler.job(id="far", executor="process")
        def far():
            return os.getpid()

        if __name__ == "__main__":
            run_id = scheduler.run_now(far)
        scheduler.listen(lambda event: os.kill(os.getpid(), signal.SIGTERM), "run_ended")
        scheduler.run()
        if __name__ == "__main__":
            run = scheduler.get_run(run_id)
            say(run.status, run.result != os.getpid())
        """,
    ) as program:
        assert program.end() == 0
        assert program.lines == ["succeeded True"]
        assert "only imports" in program.stderr or "child" in program.stderr


DUE = """
scheduler = Scheduler("due", store="sqlite:///rota.db", shutdown_timeout=2, lease_ttl=30)

@scheduler.job(id="work", on_crash="lost")
def work(run, seconds):
    note(run, "start")
    say("begun")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
"""


def test_a_ctrl_c_in_a_job_under_run_due_ends_it_is_recorded_and_raised(tmp_path):
    with Program(
        tmp_path,
        DUE
        + """
for _ in range(3):
    scheduler.enqueue("work", kwargs={"seconds": 120})
try:
    scheduler.run_due()
except KeyboardInterrupt:
    runs = scheduler.runs("work")
    say("raised", sorted(r.status for r in runs), signal.getsignal(signal.SIGINT) is signal.default_int_handler)
""",
    ) as program:
        program.wait_for("begun")
        program.send(signal.SIGINT)
        assert program.end() == 0
        assert program.lines == ["begun", "raised ['failed', 'queued', 'queued'] True"]
        assert program.stderr == ""


def test_ctrl_c_at_any_moment_under_run_due_loses_no_run(tmp_path):
    """Every run is either ended or waits for its turn, whichever instruction the signal came at."""
    with Program(
        tmp_path,
        DUE
        + """
import random
chance = random.Random(7)
caught, total = 0, 40
stopping = False
def pester():
    while not stopping:
        time.sleep(chance.random() * 0.02)
        if caught < total:  # a machine so slow that nothing is done between two of them gets done in the end
            os.kill(os.getpid(), signal.SIGINT)
say = lambda *words: None
scheduler.run_due()  # it is open from here on
for _ in range(total):
    scheduler.enqueue("work", kwargs={"seconds": 0.02})
signal.signal(signal.SIGINT, signal.SIG_IGN)
pester = threading.Thread(target=pester)
pester.start()
end = time.monotonic() + 45
while scheduler.runs(status="queued") and time.monotonic() < end:
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            scheduler.run_due()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        caught += 1
        signal.signal(signal.SIGINT, signal.SIG_IGN)
stopping = True
pester.join()
ends = [run.status for run in scheduler.runs(limit=1000)]
os.write(1, f"{len(ends)} {sorted(set(ends) - {'succeeded', 'failed'})} {caught > 3}\\n".encode())
""",
    ) as program:
        assert program.end() == 0, program.stderr
        assert program.lines == ["40 [] True"], program.stderr


def test_a_ctrl_c_while_run_due_waits_for_a_coroutine_is_raised_and_the_coroutine_shut_down(tmp_path):
    with Program(
        tmp_path,
        """
        scheduler = Scheduler("due", store="sqlite:///rota.db", shutdown_timeout=4)

        @scheduler.job(id="long")
        async def long(run):
            say("begun")
            await asyncio.sleep(120)

        run_id = scheduler.run_now("long")
        try:
            scheduler.run_due()
        except KeyboardInterrupt:
            report = scheduler.shutdown()
            say("raised", report.interrupted == (run_id,), scheduler.get_run(run_id).status)
        """,
    ) as program:
        program.wait_for("begun")
        program.send(signal.SIGINT)
        assert program.end() == 0
        assert program.lines == ["begun", "raised True lost"]
        assert program.stderr == ""


@pytest.mark.parametrize("loop", ["asyncio.run(main())", "asyncio.new_event_loop().run_until_complete(main())"])
def test_a_ctrl_c_under_serve_is_cleaned_up_after_and_raised(tmp_path, loop):
    with Program(
        tmp_path,
        f"""
        scheduler = Scheduler("served", store="sqlite:///rota.db", shutdown_timeout=4)

        @scheduler.job(id="busy")
        async def busy(run):
            say("begun")
            while not run.cancelled:
                end = time.monotonic() + 0.05
                while time.monotonic() < end:
                    pass
                await asyncio.sleep(0)

        async def main():
            await scheduler.serve()

        run_id = scheduler.run_now("busy")
        try:
            {loop}
        except KeyboardInterrupt:
            say("raised", scheduler.health().alive, scheduler.get_run(run_id).status)
        """,
    ) as program:
        program.wait_for("begun")
        time.sleep(0.1)  # into the busy part
        program.send(signal.SIGINT)
        assert program.end() == 0, program.stderr
        assert program.lines[-1] in ("raised False succeeded", "raised False failed", "raised False lost")


def test_a_ctrl_c_during_shutdown_hurries_it_and_is_raised(tmp_path):
    with Program(
        tmp_path,
        """
        scheduler = Scheduler("hurry", store="sqlite:///rota.db", shutdown_timeout=120)

        @scheduler.job(id="stubborn", on_crash="lost")
        def stubborn(run):
            say("begun")
            while not run.cancelled:
                time.sleep(0.005)
            say("told")
            time.sleep(120)

        run_id = scheduler.run_now("stubborn")
        scheduler.start()
        while not scheduler.runs(status="running"):
            time.sleep(0.01)
        try:
            scheduler.shutdown()
        except KeyboardInterrupt:
            say("raised", scheduler.get_run(run_id).status)
        """,
    ) as program:
        program.wait_for("told")
        time.sleep(0.3)  # into the wait
        program.send(signal.SIGINT)
        assert program.end() == 0
        assert program.lines == ["begun", "told", "raised lost"]
        assert program.stderr == ""
