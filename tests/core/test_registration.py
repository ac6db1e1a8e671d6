"""Registration: from a function, a trigger and options to a job; everything that cannot be meant is refused at once."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from rota import ConfigurationError, DuplicateJobError, Jobs, Retry, Scheduler, UnknownJobError, UnknownTimeZoneError
from rota.core.run import OPEN, Status
from rota.testing import FakeClock
from rota.triggers import Calendar, Cron, Interval, Once, RRule, Within


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


def work():
    pass


async def coroutine():
    pass


def test_a_decorator_returns_the_function_unchanged(scheduler):
    for decorate in (
        scheduler.cron("* * * * *", id="a"),
        scheduler.interval(minutes=1, id="b"),
        scheduler.interval(timedelta(minutes=1), id="c"),
        scheduler.calendar(months=1, at="06:30", anchor=date(2026, 1, 31), id="d"),
        scheduler.once("2030-01-01T00:00", id="e"),
        scheduler.rrule("FREQ=MONTHLY;BYDAY=-1FR", id="f"),
        scheduler.job(Cron("* * * * *"), id="g"),
        scheduler.job(id="h"),
    ):
        assert decorate(work) is work
    kinds = [type(job.trigger) for job in scheduler.jobs.values()]
    assert kinds == [Cron, Interval, Interval, Calendar, Once, RRule, Cron, type(None)]


def test_a_job_is_not_changed_by_assignment(scheduler):
    job = scheduler.add(work, id="a")
    with pytest.raises(AttributeError, match=r"scheduler\.update"):
        job.id = "b"
    assert (job.id, scheduler.jobs["a"]) == ("a", job)


def test_the_default_id_is_the_qualified_name_after_the_last_locals(scheduler):
    class Reports:
        def daily(self):
            pass

    scheduler.job()(Reports.daily)
    scheduler.job()(work)
    assert list(scheduler.jobs) == ["Reports.daily", "work"]


@pytest.mark.parametrize("func", [lambda: None, functools.partial(work), type("Thing", (), {"__call__": work})()])
def test_what_has_no_name_needs_an_id(scheduler, func):
    with pytest.raises(ConfigurationError, match="needs an id"):
        scheduler.job()(func)
    assert scheduler.job(id="named")(func) is func


@pytest.mark.parametrize("id", ["", " ", 7, "\ud800", "x" * 501])
def test_an_id_is_a_text_that_stores_can_keep(scheduler, id):
    with pytest.raises(ConfigurationError, match="id"):
        scheduler.job(id=id)(work)


@pytest.mark.parametrize("earlier", ["\ud800", "x" * 501])
def test_an_earlier_id_is_one_that_stores_can_have_kept(scheduler, earlier):
    with pytest.raises(ConfigurationError, match=r"^job 'work': renamed_from '(\\ud800' has a lone|x+'… is 501 bytes)"):
        scheduler.job(renamed_from=earlier)(work)


def test_a_name_is_a_text_that_stores_can_keep():
    with pytest.raises(ConfigurationError, match=r"^Scheduler: name: '\\ud800' has a lone surrogate"):
        Scheduler("\ud800")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"timeot": 5}, r"unknown option 'timeot'; did you mean 'timeout'"),
        ({"retries": Retry()}, "write retry=Retry"),
        ({"overlap": "skp"}, "did you mean 'skip'"),
        ({"overlap": None}, "overlap"),
        ({"catch_up": "newest"}, "catch_up: 'newest' is none of skip, latest, all"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 1e305}, r"timeout: 1e\+305 is over 1e\+10 seconds"),
        ({"jitter": timedelta.max}, "jitter: .* is over"),
        ({"retry": 3}, r"write Retry\(attempts=3\)"),
        ({"max_running": 0}, "max_running"),
        ({"max_catch_up": None}, "max_catch_up"),
        ({"max_lateness": -1}, "max_lateness"),
        ({"max_lateness": 0}, "max_lateness: 0 is not more than 0 seconds"),
        ({"jitter": "5"}, "jitter"),
        ({"start": datetime.fromisoformat("2026-01-01")}, "start: .*naive"),
        ({"start": "tomorrow"}, "start"),
        ({"end": date(2026, 1, 1)}, "end"),
        ({"start": "2026-01-02T00:00Z", "end": "2026-01-01T00:00Z"}, "it would never run"),
        ({"max_runs": 0}, "max_runs"),
        ({"executor": "threads"}, "did you mean 'thread'"),
        ({"executor": "asyncio"}, "async def"),
        ({"args": "text"}, "args"),
        ({"args": [object()]}, r"args\[0\]"),
        ({"args": [1]}, "cannot be called with the arguments given"),
        ({"kwargs": {"a": 1}}, "cannot be called with the arguments given"),
        ({"kwargs": [1]}, "kwargs"),
        ({"on_crash": "retry"}, "on_crash"),
        ({"pause_after_failures": 0}, "pause_after_failures"),
        ({"tags": "one"}, r"\('one',\)"),
        ({"tags": [1]}, "tags"),
        ({"retention": 30}, "retention"),
        ({"retention": {"happy": timedelta(1)}}, "happy"),
        ({"retention": timedelta(0)}, "retention"),
        ({"renamed_from": 7}, "renamed_from"),
        ({"overlap": "replace", "max_running": 2}, "contradicts"),
        ({"tz": 7}, "tz"),
        ({"tz": "Europe/Pariss"}, "Europe/Paris"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_at_registration(scheduler, options, match):
    with pytest.raises(ConfigurationError, match=match):
        scheduler.job(Cron("* * * * *"), **options)(work)
    assert len(scheduler.jobs) == 0, "nothing is half registered"


def test_arguments_stay_as_they_were_given_whatever_becomes_of_the_objects(scheduler):
    given, named = [[1]], {"deep": {"a": 1}}
    job = scheduler.add(lambda *args, **kwargs: None, id="job", args=given, kwargs=named)
    given[0].append(2)
    named["deep"]["b"] = 2
    assert (job.options.args, job.options.kwargs) == (([1],), (("deep", {"a": 1}),))


def test_records_of_every_status_in_which_a_run_ends_may_have_their_retention(scheduler):
    kept = {status: timedelta(days=1) for status in get_args(Status) if status not in OPEN}
    assert "handed_over" in kept
    scheduler.job(id="job", retention=kept)(work)
    assert scheduler.jobs["job"].options.retention == kept
    for status in OPEN:
        with pytest.raises(ConfigurationError, match=f"{status!r} is no status a run ends in"):
            scheduler.update("job", retention={status: timedelta(days=1)})


def test_an_unknown_option_is_refused_everywhere(scheduler):
    scheduler.job(id="job")(work)
    for declare in (
        lambda: scheduler.add(work, id="x", timeot=1),
        lambda: scheduler.update("job", timeot=1),
        lambda: scheduler.interval(minutes=1, timeot=1),
        lambda: Jobs(timeot=1),
        lambda: Jobs().job(timeot=1),
        lambda: Scheduler(defaults={"timeot": 1}),
    ):
        with pytest.raises(ConfigurationError, match="did you mean 'timeout'"):
            declare()


def test_spans_may_be_timedeltas(scheduler):
    job = scheduler.add(
        work, Cron("* * * * *"), timeout=timedelta(minutes=1), jitter=timedelta(seconds=5), max_lateness=7
    )
    assert (job.options.timeout, job.options.jitter, job.options.max_lateness) == (60, 5, 7)


def test_ticks_are_not_spoken_of_without_a_trigger(scheduler):
    for option in ({"jitter": 1}, {"max_lateness": 1}, {"max_runs": 1}, {"start": "2026-01-01T00:00Z"}):
        with pytest.raises(ConfigurationError, match="no trigger"):
            scheduler.job(**option)(work)


def test_defaults_do_not_speak_of_jobs_that_they_do_not_fit():
    scheduler = Scheduler(defaults={"jitter": 5, "max_lateness": 60})
    scheduler.job()(work)
    jobs = Jobs("x.", jitter=5)
    jobs.job()(work)
    scheduler.include(jobs)
    assert list(scheduler.jobs) == ["work", "x.work"]


def test_options_of_a_job_win_over_those_of_its_jobs_over_those_of_the_scheduler():
    scheduler = Scheduler(defaults={"timeout": 1, "max_lateness": 1, "jitter": 1})
    jobs = Jobs(timeout=2, max_lateness=2)
    jobs.interval(minutes=1, timeout=3)(work)
    scheduler.include(jobs)
    options = scheduler.jobs["work"].options
    assert (options.timeout, options.max_lateness, options.jitter) == (3, 2, 1)


def test_the_zone_is_the_jobs_else_the_schedulers():
    scheduler = Scheduler(tz="Europe/Paris")
    zones = {
        "Asia/Tokyo": scheduler.add(work, Cron("0 6 * * *"), id="a", tz=ZoneInfo("Asia/Tokyo")),
        "Europe/Paris": scheduler.add(work, Cron("0 6 * * *"), id="b"),
        "UTC": scheduler.add(work, Cron("0 6 * * *", tz="UTC"), id="c"),
        "Asia/Seoul": scheduler.add(work, Cron("0 6 * * *", tz="Asia/Seoul"), id="d", tz="Asia/Seoul"),
    }
    assert {name: job.trigger.zone.key for name, job in zones.items()} == {name: name for name in zones}


def test_a_zone_that_contradicts_the_trigger_is_refused(scheduler):
    with pytest.raises(ConfigurationError, match=r"Asia/Tokyo.*contradicts.*Europe/Paris"):
        scheduler.add(work, Cron("0 6 * * *", tz="Europe/Paris"), tz="Asia/Tokyo")


def test_a_zone_of_defaults_contradicts_nothing():
    scheduler = Scheduler(defaults={"tz": "Asia/Tokyo"})
    assert scheduler.add(work, Cron("0 6 * * *", tz="Europe/Paris")).trigger.zone.key == "Europe/Paris"
    jobs = Jobs(tz="Asia/Tokyo")
    jobs.job(Cron("0 6 * * *", tz="Europe/Paris"), id="other")(work)
    scheduler.include(jobs)
    assert scheduler.jobs["other"].trigger.zone.key == "Europe/Paris"


def test_an_unknown_zone_is_an_error_of_its_own(scheduler):
    with pytest.raises(UnknownTimeZoneError):
        scheduler.cron("* * * * *", tz="Mars/Olympus")(work)


def test_start_and_end_bound_the_trigger(scheduler):
    job = scheduler.add(
        work, Interval(timedelta(minutes=1)), start="2026-01-01T00:00:00+01:00", end=datetime(2027, 1, 1, tzinfo=UTC)
    )
    assert isinstance(job.trigger, Within)


def test_jobs_of_which_one_is_refused_are_not_included_at_all(scheduler):
    scheduler.job(id="third")(work)
    jobs = Jobs()
    for name in ("first", "second", "third", "fourth"):
        jobs.job(Interval(timedelta(minutes=1)), id=name)(work)
    with pytest.raises(DuplicateJobError, match="third"):
        scheduler.include(jobs)
    assert list(scheduler.jobs) == ["third"]
    scheduler.remove("third")
    scheduler.include(jobs)
    assert list(scheduler.jobs) == ["first", "second", "third", "fourth"]


def test_jobs_that_clash_among_themselves_are_not_included_either(scheduler):
    jobs = Jobs()
    jobs.job(id="new", renamed_from="old")(work)
    jobs.job(id="newer", renamed_from="old")(work)
    with pytest.raises(DuplicateJobError, match="earlier id"):
        scheduler.include(jobs)
    assert not scheduler.jobs
    scheduler.job(id="old")(work)


def test_a_started_scheduler_runs_none_of_the_jobs_that_it_refused():
    clock = FakeClock("2026-01-01T00:00Z")
    scheduler = Scheduler(clock=clock)
    scheduler.job(id="second")(work)
    scheduler.start()
    jobs = Jobs()
    for name in ("first", "second"):
        jobs.job(Interval(timedelta(minutes=1)), id=name)(work)
    with pytest.raises(DuplicateJobError):
        scheduler.include(jobs)
    clock.advance(minutes=5)
    assert scheduler.runs() == []
    scheduler.shutdown()


def test_two_jobs_of_one_id_are_refused_naming_both_places(scheduler):
    scheduler.job(id="same")(work)
    with pytest.raises(DuplicateJobError) as caught:
        scheduler.job(id="same")(coroutine)
    assert str(caught.value).count("test_registration.py:") == 2
    assert scheduler.jobs["same"].func is work


def test_the_same_place_with_equal_options_again_replaces(scheduler):
    def declare():
        @scheduler.interval(minutes=1, retry=Retry(attempts=2))
        def job():
            pass

        return job

    first, second = declare(), declare()
    assert scheduler.jobs["job"].func is second is not first


def test_the_same_place_with_other_options_is_a_clash(scheduler):
    for _ in range(2):
        scheduler.interval(minutes=1)(work)
    with pytest.raises(DuplicateJobError):
        scheduler.interval(minutes=2)(work)
    with pytest.raises(DuplicateJobError):
        scheduler.interval(minutes=1, timeout=5)(work)


def test_replace_takes_the_place_of_whatever_had_the_id(scheduler):
    scheduler.job(id="same")(work)
    job = scheduler.add(coroutine, id="same", replace=True)
    assert scheduler.jobs["same"] is job
    assert job.func is coroutine


def test_a_function_may_be_named_by_where_it_is(scheduler):
    job = scheduler.add("os.path:join", id="join", args=["a"])
    assert job.func("a", "b") == "a/b"
    for wrong in ("os.path:nope", "no.such.module:f", "os.path:sep", "::"):
        with pytest.raises(ConfigurationError, match="add"):
            scheduler.add(wrong, id="x")


def test_what_is_no_function_or_trigger_is_refused(scheduler):
    with pytest.raises(ConfigurationError, match="function"):
        scheduler.add(7, id="x")
    with pytest.raises(ConfigurationError, match="trigger"):
        scheduler.add(work, "* * * * *")
    with pytest.raises(ConfigurationError, match=r"@scheduler.job\(\)"):
        scheduler.job(work)
    with pytest.raises(ConfigurationError, match="not both"):
        scheduler.interval(timedelta(minutes=1), seconds=5)
    with pytest.raises(ConfigurationError):
        scheduler.interval()(work)


def test_update_keeps_what_it_does_not_name(scheduler):
    scheduler.interval(minutes=1, timeout=5, tags=["x"])(work)
    job = scheduler.update(work, timeout=None, overlap="queue")
    assert (job.options.timeout, job.options.overlap, job.options.tags) == (None, "queue", ("x",))
    assert job.trigger == Interval(timedelta(minutes=1))


def test_a_change_that_is_refused_changes_nothing(scheduler):
    scheduler.interval(minutes=1)(work)
    before = scheduler.jobs["work"]
    with pytest.raises(ConfigurationError):
        scheduler.update("work", timeout=-1)
    with pytest.raises(ConfigurationError):
        scheduler.reschedule("work", "hourly")
    assert scheduler.jobs["work"] is before


def test_executors_are_chosen_by_kind(scheduler):
    assert scheduler.add(work).executor == "thread"
    assert scheduler.add(coroutine).executor == "asyncio"
    assert scheduler.add(work, id="inline", executor="inline").executor == "inline"


def test_making_a_scheduler_starts_nothing_and_touches_nothing(tmp_path):
    scheduler = Scheduler("x", store=f"sqlite:///{tmp_path}/never.db")
    scheduler.interval(minutes=1)(work)
    scheduler.next_fires("work")
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_needed_with_any_backend_but_memory(tmp_path):
    with pytest.raises(ConfigurationError, match="name"):
        Scheduler(store=f"sqlite:///{tmp_path}/x.db")


def test_a_decorator_without_its_call_says_how_it_is_written():
    scheduler = Scheduler()

    def work():
        pass

    for bare in (scheduler.cron, scheduler.interval, scheduler.once, scheduler.rrule):
        with pytest.raises(ConfigurationError, match=r"write @scheduler\.\w+\("):
            bare(work)
    with pytest.raises(ConfigurationError, match=r"write @scheduler\.idempotent"):
        scheduler.idempotent(work)(3)


def test_a_generator_function_is_refused():
    def generate():
        yield

    async def generate_too():
        yield

    for func in (generate, generate_too):
        with pytest.raises(ConfigurationError, match="generator"):
            Scheduler().add(func)


@pytest.mark.parametrize("wrong", [{"args": [object()]}, {"kwargs": {"run_at": {1: 2}}}, {"args": [float("nan")]}])
def test_arguments_that_are_not_json_are_a_wrong_type_and_a_wrong_option(wrong):
    for kind in (TypeError, ConfigurationError):
        with pytest.raises(kind, match="args"):
            Scheduler().add(print, id="print", **wrong)


def traced(func):
    @functools.wraps(func)
    def wrapper():
        return func()

    return wrapper


def mails():
    return "mails"


def invoices():
    return "invoices"


def test_functions_are_told_apart_whatever_is_around_them(scheduler):
    for around in (lambda func: traced(traced(traced(func))), functools.partial):
        scheduler.job(id="one")(around(mails))
        scheduler.job(id="one")(around(mails))
        with pytest.raises(DuplicateJobError, match="there are two jobs 'one'"):
            scheduler.job(id="one")(around(invoices))
        scheduler.remove("one")


def test_a_function_that_says_it_is_around_itself_is_no_job(scheduler):
    def odd():
        pass

    odd.__wrapped__ = odd
    with pytest.raises(UnknownJobError):
        scheduler.run_now(odd)


@pytest.mark.parametrize("send", [[mails, mails], [mails, invoices]])
def test_a_factory_may_give_its_job_what_it_likes(scheduler, send):
    def create_app(send):
        @scheduler.interval(minutes=1)
        def poll():
            helper()
            send()
            scheduler.enqueue(poll)

        def helper(): ...

        return poll

    polls = [create_app(one) for one in send]
    assert scheduler.jobs["poll"].func is polls[1]


def test_a_job_that_was_decorated_again_is_known_by_what_it_became(scheduler):
    again = traced(traced(scheduler.interval(minutes=1)(mails)))
    assert scheduler.get_run(scheduler.run_now(again)).job_id == "mails"
    with pytest.raises(UnknownJobError, match="no job 'invoices'"):
        scheduler.run_now(traced(invoices))
