"""A mail service for the example, in a thread: it takes mails over HTTP, and sometimes fails, as such services do.

Every third request is answered 503. Addresses at `unknown.example` are refused for ever. A mail with a key that was
taken before is not taken twice. What it takes is a file in `outbox/`.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, cast


class MailServer(ThreadingHTTPServer):
    """Started when made; `close()` stops it."""

    daemon_threads = True

    def __init__(self, outbox: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        outbox.mkdir(parents=True, exist_ok=True)
        self.outbox = outbox
        self.requests: int = 0
        self.lock: Lock = Lock()
        self.thread: Thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Where to send mails to."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def answer(self, key: str, mail: dict[str, Any]) -> tuple[int, dict[str, str]]:
        """The status and body for a mail."""
        if mail["to"].endswith("@unknown.example"):
            return 404, {"error": "no such address"}
        with self.lock:
            self.requests += 1
            if self.requests % 3 == 0:
                return 503, {"error": "try again later"}
            name = re.sub(r"[^\w.@-]", "_", key)
            (self.outbox / f"{name}.json").write_text(json.dumps(mail, indent=2) + "\n", encoding="utf-8")
        return 200, {"receipt": name}

    def close(self) -> None:
        """Stop, and give the port back."""
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:  # the name that http.server calls
        """Take a mail."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = cast(MailServer, self.server)
        status, answer = server.answer(self.headers["Idempotency-Key"], json.loads(body))
        with suppress(ConnectionError):  # whoever sent it was killed, say, and sends it again
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server gives it
        """Say nothing on stderr."""
