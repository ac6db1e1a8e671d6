"""Hooks given to the scheduler and listeners added to it hear of the same run."""

from rota import Scheduler
from rota.ports import Event


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
    assert [who for who, kind in heard if kind == "run_ended"] == ["hook", "listener", "late listener"]
