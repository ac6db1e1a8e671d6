"""A named lock: one holder, a lease that is trusted only as long as it can be, and nothing left behind."""

import asyncio
import os
import threading

import pytest
from tests.hand_clock import HandClock

from rota.backends.memory_locks import MemoryLocks
from rota.drivers.named_locks import LockServices, NamedLock
from rota.drivers.renewal import Renewal
from rota.errors import ConfigurationError, LeaseLost, LockBackendError, LockHeld

FULL_NAME = "billing/lock/invoice:42"
DEADLINE = 60.0


class Wire:
    """Locks behind a wire: `ask` and `reply` say, for one call each, what gets lost on the way there and back;
    `nothing`, that it is refused before it is begun."""

    guarantee = "correctness"

    def __init__(self, inner: MemoryLocks) -> None:
        self.inner = inner
        self.lost: list[str] = []
        self.delay = lambda call: None
        self.calls: list[tuple[str, str]] = []

    def _call(self, call, name, token, *rest):
        self.calls.append((call, token))
        fate = self.lost.pop(0) if self.lost else ""
        if fate == "ask":
            raise LockBackendError("no route")
        if fate == "nothing":
            error = LockBackendError("it was busy")
            error.nothing_done = True
            raise error
        answer = getattr(self.inner, call)(name, token, *rest)
        self.delay(call)
        if fate == "reply":
            raise LockBackendError("reply lost")
        return answer

    def acquire(self, name, token, ttl):
        return self._call("acquire", name, token, ttl)

    def renew(self, name, token, ttl):
        return self._call("renew", name, token, ttl)

    def release(self, name, token):
        return self._call("release", name, token)


class World:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.memory = MemoryLocks(self.clock)
        self.wire = Wire(self.memory)
        self.renewal = Renewal(self.clock, threaded=False)
        self.pauses: list[float] = []
        self.on_pause = lambda: None
        self.holdings = {}

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.seconds += seconds
        self.on_pause()

    async def async_pause(self, seconds: float) -> None:
        self.pause(seconds)

    def lock(self, name: str = "invoice:42", **options) -> NamedLock:
        given = (self.wire, self.clock, self.renewal, self.pause, self.async_pause)
        return NamedLock(LockServices("billing", *given, holdings=self.holdings), name, **options)

    def advance(self, seconds: float) -> None:
        """Pass the time in small steps, renewing as a driver does."""
        for _ in range(round(seconds * 10)):
            self.clock.seconds += 0.1
            self.renewal.renew_due(self.clock.seconds)

    def is_free(self) -> bool:
        token = "probe"
        grant = self.memory.acquire(FULL_NAME, token, 1.0)
        return grant is not None and self.memory.release(FULL_NAME, token)


@pytest.fixture
def world():
    return World()


def test_a_lock_is_held_in_the_block_and_free_after_it(world):
    with world.lock() as lease:
        assert lease.held
        lease.assert_held()
        assert lease.name == "invoice:42"
        assert not world.is_free()
    assert not lease.held
    assert world.is_free()
    assert world.renewal.next_due() is None


def test_the_block_may_raise(world):
    with pytest.raises(ZeroDivisionError), world.lock():
        raise ZeroDivisionError
    assert world.is_free()


def test_fences_grow_and_tokens_are_128_fresh_bits(world):
    fences = []
    for _ in range(3):
        with world.lock() as lease:
            fences.append(lease.fence)
    assert fences == sorted(set(fences))
    tokens = {token for call, token in world.wire.calls if call == "acquire"}
    assert len(tokens) == 3
    assert {len(bytes.fromhex(token)) for token in tokens} == {16}


def test_it_is_not_re_entrant(world):
    told = "'invoice:42' is held by another block of this process, and no lock is re-entrant$"
    with world.lock(), pytest.raises(LockHeld, match=told), world.lock():
        pass
    assert world.is_free()


def test_who_holds_it_elsewhere_is_another(world):
    locks = world.memory
    assert locks.acquire(FULL_NAME, "somebody's", 30.0)
    with pytest.raises(LockHeld, match=r"'invoice:42' is held by another$"), world.lock():
        pass
    locks.release(FULL_NAME, "somebody's")
    with world.lock():
        pass
    assert locks.acquire(FULL_NAME, "somebody's", 30.0)
    with pytest.raises(LockHeld, match=r"'invoice:42' is held by another$"), world.lock():
        pass


def test_one_object_excludes_itself_and_may_be_used_again(world):
    lock = world.lock()
    with lock as first:
        with pytest.raises(LockHeld), lock:
            pass
        assert first.held
    with lock as second:
        assert second.fence > first.fence
        assert not first.held


def test_different_names_and_kinds_do_not_meet(world):
    with world.lock("a"), world.lock("b"), world.lock("a", kind="idempotent"):
        pass


# Waiting ---------------------------------------------------------------------------------------------------------


def test_without_wait_it_is_refused_at_once(world):
    with world.lock(), pytest.raises(LockHeld), world.lock():
        pass
    assert world.pauses == []


def test_waiting_polls_with_growing_pauses_for_as_long_as_asked(world):
    start = world.clock.seconds
    with world.lock(ttl=600.0), pytest.raises(LockHeld, match="waited 5 s"), world.lock(wait=5.0):
        pass
    assert world.clock.seconds == pytest.approx(start + 5)
    assert world.pauses[:-1] == sorted(world.pauses[:-1])
    assert max(world.pauses) <= 0.5


def test_waiting_ends_though_the_clock_stands_still(world):
    world.pause = world.pauses.append
    with world.lock(), pytest.raises(LockHeld), world.lock(wait=2.0):
        pass
    assert sum(world.pauses) == pytest.approx(2.0)


def test_waiting_ends_when_the_lock_is_free(world):
    holder = world.lock()
    holder.__enter__()
    world.on_pause = lambda: len(world.pauses) == 3 and holder.__exit__(None, None, None)
    with world.lock(wait=60.0) as lease:
        assert lease.held
    assert len(world.pauses) == 3


def test_a_dead_holders_lock_can_be_had_after_its_ttl(world):
    world.memory.acquire(FULL_NAME, "dead", 30.0)
    with world.lock(wait=31.0) as lease:
        assert lease.held
    assert world.clock.seconds - 1_000.0 >= 30.0


def test_an_interrupt_while_asking_leaves_nothing_behind(world):
    def interrupt(call):
        if call == "acquire":
            raise KeyboardInterrupt

    world.wire.delay = interrupt
    lock = world.lock()
    with pytest.raises(KeyboardInterrupt), lock:
        pass
    assert world.is_free()
    world.wire.delay = lambda call: None
    with lock:
        pass


# Trust -----------------------------------------------------------------------------------------------------------


def test_it_is_renewed_while_it_is_held(world):
    with world.lock(ttl=3.0) as lease:
        for _ in range(100):
            world.advance(0.5)
            assert lease.held
            assert not world.is_free()


def test_trust_ends_before_the_backend_could_grant_it_again(world, caplog):
    with world.lock(ttl=30.0) as lease:
        world.clock.seconds += 26.9
        assert lease.held
        world.clock.seconds += 0.2
        assert not lease.held
        with pytest.raises(LeaseLost):
            lease.assert_held()
        assert not world.is_free()
    assert [record.event for record in caplog.records] == ["lease.lost"]


def test_trust_counts_from_before_the_request(world):
    def slow(call):
        world.clock.seconds += 20.0 if call == "acquire" else 0.0

    world.wire.delay = slow
    with world.lock(ttl=30.0) as lease:
        world.clock.seconds += 6.9
        assert lease.held
        world.clock.seconds += 0.2
        assert not lease.held


def test_a_slow_renewal_extends_trust_from_its_own_start_only(world):
    world.wire.delay = lambda call: setattr(world.clock, "seconds", world.clock.seconds + 8.0 * (call == "renew"))
    with world.lock(ttl=30.0) as lease:
        world.clock.seconds += 10.0
        world.renewal.renew_due(world.clock.seconds)
        world.clock.seconds += 18.9
        assert lease.held
        world.clock.seconds += 0.2
        assert not lease.held


def test_a_renewal_that_comes_too_late_does_not_bring_the_lease_back(world, caplog):
    with world.lock(ttl=30.0) as lease:
        world.clock.seconds += 28.0
        assert not lease.held
        world.renewal.renew_due(world.clock.seconds)
        assert not lease.held
        assert world.renewal.next_due() is None
    assert [record.event for record in caplog.records] == ["lease.lost"]
    assert world.is_free()


def test_a_renewal_answered_too_late_does_not_bring_the_lease_back(world):
    world.wire.delay = lambda call: setattr(world.clock, "seconds", world.clock.seconds + 20.0 * (call == "renew"))
    with world.lock(ttl=30.0) as lease:
        world.clock.seconds += 10.0
        world.renewal.renew_due(world.clock.seconds)
        assert not lease.held


def test_a_lost_lease_does_not_interrupt_the_block_and_leaving_leaves_the_successor_alone(world, caplog):
    with world.lock(ttl=30.0) as lease:
        world.clock.seconds += 31.0
        with world.lock(ttl=30.0) as successor:
            world.renewal.renew_due(world.clock.seconds)
            assert not lease.held
            assert successor.fence > lease.fence
            assert successor.held
    assert [record.event for record in caplog.records] == ["lease.lost"]
    assert caplog.records[0].fence == lease.fence


def test_a_successor_keeps_its_lock_when_the_one_before_leaves(world):
    first = world.lock(ttl=30.0)
    first.__enter__()
    world.clock.seconds += 31.0
    with world.lock(ttl=30.0) as successor:
        first.__exit__(None, None, None)
        assert successor.held
        assert not world.is_free()


def test_a_holder_whose_lease_is_over_does_not_make_its_successor_another(world):
    before = world.lock(ttl=1.0)
    before.__enter__()
    world.clock.seconds += 5
    with world.lock():
        before.__exit__(None, None, None)
        with pytest.raises(LockHeld, match="another block of this process"):
            world.lock().__enter__()


def test_a_renewal_that_fails_is_tried_again_in_time(world):
    with world.lock(ttl=30.0) as lease:
        world.wire.lost = ["ask", "reply", "ask"]
        world.advance(60)
        assert lease.held


def test_when_the_backend_stays_away_the_lease_is_lost_in_time(world):
    with world.lock(ttl=30.0) as lease:
        world.wire.lost = ["ask"] * 1_000
        world.advance(26)
        assert lease.held
        world.advance(2)
        assert not lease.held
        world.wire.lost = []
    assert world.is_free()


# Lost answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["ask", "reply"])
def test_an_acquisition_whose_answer_got_lost_is_asked_for_again_with_the_same_token(world, fate):
    world.wire.lost = [fate]
    with world.lock() as lease:
        assert lease.held
    first, second = world.wire.calls[:2]
    assert first == second
    assert world.is_free()


@pytest.mark.parametrize("lost", [["nothing"], ["reply", "nothing"]], ids=["at once", "after a lost reply"])
def test_an_acquisition_of_which_nothing_was_done_is_not_asked_for_again(world, lost):
    world.wire.lost = list(lost)
    with pytest.raises(LockBackendError), world.lock(wait=60.0):
        pass
    calls = [call for call, _ in world.wire.calls]
    assert calls == (["acquire"] if lost == ["nothing"] else ["acquire", "acquire", "release"])
    assert world.is_free()


@pytest.mark.parametrize("fate", ["ask", "reply"])
def test_an_acquisition_that_stays_unknown_is_given_back_and_raised(world, fate):
    world.wire.lost = [fate, fate]
    with pytest.raises(LockBackendError), world.lock(wait=60.0):
        pass
    assert world.is_free()
    assert world.wire.calls[-1] == ("release", world.wire.calls[0][1])


@pytest.mark.parametrize("lost", [["ask"], ["reply"], ["ask", "ask"], ["reply", "reply"]])
def test_leaving_never_raises_for_a_backend_that_fails(world, lost, caplog):
    with world.lock(ttl=30.0):
        world.wire.lost = list(lost)
    assert [record.event for record in caplog.records] == ["lease.release_failed"][: len(lost) - 1]
    world.clock.seconds += 30.0
    assert world.is_free()


# Options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [0, -1, 0.1, float("nan"), float("inf"), 1e9, "30", None, True])
def test_a_ttl_that_cannot_be_meant_is_refused_at_once(world, ttl):
    with pytest.raises(ConfigurationError, match="ttl"):
        world.lock(ttl=ttl)


@pytest.mark.parametrize("wait", [-1, float("nan"), "1", None, True])
def test_a_wait_that_cannot_be_meant_is_refused_at_once(world, wait):
    with pytest.raises(ConfigurationError, match="wait"):
        world.lock(wait=wait)


@pytest.mark.parametrize("name", ["", 3, None, b"x", "x" * 1_000, "é" * 500, "\ud800"])
def test_a_name_that_cannot_be_meant_is_refused_at_once(world, name):
    with pytest.raises(ConfigurationError, match="name"):
        world.lock(name)


@pytest.mark.parametrize("name", ["x" * 980, "é", "a b ", "%s", "a\0b"])
def test_any_other_name_will_do(world, name):
    with world.lock(name) as lease:
        assert lease.held


def test_a_ttl_below_a_second_is_renewed_in_time(world):
    with world.lock(ttl=0.9) as lease:
        for _ in range(50):
            world.advance(0.1)
            assert lease.held


# async with ------------------------------------------------------------------------------------------------------


def test_async_with_gives_a_lease_and_asks_off_the_loop(world):
    async def main():
        loop_thread = threading.get_ident()
        threads = set()
        world.wire.delay = lambda call: threads.add(threading.get_ident())
        async with world.lock() as lease:
            assert lease.held
            with pytest.raises(LockHeld):
                async with world.lock(wait=1.0):
                    pass
        assert loop_thread not in threads
        assert not lease.held

    asyncio.run(main())
    assert sum(world.pauses) == pytest.approx(1.0)
    assert world.is_free()


@pytest.mark.parametrize("moment", ["acquire", "release"])
def test_a_task_cancelled_while_it_asks_leaves_nothing_behind(world, moment):
    asked, answer = threading.Event(), threading.Event()

    def hold(call):
        if call == moment:
            asked.set()
            answer.wait(DEADLINE)

    world.wire.delay = hold
    lock = world.lock()

    async def work():
        async with lock:
            pass

    async def main():
        task = asyncio.create_task(work())
        await asyncio.to_thread(asked.wait, DEADLINE)
        task.cancel()
        await asyncio.sleep(0)
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert world.is_free()
    with lock:
        pass


def test_many_threads_and_tasks_exclude_one_another():
    from rota.clock import SystemClock

    clock = SystemClock()
    renewal = Renewal(clock)
    services = LockServices("billing", MemoryLocks(clock), clock, renewal)
    inside, fences, overlaps = [], [], []

    def visit(lease):
        inside.append(lease.fence)
        fences.append(lease.fence)
        if len(inside) > 1:
            overlaps.append(list(inside))
        inside.remove(lease.fence)

    def in_threads():
        for _ in range(10):
            with NamedLock(services, "x", wait=60.0) as lease:
                visit(lease)

    async def in_tasks():
        async def one():
            for _ in range(5):
                async with NamedLock(services, "x", wait=60.0) as lease:
                    visit(lease)

        await asyncio.gather(one(), one())

    threads = [threading.Thread(target=in_threads) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: asyncio.run(in_tasks())))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    renewal.stop()
    assert overlaps == []
    assert fences == sorted(set(fences))
    assert len(fences) == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_neither_holds_nor_releases(world):
    lock = world.lock()
    with lock as lease:
        calls = len(world.wire.calls)
        child = os.fork()
        if child == 0:
            held = lease.held
            lock.__exit__(None, None, None)
            os._exit(0 if not held and len(world.wire.calls) == calls else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert lease.held


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_may_enter_a_lock_that_another_thread_was_in_when_it_was_forked(world):
    lock, entered, leave = world.lock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(60)
    child = os.fork()
    if child == 0:
        is_free = lock._enter_once() is not None
        os._exit(0 if is_free else 1)
    leave.set()
    thread.join(60)
    assert os.waitpid(child, 0)[1] == 0
