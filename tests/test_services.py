"""A database of one's own on each server: the same in children, another for another process, gone at the end."""

import multiprocessing
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests import services
from tests.waiting import until

ROOT = Path(__file__).parents[1]


def ask(name: str, answers) -> None:
    answers.put(services.url(name))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.requires_service(n)) for n in ("postgresql", "mysql", "redis")]
)
def test_a_child_is_given_the_same_database(name):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=ask, args=(name, answers))
    child.start()
    assert answers.get(timeout=60) == services.url(name) != services.server_url(name)
    child.join(20)
    answers.close()


OTHER_PROCESS = """
import os, sys
os.environ.pop("ROTA_TEST_OWN_POSTGRESQL_URL")
from tests import services
with services.opened():
    print(services.url("postgresql"))
"""


@pytest.mark.requires_service("postgresql")
def test_another_test_process_has_another_database_which_is_dropped_at_its_end():
    import psycopg

    services.url("postgresql")
    other = subprocess.check_output([sys.executable, "-c", OTHER_PROCESS], cwd=ROOT, text=True, timeout=60).strip()
    assert other != services.url("postgresql")
    with psycopg.connect(services.server_url("postgresql")) as connection:
        names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
    assert urlsplit(services.url("postgresql")).path[1:] in names
    assert urlsplit(other).path[1:] not in names


SERVERS_FROM_WHEELS = """
import sys, time
from tests import services
with services.opened():
    for name in sys.argv[1:]:
        print(services.url(name), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kill", [False, True], ids=["which ends", "which is killed"])
def test_a_server_from_a_wheel_is_stopped_with_the_run_that_started_it(kill, monkeypatch, tmp_path):
    names = [name for name in ("postgresql", "redis") if services.is_installed(name)]
    for variable in ("ROTA_TEST_SERVERS", *map(services.variable, names), *map(services._own_variable, names)):
        monkeypatch.delenv(variable, raising=False)
    run = subprocess.Popen(
        [sys.executable, "-c", SERVERS_FROM_WHEELS, *names],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    addresses = [("127.0.0.1", urlsplit(run.stdout.readline()).port) for _ in names]
    for address in addresses:
        socket.create_connection(address, timeout=10).close()
    if kill:
        run.kill()
    run.communicate(timeout=60)

    def is_gone(address) -> bool:
        try:
            socket.create_connection(address, timeout=10).close()
        except ConnectionRefusedError:
            return True
        return False

    assert until(lambda: all(map(is_gone, addresses)))
