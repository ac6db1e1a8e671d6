"""A small shop in Flask with Rota in it: `flask --app examples.flask_app run`.

Read `jobs.py` first: it is what Rota is for. `shop.py` is the work itself, `mail.py` and `mail_server.py` a mail
service that sometimes fails. Here is how a Flask app takes a scheduler in: three lines of `create_app`.
"""

from __future__ import annotations

import atexit
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .jobs import scheduler, send_digest, speed_up
from .mail_server import MailServer
from .shop import Shop

if TYPE_CHECKING:
    from flask import Flask


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """The app. SHOP_FAST=1 lets hours pass in seconds, SHOP_MAIL_URL names a mail service of your own."""
    from flask import Flask  # `rota demo` runs these jobs where Flask is not installed, too

    app = Flask(__name__)
    app.config.from_mapping(
        SHOP_DIRECTORY=app.instance_path,
        SHOP_MAIL_URL=os.environ.get("SHOP_MAIL_URL"),
        SHOP_FAST=os.environ.get("SHOP_FAST") == "1",
    )
    app.config.from_mapping(config or {})
    directory = Path(app.config["SHOP_DIRECTORY"])

    scheduler.state.shop = Shop(directory, app.config["SHOP_MAIL_URL"] or start_mail_server(directory))
    scheduler.configure(store=f"sqlite:///{directory / 'rota.db'}")
    if app.config["SHOP_FAST"]:
        speed_up()
    add_pages(app)
    scheduler.start()
    return app


def start_mail_server(directory: Path) -> str:
    """A mail service in this process, for want of a real one; gives its URL."""
    server = MailServer(directory / "outbox")
    atexit.register(server.close)
    return server.url


def add_pages(app: Flask) -> None:
    """What the app answers."""
    from flask import abort, render_template, request  # as above

    @app.get("/")
    def overview() -> str:
        """What the scheduler did and will do."""
        return render_template("overview.html", jobs=scheduler.jobs.values(), runs=scheduler.runs(limit=25))

    @app.post("/events")
    def record_event() -> tuple[dict[str, Any], int]:
        """Something happens in the shop: it goes into the event log, which `hourly_rollup` sums up."""
        event = request.get_json()
        scheduler.state.shop.record([event], lambda: datetime.now(UTC))
        return {"recorded": event}, 201

    @app.post("/customers/<int:customer_id>/digest")
    def order_digest(customer_id: int) -> tuple[dict[str, Any], int]:
        """A digest out of turn: the answer comes at once, the mail is sent by a run with retries of its own."""
        known = {customer.id: customer for customer in scheduler.state.shop.customers()}
        if customer_id not in known:
            abort(404)
        edition = request.args.get("edition", "extra")
        args = [customer_id, known[customer_id].address, edition]
        run_id = scheduler.enqueue(send_digest, args=args, key=f"digest:{customer_id}:{edition}")
        return {"run": run_id}, 202

    @app.get("/runs/<run_id>")
    def run_details(run_id: str) -> dict[str, Any]:
        """How a run stands."""
        run = scheduler.get_run(run_id)
        return {"job": run.job_id, "status": run.status, "attempts": len(run.attempts), "error": run.error}

    @app.get("/health")
    def health() -> tuple[dict[str, Any], int]:
        """For a load balancer or a monitor."""
        health = scheduler.health()
        return {"alive": health.alive, "store": health.store, "overdue": health.overdue}, 200 if health.alive else 503
