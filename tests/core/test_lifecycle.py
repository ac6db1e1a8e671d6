"""What no story brings about: a flow whose trigger raises what ends threads, in the moment after its run has begun."""

from datetime import timedelta

from rota import Scheduler
from rota.core import lifecycle
from rota.core.effects import Begin, BeginAnswer
from rota.core.lifecycle import Attempt, Holder
from rota.core.run import RunRow
from rota.triggers import Excluding, Interval

MINUTE = 60_000_000


class Dates:
    """A calendar of holidays that is asked of a service."""

    is_up = True

    def __contains__(self, day):
        if not self.is_up:
            raise SystemExit
        return False


def test_a_run_that_has_begun_is_called_whatever_its_trigger_raises():
    dates = Dates()
    trigger = Excluding(Interval(timedelta(minutes=1)), dates)
    job = Scheduler().add(print, trigger, id="job", overlap="queue", catch_up="all")
    row = RunRow("run", "job", "tick", "queued", 0, 2 * MINUTE, scheduled_for=2 * MINUTE)
    row.window_start, row.window_end = 0, 2 * MINUTE
    flow = lifecycle.resume(job, row, 3 * MINUTE, Holder("node", 30.0, str, lambda: "token"))
    assert isinstance(next(flow), Begin)
    begun = row.copy()
    begun.status, begun.attempt, begun.token = "running", 1, "token"
    dates.is_up = False
    assert isinstance(flow.send(BeginAnswer("begun", begun)), Attempt)
