"""Words that other schedulers and task queues have for what Rota calls otherwise, and what to write here.

Law: only hints. A word that is not here is answered with the nearest option that exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NO_WORDS: Final[Mapping[str, str]] = {}

_STEP: Final = "a step belongs to a trigger: write Interval({0}=…), or @scheduler.interval({0}=…)"
_FIELD: Final = 'a field belongs to a trigger: write an expression, such as "0 2 * * *", or Cron.of({}=…)'
_RETRY: Final = "write retry=Retry(attempts=…), which counts the first attempt too"

JOB_WORDS: Final[Mapping[str, str]] = {
    **{word: _STEP.format(word) for word in ("weeks", "days", "hours", "minutes", "seconds")},
    **{word: _FIELD.format(word) for word in ("second", "minute", "hour", "day", "month", "day_of_week")},
    **dict.fromkeys(("retries", "max_retries", "max_attempts"), _RETRY),
    **dict.fromkeys(("autoretry_for", "retry_on"), "write retry=Retry(on=…)"),
    **dict.fromkeys(("retry_backoff", "retry_delay", "default_retry_delay"), "write retry=Retry(wait_initial=…)"),
    **dict.fromkeys(("max_instances", "max_concurrency", "concurrency"), "write max_running"),
    **dict.fromkeys(("misfire_grace_time", "expires"), "write max_lateness"),
    **dict.fromkeys(("time_limit", "soft_time_limit", "job_timeout"), "write timeout"),
    **dict.fromkeys(("countdown", "delay"), "write scheduler.enqueue(job, delay=…)"),
    **dict.fromkeys(("eta", "at"), "write scheduler.enqueue(job, at=…), or Once(…) as the trigger"),
    **dict.fromkeys(("every", "run_every"), "write @scheduler.interval(minutes=…)"),
    **dict.fromkeys(("on_failure", "on_success", "on_error"), 'write scheduler.listen(hook, "run_ended")'),
    "months": "a step belongs to a trigger: write Calendar(months=…), or @scheduler.calendar(months=…)",
    "years": "a step belongs to a trigger: write Calendar(years=…), or @scheduler.calendar(years=…)",
    "enabled": "leave the declaration out, or write scheduler.pause(job)",
    "description": "the docstring of the function describes it; tags=[…] are kept with the job",
    "acks_late": 'write on_crash="rerun"',
    "bind": "a parameter named run is given the run",
    "run_date": "write @scheduler.once(…), or scheduler.enqueue(job, at=…)",
    "coalesce": 'write catch_up="latest" (one run for all that were missed), or "all"',
    "name": "write id",
    "timezone": "write tz",
    "start_date": "write start",
    "end_date": "write end",
    "next_run_time": "write start, or scheduler.enqueue(job, at=…) for one run more",
    "replace_existing": "a declaration made again replaces itself; write add(…, replace=True) to replace another",
    "jobstore": "the store belongs to the scheduler: write Scheduler(store=…)",
    "queue": "write executor",
    "schedule": 'write @scheduler.cron("0 2 * * *"), or add(func, Cron("0 2 * * *"))',
    "cron": 'write @scheduler.cron("0 2 * * *"), or add(func, Cron("0 2 * * *"))',
}
"""What to write instead of an unknown job option."""

SCHEDULER_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("jobstores", "jobstore", "broker", "broker_url", "backend", "url"), "write store"),
    **dict.fromkeys(("namespace", "app_name", "scheduler_id"), "write name"),
    **dict.fromkeys(("threads", "max_threads", "workers", "concurrency"), "write max_workers"),
    **dict.fromkeys(("max_instances", "coalesce", "misfire_grace_time"), "write defaults={…}, with options of jobs"),
    "timezone": "write tz",
    "job_defaults": "write defaults",
}
"""What to write instead of an unknown argument of `Scheduler`."""

ZONE_WORDS: Final[Mapping[str, str]] = {"timezone": "write tz"}
"""What to write instead of an unknown argument of a trigger of wall times."""

CRON_WORDS: Final[Mapping[str, str]] = {
    **ZONE_WORDS,
    **{
        word: f'write an expression, such as "0 2 * * *", or Cron.of({word}=…)'
        for word in ("second", "minute", "hour", "day", "month", "day_of_week")
    },
}
"""What to write instead of an unknown argument of `Cron`."""

RETRY_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("max_retries", "max_attempts", "retries"), "write attempts, which counts the first attempt too"),
    **dict.fromkeys(("wait", "delay", "countdown", "backoff"), "write wait_initial"),
    **dict.fromkeys(("exceptions", "autoretry_for"), "write on"),
}
"""What to write instead of an unknown argument of `Retry`."""

METHOD_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "run_now": {
        **dict.fromkeys(("delay", "countdown"), "write scheduler.enqueue(job, delay=…)"),
        **dict.fromkeys(("at", "eta"), "write scheduler.enqueue(job, at=…)"),
    },
    "enqueue": {"countdown": "write delay", "eta": "write at"},
}
"""What to write instead of an unknown argument of these methods of `Scheduler`."""

SCHEDULER_METHODS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("add_job", "register", "schedule"), "scheduler.add(func, trigger)"),
    **dict.fromkeys(("scheduled_job", "crontab"), '@scheduler.cron("0 2 * * *"), @scheduler.interval(minutes=5)'),
    **dict.fromkeys(("every", "periodic_task"), "@scheduler.interval(minutes=5)"),
    **dict.fromkeys(("task", "shared_task"), "@scheduler.job()"),
    **dict.fromkeys(("get_jobs", "get_job", "print_jobs"), "scheduler.jobs"),
    **dict.fromkeys(("remove_job", "cancel_job", "unschedule"), "scheduler.remove(job)"),
    **dict.fromkeys(("modify_job", "reschedule_job"), "scheduler.update(job, …), scheduler.reschedule(job, trigger)"),
    **dict.fromkeys(("pause_job", "resume_job"), "scheduler.pause(job), scheduler.resume(job)"),
    **dict.fromkeys(("delay", "apply_async", "send_task", "insert"), "scheduler.enqueue(job, …)"),
    **dict.fromkeys(("run_pending", "run_all"), "scheduler.run_due()"),
    **dict.fromkeys(("run_job", "trigger"), "scheduler.run_now(job)"),
    "add_listener": "scheduler.listen(hook, …)",
    "stop": "scheduler.shutdown()",
    "history": "scheduler.runs(job)",
}
"""What to write instead of methods that other schedulers have and `Scheduler` has not."""

TRIGGER_WORDS: Final[Mapping[str, str]] = {
    "interval": "Interval(minutes=5)",
    "cron": 'Cron("0 2 * * *")',
    "date": 'Once("2026-12-24T18:00")',
}
"""What to write for a trigger that elsewhere is named by a text."""
