"""The command line: what it prints, where, and with which exit code; and `rota demo` as its users see it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rota import __version__
from rota.cli import main

DEMO = [sys.executable, "-m", "rota", "demo"]


def test_without_a_command_it_prints_its_help_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "demo" in capsys.readouterr().err


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"rota {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["dmeo"], ["demo", "--seconds", "soon"], ["demo", "--seconds", "0"], ["demo", "-x"]]
)
def test_a_command_line_that_cannot_be_read_is_refused_on_stderr(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    said = capsys.readouterr()
    assert end.value.code == 2
    assert said.out == ""
    assert "error: " in said.err


def test_what_goes_wrong_is_one_line_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_demo("--directory", tmp_path / "file" / "below")
    assert done.returncode == 2
    assert done.stderr.startswith("rota: error: ")
    assert done.stderr.count("\n") == 1


def test_whoever_stops_reading_causes_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m rota demo --seconds 1 --directory {tmp_path} | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_the_demo_survives_a_kill_and_checks_it(tmp_path: Path) -> None:
    done = run_demo("--seconds", "8", "--directory", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert len(re.findall(r"process +starts", done.stdout)) == 2
    assert "KILLED" in done.stdout
    assert done.stdout.count("\n  ok     ") == 4
    assert "WRONG" not in done.stdout
    assert re.search(r"hourly_rollup +ran", done.stdout)
    assert len(list((tmp_path / "rollups").glob("*.json"))) >= 2
    assert all(len(line) <= 100 for line in done.stdout.splitlines() if str(tmp_path) not in line)
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_ends_with_its_summary_when_it_is_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    command = [*DEMO, "--seconds", "60", "--directory", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "starts" in line:
                break
        os.kill(demo.pid, number)
        said, complaints = demo.communicate(timeout=60)
    assert demo.returncode == 0, said + complaints
    assert complaints == ""
    assert said.count("\n  ok     ") == 4


def run_demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*DEMO, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
