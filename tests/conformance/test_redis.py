"""The contracts on Redis or Valkey: through a proxy that fails when it is told to, and on a server of one's own."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from tests import services
from tests.wheel_servers import Valkey, is_installed

from rota.backends.redis_connection import RedisServer
from rota.backends.redis_space import RedisSpace
from rota.errors import LockBackendError, StoreError
from rota.locks import RedisLocks
from rota.ports import Claim, Clock
from rota.stores import RedisStore
from rota.testing.conformance import LockCapabilities, StoreCapabilities, lock_backend_contract, store_contract
from rota.testing.conformance._faults import again
from rota.testing.conformance.lock_ambiguity import LockAmbiguity
from rota.testing.proxy import FaultProxy

TIMEOUT = 4.0
"""Seconds that a call may take; short, since tests wait for it to be over, and yet enough for a server that is busy."""

BUSY = 30.0
"""The same for calls of many processes at once, on a machine that may be slow."""

SET_CLOCKS = (
    "test_a_jump_of_a_day_and_back_poisons_no_watermark",
    "test_27_a_restarted_machine_frees",
    "test_40_a_jump_of_a_day_and_back_poisons_no_watermark",
    "test_40_a_program_started_after_the_jump_is_not_fooled",
    "test_40_a_clock_that_stands_for_half_a_minute_is_believed",
)
"""What does not apply: they set a clock that the backend goes by, but a server's is not the client's to set."""

HAND_CLOCK = "local function clock() return tonumber(redis.call('GET', KEYS[1] .. 'hand-clock')) end"
"""Instead of the server's clock: a key that tests set."""

OWN_SERVER = "ROTA_TEST_OWN_REDIS"
"""The variable that tells children where the server is that is paused and started anew."""

_proxies: list[FaultProxy] = []


class TimedServer(RedisServer):
    """Brings the time along with every call: the clock of a server, on which the time of a test passes, and that nobody
    sets."""

    def __init__(self, url: str, key: bytes, clock: Clock) -> None:
        super().__init__(url, TIMEOUT)
        self._key, self._clock = key, clock
        self._ahead = clock.now() - round(clock.boottime() * 1_000_000)

    def ask(self, commands, error):
        now = b"%d" % (self._ahead + round(self._clock.boottime() * 1_000_000))
        return super().ask([(b"SET", self._key, now), *commands], error)[1:]


def go_by(clock: Clock, *spaces: RedisSpace) -> None:
    server = TimedServer(proxied(), spaces[0].key(b"hand-clock"), clock)
    for space in spaces:
        space.server, space._clock = server, HAND_CLOCK


def locks(place: str, clock: Clock | None) -> RedisLocks:
    if clock is None:
        return RedisLocks(services.url("redis"), place, timeout=BUSY)
    made = RedisLocks(proxied(), place)
    go_by(clock, made._space)
    return made


def store(place: str, clock: Clock | None) -> RedisStore:
    if clock is None:
        return RedisStore(services.url("redis"), place, timeout=BUSY)
    made = RedisStore(proxied(), place)
    go_by(clock, made._space, made.locks._space)
    return made


def proxied() -> str:
    """The address of the proxy."""
    return urlsplit(services.url("redis"))._replace(netloc=_proxies[0].address).geturl()


@contextmanager
def hanging(place: str) -> Iterator[None]:
    """The network lets nothing through."""
    _proxies[0].hang()
    try:
        yield
    finally:
        _proxies[0].restore()


@contextmanager
def refusing(place: str) -> Iterator[None]:
    """The server is down."""
    _proxies[0].refuse()
    try:
        yield
    finally:
        _proxies[0].restore()


@pytest.fixture(scope="module", autouse=True)
def _proxy() -> Iterator[None]:
    """Made before the first child is, which is given the address of the server."""
    if services.why_unavailable("redis") is not None:
        yield
        return
    parts = urlsplit(services.url("redis"))
    with FaultProxy(parts.hostname or "127.0.0.1", parts.port or 6379) as proxy:
        _proxies.append(proxy)
        yield
        _proxies.clear()


def by_server_clock(contract: type) -> type:
    return type(contract.__name__, (contract,), dict.fromkeys(SET_CLOCKS))


TestRedisLocks = pytest.mark.requires_service("redis")(
    by_server_clock(
        lock_backend_contract(
            locks,
            LockCapabilities(forgets_locks=True, names=300, hang=hanging, break_storage=refusing, other_version=locks),
        )
    )
)

TestRedisStore = pytest.mark.requires_service("redis")(
    by_server_clock(store_contract(store, StoreCapabilities(hang=hanging, break_storage=refusing)))
)


# A server of one's own -----------------------------------------------------------------------------------------------


class DurableValkey(Valkey):
    """Writes every change to the disk before it answers."""

    def _command(self) -> list[str]:
        return [*super()._command(), "--dir", str(self.directory), "--appendonly", "yes", "--appendfsync", "always"]


_own: list[DurableValkey] = []


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DurableValkey]:
    if not is_installed("redis"):
        pytest.skip("redis: no wheel brings a server to pause and to start anew")
    with DurableValkey(tmp_path_factory.mktemp("valkey")) as server:
        os.environ[OWN_SERVER] = server.url
        _own.append(server)
        yield server
        _own.clear()
        del os.environ[OWN_SERVER]


def own_locks(place: str, clock: Clock | None) -> RedisLocks:
    return RedisLocks(os.environ[OWN_SERVER], place, timeout=TIMEOUT)


def end_sessions(place: str) -> None:
    with redis.Redis.from_url(os.environ[OWN_SERVER]) as admin:
        admin.client_kill_filter(skipme=True, _type="normal")


def start_anew(place: str) -> None:
    _own[0].stop(signal.SIGKILL)
    _own[0].start()


@contextmanager
def paused(place: str) -> Iterator[None]:
    """The process of the server is stopped, as by a debugger."""
    os.kill(_own[0].pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(_own[0].pid, signal.SIGCONT)


@pytest.mark.usefixtures("own_server")
class TestServerOfOnesOwn(LockAmbiguity):
    """Points 19 to 26 again, on a server that is killed and stopped."""

    factory = staticmethod(own_locks)
    capabilities = LockCapabilities(takes_clock=False, restart=start_anew, end_sessions=end_sessions, hang=paused)

    def test_15_fence_and_watermark_survive_a_kill_of_the_server(self) -> None:
        first = self.backend.acquire("a", "first", 60.0)
        assert self.backend.claim([Claim("a", None, 5)])[0].verdict == "claimed"
        assert self.backend.release("a", "first")
        start_anew(self.place)
        second = again(lambda: self.backend.acquire("a", "second", 60.0), LockBackendError)
        assert (first.fence, second.fence) == (1, 2)
        assert self.backend.claim([Claim("a", None, 6)])[0].watermark == 5


def stepped(seconds: float) -> str:
    """Lua for the server's clock, set by so much."""
    return f"local function clock() local t = redis.call('TIME') return t[1] * 1000000 + t[2] + {seconds * 1e6:.0f} end"


@pytest.mark.requires_service("redis")
def test_28_a_server_clock_set_back_keeps_a_lease_longer_and_set_forward_ends_it(tmp_path: Path) -> None:
    held, other = locks(str(tmp_path), None), locks(str(tmp_path), None)
    assert held.acquire("a", "token", 30.0) is not None
    other._space._clock = stepped(-3600.0)
    assert other.acquire("a", "other", 30.0) is None
    other._space._clock = stepped(3600.0)
    assert other.acquire("a", "other", 30.0) is not None
    held.close()
    other.close()


def evicting(place: str, clock: Clock | None) -> RedisLocks:
    with redis.Redis.from_url(os.environ[OWN_SERVER]) as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
    return own_locks(place, clock)


def replica(place: str, clock: Clock | None) -> RedisLocks:
    with redis.Redis.from_url(os.environ[OWN_SERVER]) as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        admin.replicaof("127.0.0.1", "1")
    return own_locks(place, clock)


@pytest.mark.usefixtures("own_server")
def test_47_a_misconfigured_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockBackendError, match=r"allkeys-lru.*noeviction"):
        evicting(str(tmp_path), None).acquire("a", "token", 30.0)
    with pytest.raises(StoreError, match=r"allkeys-lru.*noeviction"):
        RedisStore(os.environ[OWN_SERVER], str(tmp_path)).open()
    with pytest.raises(LockBackendError, match=r"replica.*primary, 127\.0\.0\.1:1"):
        replica(str(tmp_path), None).acquire("a", "token", 30.0)
    with redis.Redis.from_url(os.environ[OWN_SERVER]) as admin:
        admin.replicaof("NO", "ONE")
    assert own_locks(str(tmp_path), None).acquire("a", "token", 30.0) is not None
