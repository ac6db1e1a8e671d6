"""Connecting through an engine of the program's, which may have set its driver no limits."""

import threading
from contextlib import closing
from socket import create_server
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, event
from tests import services

from rota.backends import sql_deadlines
from rota.backends.sql_deadlines import Deadlines
from rota.backends.sql_engine import chosen_url
from rota.errors import StoreError
from rota.stores import SQLStore
from rota.testing import FaultProxy


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "mysql+pymysql"])
@pytest.mark.parametrize("given", [str, create_engine])
def test_a_server_that_takes_a_connection_and_says_nothing_is_given_up_in_time(scheme, given):
    with closing(create_server(("127.0.0.1", 0))) as silent:
        store = SQLStore(given(f"{scheme}://user@127.0.0.1:{silent.getsockname()[1]}/database"), timeout=0.5)
        said = what_is_said_of_opening(store)
    assert "did not answer within 0.5 s: it failed (no connection was made in time)" in said


@pytest.mark.parametrize(
    "server",
    [
        pytest.param("postgresql", marks=pytest.mark.requires_service("postgresql")),
        pytest.param("mysql", marks=pytest.mark.requires_service("mysql")),
    ],
)
def test_a_server_that_falls_silent_when_it_has_let_one_in_is_given_up_in_time(server):
    parts = urlsplit(services.url(server))
    with FaultProxy(parts.hostname or "127.0.0.1", parts.port or services.DEFAULT_PORTS[server]) as proxy:
        user = parts.netloc.rpartition("@")[0]
        store = SQLStore(parts._replace(netloc=f"{user}@{proxy.address}").geturl(), timeout=1.0)
        event.listen(store._space._database.engine, "connect", lambda *_: proxy.hang(), insert=True)
        said = what_is_said_of_opening(store)
    assert "did not answer within 1 s" in said


def test_a_call_has_one_deadline_for_connecting_and_asking():
    deadlines = Deadlines()
    assert deadlines.left(7.0) == 7.0
    with deadlines.within(5.0):
        first = deadlines.left(7.0)
        assert 0.0 < deadlines.left(7.0) <= first <= 5.0
    with deadlines.within(0.0):
        assert (deadlines.left(7.0), deadlines.is_over) == (0.0, True)


@pytest.mark.requires_service("postgresql")
def test_nobody_watches_when_nothing_is_asked_any_more():
    store = SQLStore(services.url("postgresql"), uuid4().hex)
    store.open()
    watchers = [store._space._database._deadlines._thread]
    watchers[0].join(20)
    assert store.value("scope", "key") is None
    watchers.append(store._space._database._deadlines._thread)
    watchers[1].join(20)
    assert [watcher.is_alive() for watcher in watchers] == [False, False]
    store.close()


@pytest.mark.parametrize(
    "server",
    [
        pytest.param("postgresql", marks=pytest.mark.requires_service("postgresql")),
        pytest.param("mysql", marks=pytest.mark.requires_service("mysql")),
    ],
)
@pytest.mark.parametrize("given", [str, lambda url: create_engine(chosen_url(url))], ids=["url", "engine"])
def test_calls_are_answered_where_no_thread_can_be_started(server, given, monkeypatch):
    monkeypatch.setattr(sql_deadlines, "LINGERS", 60.0)
    store = SQLStore(given(services.url(server)), uuid4().hex)
    deadlines = store._space._database._deadlines
    with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
        store.put_value("scope", "key", "1")
        assert deadlines._thread is None
        store.close()
    assert store.value("scope", "key") == "1"
    assert deadlines._thread is not None
    store.close()


def what_is_said_of_opening(store: SQLStore) -> str:
    """The error of a store that is not opened, or nothing where it takes far too long."""
    said: list[str] = []

    def ask() -> None:
        try:
            store.open()
        except StoreError as failure:
            said.append(str(failure))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(60)
    return "".join(said)


def test_what_the_driver_says_of_a_connection_that_fails_is_told():
    with closing(create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    store = SQLStore(create_engine(f"postgresql+psycopg://user@127.0.0.1:{port}/database"))
    with pytest.raises(StoreError, match="refused"):
        store.open()
