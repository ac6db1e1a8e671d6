"""What may stand between a program and Redis: Sentinel, which names the primary, and TLS."""

from __future__ import annotations

import signal
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis
from redis.sentinel import Sentinel as Client
from tests import services
from tests.more_servers import TLS, Replica, Sentinel, certificate
from tests.waiting import until
from tests.wheel_servers import Valkey, is_installed

from rota import Scheduler
from rota.errors import LockBackendError, StoreError
from rota.locks import RedisLocks
from rota.stores import RedisStore

pytestmark = pytest.mark.any_versions


@pytest.fixture
def guarded(tmp_path: Path):
    """A primary, its replica, and the app's own client of the Sentinel that knows both."""
    if not is_installed("redis"):
        pytest.skip("redis: no wheel brings servers for a Sentinel")
    for name in ("primary", "replica", "sentinel"):
        (tmp_path / name).mkdir()
    with (
        Valkey(tmp_path / "primary") as primary,
        Replica(tmp_path / "replica", primary) as replica,
        Sentinel(tmp_path / "sentinel", primary) as sentinel,
    ):
        with redis.Redis.from_url(primary.url) as server:
            server.config_set("repl-diskless-sync-delay", 0)
        client = Client([("127.0.0.1", sentinel.port)], socket_timeout=5)
        assert until(lambda: client.discover_slaves("shop") and _has_all(replica))
        yield primary, replica, client
        for one in client.sentinels:
            one.close()


def test_with_a_client_of_sentinel_the_fleet_goes_on_with_the_replica_that_takes_over(guarded):
    primary, replica, client = guarded
    ran = []
    store = RedisStore(client.master_for("shop", decode_responses=True))
    scheduler = Scheduler("shop", store=store, lease_ttl=3)
    scheduler.interval(seconds=1, id="each", catch_up="all", overlap="allow", on_crash="rerun")(
        lambda run: ran.append((run.scheduled_for, run.attempt))
    )
    scheduler.start()
    assert until(lambda: len(ran) >= 2)
    primary.stop(signal.SIGKILL)
    assert until(lambda: _named(client) == replica.port)
    count = len(ran)
    assert until(lambda: len(ran) >= count + 2)
    assert scheduler.health().store
    scheduler.shutdown()
    ticks = sorted({tick for tick, _ in ran})
    assert (ticks[-1] - ticks[0]).total_seconds() == len(ticks) - 1


def _named(client: Client) -> int:
    """The port of the primary that Sentinel names, 0 where it names none."""
    try:
        return client.discover_master("shop")[1]
    except redis.sentinel.MasterNotFoundError:
        return 0


def _has_all(replica: Replica) -> bool:
    with redis.Redis.from_url(replica.url) as looking:
        return looking.info("replication")["master_link_status"] == "up"


def test_a_client_of_sentinel_that_reads_replicas_is_refused(guarded):
    with pytest.raises(StoreError, match="is a replica: it may lag behind"):
        RedisStore(guarded[2].slave_for("shop"), uuid4().hex).job_states(["job"])


def test_a_sentinel_that_names_nobody_is_said_to(guarded):
    locks = RedisLocks(guarded[2].master_for("other"), uuid4().hex)
    with pytest.raises(LockBackendError, match="a primary of 'other' by Sentinel: Sentinel has no primary to name"):
        locks.acquire("name", "token", 10.0)


@pytest.mark.requires_service("redis")
def test_a_url_that_asks_for_tls_is_given_it_and_a_certificate_of_nobodys_is_refused(tmp_path):
    try:
        signed, key = certificate(tmp_path)
    except services.Unavailable as reason:
        pytest.skip(str(reason))
    parts = urlsplit(services.url("redis"))
    with TLS((parts.hostname or "127.0.0.1", parts.port or 6379), signed, key, is_asked_for=False) as front:
        url = f"rediss://localhost:{front.port}{parts.path}"
        for wanted in ("ssl_cert_reqs=none", f"ssl_ca_certs={signed}"):
            locks = RedisLocks(f"{url}?{wanted}", uuid4().hex)
            assert locks.acquire("name", "token", 10.0) is not None
            locks.close()
        with pytest.raises(LockBackendError, match="its certificate is not trusted here"):
            RedisLocks(url, uuid4().hex).acquire("name", "token", 10.0)
