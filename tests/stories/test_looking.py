"""Looking: records and how long they are kept, `explain`, jobs and their next fires, renamed jobs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from inspect import signature

import pytest
from tests.hand_clock import HandClock
from tests.stories.worlds import START, at, minutes

from rota import ConfigurationError, Jobs, Scheduler, StateError, UnknownJobError
from rota.awaitable import AwaitableScheduler
from rota.core.effects import JobSeen
from rota.errors import StoreError
from rota.stores import MemoryStore
from rota.testing import FakeClock, FaultyStore, simulate
from rota.triggers import Cron, Interval, Once

RESTARTING = pytest.mark.worlds("driven-memory", "driven-sqlite", "manual-memory", "manual-sqlite")
ONE = pytest.mark.worlds("driven-memory")


def test_runs_are_given_newest_first_by_job_status_and_time(world):
    @world.scheduler.interval(minutes=1)
    def good():
        pass

    @world.scheduler.interval(minutes=2)
    def bad():
        raise ValueError

    world.start()
    world.advance(minutes=4)
    records = world.scheduler.runs()
    assert [r.queued_at for r in records] == sorted((r.queued_at for r in records), reverse=True)
    assert len(records) == 6
    assert {r.job_id for r in world.scheduler.runs(bad)} == {"bad"}
    assert len(world.scheduler.runs(status="failed")) == 2
    assert len(world.scheduler.runs(status=["failed", "succeeded"])) == 6
    assert len(world.scheduler.runs(status="unhappy")) == 2
    assert [minutes(r.scheduled_for) for r in world.scheduler.runs(good, limit=2)] == [4, 3]
    assert [minutes(r.scheduled_for) for r in world.scheduler.runs(good, before=at(minutes=3))] == [2, 1]


@ONE
@pytest.mark.parametrize(
    "wrong",
    [{"status": "happy"}, {"status": 5}, {"limit": 0}, {"before": datetime.fromisoformat("2026-01-01")}],
    ids=str,
)
def test_a_question_that_makes_no_sense_is_refused(world, wrong):
    with pytest.raises(ConfigurationError, match="happy" if "happy" in wrong.values() else next(iter(wrong))):
        world.scheduler.runs(**wrong)


@pytest.mark.worlds("driven-memory", "manual-memory")
def test_records_are_kept_for_their_retention_and_unhappy_ones_three_times_as_long(make):
    world = make(retention=timedelta(hours=4))
    ran = []

    @world.scheduler.interval(hours=1)
    def job(run):
        ran.append(run.scheduled_for)
        if len(ran) == 1:
            raise ValueError

    @world.scheduler.interval(hours=1, retention=timedelta(hours=2))
    def brief():
        pass

    @world.scheduler.interval(hours=1, retention={"succeeded": timedelta(hours=6)})
    def long():
        pass

    world.start()
    world.advance(hours=11, minutes=5)
    assert 4 <= len(world.runs(job, status="succeeded")) <= 6
    assert 2 <= len(world.runs(brief)) <= 4
    assert 6 <= len(world.runs(long)) <= 8
    assert len(world.runs(job, status="failed")) == 1
    world.advance(hours=4)
    assert world.runs(job, status="failed") == []
    world.stop()
    world.start()
    assert len(ran) == len(set(ran)) == 15, "what was pruned never runs again"
    assert world.scheduler.explain(job, at(hours=2)).reason == "pruned"


@pytest.mark.worlds("driven-memory")
def test_without_a_retention_everything_is_kept(make):
    world = make(retention=None)

    @world.scheduler.interval(hours=12)
    def job():
        pass

    world.start()
    world.advance(days=200)
    assert len(world.runs(job)) == 400


# Explain --------------------------------------------------------------------------------------------------------------


def reason(world, job, moment=None):
    explanation = world.scheduler.explain(job, moment)
    assert explanation.verdict.endswith(".")
    assert isinstance(explanation.evidence, tuple)
    assert isinstance(explanation.hint, str)
    return explanation.reason


def test_it_ran(world):
    @world.scheduler.interval(minutes=1)
    def job(run):
        if minutes(run.scheduled_for) == 2:
            raise ValueError

    world.start()
    world.advance(minutes=3)
    assert reason(world, job) == "ran"
    assert reason(world, job, at(minutes=2)) == "ran"
    assert "failed" in world.scheduler.explain(job, at(minutes=2)).verdict
    assert reason(world, job, at(minutes=2, seconds=1)) == "not_a_tick"
    assert reason(world, job, at(minutes=-5)) == "before_first_seen"
    assert reason(world, job, at(minutes=9)) == "waiting"
    assert reason(world, "no-such") == "unknown_here"
    run = world.scheduler.runs(job)[0]
    assert f"is no job, but a run of job {run.job_id!r}" in world.scheduler.explain(run.id).verdict


@pytest.mark.worlds("driven-memory", "driven-sqlite", "simulated")
def test_it_is_running_or_waits_or_was_passed_over(world):
    from rota import Retry

    @world.scheduler.interval(minutes=1)
    async def slow():
        await asyncio.sleep(90)

    @world.scheduler.interval(minutes=1, retry=Retry(wait_initial=600))
    def failing():
        raise ValueError

    @world.scheduler.interval(minutes=1, retry=Retry(wait_initial=600))
    def cancelled(run):
        raise ValueError

    world.start()
    world.advance(minutes=1, seconds=1)
    world.scheduler.cancel(world.runs(cancelled)[0].id)
    assert reason(world, slow) == "running"
    assert reason(world, failing) == "waiting"
    assert reason(world, cancelled) == "cancelled"
    world.advance(minutes=1)
    assert reason(world, slow) == "overlap"
    in_the_way = world.scheduler.explain(slow)
    assert f"in its way: run {world.runs(slow, status='running')[0].id}: running, begun " in in_the_way.evidence[-1]
    assert in_the_way.hint == 'overlap="queue" or "allow" would run it.'
    world.scheduler.pause(slow, "for now")
    world.advance(minutes=1)
    assert reason(world, slow) == "paused"
    assert any("for now" in line for line in world.scheduler.explain(slow).evidence)
    assert world.scheduler.explain(slow).hint == "resume() lets it go on."
    world.scheduler.resume(slow)
    assert world.scheduler.explain(slow).hint.startswith("It was resumed since; backfill()")


def test_a_tick_tells_why_it_was_skipped_when_the_pause_is_long_over(world):
    @world.scheduler.interval(minutes=1)
    def job():
        pass

    @world.scheduler.interval(minutes=1)
    def other():
        pass

    world.start()
    world.advance(seconds=90)
    world.scheduler.pause(job, "too noisy")
    world.scheduler.pause(other)
    world.advance(minutes=1)
    for paused in (job, other):
        world.scheduler.resume(paused)
    world.advance(minutes=5)
    world.scheduler.pause(job, "once more")
    evidence = world.scheduler.explain(job, at(minutes=2)).evidence
    assert evidence[-1] == "paused at 2026-01-01T00:01:30Z: too noisy"
    assert "once more" not in str(evidence)
    assert world.scheduler.explain(other, at(minutes=2)).evidence[-1].endswith(": no reason given")
    [skipped] = world.runs(job, status="skipped")
    assert skipped.error == "paused at 2026-01-01T00:01:30Z: too noisy"
    assert world.runs(job, status="succeeded")[-1].error is None


@pytest.mark.worlds("driven-sqlite", "manual-sqlite")
def test_a_tick_tells_of_the_pause_that_it_fell_into_whatever_its_node_had_heard_before(world):
    @world.scheduler.interval(minutes=1)
    def job():
        pass

    elsewhere = world.another()
    elsewhere.add(job, world.scheduler.jobs["job"].trigger, id="job")
    world.start()
    elsewhere.pause("job", "first")
    world.advance(seconds=90)
    elsewhere.resume("job")
    elsewhere.pause("job", "second")
    world.advance(minutes=1)
    told = [record.error.rpartition(": ")[2] for record in world.runs(job)]
    assert told == ["first", "second"]
    assert world.scheduler.explain(job, at(minutes=2)).evidence[-1] == "paused at 2026-01-01T00:01:30Z: second"
    elsewhere.shutdown()


@pytest.mark.worlds("driven-memory", "driven-sqlite")
def test_used_up_runs_explain_no_tick_that_had_its_turn(world):
    @world.scheduler.interval(hours=1, max_runs=2, retention=timedelta(hours=2))
    def job():
        pass

    @world.scheduler.interval(hours=1)
    def goes_on():
        pass

    world.start()
    world.advance(hours=8)
    assert world.runs(job) == []
    assert reason(world, job, at(hours=-1)) == "before_first_seen"
    assert reason(world, job, at(hours=2)) == "pruned"
    assert reason(world, job, at(hours=3)) == "not_a_tick"
    assert "max_runs" in world.scheduler.explain(job, at(hours=3)).hint


@pytest.mark.parametrize(
    ("lease_ttl", "hint"),
    [
        (60, "The process of that run had died; a smaller lease_ttl lets the next one run sooner."),
        (20, 'overlap="queue" or "allow" would run it.'),
    ],
)
def test_a_run_that_a_dead_process_held_was_in_the_way(lease_ttl, hint):
    scheduler = Scheduler("looking", lease_ttl=lease_ttl)

    @scheduler.interval(seconds=30)
    def slow():
        pass

    with simulate(scheduler, start="2026-01-01T00:00:10Z", nodes=2) as sim:
        sim.takes(slow, seconds=50)
        sim.advance(seconds=21)
        begun = sim.runs(slow)[0]
        holder = int(begun.node[-1])
        if lease_ttl == 60:
            sim.kill(holder)
            sim.advance(minutes=2)
            assert sim.runs(slow)[0].status == "lost"
        else:
            sim.advance(seconds=35)
            sim.kill(holder)
        told = scheduler.explain(slow, datetime(2026, 1, 1, 0, 1, tzinfo=UTC))
        assert told.reason == "overlap"
        (in_the_way,) = [line for line in told.evidence if line.startswith("in its way: ")]
        assert f"run {begun.id}: " in in_the_way
        assert f" on node-{holder}" in in_the_way
        assert told.hint == hint


@pytest.mark.worlds("driven-memory")
def test_a_tick_that_finds_one_at_work_and_one_waiting_names_both(world):
    @world.scheduler.interval(minutes=1, overlap="queue")
    async def slow():
        await asyncio.sleep(600)

    world.start()
    world.advance(minutes=3, seconds=1)
    told = world.scheduler.explain(slow)
    assert told.reason == "overlap"
    waiting, running = (line for line in told.evidence if line.startswith("in its way: "))
    assert (": queued" in waiting, ": running" in running) == (True, True)
    assert told.hint == 'One waits already; overlap="allow" would run it.'


@RESTARTING
def test_nobody_was_there(world):
    @world.scheduler.interval(minutes=1)
    def job():
        pass

    @world.scheduler.interval(minutes=1, catch_up="skip")
    def strict():
        pass

    @world.scheduler.interval(minutes=1, catch_up="all", max_catch_up=2)
    def each():
        pass

    world.start()
    world.advance(minutes=1)
    world.stop()
    world.advance(minutes=9, seconds=50)
    assert reason(world, job, at(minutes=9)) == "nobody_alive"
    world.start()
    assert reason(world, job, at(minutes=9)) == "passed_over"
    assert 'catch_up="all"' in world.scheduler.explain(job, at(minutes=9)).hint
    assert "no scheduler that shares this store was alive then" in world.scheduler.explain(job, at(minutes=9)).evidence
    assert reason(world, each, at(minutes=8)) == "passed_over"
    assert "max_catch_up" in world.scheduler.explain(each, at(minutes=8)).hint
    assert reason(world, strict, at(minutes=9)) == "too_late"
    assert "9 ticks" in " ".join(world.scheduler.explain(strict, at(minutes=9)).evidence)


@ONE
def test_a_tick_that_jitter_puts_off_is_explained_by_it(world):
    job = world.scheduler.interval(hours=1, id="job", jitter=1800)(lambda: None)
    world.start()
    world.advance(hours=1)
    told = world.scheduler.explain("job", at(hours=1))
    assert told.reason == "waiting"
    assert "is put off by jitter, to 2026-01-01T01:" in told.verdict
    world.advance(minutes=30)
    assert reason(world, job, at(hours=1)) == "ran"


@ONE
def test_a_job_without_a_trigger_is_explained_by_its_last_run(world):
    @world.scheduler.job()
    def job():
        pass

    world.start()
    assert reason(world, job) == "not_a_tick"
    world.scheduler.run_now(job)
    assert reason(world, job) == "waiting"
    world.advance(seconds=1)
    assert reason(world, job) == "ran"


def test_of_a_run_asked_for_later_it_is_told_when_it_is_due():
    clock = FakeClock("2026-03-01T00:00Z")
    scheduler = Scheduler(clock=clock)
    scheduler.add(print, id="job")
    scheduler.enqueue("job", delay=86_400)
    told = scheduler.explain("job")
    assert told.reason == "waiting"
    assert told.verdict == "The run of 2026-03-01T00:00:00Z has not ended: it is due 2026-03-02T00:00:00Z."
    clock.advance(days=2)
    assert scheduler.explain("job").verdict == "The run of 2026-03-01T00:00:00Z has not ended: it waits for its turn."


# Jobs -----------------------------------------------------------------------------------------------------------------


@ONE
def test_jobs_is_a_read_only_live_mapping(world):
    jobs = world.scheduler.jobs
    assert len(jobs) == 0

    @world.scheduler.cron("0 6 * * *", tz="Europe/Paris", tags=["x"])
    def job():
        pass

    assert list(jobs) == ["job"]
    with pytest.raises(TypeError):
        jobs["other"] = jobs["job"]
    found = jobs["job"]
    assert (found.id, found.trigger, found.options.tags) == (
        "job",
        Cron("0 6 * * *", tz="Europe/Paris", seed="job"),
        ("x",),
    )
    assert (found.paused, found.last_run) == (False, None)
    assert found.next_fire == datetime(2026, 1, 1, 5, tzinfo=UTC)
    world.start()
    world.advance(hours=6)
    assert found.last_run.status == "succeeded"
    world.scheduler.pause("job")
    assert found.paused


@ONE
def test_next_fires_are_aware_utc_and_nominal(world):
    @world.scheduler.cron("0 6 * * *", tz="Europe/Paris", jitter=600)
    def job():
        pass

    fires = world.scheduler.next_fires(job, 2)
    assert fires == [datetime(2026, 1, day, 5, tzinfo=UTC) for day in (1, 2)]
    assert fires[0].tzinfo is UTC
    assert world.scheduler.next_fires(job, 1, after=datetime(2026, 7, 1, tzinfo=UTC))[0].hour == 4
    assert world.scheduler.next_fires(job, 0) == []
    for wrong in ({"n": -1}, {"n": 1.5}, {"after": datetime.fromisoformat("2026-01-01")}):
        with pytest.raises(ConfigurationError):
            world.scheduler.next_fires(job, **wrong)


@ONE
def test_configure_fills_in_what_was_left_out_until_first_use(world):
    other = type(world.scheduler)(clock=world.clock)

    @other.cron("0 6 * * *")
    def job():
        pass

    other.configure(tz="Europe/Paris", defaults={"timeout": 5})
    assert str(other.jobs["job"].trigger.zone) == "Europe/Paris"
    assert other.jobs["job"].options.timeout == 5
    with pytest.raises(ConfigurationError, match="tz was given already"):
        other.configure(tz="UTC")
    with pytest.raises(ConfigurationError, match=r"did you mean 'max_workers'"):
        other.configure(max_worker=1)
    other.runs()
    with pytest.raises(StateError, match="first use"):
        other.configure(max_workers=3)


def test_what_was_given_stays_given_though_it_is_the_default():
    scheduler = Scheduler("shop", tz="UTC", hooks=())
    for name, value in {"name": "billing", "tz": "Europe/Paris", "hooks": [print]}.items():
        with pytest.raises(ConfigurationError, match=f"{name} was given already"):
            scheduler.configure(**{name: value})
    scheduler.configure(tz="UTC", max_workers=20)
    with pytest.raises(ConfigurationError, match="max_workers was given already, 20"):
        scheduler.configure(max_workers=5)


def test_an_argument_that_is_none_is_left_out_but_for_retention(tmp_path):
    scheduler = Scheduler(None, store=None, clock=None, retention=None)
    scheduler.configure(store=None, name=None)
    scheduler.configure(name="shop", store=f"sqlite:///{tmp_path}/rota.db")
    with pytest.raises(ConfigurationError, match="retention was given already"):
        scheduler.configure(retention=timedelta(days=1))


def test_the_signature_of_the_scheduler_shows_the_defaults():
    defaults = {name: parameter.default for name, parameter in signature(Scheduler).parameters.items()}
    assert (defaults["tz"], defaults["lease_ttl"], defaults["retention"]) == ("UTC", 30.0, timedelta(days=30))
    assert defaults["name"] is None


@ONE
def test_a_jobs_is_a_blueprint_with_prefix_and_defaults(world):
    jobs = Jobs("reports.", tz="Europe/Paris", timeout=60)

    @jobs.cron("0 6 * * *")
    def daily():
        return "done"

    @jobs.interval(minutes=1, timeout=5)
    def often():
        pass

    jobs.add(often, id="again")
    assert daily() == "done"
    world.scheduler.include(jobs)
    assert list(world.scheduler.jobs) == ["reports.daily", "reports.often", "reports.again"]
    assert world.scheduler.jobs["reports.daily"].options.timeout == 60
    assert world.scheduler.jobs["reports.often"].options.timeout == 5
    assert str(world.scheduler.jobs["reports.daily"].trigger.zone) == "Europe/Paris"
    world.scheduler.include(jobs)
    world.scheduler.update("reports.often", timeout=7)
    assert world.scheduler.jobs["reports.often"].options.timeout == 7
    world.scheduler.run_now(daily)


@RESTARTING
def test_the_awaitable_twins_do_the_same(world):
    @world.scheduler.job()
    def job():
        raise ValueError

    async def story():
        aio = world.scheduler.aio
        run_id = await aio.run_now(job)
        later = await aio.enqueue(job, delay=500, key="k")
        assert await aio.cancel(later)
        await aio.pause(job, "why")
        assert (await aio.explain(job)).reason
        assert await aio.next_fires(job, 3) == []
        await aio.resume(job)
        assert [r.id for r in await aio.runs(job, status="queued")] == [run_id]
        return run_id

    run_id = asyncio.run(story())
    world.start()
    world.advance(seconds=1)

    async def rest():
        aio = world.scheduler.aio
        assert (await aio.get_run(run_id)).status == "failed"
        assert len(await aio.dead_letters()) == 1
        assert await aio.logs(run_id) == []
        assert await aio.replay(run_id) == run_id
        assert (await aio.health()).store

    asyncio.run(rest())


def test_an_awaitable_twin_takes_what_its_call_takes():
    twins = [name for name in vars(AwaitableScheduler) if not name.startswith("_")]
    for name in twins:
        assert signature(getattr(AwaitableScheduler, name)) == signature(getattr(Scheduler, name)), name


@ONE
def test_listeners_hear_of_the_kinds_they_asked_for(world):
    heard, all_kinds = [], []
    world.scheduler.listen(lambda event: heard.append((event.kind, event.job.id, event.run.status)), "run_ended")
    world.scheduler.listen(lambda event: all_kinds.append(event.kind))
    world.scheduler.listen(lambda event: 1 / 0)

    @world.scheduler.interval(minutes=1, pause_after_failures=1)
    def job():
        raise ValueError

    with pytest.raises(ConfigurationError, match="run_end"):
        world.scheduler.listen(print, "run_end")
    with pytest.raises(ConfigurationError, match="callable"):
        world.scheduler.listen("print")
    world.start()
    world.advance(minutes=1)
    assert heard == [("run_ended", "job", "failed")]
    assert all_kinds == ["run_started", "attempt_ended", "run_ended", "job_paused"]


# Renaming -------------------------------------------------------------------------------------------------------------


@RESTARTING
def test_a_renamed_job_goes_on_as_the_same_while_the_earlier_id_is_written(world):
    keys, hashed = [], []

    def job(run):
        keys.append((run.job_id, run.key))
        hashed.append(run.now() - run.scheduled_for)

    world.scheduler.interval(minutes=1, id="old", jitter=30)(job)
    world.start()
    world.advance(minutes=1, seconds=45)
    world.stop()
    world.scheduler.remove("old")
    world.scheduler.interval(minutes=1, id="new", renamed_from="old", jitter=30)(job)
    world.start()
    assert len(keys) == 1, "the tick that ran under the earlier id does not run again"
    world.advance(minutes=1)
    assert keys == [("old", "old@2026-01-01T00:01:00Z"), ("new", "old@2026-01-01T00:02:00Z")]
    assert {r.job_id for r in world.runs("new")} == {"new"}
    assert [minutes(r.scheduled_for) for r in world.runs("new")] == [1, 2]
    world.stop()
    world.scheduler.remove("new")
    world.scheduler.interval(minutes=1, id="new", jitter=30)(job)
    world.start()
    assert len(keys) == 2, "its watermark was copied"
    world.advance(minutes=1)
    assert keys[2] == ("new", "new@2026-01-01T00:03:00Z")


@RESTARTING
def test_an_earlier_id_may_be_written_and_taken_away_while_it_runs(world):
    ran = []
    world.scheduler.interval(minutes=1, id="new")(lambda run: ran.append(run.key.partition("@")[0]))
    world.start()
    world.advance(minutes=1)
    world.scheduler.update("new", renamed_from="old")
    world.advance(minutes=1)
    world.scheduler.update("new", renamed_from=None)
    world.advance(minutes=1)
    assert ran == ["new", "old", "new"]
    world.scheduler.update("new", renamed_from="old")
    world.scheduler.remove("new")
    world.advance(minutes=1)
    assert len(ran) == 3


@ONE
def test_the_hash_in_cron_stays_that_of_the_earlier_id(world):
    @world.scheduler.cron("H H * * *", id="old")
    def old():
        pass

    def new():
        pass

    fires = world.scheduler.next_fires("old")
    world.scheduler.remove("old")
    world.scheduler.cron("H H * * *", id="new", renamed_from="old")(new)
    assert world.scheduler.next_fires("new") == fires
    world.scheduler.remove("new")
    world.scheduler.cron("H H * * *", id="new")(new)
    assert world.scheduler.next_fires("new") != fires


@ONE
def test_two_jobs_cannot_share_an_id_in_the_store(world):
    from rota import DuplicateJobError

    world.scheduler.interval(minutes=1, id="old")(lambda: None)
    with pytest.raises(DuplicateJobError, match=r"'old'.*'new'|'new'.*'old'"):
        world.scheduler.interval(minutes=1, id="new", renamed_from="old")(lambda: None)
    world.scheduler.remove("old")
    world.scheduler.interval(minutes=1, id="new", renamed_from="old")(lambda: None)
    with pytest.raises(DuplicateJobError):
        world.scheduler.interval(minutes=1, id="old")(lambda: None)
    assert list(world.scheduler.jobs) == ["new"]


@ONE
def test_the_records_of_a_job_that_is_not_declared_are_found_by_its_id(world):
    @world.scheduler.interval(minutes=1)
    def job():
        pass

    world.start()
    world.advance(minutes=1)
    world.scheduler.remove(job)
    assert len(world.scheduler.runs("job")) == 1
    with pytest.raises(UnknownJobError):
        world.scheduler.runs("never")


def test_a_store_that_does_not_answer_is_the_explanation():
    clock = FakeClock(START)
    store = FaultyStore(MemoryStore(clock))
    scheduler = Scheduler("story", store=store, clock=clock)

    @scheduler.interval(minutes=1)
    def job():
        pass

    scheduler.start()
    clock.advance(minutes=1)
    store.down = True
    assert scheduler.explain(job).reason == "store_down"
    with pytest.raises(StoreError):
        scheduler.runs(job)
    clock.advance(minutes=2)
    store.down = False
    clock.advance(minutes=2)
    records = scheduler.runs(job)
    scheduler.shutdown(0)
    assert {r.status for r in records} <= {"succeeded", "missed"}
    assert sum(r.count for r in records) == 5


def test_a_store_that_never_told_its_time_is_the_explanation_too():
    store = FaultyStore(MemoryStore())
    scheduler = Scheduler("story", store=store)
    scheduler.add(print, id="asked")
    scheduler.add(print, Once("2026-01-01T00:00Z"), id="once")
    assert scheduler.runs() == []  # it is open
    store.down = True
    for at_instant, job, what in (
        (None, "asked", "job 'asked'"),
        (None, "once", "2026-01-01T00:00:00Z"),
        ("2026-01-02T00:00Z", "asked", "2026-01-02T00:00:00Z"),
    ):
        told = scheduler.explain(job, at_instant)
        assert told.reason == "store_down"
        assert told.verdict == f"The store does not answer, so what became of {what} cannot be told."


def test_which_tick_was_the_last_one_due_is_up_to_the_clock_of_the_store():
    clock = FakeClock("2026-03-01T00:00Z")
    store = MemoryStore(clock)
    store.sync_jobs([JobSeen("job", "")])
    clock.advance(days=1)
    scheduler = Scheduler("story", store=store, clock=HandClock())  # which shows 1970
    scheduler.add(print, Interval(timedelta(hours=1)), id="job")
    told = scheduler.explain("job")
    assert (told.at, told.reason) == (datetime(2026, 3, 2, tzinfo=UTC), "nobody_alive")
    assert scheduler.explain("job", "2026-03-02T01:00Z").verdict == "2026-03-02T01:00:00Z lies ahead."


@pytest.mark.worlds("driven-sqlite")
def test_nodes_that_see_a_past_instant_together_make_one_record_of_it(world):
    other = world.another()
    for scheduler in (world.scheduler, other):
        scheduler.once("2025-12-31T00:00Z", id="late")(print)
    looked = []
    for scheduler in (world.scheduler, other):
        store = scheduler._host.runtime.store
        store.runs_of_ticks = lambda *span: looked.append(span) or ()
        scheduler.start()
        del store.runs_of_ticks
    world.clock.advance(seconds=1)
    other.shutdown(0)
    assert len(looked) == 2
    assert [r.status for r in world.runs("late")] == ["missed"]


def test_an_instant_may_be_iso_text_with_its_offset(tmp_path):
    clock = FakeClock("2026-03-02T00:00Z")
    scheduler = Scheduler("shop", clock=clock)
    scheduler.add(print, Interval(timedelta(hours=1)), id="hourly")
    scheduler.start()
    clock.advance(hours=2)
    assert scheduler.explain("hourly", "2026-03-02T02:00+01:00").reason == "ran"
    assert scheduler.next_fires("hourly", 1, after="2026-03-02T07:30Z")[0].hour == 8
    assert len(scheduler.backfill("hourly", "2026-03-01T20:00Z", "2026-03-02T00:00Z", dry_run=True)) == 4
    assert len(scheduler.runs("hourly", before="2026-03-02T01:30Z")) == 1
    run_id = scheduler.enqueue("hourly", at="2026-03-02T02:30Z")
    clock.advance(minutes=30)
    assert scheduler.get_run(run_id).status == "succeeded"
    with pytest.raises(ConfigurationError, match="after is naive"):
        scheduler.next_fires("hourly", after="2026-03-02T07:30")


def test_explain_says_that_a_schedule_is_over():
    scheduler = Scheduler(clock=FakeClock("2026-03-01T00:00Z"))
    scheduler.add(lambda: None, Cron("0 2 * * *"), id="job", end="2020-01-01T00:00Z")
    scheduler.start()
    told = scheduler.explain("job")
    assert told.reason == "before_first_seen"
    assert told.evidence[-1] == "its schedule is over: no tick lies ahead"
    scheduler.shutdown()


def test_explain_of_an_instant_ahead_finds_no_schedule_over():
    scheduler = Scheduler(clock=FakeClock("2026-03-01T00:00Z"))
    scheduler.add(lambda: None, Once("2026-03-05T00:00Z"), id="job")
    told = scheduler.explain("job", at="2026-03-05T00:00Z")
    assert (told.reason, told.evidence) == ("waiting", ("first seen: never",))
    assert told.verdict == "2026-03-05T00:00:00Z lies ahead."


def test_more_records_may_be_asked_for_than_a_store_can_count(tmp_path):
    scheduler = Scheduler("many", store=f"sqlite:///{tmp_path}/rota.db")
    assert scheduler.runs(limit=2**70) == []
