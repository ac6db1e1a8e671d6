"""What is Redis's own: keys, numbers in Lua, scripts that the server forgets, the app's clients, what is refused."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis
from tests import services

from rota.backends import redis_probes
from rota.backends.redis_connection import RedisServer
from rota.core.run import RunRow
from rota.errors import ConfigurationError, LockBackendError, StoreError
from rota.locks import RedisLocks
from rota.ports import Begin, Claim, JobSeen, NodeRow, Swap, TickClaim
from rota.stores import RedisStore

pytestmark = pytest.mark.requires_service("redis")

MICROSECOND = 1_780_000_000_123_457
"""An instant that Lua would write as 1.7800000001235e+15."""


@pytest.fixture
def url() -> str:
    return services.url("redis")


@pytest.fixture
def space() -> str:
    return uuid4().hex


@pytest.fixture
def store(url: str, space: str):
    made = RedisStore(url, space)
    made.open()
    yield made
    made.close()


@pytest.fixture
def admin(url: str):
    with redis.Redis.from_url(url) as client:
        yield client


def row(store: RedisStore, job_id: str = "job", origin: str = "run_now", **facts) -> RunRow:
    now = store.now()
    return RunRow(str(uuid4()), job_id, origin, "queued", facts.pop("queued_at", now), facts.pop("due", now), **facts)


def begun(store: RedisStore, new: RunRow) -> RunRow:
    store.sync_jobs([JobSeen(new.job_id, "signature")])
    store.add([new])
    answer = store.begin([Begin(new.id, new.job_id, 0, "token", "node", 30.0)])[0]
    assert answer.row is not None
    return answer.row


def another(new: RunRow) -> RunRow:
    copy = new.copy()
    copy.id = str(uuid4())
    return copy


def started(new: RunRow) -> Begin:
    return Begin(new.id, new.job_id, 0, "t", "n", 30.0)


# Texts and numbers ---------------------------------------------------------------------------------------------------


def test_no_microsecond_is_lost(store: RedisStore) -> None:
    new = row(store, due=MICROSECOND, scheduled_for=MICROSECOND + 2, window_start=1, window_end=MICROSECOND + 4)
    store.add([new.copy()])
    assert store.run(new.id) == new
    assert store.due(MICROSECOND - 1, 10).ready == []
    assert store.due(MICROSECOND, 10).ready == [new]
    ended = begun(store, row(store))
    ended.status, ended.finished_at = "succeeded", MICROSECOND
    state = store.swap([Swap(ended, "running", "token", covered=MICROSECOND)])[0].state
    assert state is not None
    assert state.covered_until == MICROSECOND


def test_watermarks_and_fences_are_whole_numbers(store: RedisStore) -> None:
    state = store.sync_jobs([JobSeen("job", "signature")])[0]
    tick = state.watermark + 1
    while store.now() < tick:
        pass
    answer = store.claim([TickClaim("job", state.watermark, tick, False, (), counts=3)])[0]
    assert (answer.state.watermark, answer.state.claimed) == (tick, 3)
    assert store.locks.claim([Claim("name", None, MICROSECOND - 10**15)])[0].watermark == MICROSECOND - 10**15


@pytest.mark.parametrize("text", ['line\nfeed,\n"quote\\', "],\n[", "ü 🔒 \x00 \x7f", "lone \ud800", "", "null", "%1"])
def test_any_text_comes_back(store: RedisStore, text: str) -> None:
    new = row(store, text, "enqueue", key=text, args=text, lane=text, lane_limit=1)
    assert store.add([new.copy()])[0] == new
    assert store.add([row(store, text, "enqueue", key=text)])[0].id == new.id
    running = begun(store, row(store, text, reason=text))
    assert store.set_progress(running.id, "token", text)
    assert store.request_cancel(running.id, text)
    kept = store.run(running.id)
    assert kept is not None
    assert (kept.progress, kept.cancel_requested) == (text, text)
    assert store.renew(NodeRow(text, text, 1, 2, 3), [(running.id, "token")], 30.0).cancelled == {running.id: text}
    swap = Swap(running, "running", "token", logs=(text, text))
    running.status, running.error = "failed", text
    assert [store.swap([swap])[0].verdict for _ in range(2)] == ["swapped", "swapped"]
    assert list(store.logs(running.id)) == [text, text]
    assert store.put_value(text, text, text)
    assert store.values(text) == {text: text}
    assert [found.id for found in store.runs(text)] == [running.id, new.id]
    assert store.pause(text, text).pause_reason == text
    assert [node.id for node in store.nodes()] == [text]


def test_live_runs_by_tick_however_many(store: RedisStore) -> None:
    store.sync_jobs([JobSeen("job", "signature")])
    rows = [row(store, origin="tick", scheduled_for=tick) for tick in (30, 10, 20, 10)]
    store.add(rows)
    state = store.job_states(["job"])[0]
    assert state is not None
    assert [live.run_id for live in state.live] == [rows[1].id, rows[3].id, rows[2].id, rows[0].id]
    for new in rows[:3]:
        ended = new.copy()
        ended.status = "skipped"
        state = store.swap([Swap(ended, "queued", None)])[0].state
    assert state is not None
    assert [live.run_id for live in state.live] == [rows[3].id]


# Long lists ----------------------------------------------------------------------------------------------------------


def test_long_batches_go_in_pieces(store: RedisStore) -> None:
    names = [f"job-{number}" for number in range(1_200)]
    states = store.sync_jobs([JobSeen(name, "signature") for name in names])
    assert [state.job_id for state in store.job_states(names) if state] == names
    rows = [row(store, name, "tick", scheduled_for=1) for name in names]
    claims = [
        TickClaim(
            name, None, state.watermark, False, None, (new.copy(),), (), 1, Begin(new.id, name, 0, "t", "n", 30.0)
        )
        for name, state, new in zip(names, states, rows, strict=True)
    ]
    answers = store.claim(claims)
    assert [answer.begun.id for answer in answers if answer.begun] == [new.id for new in rows]
    assert store.renew(NodeRow("n", "h", 1, 2, 3), [(new.id, "t") for new in rows], 30.0) == (frozenset(), {})
    swaps = []
    for answer in answers:
        ended = answer.begun.copy()
        ended.status = "succeeded"
        swaps.append(Swap(ended, "running", "t", logs=(f'"{ended.job_id}"',)))
    assert {answer.verdict for answer in store.swap(swaps)} == {"swapped"}
    assert list(store.logs(rows[777].id)) == ['"job-777"']
    assert store.prune(None, {"succeeded": store.now() + 1}, limit=5_000) == len(names)


def test_thousands_of_runs_are_added_in_one_call(store: RedisStore) -> None:
    first = row(store, origin="backfill", queued_at=5, due=5)
    rows = [another(first) for _ in range(5_001)]
    twice = rows[0].copy()
    assert len(store.add(rows)) == len(rows)
    assert store.add([*rows[-2:], twice]) == [*rows[-2:], twice]
    assert len(store.due(5, 10_000).ready) == len(rows)


def test_a_search_goes_on_where_a_page_ended_whatever_shares_its_time(store: RedisStore) -> None:
    rows = [row(store, queued_at=5 if number % 3 else 9) for number in range(2_500)]
    store.add(rows)
    late = [new.id for new in rows if new.queued_at == 9][::-1]
    early = [new.id for new in rows if new.queued_at == 5][::-1]
    assert [found.id for found in store.runs(limit=10_000)] == late + early
    assert [found.id for found in store.runs("job", statuses=["queued"], limit=2_000)] == (late + early)[:2_000]
    assert [found.id for found in store.runs(before=9, limit=3)] == early[:3]
    assert [found.id for found in store.runs(since=6, statuses=["queued", "failed"], limit=9_999)] == late


def test_all_that_is_due_in_order_over_many_jobs(store: RedisStore) -> None:
    rows = [row(store, f"job-{number % 700}", due=100_000 - number) for number in range(2_100)]
    store.add(rows)
    in_order = [new.id for new in rows[::-1]]
    assert [found.id for found in store.due(2**62, 50).ready] == in_order[:50]
    assert [found.id for found in store.due(2**62, 10**6).ready] == in_order
    excluded = {f"job-{number}" for number in range(699)}
    assert [found.job_id for found in store.due(2**62, 50, excluded).ready] == ["job-699"] * 3


def test_one_value_comes_without_the_others_of_its_scope(store: RedisStore) -> None:
    for number in range(50):
        store.put_value("scope", f"key-{number}", f'"{number}"', ttl=60.0)
    assert store.value("scope", "key-8") == '"8"'  # from now on the server has the script
    replies = []
    ask = store._space.server.ask

    def noted(commands, error):
        replies.extend(ask(commands, error))
        return replies[-1:]

    with patch.object(store._space.server, "ask", noted):
        assert store.value("scope", "key-7") == '"7"'
        assert store.value("scope", "key-x") is None
    assert replies == [b'"\\"7\\""', None]


def test_names_without_number_leave_nothing_behind(store: RedisStore, admin: redis.Redis, space: str) -> None:
    for number in range(2_000):
        store.locks.acquire(f"name {number}", "token", 30.0)
        store.locks.release(f"name {number}", "token")
    assert store.locks.acquire("held", "token", 30.0) is not None
    looks = 1
    while store.locks.forget_locks(100):
        looks += 1
    assert admin.hkeys(f"{{rota:{space}}}:locks") == [b"held"]
    assert looks > 5
    assert store.locks.acquire("name 8", "token", 30.0).fence == 2


def test_open_runs_of_very_many_jobs_are_counted(store: RedisStore) -> None:
    rows = [row(store, f"job-{number}", "backfill" if number % 2 else "enqueue") for number in range(2_500)]
    store.add([*rows, row(store, "job-7")])
    assert store.count_open() == {**dict.fromkeys((one.job_id for one in rows), 1), "job-7": 2}


# Keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [0, 1, 9])
def test_a_job_is_pruned_alike_whether_it_or_the_status_has_more_runs(store: RedisStore, others: int) -> None:
    rows = [row(store), row(store), row(store), *(row(store, "other") for _ in range(others))]
    for one, status in zip(rows, ("succeeded", "failed", "failed", *["failed"] * others), strict=True):
        one.status, one.finished_at = status, one.queued_at
    store.add(rows)
    later = rows[-1].queued_at + 1
    assert store.prune("job", {"failed": later}) == 2
    assert [one.id for one in store.runs("job")] == [rows[0].id]
    assert store.prune("job", {"failed": later, "succeeded": later}) == 1
    assert len(store.runs("other")) == others


def ended_early(
    store: RedisStore, job_id: str, count: int, status: str = "succeeded", *, first: int = 1
) -> list[RunRow]:
    """Runs that ended long ago, one after the other."""
    rows = [row(store, job_id, queued_at=number, finished_at=number) for number in range(first, first + count)]
    for one in rows:
        one.status = status
    store.add(rows)
    return rows


def test_runs_of_jobs_that_are_left_out_are_not_looked_through(store: RedisStore) -> None:
    ended_early(store, "kept", 3_000)
    ended_early(store, "kept", 20, "failed")
    for name in ("one", "other"):
        ended_early(store, name, 300)
        ended_early(store, name, 10, "failed")
    with calls_of(store) as calls:
        assert store.prune(None, {"succeeded": 10**6}, 500, exclude=["kept"]) == 500
        assert store.prune(None, {"succeeded": 10**6, "failed": 10**6}, 500, exclude=["kept"]) == 120
    assert calls.count("prune") <= 5
    assert {one.job_id for one in store.runs(limit=10_000)} == {"kept"}
    assert len(store.runs(limit=10_000)) == 3_020


def test_pruning_looks_at_so_much_in_one_call_and_goes_on_in_the_next(store: RedisStore, monkeypatch) -> None:
    monkeypatch.setattr("rota.backends.redis.MOST_PAGES", 2)
    store.sync_jobs([JobSeen(f"job-{number}", "signature") for number in range(1_001)])  # too many to go by jobs
    ended_early(store, "kept", 2_600)
    ended_early(store, "pruned", 2_600)
    remaining = []
    for _ in range(3):
        with calls_of(store) as calls:
            store.prune(None, {"succeeded": 2_500}, 10_000, exclude=["kept"])
        remaining.append(len(store.runs("pruned", limit=10_000)))
        assert calls.count("prune") <= 2
    assert remaining[0] > remaining[1] > remaining[2]
    for _ in range(10):
        store.prune(None, {"succeeded": 2_500}, 10_000, exclude=["kept"])
    assert len(store.runs("pruned", limit=10_000)) == 101
    assert len(store.runs("kept", limit=10_000)) == 2_600


def test_pruning_keeps_its_place_after_a_full_batch(store: RedisStore, monkeypatch) -> None:
    monkeypatch.setattr("rota.backends.redis.MOST_PAGES", 2)
    store.sync_jobs([JobSeen(f"job-{number}", "signature") for number in range(1_001)])  # too many to go by jobs
    ended_early(store, "kept", 1_200)
    ended_early(store, "pruned", 950, first=1_201)
    deleted = [store.prune(None, {"succeeded": 10**6}, 100, exclude=["kept"]) for _ in range(11)]
    assert deleted == [0, *[100] * 9, 50]
    assert len(store.runs("kept", limit=10_000)) == 1_200


def test_what_pruning_has_passed_over_is_looked_at_again_at_the_end(store: RedisStore) -> None:
    ended_early(store, "kept", 1)
    ended_early(store, "pruned", 2, first=10)
    assert store.prune(None, {"succeeded": 100}, 1, exclude=["kept"]) == 1
    ended_early(store, "pruned", 1)
    assert store.prune(None, {"succeeded": 100}, 10, exclude=["kept"]) == 2


def test_pruning_keeps_one_place_for_a_job_whichever_others_are_left_out(store: RedisStore) -> None:
    ended_early(store, "job", 5)
    for number in range(3):
        assert store.prune(None, {"succeeded": 100}, 1, exclude=[f"job-{number}"]) == 1
        assert len(store._pruned_to) == 1


@contextmanager
def calls_of(store: RedisStore) -> Iterator[list[str]]:
    """The scripts that are run in the block."""
    calls: list[str] = []
    run = store._space.run

    def noted(script: str, *arguments: bytes) -> object:
        calls.append(script)
        return run(script, *arguments)

    with patch.object(store._space, "run", noted):
        yield calls


@pytest.mark.parametrize("name", ["a", "a}", "{a", "a:b", "", "ü", "%7B", "a b"])
def test_all_keys_of_a_namespace_share_one_hash_tag(url: str, admin: redis.Redis, space: str, name: str) -> None:
    store = RedisStore(url, f"{space}{name}")
    begun(store, row(store))
    store.put_value("scope", "key", "1")
    store.locks.acquire("{other}", "token", 1.0)
    found = [key for key in admin.scan_iter(count=10_000) if space.encode() in key]
    assert len({key[: key.index(b"}")] for key in found}) == 1
    assert all(key.startswith(b"{rota:" + space.encode()) for key in found)
    store.close()


def test_namespaces_are_kept_apart(url: str, space: str) -> None:
    one, two = RedisStore(url, space), RedisStore(url, f"{space}%")
    one.put_value("scope", "key", "1")
    assert two.value("scope", "key") is None
    assert one.locks.acquire("a", "one", 30.0) is not None
    assert two.locks.acquire("a", "two", 30.0) is not None
    one.close()
    two.close()


def test_nothing_that_is_kept_can_expire_or_be_evicted_by_a_volatile_policy(
    store: RedisStore, admin: redis.Redis, space: str
) -> None:
    begun(store, row(store))
    store.put_value("scope", "key", "1", ttl=10.0)
    store.locks.acquire("a", "token", 1.0)
    found = [key for key in admin.scan_iter(count=10_000) if space.encode() in key]
    assert {admin.ttl(key) for key in found} == {-1}


# The server ----------------------------------------------------------------------------------------------------------


def test_scripts_that_the_server_forgot_are_sent_again(store: RedisStore, admin: redis.Redis) -> None:
    for _ in range(2):
        states = store.sync_jobs([JobSeen(f"job-{number}", "signature") for number in range(2_500)])
        assert len(states) == 2_500
        assert store.locks.acquire(uuid4().hex, "token", 30.0) is not None
        admin.script_flush()


def test_a_server_that_keeps_nothing_is_told_of_once(
    url: str, space: str, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    keeps_nothing = admin.config_get("save")["save"] == "" and admin.config_get("appendonly")["appendonly"] == "no"
    redis_probes._warned.clear()
    with caplog.at_level(logging.WARNING, "rota"):
        for _ in range(2):
            RedisStore(url, space).open()
            RedisLocks(url, space).acquire("a", "token", 1.0)
    said = [record for record in caplog.records if "forgets runs and watermarks" in record.getMessage()]
    assert len(said) == keeps_nothing


def test_what_the_server_does_not_tell_is_passed_over(
    url: str, space: str, admin: redis.Redis, request: pytest.FixtureRequest
) -> None:
    admin.acl_setuser(
        space, enabled=True, passwords=["+word"], keys=["{rota:*"], commands=["+@all", "-config", "-info"]
    )
    request.addfinalizer(lambda: redis.Redis.from_url(url).acl_deluser(space))
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port or 6379}"
    store = RedisStore(parts._replace(netloc=f"{space}:word@{address}").geturl(), space)
    store.open()
    assert store.put_value("scope", "key", "1")
    store.close()
    refused = RedisStore(parts._replace(netloc=f"{space}:wrong@{address}").geturl(), space)
    with pytest.raises(StoreError, match="refuses the user or the password") as caught:
        refused.open()
    assert "wrong" not in str(caught.value)


def test_a_namespace_of_a_newer_rota_is_left_alone(store: RedisStore, url: str, space: str) -> None:
    store._space.command(b"SET", store._space.key(b"version"), b"999")
    with pytest.raises(StoreError, match=r"newer Rota.*upgrade rota"):
        RedisStore(url, space).open()


def test_a_key_of_the_wrong_kind_is_a_typed_error(store: RedisStore) -> None:
    store._space.command(b"SET", store._space.key(b"runs"), b"not a hash")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        store.add([row(store)])


def test_a_server_that_is_not_there_says_where_it_was_looked_for() -> None:
    with pytest.raises(LockBackendError, match=r"127\.0\.0\.1:1: it cannot be reached") as caught:
        RedisLocks("redis://:secret@127.0.0.1:1/0", timeout=2.0).acquire("a", "token", 1.0)
    assert caught.value.unreachable


# Clients -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_the_apps_own_client_may_decode_or_not(url: str, space: str, decode: bool, protocol: int) -> None:
    client = redis.Redis.from_url(url, decode_responses=decode, protocol=protocol, client_name="the-app")
    store = RedisStore(client, space)
    store.open()
    running = begun(store, row(store))
    assert store.run(running.id) == running
    assert store.locks.acquire("a", "token", 30.0) == (1, 30.0)
    store.close()
    client.close()


def test_a_client_never_tries_again_by_itself(url: str) -> None:
    server = RedisServer(redis.Redis.from_url(url, retry_on_timeout=True, socket_timeout=60, health_check_interval=1))
    connection = server._take()
    assert connection.retry._retries == 0
    assert (connection.socket_timeout, connection.health_check_interval) == (5.0, 0)
    connection.disconnect()


def test_a_client_of_valkey_will_do(url: str, space: str) -> None:
    valkey = pytest.importorskip("valkey")
    client = valkey.Valkey.from_url(url.replace("redis://", "valkey://"), decode_responses=True)
    store = RedisStore(client, space)
    running = begun(store, row(store))
    assert RedisStore(url.replace("redis://", "valkey://"), space).run(running.id) == running
    store._space.server._client.script_flush()
    assert store.locks.acquire("a", "token", 30.0) == (1, 30.0)
    store._space.command(b"SET", store._space.key(b"runs"), b"not a hash")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        store.add([row(store)])
    store.close()
    client.close()


@pytest.mark.parametrize("given", [object(), 5, "http://localhost", redis.asyncio.Redis()])
def test_what_is_no_client_is_refused(given: object) -> None:
    with pytest.raises(ConfigurationError, match="Redis URL"):
        RedisLocks(given)


def test_an_idle_connection_that_was_closed_is_not_used(store: RedisStore, admin: redis.Redis) -> None:
    store.put_value("scope", "key", "1")
    connection = store._space.server._idle[0]
    admin.client_kill_filter(laddr=None, _id=_client_id(connection))
    assert store.value("scope", "key") == "1"


def _client_id(connection) -> str:
    connection.send_command("CLIENT", "ID")
    return str(connection.read_response())


# Forks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_connects_anew_and_leaves_its_parents_connections_alone(store: RedisStore) -> None:
    store.put_value("scope", "key", "1")
    ids = [_client_id(connection) for connection in store._space.server._idle]
    child = os.fork()
    if child == 0:
        try:
            fine = store.value("scope", "key") == "1" and store.put_value("scope", "child", "2")
            store.close()
            os._exit(0 if fine else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.values("scope") == {"key": "1", "child": "2"}
    assert [_client_id(connection) for connection in store._space.server._idle] == ids


def test_as_many_threads_as_you_like(store: RedisStore) -> None:
    start, failures = threading.Barrier(20), []

    def work(number: int) -> None:
        start.wait(60)
        for _ in range(10):
            store.put_value("scope", str(number), "1")
            if store.value("scope", str(number)) != "1":
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert len(store.values("scope")) == 20
    assert len(store._space.server._idle) <= 8
