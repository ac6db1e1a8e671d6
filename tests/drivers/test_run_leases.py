"""The leases of runs at work: what a renewal that does not come means for them."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from tests.waiting import PATIENCE

from rota.drivers.leases import RunLeases
from rota.errors import StoreError
from rota.ports import NodeRow, Renewal


class FakeCall:
    def __init__(self, trusted_until):
        self.row = SimpleNamespace(id="run-1", token="token")
        self.trusted_until = trusted_until
        self.cancel_reason = None

    def ask_to_stop(self, reason):
        self.cancel_reason = reason


def leases(call, *, boottime, renew):
    stopped = []
    services = SimpleNamespace(calls={"run-1": call})
    engine = SimpleNamespace(
        services=services,
        settings=SimpleNamespace(lease_ttl=30.0),
        node=NodeRow("node", "host", 1, 0, 0),
        clock=SimpleNamespace(now=lambda: 0, boottime=lambda: boottime),
        store=SimpleNamespace(renew=renew),
        post=lambda command: command(),
        attempts=SimpleNamespace(
            all=lambda: [call],
            trust_from_now=lambda: boottime + 27.0,
            stop=lambda run_id, reason: stopped.append((run_id, reason)),
        ),
    )
    return RunLeases(engine, inline=True), stopped


def refused(renewing):
    with pytest.raises(StoreError):
        renewing.renew()


def no_answer(*_):
    raise StoreError("down")


def test_a_run_that_can_no_longer_be_trusted_is_stopped_while_the_store_is_down():
    call = FakeCall(trusted_until=27.0)
    renewing, stopped = leases(call, boottime=27.0, renew=no_answer)
    with pytest.raises(StoreError):
        renewing.renew()
    assert call.cancel_reason == "lease_lost"
    assert stopped == [("run-1", "lease_lost")]


def test_a_run_that_is_still_trusted_goes_on_while_the_store_is_down():
    call = FakeCall(trusted_until=27.0)
    renewing, stopped = leases(call, boottime=20.0, renew=no_answer)
    with pytest.raises(StoreError):
        renewing.renew()
    assert call.cancel_reason is None
    assert stopped == []


def test_trust_counts_from_before_the_request():
    call = FakeCall(trusted_until=27.0)
    renewing, _ = leases(call, boottime=10.0, renew=lambda *_: Renewal(frozenset(), {}))
    renewing.renew()
    assert call.trusted_until == 37.0


def test_a_lost_run_and_a_cancelled_one_are_told_why():
    for renewal, reason in (
        (Renewal(frozenset({"run-1"}), {}), "lease_lost"),
        (Renewal(frozenset(), {"run-1": "cancel"}), "cancel"),
    ):
        call = FakeCall(trusted_until=27.0)
        renewing, stopped = leases(call, boottime=10.0, renew=lambda *_, answer=renewal: answer)
        renewing.renew()
        assert call.cancel_reason == reason
        assert stopped == [("run-1", reason)]


def test_a_renewal_that_overlaps_the_end_of_an_attempt_leaves_the_next_one_alone():
    call = FakeCall(trusted_until=27.0)
    renewing, stopped = leases(call, boottime=10.0, renew=lambda *_: Renewal(frozenset({"run-1"}), {}))
    renewing._engine.services.calls["run-1"] = FakeCall(trusted_until=37.0)
    renewing.renew()
    assert stopped == []


def test_trust_ends_on_time_while_a_store_hangs():
    call, answered = FakeCall(trusted_until=0.0), threading.Event()
    hanging = threading.Event()

    def hang(*_):
        assert hanging.wait(PATIENCE)
        raise StoreError("no answer")

    renewing, stopped = leases(call, boottime=0.0, renew=hang)
    renewing._inline = False
    renewing._engine.attempts.stop = lambda *told: (stopped.append(told), answered.set())
    waiting = threading.Thread(target=refused, args=(renewing,))
    waiting.start()
    assert answered.wait(PATIENCE)
    assert stopped[0] == ("run-1", "lease_lost")
    hanging.set()
    waiting.join(PATIENCE)


def test_trust_ends_on_time_of_a_run_that_begins_while_a_store_hangs():
    at_work, stopped, hanging, begun = [], threading.Event(), threading.Event(), threading.Event()
    late = FakeCall(trusted_until=0.1)

    def hang(*_):
        at_work.append(late)
        begun.set()
        assert hanging.wait(PATIENCE)
        raise StoreError("no answer")

    renewing, _ = leases(late, boottime=0.0, renew=hang)
    renewing._inline = False
    engine = renewing._engine
    engine.attempts.all = lambda: list(at_work)
    engine.attempts.trust_from_now = lambda: 0.1
    engine.attempts.stop = lambda *_: stopped.set()
    engine.clock.boottime = lambda: 0.1 if begun.is_set() else 0.0
    waiting = threading.Thread(target=refused, args=(renewing,))
    waiting.start()
    assert stopped.wait(PATIENCE)
    assert late.cancel_reason == "lease_lost"
    hanging.set()
    waiting.join(PATIENCE)
