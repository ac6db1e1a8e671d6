"""The run as its job sees it: facts, what it keeps, what it says."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.stories.worlds import START, at

from rota import AsyncRun, Retry, Run, StateError, current_run

AGAIN = Retry(attempts=3, wait_initial=10, wait_jitter=0)
ONE = pytest.mark.worlds("driven-memory")


def record_of(world, job, **given):
    """The record of one asked-for run of the job."""
    world.start()
    run_id = world.scheduler.run_now(job, **given)
    world.advance(minutes=5)
    return world.scheduler.get_run(run_id)


def test_the_facts_of_a_tick(world):
    seen = []

    @world.scheduler.cron("30 2 * * *", tz="Europe/Paris", timeout=600)
    def job(run):
        seen.append(run)
        assert current_run() is run
        assert (run.now(), run.deadline) == (run.scheduled_for, run.scheduled_for + timedelta(minutes=10))
        assert run.lease.held
        run.lease.assert_held()
        assert not run.cancelled
        assert run.cancel_reason is None
        run.check_cancelled()

    world.start()
    world.advance(hours=2)
    [run] = seen
    tick = datetime(2026, 1, 1, 1, 30, tzinfo=UTC)
    assert uuid.UUID(run.id)
    assert (run.job_id, run.schedule_id, run.attempt, run.origin) == ("job", None, 1, "tick")
    assert run.scheduled_for == run.local == tick
    assert run.scheduled_for.tzinfo is UTC
    assert (run.local.hour, run.local.tzinfo) == (2, ZoneInfo("Europe/Paris"))
    assert run.key == "job@2026-01-01T01:30:00Z"
    assert (run.window.start, run.window.end) == (tick - timedelta(days=1), tick)
    assert (run.lateness, run.is_catch_up) == (0, False)
    assert not run.lease.held, "it has ended"
    [record] = world.runs(job)
    assert (record.id, record.key, record.started_at) == (run.id, run.key, tick)


def test_an_interval_is_shown_in_the_zone_of_its_job(world):
    seen = []

    @world.scheduler.interval(minutes=1, tz="Asia/Tokyo")
    def job(run):
        seen.append(run.local.hour)

    world.start()
    world.advance(minutes=1)
    assert seen == [9]


def test_the_key_is_equal_on_every_attempt_and_fences_grow(world):
    seen = []

    @world.scheduler.interval(minutes=10, retry=AGAIN)
    def job(run):
        seen.append((run.key, run.id, run.scheduled_for, run.lease.fence))
        raise ValueError

    world.start()
    world.advance(minutes=11)
    assert len({entry[:3] for entry in seen}) == 1
    fences = [entry[3] for entry in seen]
    assert fences == sorted(set(fences))
    assert len(fences) == 3


def test_there_is_no_current_run_outside_of_a_job():
    with pytest.raises(StateError, match="outside of a run"):
        current_run()


def test_current_run_is_found_below_the_job(world):
    def deep():
        return current_run().job_id

    @world.scheduler.job()
    def job():
        return deep()

    @world.scheduler.job()
    async def coroutine():
        return deep()

    assert record_of(world, job).result == "job"
    run_id = world.scheduler.run_now(coroutine)
    world.advance(seconds=1)
    assert world.scheduler.get_run(run_id).result == "coroutine"


def test_annotated_parameters_take_the_run(world):
    @world.scheduler.job(args=[7])
    def job(number: int, mine: Run):
        return [number, mine.job_id]

    @world.scheduler.job()
    async def coroutine(mine: AsyncRun):
        await mine.progress(1)
        return type(mine).__name__

    assert record_of(world, job).result == [7, "job"]
    run_id = world.scheduler.run_now(coroutine)
    world.advance(seconds=1)
    assert world.scheduler.get_run(run_id).result == "AsyncRun"


def test_a_checkpoint_is_durable_at_each_assignment_and_the_same_on_the_next_attempt(world):
    seen = []

    @world.scheduler.job(retry=AGAIN)
    def job(run):
        seen.append(dict(run.checkpoint))
        if run.attempt == 1:
            run.checkpoint["page"] = 1
            run.checkpoint["page"] = 2
            run.checkpoint["list"] = [1]
            raise ValueError
        if run.attempt == 2:
            del run.checkpoint["page"]
            run.checkpoint.update(more={"a": None})
            raise ValueError

    assert record_of(world, job).status == "succeeded"
    assert seen == [{}, {"page": 2, "list": [1]}, {"list": [1], "more": {"a": None}}]


def test_values_of_a_checkpoint_come_back_as_copies(world):
    @world.scheduler.job()
    def job(run):
        given = [1]
        run.checkpoint["x"] = given
        given.append(2)
        run.checkpoint["x"].append(3)
        assert run.checkpoint["x"] == [1]
        assert run.checkpoint.get("none", 5) == 5
        assert (len(run.checkpoint), list(run.checkpoint), "x" in run.checkpoint) == (1, ["x"], True)
        with pytest.raises(KeyError):
            run.checkpoint["none"]
        with pytest.raises(KeyError):
            del run.checkpoint["none"]
        with pytest.raises(TypeError, match=r"checkpoint\['y'\]"):
            run.checkpoint["y"] = object()
        with pytest.raises(TypeError, match="key"):
            run.checkpoint[1] = 1
        return dict(run.checkpoint)

    record = record_of(world, job)
    assert (record.status, record.result) == ("succeeded", {"x": [1]})


def test_the_checkpoint_of_a_coroutine_is_awaited(world):
    seen = []

    @world.scheduler.job(retry=AGAIN)
    async def job(run):
        seen.append(run.checkpoint.items())
        if run.attempt == 1:
            await run.checkpoint.set("page", [1])
            await run.checkpoint.set("gone", 1)
            await run.checkpoint.delete("gone")
            run.checkpoint["page"].append(2)
            with pytest.raises(TypeError):
                await run.checkpoint.set("x", object())
            raise ValueError
        assert run.checkpoint.get("none") is None
        return [run.checkpoint.keys(), run.checkpoint.values(), "page" in run.checkpoint]

    record = record_of(world, job)
    assert record.result == [["page"], [[1]], True]
    assert seen == [[], [("page", [1])]]


def test_the_checkpoint_of_a_coroutine_compares_as_a_mapping_and_says_how_it_is_written(world):
    @world.scheduler.job()
    async def job(run):
        await run.checkpoint.set("page", [1])
        assert run.checkpoint == {"page": [1]} == run.checkpoint
        assert run.checkpoint != {}
        with pytest.raises(TypeError, match=r"await run\.checkpoint\.set\('page'"):
            run.checkpoint["page"] = 2
        with pytest.raises(TypeError, match=r"await run\.checkpoint\.delete\('page'"):
            del run.checkpoint["page"]
        return run.checkpoint["page"]

    assert record_of(world, job).result == [1]


def test_a_step_is_done_once_per_run_whatever_the_attempts(world):
    done = []

    def charge(amount):
        done.append(amount)
        return {"charged": amount}

    @world.scheduler.job(retry=AGAIN)
    def job(run):
        receipt = run.step("charge", charge, 5)
        nothing = run.step("nothing", lambda: None)
        if run.attempt < 3:
            raise ValueError
        return [receipt, nothing]

    assert record_of(world, job).result == [{"charged": 5}, None]
    assert done == [5]
    run_id = world.scheduler.run_now(job)
    world.advance(minutes=1)
    assert world.scheduler.get_run(run_id).status == "succeeded"
    assert done == [5, 5], "another run does it again"


def test_a_step_that_fails_is_not_done(world):
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) == 1:
            raise ValueError
        return len(tries)

    @world.scheduler.job(retry=AGAIN)
    async def job(run):
        return await run.step("flaky", flaky)

    record = record_of(world, job)
    assert (record.result, len(tries)) == (2, 2)


def test_a_step_of_a_coroutine_may_be_one(world):
    done = []

    async def work(value):
        done.append(value)
        return value

    @world.scheduler.job(retry=AGAIN)
    async def job(run):
        result = await run.step("work", work, 3)
        if run.attempt == 1:
            raise ValueError
        return result

    assert record_of(world, job).result == 3
    assert done == [3]


def test_a_step_whose_result_is_not_json_fails_the_attempt(world):
    @world.scheduler.job()
    def job(run):
        run.step("odd", object)

    record = record_of(world, job)
    assert record.status == "failed"
    assert "the result of step 'odd'" in record.error


@pytest.mark.parametrize("awaited", [False, True])
def test_a_step_whose_result_is_not_json_is_not_done_again(world, awaited):
    done = []

    def plain(run):
        run.step("odd", lambda: done.append(1) or object())

    async def coroutine(run):
        await run.step("odd", lambda: done.append(1) or object())

    job = world.scheduler.job(id="job", retry=AGAIN)(coroutine if awaited else plain)
    kinds = [attempt.error_type for attempt in record_of(world, job).attempts]
    assert kinds[0] == "TypeError"
    assert set(kinds[1:]) == {"rota.errors.ResultNotStored"}
    assert done == [1]


def test_progress_is_seen_in_the_record(world):
    @world.scheduler.job()
    def job(run):
        run.progress(3)
        assert world.scheduler.get_run(run.id).progress == {"done": 3, "total": None, "note": ""}
        run.progress(5, 10, "half")

    record = record_of(world, job)
    assert record.progress == {"done": 5, "total": 10, "note": "half"}


def test_what_a_run_logs_is_kept_with_it(world):
    @world.scheduler.job()
    def job(run):
        run.log.info("syncing", since=5)

    record = record_of(world, job)
    lines = world.scheduler.logs(record.id)
    assert [(line["event"], line["level"]) for line in lines] == [("syncing", "info")]
    assert "5" in str(lines[0])


@pytest.mark.parametrize("result", [None, True, 5, 1.5, "text", [1, {"a": None}], {}])
@ONE
def test_a_json_result_is_kept(world, result):
    @world.scheduler.job()
    def job():
        return result

    assert record_of(world, job).result == result


@pytest.mark.parametrize("result", [object(), (1, 2), {1: 2}, float("nan"), "x" * 70_000, {"deep": {1, 2}}])
@ONE
def test_another_result_is_not_kept_and_fails_nothing(world, result):
    @world.scheduler.job()
    def job():
        return result

    record = record_of(world, job)
    assert (record.status, record.result) == ("succeeded", None)
    assert record.reason.startswith("result")


def test_state_is_one_namespace_of_the_process(world):
    world.scheduler.state.pool = ["connection"]

    @world.scheduler.job()
    def job(run):
        return run.state.pool

    assert record_of(world, job).result == ["connection"]


@ONE
def test_a_plain_function_that_gives_a_coroutine_has_failed_and_says_why(world):
    async def inner():
        pass

    @world.scheduler.job(id="job")
    def job():
        return inner()

    assert "async def" in record_of(world, job).error


@ONE
def test_times_are_aware_utc_and_records_are_frozen(world):
    @world.scheduler.interval(minutes=1)
    def job():
        pass

    world.start()
    world.advance(minutes=1)
    [record] = world.runs(job)
    moments = (record.scheduled_for, record.queued_at, record.started_at, record.finished_at, record.window.start)
    assert all(moment.tzinfo is UTC for moment in moments)
    assert record.scheduled_for == at(minutes=1)
    assert (record.count, record.schedule_id, record.args, dict(record.kwargs), record.progress) == (
        1,
        None,
        (),
        {},
        None,
    )
    [attempt] = record.attempts
    assert (attempt.number, attempt.outcome, attempt.error, attempt.fence) == (1, "succeeded", None, 1)
    assert record.node
    with pytest.raises(AttributeError):
        record.status = "failed"
    with pytest.raises(AttributeError):
        attempt.number = 5
    assert record.queued_at > START


def test_records_are_hashable_and_have_the_key_of_their_run(world):
    seen = []

    @world.scheduler.job()
    def job(run, *args, **kwargs):
        seen.append(run.key)
        run.progress(1)
        return [1]

    record = record_of(world, job, args=[[1]], kwargs={"a": {}})
    assert [record.key] == seen
    assert {record, world.scheduler.get_run(record.id)} == {record}
