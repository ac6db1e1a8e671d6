"""The process of the demo that runs the shop, and may be killed at any moment.

Law: it knows nothing of the show. It is what any application is: it makes its app, starts its scheduler, and ends on
SIGTERM. Besides, it prints a line for each happening, and ends when the show that started it is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from rota.clock import SystemClock
from rota.demo.lines import line, line_of
from rota.ports import Event

from .flask_app import add_pages
from .flask_app.jobs import scheduler, speed_up
from .flask_app.shop import Shop

LEASE_TTL = 2.0
SHUTDOWN_TIMEOUT = 5.0


def main(directory: str, mail_url: str, port: str, began: str) -> None:
    """Run the shop until told to stop. `began`: microseconds since 1970, when the show did."""
    clock = SystemClock()

    def seconds() -> float:
        return (clock.now() - int(began)) / 1_000_000

    def tell(event: Event) -> None:
        said = line_of(event, seconds())
        if said is not None:
            say_if_heard(said)

    configure(Path(directory), mail_url)
    scheduler.listen(tell, "attempt_ended", "run_ended")
    threading.Thread(target=_end_with_the_show, daemon=True).start()
    serve_pages(int(port))
    say_if_heard(line(seconds(), "process", "starts", f"process {os.getpid()} on {Path(directory).name}/rota.db"))
    scheduler.run()
    say_if_heard(line(seconds(), "process", "ends", f"process {os.getpid()} has shut down"))


def configure(directory: Path, mail_url: str) -> None:
    """Point the shop and its scheduler at a directory, and let its hours pass in seconds."""
    scheduler.state.shop = Shop(directory, mail_url)
    scheduler.configure(
        store=f"sqlite:///{directory / 'rota.db'}", lease_ttl=LEASE_TTL, shutdown_timeout=SHUTDOWN_TIMEOUT
    )
    speed_up()


def has_flask() -> bool:
    """Whether Flask is installed here."""
    return find_spec("flask") is not None


def serve_pages(port: int) -> None:
    """The shop's web pages, in a thread, where Flask is installed."""
    if not has_flask():
        return
    import logging  # only to quieten the web server

    from flask import Flask  # an extra
    from werkzeug.serving import make_server  # comes with Flask

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Flask("rota.demo.flask_app")
    add_pages(app)
    server = make_server("127.0.0.1", port, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def say(text: str) -> None:
    """Print a line, at once: the process may be killed the next moment. `BrokenPipeError` where nobody reads it."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def say_if_heard(text: str) -> None:
    """Print a line if anybody reads; if not, it is for the show to end, not for its shop."""
    with suppress(BrokenPipeError):
        say(text)


def _end_with_the_show() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(*sys.argv[1:])
