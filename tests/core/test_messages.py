"""What is said to somebody who writes what other libraries are told, or what cannot be meant: the exact words."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from inspect import iscoroutinefunction, signature
from pathlib import Path
from typing import Any, cast

import pytest
import redis
import sqlalchemy

from rota import ConfigurationError, GiveUp, Jobs, Retry, RetryAfter, Scheduler, Snooze, StateError
from rota.core.job import place_of
from rota.core.options import OPTION_NAMES
from rota.executors.inline import InlineExecutor
from rota.peer_words import CRON_WORDS, JOB_WORDS, METHOD_WORDS, RETRY_WORDS, SCHEDULER_METHODS, SCHEDULER_WORDS
from rota.testing import FakeClock, simulate
from rota.triggers import Calendar, Cron, Excluding, Interval, Once, RRule, Within


class NamedElsewhere(tzinfo):
    """A zone as pytz has it."""

    zone = "Europe/Paris"

    def __repr__(self) -> str:
        return "<DstTzInfo 'Europe/Paris'>"


def work() -> None:
    pass


async def coroutine() -> None:
    pass


def said(action: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        action()
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("max_instances", "write max_running"),
        ("misfire_grace_time", "write max_lateness"),
        ("coalesce", 'write catch_up="latest" (one run for all that were missed), or "all"'),
        ("name", "write id"),
        ("replace_existing", "a declaration made again replaces itself; write add(…, replace=True) to replace another"),
        ("timezone", "write tz"),
        ("max_retries", "write retry=Retry(attempts=…), which counts the first attempt too"),
        ("countdown", "write scheduler.enqueue(job, delay=…)"),
        ("seconds", "a step belongs to a trigger: write Interval(seconds=…), or @scheduler.interval(seconds=…)"),
        ("hour", 'a field belongs to a trigger: write an expression, such as "0 2 * * *", or Cron.of(hour=…)'),
        ("retries", "write retry=Retry(attempts=…), which counts the first attempt too"),
        ("run_date", "write @scheduler.once(…), or scheduler.enqueue(job, at=…)"),
    ],
)
def test_a_word_of_other_libraries_is_answered_with_the_word_here(word: str, hint: str) -> None:
    given: dict[str, Any] = {word: 1}
    expected = f"job options: unknown option {word!r}; {hint}"
    assert said(lambda: Scheduler().add(work, Cron("* * * * *"), **given)) == expected
    assert said(lambda: Jobs().job(**given)) == expected


def test_no_word_of_other_libraries_is_one_of_ours() -> None:
    assert not set(JOB_WORDS) & {*OPTION_NAMES, "id"}
    assert not set(SCHEDULER_WORDS) & set(signature(Scheduler).parameters)
    assert not set(RETRY_WORDS) & set(signature(Retry).parameters)
    assert not set(CRON_WORDS) & set(signature(Cron.__new__).parameters)
    for name, words in METHOD_WORDS.items():
        assert not set(words) & set(signature(getattr(Scheduler, name)).parameters)


@pytest.mark.parametrize(
    ("called", "told"),
    [
        (lambda: Retry(attempt=5), "Retry: unknown option 'attempt'; did you mean 'attempts'?"),
        (lambda: Retry(wait=5), "Retry: unknown option 'wait'; write wait_initial"),
        (
            lambda: Retry(max_retries=5),
            "Retry: unknown option 'max_retries'; write attempts, which counts the first attempt too",
        ),
        (lambda: Interval(minute=5), "Interval: unknown option 'minute'; did you mean 'minutes'?"),
        (lambda: Cron("0 2 * * *", timezone="UTC"), "Cron: unknown option 'timezone'; write tz"),
        (
            lambda: Cron("0 2 * * *", hour=2),
            "Cron: unknown option 'hour'; write an expression, such as \"0 2 * * *\", or Cron.of(hour=…)",
        ),
        (lambda: Cron.of(hours=2), "Cron.of: unknown option 'hours'; did you mean 'hour'?"),
        (
            lambda: Cron.from_croniter("0 2 * * *", day_orr=True),
            "Cron.from_croniter: unknown option 'day_orr'; did you mean 'day_or'?",
        ),
        (lambda: Calendar(month=1), "Calendar: unknown option 'month'; did you mean 'months'?"),
        (lambda: Once(wen="2026-01-01"), "Once: unknown option 'wen'; did you mean 'when'?"),
        (lambda: RRule("FREQ=DAILY", timezone="UTC"), "RRule: unknown option 'timezone'; write tz"),
        (lambda: Within(Interval(minutes=5), stop=1), "Within: unknown option 'stop'; there are end, start, trigger"),
        (lambda: Excluding(Interval(minutes=5), date=()), "Excluding: unknown option 'date'; did you mean 'dates'?"),
        (lambda: Scheduler(nme="billing"), "Scheduler: unknown option 'nme'; did you mean 'name'?"),
        (lambda: Snooze(second=5), "Snooze: unknown option 'second'; did you mean 'seconds'?"),
        (lambda: RetryAfter(secs=5), "RetryAfter: unknown option 'secs'; did you mean 'seconds'?"),
        (lambda: GiveUp(reason="no"), "GiveUp: unknown option 'reason'; there is why"),
    ],
)
def test_a_misspelt_argument_of_a_constructor_is_answered_with_the_right_one(
    called: Callable[[], object], told: str
) -> None:
    assert said(called) == told


@pytest.mark.parametrize(
    ("called", "told"),
    [
        (lambda s: s.add(work, replce=True), "job options: unknown option 'replce'; did you mean 'replace'?"),
        (lambda s: s.update("work", tiemout=1), "job options: unknown option 'tiemout'; did you mean 'timeout'?"),
        (lambda s: s.reschedule("work", triger=None), "reschedule: unknown option 'triger'; did you mean 'trigger'?"),
        (lambda s: s.run_now("work", arg=[1]), "run_now: unknown option 'arg'; did you mean 'args'?"),
        (
            lambda s: s.run_now("work", countdown=5),
            "run_now: unknown option 'countdown'; write scheduler.enqueue(job, delay=…)",
        ),
        (lambda s: s.reschedule("work", Interval), "a trigger is expected: Interval(…), and not the class Interval"),
        (
            lambda s: s.run_now("work", x=5),
            "run_now: unknown option 'x'; there are args, job, kwargs; an argument of the job goes in kwargs={'x': …}",
        ),
        (lambda s: s.enqueue("work", dealy=5), "enqueue: unknown option 'dealy'; did you mean 'delay'?"),
        (lambda s: s.backfill("work", dryrun=True), "backfill: unknown option 'dryrun'; did you mean 'dry_run'?"),
        (lambda s: s.runs(statu="failed"), "runs: unknown option 'statu'; did you mean 'status'?"),
        (lambda s: s.lock("work", tttl=5), "lock: unknown option 'tttl'; did you mean 'ttl'?"),
        (lambda s: s.idempotent("k", tttl=5), "idempotent: unknown option 'tttl'; did you mean 'ttl'?"),
        (lambda s: s.shutdown(timout=5), "shutdown: unknown option 'timout'; did you mean 'timeout'?"),
        (lambda s: s.start(daemon=True), "start: unknown option 'daemon'; it takes none"),
        (
            lambda s: asyncio.run(s.aio.enqueue("work", dealy=5)),
            "enqueue: unknown option 'dealy'; did you mean 'delay'?",
        ),
    ],
)
def test_a_misspelt_argument_of_a_method_is_answered_with_the_right_one(
    called: Callable[[Scheduler], object], told: str
) -> None:
    scheduler = Scheduler()
    scheduler.add(work)
    assert said(lambda: called(scheduler)) == told


def test_the_id_of_a_job_is_not_updated() -> None:
    scheduler: Any = Scheduler()
    scheduler.add(work)
    assert said(lambda: scheduler.update("work", id="other")) == (
        "update: the id of a job does not change: declare it with the new one, and renamed_from='the old one'"
    )


def test_what_is_to_be_given_by_name_is_told() -> None:
    scheduler: Any = Scheduler()
    scheduler.add(work)
    assert said(lambda: scheduler.job(None, "work")) == (
        "job: by position it takes trigger, and 2 were given; write the others by name: id=…, …"
    )
    assert said(lambda: scheduler.add(work, None, True)) == (
        "add: by position it takes func, trigger, and 3 were given; write the others by name: replace=…, id=…, …"
    )
    assert said(lambda: Jobs().cron(*cast(Any, ("0 2 * * *", "UTC")))).startswith("cron: by position it takes expr, ")
    with pytest.raises(TypeError, match=r"^once\(\) missing 1 required positional argument: 'when'"):
        scheduler.once()
    anything: Any = Retry
    assert said(lambda: scheduler.enqueue("work", 42)) == (
        "enqueue: by position it takes job, and 2 were given; write the others by name:"
        " args=…, kwargs=…, delay=…, at=…, key=…"
    )
    assert said(lambda: anything(*range(9))).startswith("Retry: by position it takes attempts, ")
    assert said(lambda: asyncio.run(scheduler.aio.run_now("work", 42))).startswith(
        "run_now: by position it takes job, "
    )


@pytest.mark.parametrize(
    ("meant", "words"),
    [
        (lambda: Cron("0 2 * * sunday"), "unknown name SUNDAY; write SUN"),
        (lambda: Cron("0 2 * * *", tz="PST"), "write the name of a place, such as 'America/New_York'"),
        (lambda: Cron("0 2 * * *", tz="cest"), "write the name of a place"),
        (lambda: Cron("0 2 * * *", tz="japn"), "did you mean 'Japan'?"),
        (lambda: Cron("0 2 * * *", tz="+02:00"), "write the name of a place"),
        (Interval, "give one, such as minutes=5"),
        (lambda: Scheduler().job(retry=cast(Any, True))(work), "such as Retry(attempts=3), not True"),
        (lambda: Scheduler().job()(cast(Any, None)), "a job needs a function (or 'package.module:name'), not None"),
        (lambda: Scheduler().interval(minutes=1)(InlineExecutor.capacity), "scheduler.add(thing.method, …)"),
        (
            lambda: Once("2030-01-01T00:00", tz=None).next_after(datetime.fromisoformat("2030-01-01T00:00")),
            "is naive: which instant it is depends on a zone; give an aware one, with tzinfo=ZoneInfo('Europe/Paris')",
        ),
        (lambda: Scheduler().add(work, replace=cast(Any, "yes")), "add: replace is True or False, not 'yes'"),
        (lambda: Retry(on=cast(Any, work)), "does not take: write on=lambda error: …"),
        (lambda: Scheduler().listen(cast(Any, work)), "cannot be called with an Event: write def hook(event)"),
        (lambda: Scheduler(hooks=cast(Any, [work])), "cannot be called with an Event: write def hook(event)"),
        (lambda: Scheduler(defaults={"renamed_from": "old"}), "defaults: renamed_from is the earlier id of one job"),
        (lambda: Jobs(renamed_from="old"), "Jobs: renamed_from is the earlier id of one job"),
    ],
)
def test_what_would_be_right_is_told(meant: Callable[[], object], words: str) -> None:
    assert words in said(meant)


def test_run_holds_up_no_loop() -> None:
    async def main() -> None:
        with pytest.raises(StateError, match=r"await serve\(\)"):
            Scheduler().run()

    asyncio.run(main())


def test_another_misuse_stays_a_type_error() -> None:
    scheduler: Any = Scheduler()
    scheduler.add(work)
    for misused in (
        scheduler.lock,
        lambda: scheduler.run_now("work", args=[object()]),
    ):
        with pytest.raises(TypeError):
            misused()


def test_what_corrects_names_looks_like_what_it_corrects() -> None:
    assert list(signature(Scheduler.lock).parameters) == ["self", "name", "ttl", "wait"]
    assert iscoroutinefunction(Scheduler().aio.enqueue)
    assert not iscoroutinefunction(Scheduler.enqueue)


def test_the_words_of_a_step_and_of_a_field_are_kept_apart() -> None:
    scheduler: Any = Scheduler()
    hour = 'a field belongs to a trigger: write an expression, such as "0 2 * * *", or Cron.of(hour=…)'
    assert said(lambda: scheduler.cron(hour=2, minute=0)) == f"job options: unknown option 'hour'; {hour}"
    assert said(scheduler.cron) == 'cron: an expression is expected: write @scheduler.cron("0 2 * * *")'
    assert said(lambda: scheduler.interval(second=5)) == "job options: unknown option 'second'; did you mean 'seconds'?"
    assert said(lambda: scheduler.calendar(month=1)) == "job options: unknown option 'month'; did you mean 'months'?"


def test_the_schedulers_own_arguments() -> None:
    given: dict[str, Any] = {"timezone": "UTC"}
    assert said(lambda: Scheduler(**given)) == "Scheduler: unknown option 'timezone'; write tz"
    given = {"jobstores": {}}
    assert said(lambda: Scheduler().configure(**given)) == "Scheduler: unknown option 'jobstores'; write store"


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("interval", "Interval(minutes=5)"),
        ("cron", 'Cron("0 2 * * *")'),
        ("date", 'Once("2026-12-24T18:00")'),
        ("0 4 * * *", "Cron('0 4 * * *')"),
        (30, "Interval(seconds=30)"),
    ],
)
def test_a_trigger_that_is_none(given: Any, written: str) -> None:
    scheduler = Scheduler()
    assert said(lambda: scheduler.add(work, given)) == f"a trigger is expected, such as {written}, not {given!r}"
    assert said(lambda: scheduler.job(given)) == (
        f"job: a trigger is expected, not {given!r}; write @scheduler.job({written})"
    )


def test_a_step_that_is_none() -> None:
    scheduler: Any = Scheduler()
    for make in (scheduler.interval, Interval):
        assert said(lambda make=make: make(seconds="30")) == "the step of an interval: seconds is a number, not '30'"
        assert said(lambda make=make: make(30)) == (
            "the step of an interval is a timedelta, or its parts by name, such as minutes=5, not 30"
        )


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (UTC, "; write tz='UTC'"),
        (NamedElsewhere(), "; write tz='Europe/Paris'"),
        (
            timezone(timedelta(hours=1)),
            "; it has no name that could be stored: write the name of a place, such as tz='Europe/Paris'",
        ),
        (7, ""),
    ],
)
def test_a_zone_that_is_none(given: Any, hint: str) -> None:
    expected = f"an IANA zone name or a ZoneInfo, not {given!r}{hint}"
    assert said(lambda: Cron("* * * * *", tz=given)) == f"a time zone is {expected}"
    assert said(lambda: Scheduler(tz=given)) == f"Scheduler: tz is {expected}"
    assert said(lambda: Scheduler().add(work, tz=given)) == (f"job 'work': tz: a time zone is {expected}")


def test_exceptions_in_a_list() -> None:
    classes: Any = [ValueError, OSError]
    assert said(lambda: Retry(on=classes[:1])) == (
        "Retry: on is exception classes or a predicate of the exception, not [<class 'ValueError'>]; write a tuple: "
        "(ValueError,)"
    )
    assert said(lambda: Retry(give_up_on=classes)) == (
        f"Retry: give_up_on is exception classes, not {classes!r}; write a tuple: (ValueError, OSError)"
    )


def test_one_function_declared_twice() -> None:
    scheduler = Scheduler()
    scheduler.interval(minutes=1)(work)
    head, tail = (
        f"the function at {place_of(work)} is declared twice as job 'work', with",
        ("; give one of the two its own id='…', or change the job with update() or reschedule()"),
    )
    assert said(lambda: scheduler.interval(minutes=2)(work)) == (
        f"{head} Interval(seconds=60) and with Interval(seconds=120){tail}"
    )
    assert said(lambda: scheduler.interval(minutes=1, timeout=3)(work)) == (
        f"{head} timeout=None and with timeout=3.0{tail}"
    )


def test_an_earlier_id_that_is_none() -> None:
    add: Any = Scheduler().add
    assert said(lambda: add(work, renamed_from="work")) == (
        "job 'work': renamed_from is its own id; write the earlier one, or leave it out"
    )
    for wrong in (7, " "):
        assert said(lambda wrong=wrong: add(work, renamed_from=wrong)) == (
            f"job 'work': renamed_from: the earlier id of the job is expected, a text, not {wrong!r}"
        )


@pytest.mark.parametrize("timeout", ["x", -1, float("nan"), True])
def test_a_shutdown_for_no_number_of_seconds(timeout: Any) -> None:
    assert said(lambda: Scheduler().shutdown(timeout)) == (
        f"shutdown: timeout is a number of seconds of at least 0, not {timeout!r}"
    )


def test_a_class_is_no_clock_and_no_executor():
    clock: Any = FakeClock
    assert said(lambda: Scheduler(clock=clock)) == (
        "Scheduler: clock is a rota.ports.Clock, such as rota.testing.FakeClock('2026-03-01T00:00Z'), not"
        " <class 'rota.testing.clock.FakeClock'>"
    )
    executor: Any = InlineExecutor
    assert said(lambda: Scheduler(executors={"mine": executor})) == (
        "Scheduler: executors['mine'] is a rota.ports.Executor, an object with capacity(), submit(), stop(), abandon()"
        " and shutdown(), not <class 'rota.executors.inline.InlineExecutor'>"
    )


def test_an_executor_has_a_name_of_its_own():
    for name in ("thread", 5):
        given: Any = {name: InlineExecutor()}
        assert said(lambda given=given: Scheduler(executors=given)) == (
            f"Scheduler: an executor's name is a text other than asyncio, inline, process, thread, not {name!r}"
        )


def test_defaults_that_no_job_could_have() -> None:
    wrong: dict[str, Any] = {"timeout": "x"}
    expected = "timeout: a number of seconds is expected, not 'x'"
    assert said(lambda: Scheduler(defaults=wrong)) == f"Scheduler: defaults: {expected}"
    assert said(lambda: Jobs(**wrong)) == f"Jobs: {expected}"


def test_configure_takes_all_or_nothing() -> None:
    scheduler = Scheduler()
    scheduler.add(coroutine)
    scheduler.add(work, max_running=2)
    before = dict(scheduler.jobs)
    message = said(lambda: scheduler.configure(tz="Asia/Tokyo", defaults={"overlap": "replace"}))
    assert message == "job 'work': overlap=\"replace\" keeps one run at a time; max_running contradicts it"
    assert dict(scheduler.jobs) == before
    scheduler.configure(tz="Europe/Paris", defaults={"timeout": 5})
    assert {job.options.timeout for job in scheduler.jobs.values()} == {5}


def test_a_schedule_that_is_over_is_told_of_where_the_job_never_ran(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock("2026-01-01T00:00+00:00")
    scheduler = Scheduler(clock=clock)
    scheduler.rrule("FREQ=DAILY;UNTIL=20200101T000000Z", id="over")(work)
    scheduler.add(work, RRule("FREQ=DAILY;COUNT=1", start="2026-01-02T00:00"), id="ahead")
    with caplog.at_level(logging.WARNING, "rota"):
        scheduler.start()
        clock.advance(days=3)
        scheduler.shutdown()
        scheduler.start()
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("trigger.over")]
    assert len(told) == 2, "at each start, and of one of the two jobs"
    assert all(
        "job 'over' never runs: its schedule has no tick after 2026-01-01T00:00:00+00:00" in text for text in told
    )


def test_next_fires_knows_how_many_runs_are_left() -> None:
    scheduler = Scheduler()
    scheduler.interval(minutes=1, max_runs=3)(work)
    with simulate(scheduler, start="2026-01-01T00:00+00:00") as sim:
        assert len(scheduler.next_fires("work")) == 3
        sim.advance(minutes=2)
        assert scheduler.next_fires("work") == [datetime(2026, 1, 1, 0, 3, tzinfo=UTC)]
        sim.advance(minutes=2)
        assert scheduler.next_fires("work") == []
        assert scheduler.jobs["work"].next_fire is None
        assert len(scheduler.next_fires("work", 2, after=datetime(2026, 1, 1, tzinfo=UTC))) == 2


def test_an_address_is_no_name():
    with pytest.raises(ConfigurationError) as raised:
        Scheduler("postgresql://me:secret@db/app")
    assert str(raised.value) == (
        "Scheduler: 'postgresql://me:***@db/app' is no name: "
        "write Scheduler('name', store='postgresql://me:***@db/app')"
    )


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (sqlalchemy.create_engine("sqlite://"), "; for an engine write SQLStore(engine)"),
        (redis.Redis(), "; for a client write RedisStore(client)"),
        (5, ""),
    ],
)
def test_what_is_no_store_is_told_what_to_write(given, hint):
    with pytest.raises(ConfigurationError) as raised:
        Scheduler("app", store=given)
    assert str(raised.value) == (
        f"store: a URL, a Store or a callable that gives one is expected, not {given!r:.100}{hint}"
    )


LONGEST = timedelta(seconds=1e10)
TOO_LONG = "is over 1e+10 seconds, three centuries"


def test_a_span_longer_than_every_store_can_keep_is_refused_where_it_is_given() -> None:
    scheduler, over = Scheduler(), LONGEST + timedelta(microseconds=1)
    kept = "; None keeps records for ever, as does a status that is not named"
    assert said(lambda: Scheduler(retention=timedelta.max)).endswith(f"{TOO_LONG}{kept}")
    assert said(lambda: Scheduler(retention={"failed": over})) == f"Scheduler: retention: {over!r} {TOO_LONG}{kept}"
    assert said(lambda: scheduler.add(work, retention=over)) == f"job 'work': retention: {over!r} {TOO_LONG}{kept}"
    assert said(lambda: Scheduler(lease_ttl=1e300)) == f"Scheduler: lease_ttl: 1e+300 {TOO_LONG}"
    assert said(lambda: scheduler.shutdown(2e10)) == f"shutdown: timeout: 20000000000.0 {TOO_LONG}"
    assert (
        said(lambda: scheduler.idempotent("key", ttl=1e15)) == f"ttl: 1000000000000000.0 {TOO_LONG}; None is for ever"
    )
    assert said(lambda: scheduler.lock("name", wait=float("inf"))) == f"wait: inf {TOO_LONG}"


def test_the_longest_span_can_be_lived_with(tmp_path: Path) -> None:
    seconds = LONGEST.total_seconds()
    scheduler = Scheduler("long", store=f"sqlite:///{tmp_path}/rota.db", lease_ttl=seconds, retention=LONGEST)
    assert scheduler.idempotent("key", ttl=seconds)(lambda: 7)() == 7
    with scheduler.lock("name", ttl=86_400, wait=seconds) as lease:
        assert lease.held
    scheduler.add(work)
    run_id = scheduler.run_now(work)
    scheduler.run_due()
    assert scheduler.get_run(run_id).status == "succeeded"
    assert scheduler.explain(work).reason == "ran"
    scheduler.shutdown(0)


@pytest.mark.parametrize("key", ["local", "localtime", "UTC+2", "GMT-5"])
def test_what_is_another_zone_on_each_machine_or_none_is_no_zone_and_is_not_proposed(key: str) -> None:
    assert said(lambda: Scheduler(tz=key)) == (
        f"unknown time zone {key!r}; write the name of a place, such as 'America/New_York'"
    )


def test_a_method_of_another_scheduler_is_answered_with_the_one_here() -> None:
    scheduler: Any = Scheduler()
    with pytest.raises(AttributeError, match=r"'add_job'; write scheduler.add\(func, trigger\)"):
        scheduler.add_job(work)
    with pytest.raises(AttributeError, match=r"no attribute 'shut_down'$"):
        scheduler.shut_down()
    assert not hasattr(scheduler, "get_jobs")
    written = [word for text in SCHEDULER_METHODS.values() for word in re.findall(r"scheduler\.(\w+)", text)]
    assert all(hasattr(scheduler, word) for word in written)


def test_an_earlier_id_that_is_no_text_is_named_whatever_declares_the_job() -> None:
    for declare in (
        lambda: Scheduler().cron("H * * * *", renamed_from=5)(work),  # type: ignore[arg-type]  # as users err
        lambda: Scheduler().add(work, renamed_from=5),  # type: ignore[arg-type]  # likewise
    ):
        assert said(declare) == "job 'work': renamed_from: the earlier id of the job is expected, a text, not 5"
