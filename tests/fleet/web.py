"""A web application under a server that forks: gunicorn, uvicorn or uWSGI, whose workers each run the scheduler.

uWSGI is a program that has Python in it, so it is not installed with the tests: one on PATH, or beside this Python, is
used if its Python is this one.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from functools import cache
from http.client import HTTPException
from json import JSONDecodeError
from pathlib import Path
from platform import python_version_tuple
from sysconfig import get_path

from tests.anomaly.programs import SOURCE, Program
from tests.services import Unavailable
from tests.waiting import PATIENCE, until

# A run whose worker was killed counts as running until its lease ends: `overlap="allow"` lets the ticks after it run.
HEAD = """
import json, os, time
from rota import Scheduler

scheduler = Scheduler(NAME, store=STORE, shutdown_timeout=3, lease_ttl=3)

@scheduler.interval(seconds=1, catch_up="all", on_crash="rerun", overlap="allow")
def each(run):
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    tick = run.scheduled_for.isoformat()
    entry = f"start each {tick} {run.attempt} {run.lease.fence} {os.getpid()} {time.time_ns() // 1000}\\n"
    os.write(ledger, entry.encode())
    os.close(ledger)
"""

WSGI = (
    HEAD
    + """
from flask import Flask, jsonify
app = Flask(__name__)

@app.get("/")
def health():
    return jsonify(pid=os.getpid(), alive=scheduler.health().alive)

scheduler.start()
"""
)

ASGI = (
    HEAD
    + """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                scheduler.shutdown()
                return
    body = json.dumps({"pid": os.getpid(), "alive": scheduler.health().alive}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})

scheduler.start()
"""
)


@cache
def uwsgi_command() -> tuple[str, ...]:
    """How uWSGI is started here. Raises `Unavailable` where there is none with this Python in it."""
    found = [str(Path(sys.executable).with_name("uwsgi")), shutil.which("uwsgi")]
    for program in filter(None, map(shutil.which, filter(None, found))):
        for command in ((program,), (program, "--plugin=python3")):
            said = subprocess.run([*command, "--python-version"], capture_output=True, text=True, check=False).stdout
            if said.split(".")[:2] == list(python_version_tuple()[:2]):
                return command
    raise Unavailable("uwsgi: no uWSGI with this Python in it is on PATH (pip install uwsgi)")


class Web:
    """The application, served."""

    def __init__(
        self, directory: Path, *options: str, store: str | None, name: str = "web", server: str = "gunicorn",
        before_start: str = "",
    ) -> None:  # fmt: skip
        text = ASGI if server == "uvicorn" else WSGI
        text = text.replace("\nscheduler.start()", f"\n{before_start}\nscheduler.start()")
        (directory / "app.py").write_text(text.replace("STORE", repr(store)).replace("NAME", repr(name)))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        where = {
            "gunicorn": [f"--bind=127.0.0.1:{self.port}", "--timeout=120", "--graceful-timeout=10"],
            "uvicorn": [f"--port={self.port}", "--timeout-graceful-shutdown=10", "--log-level=warning"],
        }
        if server == "uwsgi":
            address = ["--disable-logging", f"--http-socket=127.0.0.1:{self.port}", "--need-app", "--module=app:app"]
            command, environ = [*uwsgi_command(), *options, *address], {"PYTHONPATH": f"{SOURCE}:{get_path('purelib')}"}
        else:
            command, environ = [sys.executable, "-m", server, *where[server], *options, "app:app"], {}
        self.program = Program.of(directory, command, **environ)

    def workers(self, count: int, without: object = (), seconds: float = PATIENCE) -> dict[int, bool]:
        """Ask until so many workers have answered; whether each runs jobs, by process id."""
        seen: dict[int, bool] = {}

        def asked() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                    said = json.load(answer)
            except (OSError, HTTPException, JSONDecodeError):  # it is being ended
                return False
            if said["pid"] not in without:
                seen[said["pid"]] = said["alive"]
            return len(seen) >= count

        assert until(asked, seconds), (seen, self.program.stderr)
        return seen

    def stop(self) -> int:
        """End it as a deployment would; its exit code."""
        self.program.send(signal.SIGTERM)
        return self.program.end()
