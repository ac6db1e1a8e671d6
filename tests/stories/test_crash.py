"""A process that dies: its runs are taken over when their lease is over, and `on_crash` says what becomes of them."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stories.worlds import START, minutes

from rota import Retry, Scheduler, StateError
from rota.testing import FakeClock, simulate


def story(**options):
    """Two nodes; the one that begins the tick of minute 1 dies with it. The records, and what was called when."""
    scheduler = Scheduler("crash", lease_ttl=30)
    called = []

    @scheduler.interval(minutes=2, **options)
    def job(run):
        called.append((minutes(run.scheduled_for), run.attempt, run.lease.fence, minutes(run.now())))
        if len(called) == 1:
            sim.kill(0)
            sim.kill(1)  # comes to this only where node 0 was not its own

    with simulate(scheduler, start=START, nodes=2) as sim:
        sim.advance(minutes=2, seconds=1)
        for node in (0, 1):
            with suppress(StateError):  # it lives: the job ran on the other
                sim.restart(node)
        sim.advance(minutes=3)
        return sim.runs(job), called


def test_without_a_retry_the_run_is_lost_and_the_next_tick_is_normal():
    records, called = story()
    assert [(minutes(r.scheduled_for), r.status) for r in records] == [(2, "lost"), (4, "succeeded")]
    assert [entry[:2] for entry in called] == [(2, 1), (4, 1)]
    assert records[0].attempts[-1].outcome == "lost"
    assert (records[0].window.start, records[1].window.start) == (START, START), "nobody has done its window"


@pytest.mark.parametrize("options", [{"on_crash": "rerun"}, {"retry": Retry()}])
def test_a_rerun_is_the_same_tick_with_the_next_attempt(options):
    records, called = story(**options)
    assert [(minutes(r.scheduled_for), r.status) for r in records] == [(2, "succeeded"), (4, "succeeded")]
    assert [entry[:2] for entry in called] == [(2, 1), (2, 2), (4, 1)]
    fences = [entry[2] for entry in called]
    assert fences == sorted(set(fences))
    assert 2.4 < called[1][3] <= 2.6, "when the lease was over, and not before"
    assert [a.outcome for a in records[0].attempts] == ["lost", "succeeded"]


def test_on_crash_wins_over_retry():
    records, _ = story(on_crash="lost", retry=Retry())
    assert records[0].status == "lost"


def test_a_rerun_costs_an_attempt():
    records, _ = story(retry=Retry(attempts=1))
    assert (records[0].status, records[0].reason) == ("lost", "out of attempts")


def test_a_lost_run_is_a_dead_letter_that_can_be_replayed():
    scheduler, calls = Scheduler("crash"), []

    @scheduler.job()
    def job():
        calls.append(1)
        if len(calls) == 1:
            sim.kill(0)
            sim.kill(1)

    with simulate(scheduler, start=START, nodes=2) as sim:
        run_id = scheduler.run_now(job)
        sim.advance(seconds=1)
        for node in (0, 1):
            with suppress(StateError):
                sim.restart(node)
        sim.advance(minutes=2)
        assert [(r.id, r.status) for r in scheduler.dead_letters()] == [(run_id, "lost")]
        scheduler.replay(run_id)
        sim.advance(minutes=1)
        assert scheduler.get_run(run_id).status == "succeeded"


def test_a_holder_that_was_overtaken_changes_nothing_more(tmp_path: Path):
    """It may have been stopped for longer than its lease: what it then says is not recorded."""
    clock = FakeClock(START)
    url = f"sqlite:///{tmp_path}/story.db"
    slow, other = (Scheduler("story", store=url, clock=clock, lease_ttl=10) for _ in range(2))
    seen = []

    def job(run):
        seen.append(run.attempt)
        if run.attempt == 1:
            slow._host.node.renewal.stop()
            clock.advance(seconds=15)
            other.start()
            other._host.node.turn()
            assert run.cancel_reason == "lease_lost"
            assert not run.lease.held
            return "from the dead"
        return "from the living"

    for scheduler in (slow, other):
        scheduler.job(id="job", on_crash="rerun")(job)
    run_id = slow.run_now("job")
    slow.start()
    clock.advance(seconds=1)
    clock.advance(seconds=30)
    record = other.get_run(run_id)
    slow.shutdown(0)
    other.shutdown(0)
    assert seen == [1, 2]
    assert (record.status, record.result, record.attempts[0].outcome) == ("succeeded", "from the living", "lost")


HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(1, 200)),
        st.tuples(st.just("kill"), st.integers(0, 2)),
        st.tuples(st.just("restart"), st.integers(0, 2)),
        st.tuples(st.just("takes"), st.integers(0, 150)),
        st.tuples(st.just("fail"), st.integers(1, 3)),
    ),
    max_size=20,
)


@settings(max_examples=100)
@given(
    every=st.integers(20, 120),
    catch_up=st.sampled_from(["skip", "latest", "all"]),
    overlap=st.sampled_from(["skip", "queue", "replace", "allow"]),
    on_crash=st.sampled_from(["rerun", "lost"]),
    seed=st.integers(0, 99),
    happenings=HAPPENINGS,
)
def test_whoever_dies_every_tick_is_accounted_for_once(every, catch_up, overlap, on_crash, seed, happenings):
    """Three nodes: no tick before its time, none twice, none forgotten; fences grow."""
    scheduler, begun, fences = Scheduler("crash", lease_ttl=10), set(), []

    @scheduler.interval(seconds=every, catch_up=catch_up, overlap=overlap, on_crash=on_crash)
    def job(run):
        assert run.now() >= run.scheduled_for
        assert (run.id, run.attempt) not in begun
        begun.add((run.id, run.attempt))
        fences.append(run.lease.fence)

    with simulate(scheduler, start=START, nodes=3, seed=seed) as sim:
        for what, amount in happenings:
            if what == "advance":
                sim.advance(seconds=amount)
            elif what == "takes":
                sim.takes(job, seconds=amount)
            elif what == "fail":
                sim.fail(job, ValueError, times=amount)
            else:
                with suppress(StateError):  # dead, or alive, already
                    getattr(sim, what)(amount)
        for node in (0, 1, 2):
            with suppress(StateError):
                sim.restart(node)
        sim.takes(job, seconds=0)
        sim.advance(minutes=20)
        records = sim.runs(job)

    assert fences == sorted(set(fences))
    disposed = []
    for record in records:
        assert not record.is_open or record.scheduled_for == max(r.scheduled_for for r in records)
        first = record.window.start if record.count > 1 else record.scheduled_for
        disposed += scheduler.next_fires(job, record.count, after=first - timedelta(seconds=1))
    assert sorted(disposed) == scheduler.next_fires(job, len(disposed), after=START)
    assert max(disposed) > sim.now - timedelta(seconds=every)
