"""A web application under a server that forks: gunicorn or uvicorn, whose workers each run the scheduler."""

from __future__ import annotations

import json
import signal
import socket
import sys
import urllib.request
from http.client import HTTPException
from json import JSONDecodeError
from pathlib import Path

from tests.anomaly.programs import Program
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


class Web:
    """The application, served."""

    def __init__(
        self, directory: Path, *options: str, store: str | None, name: str = "web", server: str = "gunicorn"
    ) -> None:
        text = WSGI if server == "gunicorn" else ASGI
        (directory / "app.py").write_text(text.replace("STORE", repr(store)).replace("NAME", repr(name)))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        where = {
            "gunicorn": [f"--bind=127.0.0.1:{self.port}", "--timeout=120", "--graceful-timeout=10"],
            "uvicorn": [f"--port={self.port}", "--timeout-graceful-shutdown=10", "--log-level=warning"],
        }
        self.program = Program.of(directory, [sys.executable, "-m", server, *where[server], *options, "app:app"])

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
