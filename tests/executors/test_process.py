"""The process executor, with real child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.executors.fakes import FakeCall, facts
from tests.executors.process_jobs import Refused
from tests.waiting import PATIENCE, until

from rota.core.json_values import from_text, result_text
from rota.core.run import JSON
from rota.errors import GiveUp, LeaseLost, RetryAfter, RunCancelled, Snooze
from rota.executors.process import ProcessExecutor
from rota.executors.remote_error import RemoteError

pytestmark = pytest.mark.any_versions

JOBS = "tests.executors.process_jobs"


class Parent:
    """Answers what runs in child processes ask for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, JSON]]] = []
        self.values: dict[str, JSON] = {}
        self.held: JSON = True

    def __call__(self, method: str, params: Mapping[str, JSON]) -> JSON:
        self.asked.append((method, params))
        if method == "load_values":
            return dict(self.values)
        if method == "held":
            return self.held
        if method == "keep_value":
            if not self.held:
                raise LeaseLost("no longer held")
            self.values[str(params["key"])] = params["text"]
        return None


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor(1)
    yield executor
    executor.shutdown(PATIENCE)
    assert not executor._children


def made(executor: ProcessExecutor, name: str, *args: JSON, parent: Parent | None = None) -> FakeCall:
    call = FakeCall(facts=facts(f"{JOBS}:{name}", *args), serve=parent or Parent())
    executor.submit([call])
    return call


def wait_for(path: Path) -> None:
    assert until(path.exists), f"{path.name} has not come"


def test_a_function_is_called_by_name_in_the_main_thread_of_a_child_that_is_used_again(
    executor: ProcessExecutor,
) -> None:
    assert made(executor, "add", 1, 2).outcome().value == 3
    first = made(executor, "whoami").outcome().value
    assert made(executor, "whoami").outcome().value == first
    assert isinstance(first, list)
    assert first[0] != os.getpid()
    assert first[1:] == [os.getpid(), True]


def test_a_result_that_is_not_json_is_not_kept_and_says_why(executor: ProcessExecutor) -> None:
    outcome = made(executor, "not_json").outcome()
    assert outcome.error is None
    text, why = result_text(outcome.value)
    assert text is None
    assert "is not JSON" in why


def test_an_error_comes_back_as_the_class_it_was(executor: ProcessExecutor) -> None:
    outcome = made(executor, "refuse", 503).outcome()
    assert isinstance(outcome.error, Refused)
    assert (outcome.error.status, str(outcome.error)) == (503, "status 503")
    assert outcome.text is not None
    assert outcome.text.type == f"{JOBS}.Refused"
    assert "raise Refused(status)" in outcome.text.traceback
    assert not outcome.died


@pytest.mark.parametrize(("name", "kind"), [("Snooze", Snooze), ("RetryAfter", RetryAfter)])
def test_an_answer_comes_back_with_its_seconds(executor: ProcessExecutor, name: str, kind: type) -> None:
    error = made(executor, "answer", name, 2.5).outcome().error
    assert type(error) is kind
    assert error.seconds == 2.5


def test_giving_up_and_stopping_come_back_with_their_reasons(executor: ProcessExecutor) -> None:
    error = made(executor, "answer", "GiveUp", "enough").outcome().error
    assert isinstance(error, GiveUp)
    assert error.why == "enough"
    error = made(executor, "answer", "RunCancelled", "shutdown").outcome().error
    assert isinstance(error, RunCancelled)
    assert error.reason == "shutdown"


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt"])
def test_an_exit_of_a_job_ends_its_call_only(executor: ProcessExecutor, name: str) -> None:
    before = made(executor, "whoami").outcome().value
    assert type(made(executor, "break_off", name).outcome().error).__name__ == name
    assert made(executor, "whoami").outcome().value == before


def test_an_error_whose_class_is_unknown_here_has_a_stand_in(executor: ProcessExecutor) -> None:
    outcome = made(executor, "local_error").outcome()
    assert isinstance(outcome.error, RemoteError)
    assert "nobody else knows it" in str(outcome.error)


def test_a_function_that_is_not_there_says_so(executor: ProcessExecutor) -> None:
    assert "has no nowhere there" in str(made(executor, "nowhere").outcome().error)


def test_a_run_in_a_child_talks_to_its_parent(executor: ProcessExecutor) -> None:
    parent = Parent()
    parent.values["checkpoint:seen"] = '"before"'
    outcome = made(executor, "use_run", "me", parent=parent).outcome()
    local = "1970-01-01T01:00:00+01:00"
    assert outcome.error is None, outcome.text
    assert outcome.value == ["report@1970-01-01T00:00:00Z", 2, "before", 3, True, True, local]
    assert parent.values == {"checkpoint:seen": '"me"', "step:once": "3"}
    asked = dict(parent.asked)
    assert from_text(str(asked["keep_progress"]["text"])) == {"done": 1, "total": 2, "note": "half"}
    log = asked["log"]
    assert (log["level"], log["event"]) == ("warning", "hello")
    assert isinstance(log["fields"], dict)
    assert log["fields"]["name"] == "me"
    assert isinstance(log["at"], int)


def test_a_coroutine_in_a_child_talks_to_its_parent(executor: ProcessExecutor) -> None:
    parent = Parent()
    outcome = made(executor, "use_async_run", parent=parent).outcome()
    assert outcome.error is None, outcome.text
    assert outcome.value == [1, 4]


def test_what_the_parent_refuses_is_raised_in_the_child(executor: ProcessExecutor) -> None:
    parent = Parent()
    parent.held = False
    error = made(executor, "write_to_a_lost_run", parent=parent).outcome().error
    assert isinstance(error, LeaseLost)


def test_a_cancellation_reaches_the_run_in_the_child(executor: ProcessExecutor, tmp_path: Path) -> None:
    call = made(executor, "until_cancelled", str(tmp_path / "started"))
    wait_for(tmp_path / "started")
    call.cancel_reason = "shutdown"
    error = call.outcome().error
    assert isinstance(error, RunCancelled)
    assert error.reason == "shutdown"
    assert not call.outcome().forced


def test_a_lost_lease_reaches_the_run_in_the_child(executor: ProcessExecutor, tmp_path: Path) -> None:
    parent = Parent()
    call = made(executor, "until_cancelled", str(tmp_path / "started"), parent=parent)
    wait_for(tmp_path / "started")
    parent.held = False
    error = call.outcome().error
    assert isinstance(error, RunCancelled)
    assert error.reason == "lease_lost"


@pytest.mark.parametrize(("how", "said"), [("exit", "exited with code 7"), ("kill", "killed by SIGKILL")])
def test_a_child_that_dies_is_told_and_replaced(executor: ProcessExecutor, how: str, said: str) -> None:
    outcome = made(executor, "die", how).outcome()
    assert outcome.died
    assert not outcome.forced
    assert outcome.text is not None
    assert said in outcome.text.message
    assert made(executor, "add", 1, 1).outcome().value == 2


def test_a_dead_child_is_noticed_although_a_process_it_forked_holds_the_pipe(executor: ProcessExecutor) -> None:
    assert made(executor, "leave_a_process_with_the_pipe").outcome().died


@pytest.mark.parametrize("name", ["wait_and_clean_up", "wait_and_clean_up_async"])
def test_a_stopped_job_cleans_up(executor: ProcessExecutor, name: str, tmp_path: Path) -> None:
    call = made(executor, name, str(tmp_path / "started"), str(tmp_path / "cleaned"))
    wait_for(tmp_path / "started")
    assert executor.stop(call, "timeout")
    outcome = call.outcome()
    assert (outcome.forced, outcome.died) == (True, False)
    assert (tmp_path / "cleaned").exists()
    assert made(executor, "add", 1, 1).outcome().value == 2


def test_a_job_that_does_not_let_itself_be_stopped_is_killed(tmp_path: Path) -> None:
    executor = ProcessExecutor(1, kill_after=0.3)
    call = made(executor, "wait_and_ignore", str(tmp_path / "started"))
    wait_for(tmp_path / "started")
    executor.stop(call, "timeout")
    outcome = call.outcome()
    assert outcome.forced
    assert outcome.text is not None
    assert outcome.text.message.startswith("its process was stopped (timeout): it was killed by SIGKILL")
    executor.shutdown(PATIENCE)


def test_a_call_that_waits_for_a_child_is_stopped_without_beginning(tmp_path: Path) -> None:
    executor = ProcessExecutor(1, kill_after=0.1)
    busy = made(executor, "wait_and_ignore", str(tmp_path / "started"))
    queued = made(executor, "wait_and_ignore", str(tmp_path / "never"))
    wait_for(tmp_path / "started")
    assert executor.capacity() == 0
    executor.stop(queued, "cancel")
    executor.stop(busy, "cancel")
    assert isinstance(queued.outcome().error, RunCancelled)
    assert not (tmp_path / "never").exists()
    executor.shutdown(PATIENCE)


def test_signals_that_the_parent_did_not_send_are_ignored(executor: ProcessExecutor) -> None:
    assert made(executor, "ignore_signals_of_others").outcome().value == "still here"


def test_a_child_starts_no_scheduler(executor: ProcessExecutor) -> None:
    value = made(executor, "may_start").outcome().value
    assert value == [False, "this child process makes the calls of process jobs"]


def test_shutdown_ends_idle_and_busy_children(tmp_path: Path) -> None:
    executor = ProcessExecutor(2, kill_after=0.1)
    pid = made(executor, "whoami").outcome().value
    call = made(executor, "wait_and_ignore", str(tmp_path / "started"))
    wait_for(tmp_path / "started")
    children = list(executor._children)
    executor.shutdown(PATIENCE)
    assert call.outcome().forced
    assert isinstance(pid, list)
    assert not any(child.is_alive() for child in children)
    late = made(executor, "add", 1, 1)
    assert isinstance(late.outcome().error, RunCancelled)


SCRIPT = """
import os, sys, threading
sys.path[:0] = {path!r}
from tests.executors.fakes import FakeCall, facts
from rota.executors.process import ProcessExecutor

def whoami():
    return [__name__, os.getpid()]

class Unhappy(Exception): ...

def fail():
    raise Unhappy("in main")

def wait(started):
    open(started, "w").write(str(os.getpid()))
    threading.Event().wait()

if __name__ == "__main__":
    executor = ProcessExecutor(2)
    name, pid = "{name}", None
    call = FakeCall(facts=facts("__main__:" + name, *{args!r}))
    if name == "wait":
        idle = FakeCall(facts=facts("__main__:whoami"))
        executor.submit([idle])
        executor.submit([call])
        print(idle.outcome().value[1], flush=True)
        sys.stdin.readline()
    else:
        executor.submit([call])
        outcome = call.outcome()
        print(outcome.value, type(outcome.error) is Unhappy, outcome.text and outcome.text.type)
"""


def script(tmp_path: Path, name: str, *args: str) -> list[str]:
    root = Path(__file__).parents[2]
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(path=[str(root), str(root / "src")], name=name, args=list(args)), encoding="utf-8")
    return [sys.executable, str(path)]


def test_functions_and_errors_of_the_main_module_are_found(tmp_path: Path) -> None:
    ended = subprocess.run(script(tmp_path, "whoami"), capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.startswith("['__mp_main__', ")
    assert ended.stderr == ""
    ended = subprocess.run(script(tmp_path, "fail"), capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == ["None", "True", "__main__.Unhappy"]
    assert ended.stderr == ""


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("how", ["exit", "kill"])
def test_no_child_outlives_its_parent(tmp_path: Path, how: str) -> None:
    started = tmp_path / "started"
    with subprocess.Popen(
        script(tmp_path, "wait", str(started)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stderr is not None
        pids = [int(parent.stdout.readline())]
        wait_for(started)
        while not started.read_text(encoding="ascii"):
            threading.Event().wait(0.01)
        pids.append(int(started.read_text(encoding="ascii")))
        if how == "kill":
            parent.send_signal(signal.SIGKILL)
        else:
            parent.stdin.write(b"\n")
            parent.stdin.close()
        parent.wait(PATIENCE)
        assert until(lambda: not any(is_alive(pid) for pid in pids)), "a child has outlived its parent"
        assert parent.stderr.read() == b""


def test_a_main_module_that_cannot_be_imported_again_says_so(tmp_path: Path) -> None:
    command = script(tmp_path, "whoami")
    path = tmp_path / "script.py"
    text = path.read_text(encoding="utf-8").replace(
        "def fail():", "if __name__ != '__main__': sys.exit(3)\ndef fail():"
    )
    path.write_text(text.replace("print(outcome.value", "print(outcome.died, outcome.error"), encoding="utf-8")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.startswith("False a child process could not start: it exited with code 3")
    assert "belongs under `if __name__ == '__main__':`" in ended.stdout
