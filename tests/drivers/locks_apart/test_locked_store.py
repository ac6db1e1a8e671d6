"""Locks given apart from the store: each tick once, overlap across processes, and what a failure in between leaves.

A `Process` here does with its store what the engine of one process does, step by step, so that any order of the steps
of several can be played through under a clock that stands still.
"""

from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest
from tests.hand_clock import HandClock

from rota import Retry, Scheduler
from rota.backends.memory import MemoryStore
from rota.backends.memory_locks import MemoryLocks
from rota.backends.sqlite import SQLiteStore
from rota.core import lifecycle, misfire
from rota.core.effects import Begin, JobSeen, TickClaim
from rota.core.lifecycle import Holder
from rota.core.outcome import Outcome
from rota.core.run import RunRow
from rota.core.verdict import Ended, judge
from rota.drivers.locks_apart.claimed_ticks import ClaimedTicks
from rota.drivers.locks_apart.locked_store import LockedStore
from rota.errors import BackendError, LockBackendError, StoreError
from rota.ports import NodeRow
from rota.testing import FakeClock, FaultyLocks, FaultyStore
from rota.triggers import Interval

SECOND = 1_000_000
TTL = 600.0
MINUTE = 60


class Wire:
    """Locks or a store behind a wire. `fate(call)` says what gets lost: `"ask"`, `"reply"` or nothing."""

    def __init__(self, inner, error) -> None:
        self._inner = inner
        self._error = error
        self.fate = lambda call: None

    @property
    def shared(self):
        return self._inner.shared

    @property
    def guarantee(self):
        return self._inner.guarantee

    def __getattr__(self, name):
        method = getattr(self._inner, name)

        def call(*args, **kwargs):
            fate = self.fate(name)
            if fate == "ask":
                raise self._error(f"{name}: no route")
            answer = method(*args, **kwargs)
            if fate == "reply":
                raise self._error(f"{name}: reply lost")
            return answer

        return call


class World:
    """One clock, one set of locks, and as many processes as a test asks for."""

    def __init__(self) -> None:
        self.clock = HandClock(600_000.0)
        self.locks = MemoryLocks(self.clock)

    def job(self, func=lambda: None, seconds=MINUTE, **options):
        return Scheduler().add(func, Interval(timedelta(seconds=seconds)), id="job", **options)

    def process(self, job, store=None, locks=None):
        return Process(self, job, store or MemoryStore(self.clock), locks or self.locks)

    def pass_time(self, seconds):
        self.clock.seconds += seconds

    def holds(self, name):
        """Whether the lock is held by anybody."""
        if self.locks.acquire(f"web/{name}", "probe", 1.0) is None:
            return True
        assert self.locks.release(f"web/{name}", "probe")
        return False


class Process:
    numbers = count()

    def __init__(self, world, job, store, locks) -> None:
        self.world, self.job, self.inner = world, job, store
        self.name = f"node-{next(self.numbers)}"
        self.node = NodeRow(self.name, "host", 1, 0, 0)
        self.store = LockedStore(store, locks, "web", TTL)
        ids = count()
        self.holder = Holder(
            self.name, TTL, lambda: f"{self.name}-run-{next(ids)}", lambda: f"{self.name}-token-{next(ids)}"
        )
        self.declare()

    def declare(self):
        self.state = self.store.sync_jobs([JobSeen("job", self.job.trigger.signature())])[0]

    def tick(self):
        """Claim what is due, deciding anew when the state has changed: the row it came to, or a word."""
        for _ in range(10):
            now, job = self.world.clock.now(), self.job
            first = job.trigger.next_tick(self.state.watermark)
            if first > now:
                return "nothing due"
            plan = misfire.plan(job.trigger, job.options, "job", first, now, now, paused=False)
            claim = lifecycle.tick_claim(job, job.trigger, self.state, plan, now, self.holder)
            if claim is None:
                return "waits"
            answer = self.store.claim([claim])[0]
            self.state = answer.state
            if answer.verdict == "claimed":
                return answer.begun or claim.rows[-1]
            if answer.verdict != "taken":
                return answer.verdict
        raise AssertionError("it goes round in circles")

    def try_tick(self):
        """The same where the backends may fail: then the state is looked up anew, as the engine does."""
        try:
            return self.tick()
        except BackendError:
            return "down"

    def refresh(self):
        self.state = self.store.job_states(["job"])[0]

    def begin(self, row):
        return self.store.begin([Begin(row.id, "job", row.attempt, self.holder.new_token(), self.name, TTL)])[0]

    def end(self, row, error=None):
        ended = Ended(Outcome(error=error) if error else Outcome(None), self.world.clock.now())
        swap = judge(self.job.options, row, ended)
        answer = self.store.swap([swap])[0]
        assert answer.verdict == "swapped"
        self.state = answer.state
        return swap.row

    def renew(self, *rows):
        return self.store.renew(self.node, [(row.id, row.token) for row in rows], TTL)

    def try_renew(self):
        with suppress(BackendError):
            self.renew()

    def poll(self):
        return self.store.due(self.world.clock.now(), 100)

    def rows(self):
        return sorted(self.inner.runs("job"), key=lambda row: row.scheduled_for)


@pytest.fixture
def world():
    return World()


def statuses(*processes):
    return sorted((row.scheduled_for // SECOND, row.status) for process in processes for row in process.rows())


# Once per tick -------------------------------------------------------------------------------------------------------


def test_each_tick_is_run_by_one_process(world):
    job = world.job(overlap="allow")
    processes = [world.process(job) for _ in range(4)]
    for number in range(8):
        world.pass_time(MINUTE)
        order = processes[number % 4 :] + processes[: number % 4]
        outcomes = [process.tick() for process in order]
        assert isinstance(outcomes[0], RunRow)
        assert outcomes[1:] == ["nothing due"] * 3
    ticks = [tick for tick, _ in statuses(*processes)]
    assert ticks == [600_000 + MINUTE * n for n in range(1, 9)]


def test_a_new_process_goes_on_where_the_locks_stand(world):
    job = world.job()
    first = world.process(job)
    world.pass_time(MINUTE)
    first.end(first.tick())
    world.pass_time(10 * MINUTE + 40)
    second = world.process(job)
    row = second.tick()
    assert (row.status, row.is_catch_up) == ("running", True)
    assert [(row.status, row.count) for row in second.rows()] == [("missed", 9), ("running", 1)]
    assert first.tick() == "nothing due"


def test_ticks_before_the_first_sight_do_not_exist(world):
    world.pass_time(MINUTE / 2)
    process = world.process(world.job())
    assert process.tick() == "nothing due"


def test_ticks_of_a_changed_trigger_before_its_first_sight_do_not_exist(world):
    old = world.process(world.job(seconds=3_600))
    world.pass_time(7_000)
    assert isinstance(old.tick(), RunRow)
    world.pass_time(1_000)
    new = world.process(world.job(seconds=120))
    assert new.tick() == "nothing due"
    world.pass_time(60)
    assert new.tick().scheduled_for == (600_000 + 8_040) * SECOND


def test_a_trigger_changed_at_run_time_is_not_retroactive(world):
    process = world.process(world.job(seconds=3_600))
    world.pass_time(3_000)
    process.job = world.job(seconds=60)
    process.declare()
    assert process.tick() == "nothing due"


def test_a_directory_that_was_wiped_does_not_stop_the_ticks(world):
    job = world.job()
    process = world.process(job, locks=Wire(world.locks, LockBackendError))
    process.store.locks._inner = MemoryLocks(world.clock)
    world.pass_time(MINUTE)
    assert process.tick().status == "running"


# Overlap -------------------------------------------------------------------------------------------------------------


def test_a_tick_is_skipped_while_another_process_is_at_work(world):
    job = world.job()
    one, two = world.process(job), world.process(job)
    world.pass_time(MINUTE)
    running = one.tick()
    world.pass_time(MINUTE)
    skipped = two.tick()
    assert (skipped.status, skipped.reason) == ("skipped", "overlap")
    assert one.tick() == "nothing due"
    one.end(running)
    world.pass_time(MINUTE)
    assert two.tick().status == "running"


def test_the_process_that_is_at_work_skips_too(world):
    job = world.job()
    one, two = world.process(job), world.process(job)
    world.pass_time(MINUTE)
    one.tick()
    world.pass_time(MINUTE)
    assert one.tick().status == "skipped"
    assert two.tick() == "nothing due"


def test_one_tick_queues_in_all_processes_and_later_ones_are_skipped(world):
    job = world.job(overlap="queue")
    one, two, three = (world.process(job) for _ in range(3))
    world.pass_time(MINUTE)
    running = one.tick()
    world.pass_time(MINUTE)
    queued = two.tick()
    assert queued.status == "queued"
    world.pass_time(MINUTE)
    assert three.tick().status == "skipped"
    world.pass_time(MINUTE)
    assert one.tick().status == "skipped"
    assert two.begin(queued).verdict == "busy"
    one.end(running)
    begun = two.begin(queued).row
    assert begun.status == "running"
    world.pass_time(MINUTE)
    assert three.tick().status == "queued"
    two.end(begun)
    assert not world.holds("job/job")


def test_a_run_elsewhere_cannot_be_replaced_and_is_waited_for(world):
    job = world.job(overlap="replace")
    one, two = world.process(job), world.process(job)
    world.pass_time(MINUTE)
    running = one.tick()
    world.pass_time(MINUTE)
    queued = two.tick()
    assert queued.status == "queued"
    assert two.begin(queued).verdict == "busy"
    one.end(running)
    assert two.begin(queued).verdict == "begun"


def test_runs_that_may_overlap_hold_no_turn(world):
    job = world.job(overlap="allow")
    one, two = world.process(job), world.process(job)
    for process in (one, two):
        world.pass_time(MINUTE)
        assert process.tick().status == "running"
    assert not world.holds("job/job")


def test_a_run_that_waits_for_its_retry_is_still_in_the_way(world):
    job = world.job(retry=Retry(wait_initial=300))
    one, two = world.process(job), world.process(job)
    world.pass_time(MINUTE)
    waiting = one.end(one.tick(), ValueError("no"))
    assert waiting.status == "waiting"
    world.pass_time(MINUTE)
    assert two.tick().status == "skipped"
    assert one.begin(waiting).verdict == "begun"


def test_ticks_are_caught_up_in_order_by_one_process_after_the_other(world):
    job = world.job(catch_up="all")
    one, two = world.process(job), world.process(job)
    world.pass_time(5 * MINUTE + 40)
    ran = []
    row = one.tick()
    while isinstance(row, RunRow):
        ran.append(row.scheduled_for // SECOND)
        assert two.tick() in {"unsettled", "nothing due"}
        one.end(row)
        one, two = two, one
        row = one.tick()
    assert ran == [600_000 + MINUTE * n for n in range(1, 6)]


def test_one_late_tick_is_caught_up_once(world):
    job = world.job()
    one, two = world.process(job), world.process(job)
    world.pass_time(5 * MINUTE + 40)
    row = one.tick()
    assert row.is_catch_up
    assert two.tick() == "nothing due"
    one.end(row)
    assert two.tick() == "nothing due"


def test_windows_join_over_processes_without_gap_or_double(world):
    job = world.job()
    one, two = world.process(job), world.process(job)
    windows = []
    for process, error in ((one, None), (two, None), (two, ValueError("no")), (one, None), (two, None)):
        world.pass_time(MINUTE)
        row = process.tick()
        if not error:
            windows.append((row.window_start, row.window_end))
        process.end(row, error)
    assert [start for start, _ in windows[1:]] == [end for _, end in windows[:-1]]


def test_a_window_that_could_not_be_told_is_told_later(world):
    wire = Wire(world.locks, LockBackendError)
    job = world.job()
    one, two = world.process(job, locks=wire), world.process(job)
    world.pass_time(MINUTE)
    first = one.tick()
    wire.fate = lambda call: "ask" if call == "claim" else None
    one.end(first)
    wire.fate = lambda call: None
    one.renew()
    world.pass_time(MINUTE)
    assert two.tick().window_start == first.window_end


# Leases and fences ---------------------------------------------------------------------------------------------------


def test_the_turn_of_a_process_that_died_runs_out(world):
    job = world.job()
    dead, alive = world.process(job), world.process(job)
    world.pass_time(MINUTE)
    dead.tick()
    world.pass_time(TTL + 31)
    assert alive.tick().status == "running"


def test_a_renewed_turn_is_kept_and_a_lost_one_is_told(world):
    job = world.job()
    one, two = world.process(job), world.process(job)
    world.pass_time(MINUTE)
    row = one.tick()
    world.pass_time(TTL - 1)
    assert one.renew(row).lost == frozenset()
    world.pass_time(TTL - 1)
    assert one.renew(row).lost == frozenset()
    world.pass_time(TTL + 31)
    assert two.tick().status == "running"
    assert one.renew(row).lost == {row.id}


def test_a_node_that_stops_keeps_no_turn(world):
    job = world.job()
    one, two = world.process(job), world.process(job)
    world.pass_time(MINUTE)
    row = one.tick()
    one.store.beat(one.node._replace(stopped_at=world.clock.now()))
    assert not world.holds("job/job")
    world.pass_time(MINUTE)
    assert two.tick().status == "running"
    assert one.renew(row).lost == frozenset()


def test_a_turn_that_could_not_be_given_back_is_given_back_at_the_next_renewal(world):
    wire = Wire(world.locks, LockBackendError)
    process = world.process(world.job(), locks=wire)
    world.pass_time(MINUTE)
    row = process.tick()
    wire.fate = lambda call: "ask" if call == "release" else None
    process.end(row)
    assert world.holds("job/job")
    wire.fate = lambda call: None
    process.renew()
    assert not world.holds("job/job")


def test_the_fence_grows_over_processes_and_kinds_of_runs(world):
    job = world.job()
    one, two = world.process(job), world.process(job)
    fences = []
    for number in range(6):
        process = (one, two)[number % 2]
        world.pass_time(MINUTE)
        row = process.tick()
        fences.append(row.fence)
        process.end(row)
        asked = process.store.add([RunRow(f"asked-{number}", "job", "run_now", "queued", 0, 0)])[0]
        begun = process.begin(asked).row
        fences.append(begun.fence)
        process.end(begun)
        assert process.store.run(begun.id).fence == begun.fence
    assert fences == sorted(set(fences))


# Failing in between --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["ask", "reply"])
@pytest.mark.parametrize("failing", range(12))
@pytest.mark.parametrize("side", ["locks", "store"])
def test_a_call_that_fails_runs_no_tick_twice_and_holds_nothing_for_long(world, side, failing, fate):
    job = world.job()
    wires = {"locks": Wire(world.locks, LockBackendError), "store": Wire(MemoryStore(world.clock), StoreError)}
    one = world.process(job, wires["store"], wires["locks"])
    two = world.process(job)
    calls = count()
    wires[side].fate = lambda call: fate if next(calls) == failing else None
    begun = []
    for _ in range(6):
        world.pass_time(MINUTE)
        for process in (one, two):
            process.try_renew()
            row = process.try_tick()
            if row == "down":
                resolve(process, begun)
                row = process.try_tick()
            if isinstance(row, RunRow) and row.status == "running":
                begun.append(row.scheduled_for)
                finish(process, row)
    assert len(begun) == len(set(begun))
    assert len(begun) >= 5
    wires[side].fate = lambda call: None
    world.pass_time(TTL + 1)
    assert not world.holds("job/job")


def resolve(process, begun):
    """What a performer does once a store is back: a run that it was given without learning of it is handed back."""
    for row in process.inner.runs("job", statuses=("running",)):
        begun.append(row.scheduled_for)
        process.end(row.copy())
    process.refresh()


def finish(process, row):
    for _ in range(3):
        try:
            process.end(row)
        except BackendError:
            continue
        return


def test_a_tick_that_was_won_stays_ours_while_the_store_is_down(world):
    job = world.job()
    wire = Wire(MemoryStore(world.clock), StoreError)
    one, two = world.process(job, wire), world.process(job)
    world.pass_time(MINUTE)
    wire.fate = lambda call: "ask" if call == "claim" else None
    assert one.try_tick() == "down"
    assert two.tick() == "nothing due"
    wire.fate = lambda call: None
    one.refresh()
    assert one.tick().status == "running"


def test_a_claim_whose_answer_was_lost_is_not_made_again(world):
    wire = Wire(MemoryStore(world.clock), StoreError)
    process = world.process(world.job(), wire)
    world.pass_time(MINUTE)
    wire.fate = lambda call: "reply" if call == "claim" else None
    assert process.try_tick() == "down"
    wire.fate = lambda call: None
    process.refresh()
    assert process.tick() == "nothing due"
    assert len(process.rows()) == 1
    process.end(process.rows()[0].copy())
    assert not world.holds("job/job")


def test_a_turn_is_kept_when_two_threads_find_out_at_once_that_the_claim_was_written_down(world):
    wire = Wire(MemoryStore(world.clock), StoreError)
    process = world.process(world.job(), wire)
    world.pass_time(MINUTE)
    wire.fate = lambda call: "reply" if call == "claim" else None
    assert process.try_tick() == "down"

    def another_thread_asks_too(call):
        if call == "run":
            wire.fate = lambda call: None
            process.refresh()

    wire.fate = another_thread_asks_too
    process.refresh()
    row = process.rows()[0].copy()
    world.pass_time(TTL / 2)
    process.renew(row)
    world.pass_time(TTL * 3 / 4)
    assert world.holds("job/job")
    process.end(row)
    assert not world.holds("job/job")


# With a store that is shared -----------------------------------------------------------------------------------------


def test_with_a_shared_store_the_store_decides_on_overlap_and_the_locks_on_ticks(world, tmp_path):
    job = world.job()

    def store():
        opened = SQLiteStore(f"sqlite:///{tmp_path}/rota.db", "web", world.clock)
        opened.open()
        return opened

    one, two = world.process(job, store()), world.process(job, store())
    world.pass_time(MINUTE)
    running = one.tick()
    assert running.status == "running"
    assert two.tick() == "nothing due"
    world.pass_time(MINUTE)
    skipped = two.tick()
    assert (skipped.status, skipped.reason) == ("skipped", "overlap")
    assert not world.holds("job/job")
    one.end(running)
    world.pass_time(MINUTE)
    again = two.tick()
    assert again.fence > running.fence
    assert statuses(one) == statuses(two)


def test_with_a_shared_store_a_slow_process_still_writes_down_an_earlier_tick(world, tmp_path):
    slow, quick, wire = slow_and_quick(world, tmp_path)
    world.pass_time(20)
    later = quick.tick()
    wire.fate = lambda call: None
    slow.refresh()
    earlier = slow.tick()
    assert (earlier.status, later.status) == ("running", "running")
    assert earlier.scheduled_for < later.scheduled_for


def test_a_tick_that_was_won_too_late_is_recorded_as_missed(world, tmp_path):
    slow, quick, wire = slow_and_quick(world, tmp_path)
    world.pass_time(40)
    quick.tick()
    wire.fate = lambda call: None
    slow.refresh()
    assert slow.tick().status == "running"
    assert [(row.status, row.reason) for row in quick.rows()] == [
        ("missed", "passed_over"),
        ("running", ""),
        ("running", ""),
    ]


def test_a_tick_that_was_won_too_late_is_recorded_though_the_job_is_declared_anew(world, tmp_path):
    slow, quick, wire = slow_and_quick(world, tmp_path)
    world.pass_time(40)
    quick.tick()
    wire.fate = lambda call: None
    slow.declare()
    assert ("missed", "passed_over") in [(row.status, row.reason) for row in quick.rows()]


def slow_and_quick(world, tmp_path):
    """Two processes on one store; the first has won a tick and could not write it down."""
    job = world.job(overlap="allow", seconds=20)
    store = SQLiteStore(f"sqlite:///{tmp_path}/rota.db", "web", world.clock)
    store.open()
    wire = Wire(store, StoreError)
    slow, quick = world.process(job, wire), world.process(job, store)
    world.pass_time(20)
    wire.fate = lambda call: "ask" if call == "claim" else None
    assert slow.try_tick() == "down"
    return slow, quick, wire


# A tick that is won and not written down ------------------------------------------------------------------------------


@pytest.mark.parametrize("witness", ["whoever wins the next tick", "the process that is started anew"])
def test_a_tick_whose_process_died_before_it_wrote_it_down_is_recorded_as_missed(world, tmp_path, witness):
    _dead, other, _ = slow_and_quick(world, tmp_path)
    if witness == "whoever wins the next tick":
        world.pass_time(20)
        assert other.tick().status == "running"
    else:
        other = world.process(other.job, other.inner)
    other.poll()
    world.pass_time(TTL - 1)
    other.poll()
    assert [row.status for row in other.rows()].count("missed") == 0
    world.pass_time(1)
    other.poll()
    first = other.rows()[0]
    assert (first.status, first.reason, first.count) == ("missed", "unrecorded", 1)
    assert first.scheduled_for == (600_000 + 20) * SECOND


def test_processes_that_miss_the_same_record_make_one(world, tmp_path):
    _dead, one, _ = slow_and_quick(world, tmp_path)
    processes = [world.process(one.job, one.inner) for _ in range(3)]
    for _ in range(2):
        for process in processes:
            process.poll()
        world.pass_time(TTL)
    assert [row.reason for row in one.rows()] == ["unrecorded"]


def test_a_winner_that_comes_back_after_its_tick_was_recorded_does_not_run_it(world, tmp_path):
    slow, _, wire = slow_and_quick(world, tmp_path)
    other = world.process(slow.job, slow.inner._inner)
    other.poll()
    world.pass_time(TTL)
    other.poll()
    wire.fate = lambda call: None
    slow.refresh()
    assert slow.tick().scheduled_for == world.clock.now() // (20 * SECOND) * 20 * SECOND
    assert [row.scheduled_for for row in slow.rows()].count((600_000 + 20) * SECOND) == 1


def test_no_record_is_missed_of_a_tick_that_was_written_down_late(world, tmp_path):
    slow, quick, wire = slow_and_quick(world, tmp_path)
    world.pass_time(20)
    quick.tick()
    quick.poll()
    wire.fate = lambda call: None
    slow.refresh()
    assert slow.tick().status == "running"
    world.pass_time(TTL)
    quick.poll()
    assert [row.status for row in quick.rows()] == ["running", "running"]


@pytest.mark.parametrize("catch_up", ["latest", "all"])
def test_a_tick_whose_claim_was_not_answered_is_recorded_and_explained(catch_up):
    clock = FakeClock("2026-03-01T00:00Z")
    locks = FaultyLocks(MemoryLocks(clock))
    scheduler = Scheduler("web", locks=locks, clock=clock)
    scheduler.add(lambda: None, Interval(timedelta(minutes=1)), id="job", catch_up=catch_up)
    scheduler.start()
    locks.fail_next("claim")
    clock.advance(minutes=1, seconds=50)
    locks.fail_next("claim", after=True)
    clock.advance(seconds=20)
    told = scheduler.explain("job", at="2026-03-01T00:02Z")
    assert (told.reason, told.evidence[-1][:11]) == ("pruned", "alive then:")
    assert "wrote no record of it" in told.verdict
    clock.advance(minutes=1)
    assert [(run.status, run.reason) for run in scheduler.runs("job")] == [
        ("succeeded", ""),
        ("missed", "unrecorded"),
        ("succeeded", ""),
    ]
    told = scheduler.explain("job", at="2026-03-01T00:02Z")
    assert told.reason == "passed_over"
    assert "wrote no record of it" in told.verdict
    assert "backfill()" in told.hint
    scheduler.shutdown()


def test_each_claim_that_was_not_answered_is_in_doubt_when_others_have_gone_on():
    locks = FaultyLocks(MemoryLocks())
    ticks = ClaimedTicks(locks, "web")

    def claim(previous, tick):
        return ticks.claim([TickClaim("job", previous, tick, False, None)])[0]

    assert claim(0, 10) is None
    ticks.dispose(TickClaim("job", 0, 10, False, None))
    for tick, is_carried_out in ((20, True), (30, False)):
        locks.fail_next("claim", after=is_carried_out)
        with pytest.raises(LockBackendError):
            claim(10, tick)
    assert claim(10, 30).verdict == "taken"
    assert [one.tick for one in ticks.in_doubt] == [20]
    assert claim(20, 30) is None


@pytest.mark.parametrize(("what", "first"), [("store", "succeeded"), ("locks", "missed")])
def test_a_claim_that_was_carried_out_and_raised_what_it_never_should_is_not_run_twice(what, first):
    clock = FakeClock("2026-03-01T00:00Z")
    store = FaultyStore(MemoryStore(clock), error=RuntimeError)
    locks = FaultyLocks(MemoryLocks(clock), error=RuntimeError)
    scheduler, ran = Scheduler("web", store=store, locks=locks, clock=clock), []
    scheduler.interval(minutes=1, id="job")(lambda run: ran.append(run.scheduled_for))
    scheduler.start()
    clock.advance(seconds=30)
    (store if what == "store" else locks).fail_next("claim", after=True)
    clock.advance(minutes=3)
    assert [run.status for run in scheduler.runs("job")] == ["succeeded", "succeeded", first]
    assert len(ran) == len(set(ran)) == (3 if first == "succeeded" else 2)
    scheduler.shutdown()


# The scheduler -------------------------------------------------------------------------------------------------------


def test_two_schedulers_share_the_ticks_and_each_keeps_its_own_records():
    clock = FakeClock("2026-03-01T00:00Z")
    locks = MemoryLocks(clock)
    schedulers = [Scheduler("web", locks=locks, clock=clock) for _ in range(2)]
    ran = []
    for number, scheduler in enumerate(schedulers):
        scheduler.add(lambda number=number: ran.append(number), Interval(timedelta(minutes=1)), id="job")
        scheduler.start()
    clock.advance(minutes=10)
    records = [run for scheduler in schedulers for run in scheduler.runs("job")]
    assert len(ran) == len(records) == 10
    assert len({run.scheduled_for for run in records}) == 10
    assert {run.status for run in records} == {"succeeded"}
    for scheduler in schedulers:
        scheduler.shutdown()


def test_named_locks_and_health_ask_the_given_locks():
    clock = FakeClock("2026-03-01T00:00Z")
    wire = Wire(MemoryLocks(clock), LockBackendError)
    scheduler = Scheduler("web", locks=lambda: wire, clock=clock)
    with scheduler.lock("invoice:42"):
        assert wire.acquire("web/lock/invoice:42", "another", 1.0) is None
    assert scheduler.health().locks
    wire.fate = lambda call: "ask"
    health = scheduler.health()
    assert (health.store, health.locks) == (True, False)
