"""A cluster of two nodes: all keys of a namespace lie on one of them, and any node's address will do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import redis
from tests.wheel_servers import Valkey, is_installed

from rota.ports import Claim, JobSeen
from rota.stores import RedisStore

pytestmark = pytest.mark.skipif(not is_installed("redis"), reason="redis: no wheel brings servers for a cluster")

PATIENCE = 60.0


class ClusterNode(Valkey):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.bus = probe.getsockname()[1]

    def _command(self) -> list[str]:
        options = ["--dir", str(self.directory), "--cluster-enabled", "yes", "--cluster-port", str(self.bus)]
        return [*super()._command(), *options]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ClusterNode, ClusterNode]]:
    with ClusterNode(tmp_path_factory.mktemp("a")) as one, ClusterNode(tmp_path_factory.mktemp("b")) as two:
        first, second = redis.Redis.from_url(one.url), redis.Redis.from_url(two.url)
        first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        second.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        second.execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
        first.execute_command("CLUSTER", "MEET", "127.0.0.1", two.port, two.bus)
        until_whole(first, second)
        yield one, two
        first.close()
        second.close()


def until_whole(*clients: redis.Redis) -> None:
    over, pause = monotonic() + PATIENCE, threading.Event()
    while not all(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok" for client in clients):
        assert monotonic() < over, "the nodes have not met"
        pause.wait(0.05)


@pytest.mark.parametrize("namespace", [f"shop-{number}" for number in range(4)])
def test_the_address_of_any_node_leads_to_the_one_in_charge(nodes, namespace):
    stores = [RedisStore(node.url, namespace) for node in nodes]
    states = [store.sync_jobs([JobSeen("job", "signature")])[0] for store in stores]
    assert states[0] == states[1]
    assert stores[0].locks.claim([Claim("name", None, 5)])[0].verdict == "claimed"
    assert stores[1].locks.claim([Claim("name", None, 6)])[0].watermark == 5
    assert stores[0]._space.server.address == stores[1]._space.server.address
    for store in stores:
        store.close()


def test_namespaces_lie_on_both(nodes):
    with redis.Redis.from_url(nodes[0].url) as client:
        slots = [client.execute_command("CLUSTER", "KEYSLOT", f"{{rota:shop-{number}}}:runs") for number in range(4)]
    assert min(slots) < 8192 <= max(slots)


def test_a_cluster_client_of_the_app_will_do(nodes):
    client = redis.RedisCluster.from_url(nodes[1].url)
    store = RedisStore(client, "shop-0")
    assert store.put_value("scope", "key", "1")
    assert RedisStore(nodes[0].url, "shop-0").value("scope", "key") == "1"
    store.close()
    client.close()


def test_a_node_that_is_gone_is_left_for_the_first_address(nodes):
    store = RedisStore(nodes[0].url, "shop-0")
    store.open()
    store._space.server._moved_to = {"host": "127.0.0.1", "port": 1}
    store.close()
    assert store.put_value("scope", "key", "2")
    store.close()
