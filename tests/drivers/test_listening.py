"""Hooks given to the scheduler and listeners added to it hear of the same run."""

import functools
import threading
from datetime import UTC, datetime
from typing import get_args

import pytest
from tests.waiting import LONGER, until

from rota import ConfigurationError, Scheduler
from rota.drivers.telling import HookThread
from rota.ports import Event, EventKind


def test_a_listener_that_is_added_first_does_not_silence_the_hooks() -> None:
    heard: list[tuple[str, str]] = []
    scheduler = Scheduler(hooks=[lambda event: heard.append(("hook", event.kind))])
    scheduler.listen(lambda event: heard.append(("listener", event.kind)), "run_ended")

    @scheduler.job()
    def report() -> None: ...

    def of_the_end(event: Event) -> None:
        heard.append(("late listener", event.kind))

    scheduler.run_now(report)
    scheduler.listen(of_the_end, "run_ended")
    scheduler.run_due()
    scheduler.shutdown()
    assert {who for who, kind in heard if kind == "run_ended"} == {"hook", "listener", "late listener"}


def test_a_hook_that_hangs_keeps_no_other_from_being_told() -> None:
    let_go = threading.Event()
    heard: list[str] = []
    scheduler = Scheduler(shutdown_timeout=1)
    scheduler.listen(lambda _: let_go.wait(LONGER), "run_ended")
    scheduler.listen(lambda event: heard.append(event.kind), "run_ended")
    scheduler.job(id="report")(lambda: None)
    scheduler.start()
    for _ in range(3):
        scheduler.run_now("report")
    assert until(lambda: len(heard) == 3)
    scheduler.shutdown()
    let_go.set()


async def told(event: Event) -> None: ...


class Told:
    async def __call__(self, event: Event) -> None: ...


@pytest.mark.parametrize("hook", [told, functools.partial(told), Told()], ids=["function", "partial", "object"])
def test_a_coroutine_is_no_hook_as_nobody_would_await_it(hook) -> None:
    with pytest.raises(ConfigurationError, match=r"^listen: .* is a coroutine function"):
        Scheduler().listen(hook)
    with pytest.raises(ConfigurationError, match=r"^Scheduler: hooks: .* is a coroutine function"):
        Scheduler(hooks=[print, hook])
    with pytest.raises(ConfigurationError, match="is a coroutine function"):
        Scheduler().configure(hooks=hook)


def test_a_kind_of_event_is_any_text_that_names_one() -> None:
    class Kind(str):
        __slots__ = ()

    Scheduler().listen(print, *get_args(EventKind), Kind("run_ended"))
    expected = (
        "listen: 'run_end' is no event; there are attempt_ended, job_paused, node_lost, overdue, run_ended,"
        " run_started, store_back, store_down"
    )
    with pytest.raises(ConfigurationError, match=f"^{expected}$"):
        Scheduler().listen(print, "run_end")


def test_a_hook_that_hangs_is_told_of_once_and_then_how_many_events_it_missed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rota.drivers.telling.MOST_UNTOLD", 4)
    entered, let_go = threading.Event(), threading.Event()
    heard: list[Event] = []

    def hook(event: Event) -> None:
        entered.set()
        let_go.wait(LONGER)
        heard.append(event)

    thread = HookThread(hook)
    event = Event("run_ended", datetime.now(UTC))
    thread.put(event)
    assert entered.wait(LONGER)
    for _ in range(10):
        thread.put(event)
    assert caplog.text.count("hook.dropped") == 1
    let_go.set()
    assert until(lambda: "count=6" in caplog.text)
    assert len(heard) == 5
    thread.put(event)
    ended = thread.end()
    assert ended is not None
    ended.join(LONGER)
    assert len(heard) == 6
