"""The second call with a key gives the first one's result, whatever fails in between."""

import asyncio
import inspect
import json
import threading
from functools import partial
from types import SimpleNamespace

import pytest
from tests.hand_clock import HandClock

from rota.backends.memory import MemoryStore
from rota.drivers.named_locks import LockServices, NamedLock
from rota.drivers.renewal import Renewal
from rota.errors import ConfigurationError, InProgress, LeaseLost, LockHeld, ResultNotStored, StoreError
from rota.idempotency import SCOPE, idempotent

DEADLINE = 60.0


class Runtime:
    """A scheduler's part: a store whose writes of one state can fail, and locks on it."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.memory = MemoryStore(self.clock)
        self.store = self
        self.failing: list[str] = []
        self.before_write = lambda state: None
        services = LockServices("billing", self.memory.locks, self.clock, Renewal(self.clock, threaded=False))
        self._services = services

    def lock(self, key):
        return NamedLock(self._services, key, kind="idempotent")

    def in_pool(self, func):
        return asyncio.to_thread(func)

    def value(self, scope, key):
        return self.memory.value(scope, key)

    def put_value(self, scope, key, value, *, ttl=None, holder=None):
        state = json.loads(value)["state"]
        self.before_write(state)
        if state in self.failing:
            self.failing.remove(state)
            raise StoreError(f"{state} not written")
        return self.memory.put_value(scope, key, value, ttl=ttl, holder=holder)

    def delete_value(self, scope, key):
        if "delete" in self.failing:
            raise StoreError("not deleted")
        self.memory.delete_value(scope, key)

    def state_of(self, key):
        text = self.memory.value(SCOPE, key)
        return None if text is None else json.loads(text)["state"]

    def die_at_work(self, key):
        """Leave behind what a process does that was killed in the middle of its call."""
        self.memory.put_value(SCOPE, key, '{"state":"started"}')


@pytest.fixture
def runtime():
    return Runtime()


def charging(runtime, result=None, kind="def", **options):
    """An idempotent function that counts its calls, called the same way whether it is a coroutine or not."""
    calls = []
    act = {"do": lambda: None}

    def body(invoice_id):
        calls.append(invoice_id)
        act["do"]()
        return {"invoice": invoice_id} if result is None else result

    if kind == "def":

        @idempotent(lambda: runtime, "charge:{invoice_id}", **options)
        def charge(invoice_id, amount=5):
            return body(invoice_id)

        call = charge
    else:

        @idempotent(lambda: runtime, "charge:{invoice_id}", **options)
        async def acharge(invoice_id, amount=5):
            await asyncio.sleep(0)
            return body(invoice_id)

        def call(*args, **kwargs):
            return asyncio.run(acharge(*args, **kwargs))

    return SimpleNamespace(call=call, calls=calls, act=act)


@pytest.fixture(params=["def", "async def"])
def kind(request):
    return request.param


def test_the_second_call_gives_the_first_ones_result(runtime, kind):
    charge = charging(runtime, kind=kind)
    assert charge.call(7) == {"invoice": 7}
    assert charge.call(invoice_id=7, amount=9) == {"invoice": 7}
    assert charge.call(8) == {"invoice": 8}
    assert charge.calls == [7, 8]
    assert runtime.state_of("charge:7") == "done"


def test_none_is_a_result(runtime):
    calls = []

    @idempotent(lambda: runtime, "x")
    def act():
        calls.append(1)

    assert act() is act() is None
    assert calls == [1]


def test_results_come_as_copies(runtime):
    charge = charging(runtime)
    charge.call(7)
    charge.call(7)["invoice"] = "spoilt"
    assert charge.call(7) == {"invoice": 7}


def test_functions_with_equal_keys_share_their_result(runtime):
    charging(runtime, result="first").call(7)
    assert charging(runtime, result="second").call(7) == "first"


def test_what_is_known_is_forgotten_after_ttl(runtime, kind):
    charge = charging(runtime, kind=kind, ttl=60)
    charge.call(7)
    runtime.clock.seconds += 59
    charge.call(7)
    runtime.clock.seconds += 2
    charge.call(7)
    assert charge.calls == [7, 7]


def test_without_ttl_it_is_known_for_ever(runtime):
    charge = charging(runtime)
    charge.call(7)
    runtime.clock.seconds += 10 * 365 * 86_400
    charge.call(7)
    assert charge.calls == [7]


def test_when_it_raised_the_next_may_try(runtime, kind):
    charge = charging(runtime, kind=kind, on_death="raise")
    charge.act["do"] = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        charge.call(7)
    assert runtime.state_of("charge:7") is None
    charge.act["do"] = lambda: None
    assert charge.call(7) == {"invoice": 7}


def test_an_error_of_the_function_is_raised_though_it_cannot_be_forgotten(runtime, kind):
    charge = charging(runtime, kind=kind)
    charge.act["do"] = lambda: 1 / 0
    runtime.failing = ["delete"]
    with pytest.raises(ZeroDivisionError) as caught:
        charge.call(7)
    assert "stays marked as started" in caught.value.__notes__[0]


def test_a_lock_held_by_another_inside_the_function_is_the_functions_error(runtime, kind):
    charge = charging(runtime, kind=kind)

    def refuse():
        raise LockHeld("another lock")

    charge.act["do"] = refuse
    with pytest.raises(LockHeld, match="another lock"):
        charge.call(7)


def test_while_the_first_is_at_work_others_are_told_so(runtime, kind):
    charge = charging(runtime, kind=kind)
    entered, leave = threading.Event(), threading.Event()
    charge.act["do"] = lambda: (entered.set(), leave.wait(DEADLINE))
    results = []
    first = threading.Thread(target=lambda: results.append(charge.call(7)))
    first.start()
    assert entered.wait(DEADLINE)
    with pytest.raises(InProgress, match="'charge:7' is still at work"):
        charge.call(7)
    leave.set()
    first.join(DEADLINE)
    assert results == [charge.call(7)] == [{"invoice": 7}]
    assert charge.calls == [7]


def test_a_call_of_itself_with_the_same_key_is_in_progress(runtime):
    charge = charging(runtime)
    charge.act["do"] = lambda: charge.call(7)
    with pytest.raises(InProgress):
        charge.call(7)


def test_one_that_ends_while_the_lock_is_asked_for_gives_its_result(runtime, kind):
    charge = charging(runtime, kind=kind)
    other = runtime.lock("charge:7")
    taken = []
    value = runtime.value

    def value_then_other_ends(scope, key):
        known = value(scope, key)
        if not taken:
            taken.append(other.__enter__())
            runtime.memory.put_value(SCOPE, key, '{"state":"done","has_result":true,"result":1,"reason":""}')
        return known

    runtime.value = value_then_other_ends
    assert charge.call(7) == 1
    assert charge.calls == []
    other.__exit__(None, None, None)


def test_one_that_ended_before_the_lock_was_had_is_not_done_again(runtime, kind):
    charge = charging(runtime, kind=kind)
    value, asked = runtime.value, []

    def value_then_other_is_done(scope, key):
        known = value(scope, key)
        if not asked:
            asked.append(key)
            runtime.memory.put_value(SCOPE, key, '{"state":"done","has_result":true,"result":1,"reason":""}')
        return known

    runtime.value = value_then_other_is_done
    assert charge.call(7) == 1
    assert charge.calls == []


@pytest.mark.parametrize("result", [object(), (1, 2), {1: 2}, float("nan"), "x" * 70_000])
def test_a_result_that_cannot_be_kept_counts_as_done(runtime, kind, result):
    charge = charging(runtime, result=result, kind=kind)
    assert charge.call(7) is result
    with pytest.raises(ResultNotStored, match="'charge:7' was done before"):
        charge.call(7)
    assert charge.calls == [7]


# Death -----------------------------------------------------------------------------------------------------------


def test_a_call_whose_holder_died_is_done_again(runtime, kind):
    runtime.die_at_work("charge:7")
    assert charging(runtime, kind=kind).call(7) == {"invoice": 7}


def test_a_call_whose_holder_died_is_refused_where_asked(runtime, kind):
    runtime.die_at_work("charge:7")
    charge = charging(runtime, kind=kind, on_death="raise")
    for _ in range(2):
        with pytest.raises(LeaseLost, match="whether it acted is unknown"):
            charge.call(7)
    assert charge.calls == []


def test_a_holder_that_died_blocks_until_its_lease_has_run_out(runtime, kind):
    runtime.memory.locks.acquire("billing/idempotent/charge:7", "dead", 30.0)
    runtime.die_at_work("charge:7")
    charge = charging(runtime, kind=kind)
    with pytest.raises(InProgress):
        charge.call(7)
    runtime.clock.seconds += 30.1
    assert charge.call(7) == {"invoice": 7}


def test_a_store_that_fails_before_the_function_lets_nothing_happen(runtime, kind):
    charge = charging(runtime, kind=kind, on_death="raise")
    runtime.failing = ["started"]
    with pytest.raises(StoreError):
        charge.call(7)
    assert charge.calls == []
    assert charge.call(7) == {"invoice": 7}


def test_writing_the_end_is_tried_twice(runtime, kind):
    charge = charging(runtime, kind=kind)
    runtime.failing = ["done"]
    assert charge.call(7) == {"invoice": 7}
    assert runtime.state_of("charge:7") == "done"


def test_an_end_that_cannot_be_recorded_is_loud(runtime, kind):
    charge = charging(runtime, kind=kind, on_death="raise")
    runtime.failing = ["done", "done"]
    with pytest.raises(StoreError, match="was done, but that could not be recorded"):
        charge.call(7)
    assert runtime.state_of("charge:7") == "started"
    with pytest.raises(LeaseLost):
        charge.call(7)
    assert charge.calls == [7]


def test_a_holder_that_lost_its_lease_does_not_overwrite_its_successors_result(runtime):
    charge = charging(runtime)

    def overtaken():
        runtime.clock.seconds += 31
        charge.act["do"] = lambda: None
        charging(runtime, result="successor").call(7)

    charge.act["do"] = overtaken
    assert charge.call(7) == {"invoice": 7}
    assert charge.call(7) == "successor"


def test_a_holder_that_lost_its_lease_and_raises_leaves_its_successors_mark(runtime):
    charge = charging(runtime)

    def overtaken():
        runtime.clock.seconds += 31
        runtime.die_at_work("charge:7")
        raise ZeroDivisionError

    charge.act["do"] = overtaken
    with pytest.raises(ZeroDivisionError):
        charge.call(7)
    assert runtime.state_of("charge:7") == "started"


@pytest.mark.parametrize("state", ["started", "done"])
def test_a_cancellation_waits_for_a_write_so_that_it_cannot_outlive_the_lock(runtime, state):
    asked, answer = threading.Event(), threading.Event()

    def hold(written):
        if written == state:
            asked.set()
            answer.wait(DEADLINE)

    runtime.before_write = hold
    calls = []

    @idempotent(lambda: runtime, "x")
    async def act():
        calls.append(1)
        return 1

    async def main():
        task = asyncio.create_task(act())
        await asyncio.to_thread(asked.wait, DEADLINE)
        task.cancel()
        await asyncio.sleep(0)
        with pytest.raises(InProgress):
            await act()
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert runtime.state_of("x") == (None if state == "started" else "done")
        assert await act() == 1

    asyncio.run(main())
    assert calls == [1]


def test_many_threads_and_tasks_act_once(runtime):
    charge = charging(runtime)
    acharge = charging(runtime, kind="async def")
    start = threading.Barrier(8, timeout=DEADLINE)
    results = []

    def call(function):
        start.wait()
        try:
            results.append(function(7))
        except InProgress:
            results.append({"invoice": 7})

    threads = [threading.Thread(target=call, args=(one.call,)) for one in (charge, acharge) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert results == [{"invoice": 7}] * 8
    assert len(charge.calls + acharge.calls) == 1


# Keys and options ------------------------------------------------------------------------------------------------


def test_the_function_keeps_its_face(runtime):
    def charge(invoice_id: int, *, amount: int = 5) -> str:
        """Charge it."""
        return ""

    wrapped = idempotent(lambda: runtime, "{invoice_id}")(charge)
    assert inspect.signature(wrapped) == inspect.signature(charge)
    assert (wrapped.__name__, wrapped.__doc__) == ("charge", "Charge it.")
    assert not inspect.iscoroutinefunction(wrapped)

    async def acharge() -> None: ...

    assert inspect.iscoroutinefunction(idempotent(lambda: runtime, "x")(acharge))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("{order.id}", "7"),
        ("{order.items[0]:>3}", "  a"),
        ("{rest[1]}-{named[x]}-{width}", "2-3-4"),
        ("{order.id:0{width}}", "0007"),
        ("{{literal}}", "{literal}"),
        (lambda order, *rest, **named: f"own:{order.id}", "own:7"),
    ],
)
def test_keys_are_made_of_the_arguments(runtime, key, expected):
    @idempotent(lambda: runtime, key)
    def act(order, *rest, width=4, **named):
        return 1

    act(SimpleNamespace(id=7, items=["a"]), 1, 2, x=3)
    assert runtime.state_of(expected) == "done"


@pytest.mark.parametrize("key", ["{invoice}", "{}", "{0}", "{x:{invoice}}", "{x", "{invoice.id}", "", 3, None])
def test_a_key_that_does_not_fit_the_function_is_refused_at_decoration(runtime, key):
    with pytest.raises(ConfigurationError, match="key"):
        idempotent(lambda: runtime, key)(lambda x: x)


@pytest.mark.parametrize("key", ["{x.missing}", "{x[0]}", lambda x: 3, lambda x: "", lambda x: "y" * 2_000])
def test_a_key_that_cannot_be_made_is_refused_before_anything_happens(runtime, key):
    calls = []

    @idempotent(lambda: runtime, key)
    def act(x):
        calls.append(x)

    with pytest.raises(ConfigurationError):
        act(object())
    assert calls == []


def test_wrong_arguments_are_a_type_error(runtime):
    with pytest.raises(TypeError):
        charging(runtime).call(1, 2, 3)


@pytest.mark.parametrize(
    "options", [{"ttl": 0}, {"ttl": "60"}, {"ttl": float("inf")}, {"ttl": True}, {"on_death": "x"}]
)
def test_options_that_cannot_be_meant_are_refused(runtime, options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        idempotent(lambda: runtime, "x", **options)


def test_generators_are_refused(runtime):
    def rows():
        yield 1

    async def arows():
        yield 1

    for func in (rows, arows):
        with pytest.raises(ConfigurationError, match="generator"):
            idempotent(lambda: runtime, "x")(func)


def test_methods_partials_and_callable_objects_will_do(runtime):
    class Billing:
        id = 3

        @idempotent(lambda: runtime, "method:{self.id}:{invoice}")
        def charge(self, invoice):
            return invoice

        async def __call__(self, invoice):
            return invoice

    assert Billing().charge(7) == Billing().charge(7) == 7
    assert runtime.state_of("method:3:7") == "done"
    called = idempotent(lambda: runtime, "object:{invoice}")(Billing())
    assert asyncio.run(called(7)) == 7
    added = idempotent(lambda: runtime, "partial:{y}")(partial(lambda x, y: x + y, 1))
    assert added(y=2) == 3


def test_the_runtime_is_asked_at_each_call():
    runtimes = [Runtime(), Runtime()]

    @idempotent(lambda: runtimes[-1], "x")
    def act():
        return len(runtimes)

    assert act() == 2
    runtimes.pop()
    assert act() == 1
