"""The Flask app of the examples, with its scheduler running as it does in a server."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("flask")
import examples.flask_app as shop_app
from flask.testing import FlaskClient


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    app = shop_app.create_app({"SHOP_DIRECTORY": tmp_path_factory.mktemp("shop"), "SHOP_FAST": True})
    yield app.test_client()
    shop_app.scheduler.shutdown()


def eventually(answer: Callable[[], Any], deadline: float = 30.0) -> Any:
    """The first answer that is true."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        found = answer()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_a_digest_is_answered_at_once_and_sent_by_a_run(client: FlaskClient) -> None:
    answer = client.post("/customers/1/digest?edition=may")
    assert answer.status_code == 202
    run_id = answer.get_json()["run"]

    def end_of_run() -> Any:
        found = client.get(f"/runs/{run_id}").get_json()
        return found if found["status"] not in ("queued", "running", "waiting") else None

    assert eventually(end_of_run)["status"] == "succeeded"
    assert client.post("/customers/1/digest?edition=may").get_json()["run"] == run_id


def test_a_digest_for_nobody_is_refused(client: FlaskClient) -> None:
    assert client.post("/customers/99/digest").status_code == 404


def test_an_event_goes_into_the_log(client: FlaskClient) -> None:
    assert client.post("/events", json={"kind": "view", "product": 7}).status_code == 201
    log = shop_app.scheduler.state.shop.events.read_text(encoding="utf-8")
    assert '"product": 7' in log


def test_the_overview_shows_jobs_and_runs(client: FlaskClient) -> None:
    eventually(lambda: b"events of" in client.get("/").data)
    page = client.get("/").get_data(as_text=True)
    assert "Every 2 seconds." in page
    assert "succeeded" in page


def test_a_monitor_is_told_that_it_is_alive(client: FlaskClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.get_json() == {"alive": True, "store": True, "overdue": []}
