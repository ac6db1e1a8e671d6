"""Points 19 to 22, 25 and 26 on the wire: each request of each call is cut, or loses its reply, or the server is gone.

A store's changes are tried in the same way. Whoever asks again gets the answer that it would have got at first.
"""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.fleet import places, processes
from tests.fleet.conftest import each_store
from tests.fleet.places import SERVERS, Place
from tests.fleet.replies import asked, every_fault

from rota.clock import SystemClock
from rota.core.run import RunRow
from rota.drivers.opening import make_locks, make_store
from rota.errors import LockBackendError, StoreError
from rota.ports import Begin, Claim, JobSeen, LockBackend, Store, Swap, TickClaim
from rota.testing import FaultProxy


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path) -> Iterator[Place]:
    """A store of its own."""
    with places.opened(request.param, tmp_path) as place:
        yield place


@pytest.fixture
def proxy(place: Place) -> Iterator[FaultProxy]:
    """In front of its server."""
    with FaultProxy(*place.server) as proxy:
        yield proxy


@pytest.fixture
def locks(place: Place, proxy: FaultProxy) -> Iterator[LockBackend]:
    """Locks that speak through the proxy."""
    locks = make_locks(place.behind(proxy).url, place.name, SystemClock())
    yield locks
    locks.close()


@pytest.fixture
def store(place: Place, proxy: FaultProxy) -> Iterator[Store]:
    """A store that speaks through the proxy, opened."""
    store = make_store(place.behind(proxy).url, place.name, SystemClock())
    store.open()
    yield store
    store.close()


@each_store(*SERVERS)
def test_19_20_21_26_leases_are_granted_renewed_and_given_back_once(place):
    processes.acquire_replies_lost(place)


@each_store(*SERVERS)
def test_22_a_claim_asked_again_was_made_once(place, proxy, locks):
    for number, fault in enumerate(every_fault(proxy)):
        claim = Claim(f"job-{number}", None, 1_000_000)
        answer = asked(lambda claim=claim: locks.claim([claim])[0])
        assert answer.verdict in {"claimed", "taken"}, fault
        assert answer.watermark == 1_000_000, fault


@each_store(*SERVERS)
def test_25_a_server_that_is_gone_is_a_typed_error_and_is_there_again(place, proxy, locks):
    token = uuid4().hex
    assert locks.acquire("a", token, 60.0) is not None
    proxy.refuse()
    with pytest.raises(LockBackendError):
        locks.renew("a", token, 60.0)
    proxy.restore()
    assert asked(lambda: locks.renew("a", token, 60.0))


@each_store(*SERVERS)
def test_a_tick_claimed_begun_and_ended_over_a_bad_line_was_so_once(place, proxy, store):
    for number, fault in enumerate(every_fault(proxy)):
        job = f"job-{number}"
        seen = JobSeen(job, "signature")
        state = asked(lambda seen=seen: store.sync_jobs([seen])[0])
        tick = state.watermark + 1
        row = RunRow(str(uuid4()), job, "tick", "queued", tick, tick, scheduled_for=tick)
        begin = Begin(row.id, job, 0, uuid4().hex, ttl=30.0, node="node-1")
        claim = TickClaim(job, state.watermark, tick, False, (), (row,), counts=1, start=begin)
        answer = asked(lambda claim=claim: store.claim([claim])[0])
        assert (answer.verdict, answer.state.claimed, answer.begun.fence) == ("claimed", 1, 1), fault
        ended = answer.begun.copy()
        ended.status, ended.finished_at = "failed", tick
        swap = Swap(ended, "running", begin.token, streak=1)
        done = asked(lambda swap=swap: store.swap([swap])[0])
        assert (done.verdict, done.state.streak) == ("swapped", 1), fault
        assert [run.status for run in asked(lambda job=job: store.runs(job))] == ["failed"], fault


@each_store(*SERVERS)
def test_a_run_added_over_a_bad_line_is_there_once(place, proxy, store):
    state = JobSeen("job", "signature")
    store.sync_jobs([state])
    for added, fault in enumerate(every_fault(proxy), 1):
        row = RunRow(str(uuid4()), "job", "run_now", "queued", 1, 1)
        assert asked(lambda row=row: store.add([row.copy()])[0]) == row, fault
        assert len(asked(lambda: store.runs("job", limit=1000))) == added, fault


@each_store(*SERVERS)
def test_a_store_that_is_gone_says_so_and_is_there_again(place, proxy, store):
    proxy.refuse()
    with pytest.raises(StoreError):
        store.runs()
    proxy.restore()
    assert asked(store.runs) == []
