"""The engine of a node: everything that a driver turns. One thread at a time turns it; others only `post`.

Theory. A turn drains the mailbox (outcomes of calls, commands), pops what is due off the timelines (ticks and runs by
the wall clock, deadlines of calls by the monotonic one), fills free workers, and performs the effects that flows yield,
in batches, until nothing moves any more. Then the driver sleeps until the next wake-up. A store that fails leaves
everything where it is: swaps that end a run are performed again, claims are looked up by the ids of their rows, ticks
wait and are then judged as late as they are.

Law: a message posted while nobody waits is found by the next turn, and no exception leaves `turn` or `wait`. What fails
is contained where it belongs. A store that raises has not answered: what it did is unknown, and it is asked again. User
code that raises (a trigger, a predicate, an executor of the host's) is the trouble of its job or its calls alone.
Whatever else raises is a fault of ours: it is logged, and the loop goes on with what comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from rota.containment import whatever_it_raises
from rota.core.damage import damage_of
from rota.core.job import Job
from rota.core.lifecycle import Holder
from rota.core.outcome import message_of
from rota.core.run import RunRow
from rota.core.timeline import Timeline
from rota.drivers.agenda import Agenda, JobEntry
from rota.drivers.attempts import Attempts
from rota.drivers.backlog import Backlog, ParkedRun, Ready, TooLate
from rota.drivers.calls import AttemptCall
from rota.drivers.guarded_executors import GuardedExecutors
from rota.drivers.housekeeping import Housekeeping
from rota.drivers.mailbox import Mailbox
from rota.drivers.performer import Performer
from rota.drivers.services import Services
from rota.drivers.settings import LONGEST_WAIT, Settings
from rota.drivers.store_time import store_ahead
from rota.drivers.telling import Teller
from rota.errors import BackendError
from rota.ports import Clock, Executor, NodeRow, Store

ROUND = 256
"""Runs begun in one go for one executor, so that outcomes are looked at in between."""

SMALL_ROUND = 32
"""The same for a store in this process: there a larger batch saves no round trip, and what many claims hold at once is
walked by the garbage collector again and again."""

FOR_EVER = 2**62
"""An instant after all others."""

CLOCK_STEP = 1_000_000
"""Microseconds by which wall and boot clock may part between two turns before it counts as a step."""


class DueItem(Protocol):
    """Something on the timeline."""

    def come_due(self, due: int, engine: Engine, /) -> None: ...

    def is_gone(self, due: int, engine: Engine, /) -> bool:
        """Whether nothing will come of it any more."""
        ...


class Engine:
    """Jobs, runs at work and what comes next, of one node."""

    def __init__(
        self,
        settings: Settings,
        node: NodeRow,
        store: Store,
        clock: Clock,
        executors: Mapping[str, Executor],
        services: Services,
        teller: Teller,
        holder: Holder,
    ) -> None:
        self.settings = settings
        self.node = node
        self.store = store
        self.clock = clock
        self.executors = executors
        self.guarded = GuardedExecutors(executors, teller, clock.monotonic)
        self.services = services
        self.teller = teller
        self.mailbox: Mailbox[AttemptCall | Callable[[], None] | None] = Mailbox(clock)
        self.timeline: Timeline[DueItem] = Timeline()
        self.deadlines: Timeline[DueItem] = Timeline()
        self.backlogs: dict[str, Backlog] = {}
        self.parked: dict[str, ParkedRun] = {}
        self.damaged: set[str] = set()
        self.draining = False
        self._round = ROUND if store.shared else SMALL_ROUND
        self.offset = 0
        self.time = clock.now()
        self.last_turn = clock.monotonic()
        self.turned = False
        self.backfill_began = False  # since ticks were last looked at
        self.ready_until = FOR_EVER  # what comes due later is for another turn
        self._parted = self.time - int(clock.boottime() * 1_000_000)  # how far wall and boot clock lie apart
        self._opening: Callable[[], None] | None = None
        self._refusal = ""
        self.agenda = Agenda(self, holder)
        self.attempts = Attempts(self)
        self.performer = Performer(self, holder)
        self.housekeeping = Housekeeping(self)

    def post(self, message: AttemptCall | Callable[[], None] | None) -> None:
        """Leave a message from any thread: an ended call, a command, or `None` to wake the driver."""
        self.mailbox.put(message)

    def turn(self) -> float:
        """Do all there is to do; the seconds until there may be more, at most `LONGEST_WAIT`."""
        self.last_turn = self.clock.monotonic()
        self.turned = True
        self._look_at_clocks()
        self.teller.look()
        self.housekeeping.turn(self.last_turn)
        if self.mailbox.messages:
            self._work_off()  # what has ended is out of the way of what is due
            self._look_at_clocks()
        self._take_due()
        self._work_off()
        return self.seconds_to_wakeup()

    def wait(self, seconds: float) -> None:
        """Sleep until a message comes, or for so long."""
        if seconds > 0:
            self.mailbox.wait(min(seconds, LONGEST_WAIT), for_ends=bool(self.services.calls))

    @property
    def has_mail(self) -> bool:
        """Whether a message waits for the next turn."""
        return bool(self.mailbox.messages)

    def fault(self, error: BaseException) -> None:
        """Something that should not raise has raised: it is logged, and the loop goes on."""
        self.teller.error("engine.fault", error)

    @property
    def is_unopened(self) -> bool:
        """Whether the store could not be reached so far, and no job has been declared to it."""
        return self._opening is not None

    def wait_for_store(self, error: BackendError, opening: Callable[[], None]) -> None:
        """The store cannot be reached. `opening` is what is to be done first when it answers."""
        self._opening = opening
        self.performer.go_down(error)

    def open_store(self) -> None:
        """Do what had to wait for the store, if anything. Raises what the store raises; where that is more than an
        outage, a person is told of it, once."""
        if self._opening is None:
            return
        try:
            self._opening()
        except whatever_it_raises() as error:
            is_outage = isinstance(error, BackendError) and error.unreachable
            if not is_outage and message_of(error) != self._refusal:
                self._refusal = message_of(error)
                self.teller.store_down(error)
            raise
        self._opening = None

    def ask_time(self) -> None:
        """Ask the store how far its clock is from this machine's. Raises what the store raises."""
        self.offset = store_ahead(self.store, self.clock)
        self.read_clock()

    def read_clock(self) -> None:
        """Ask the time anew, as the store has it."""
        self.time = self.clock.now() + self.offset

    def seconds_to_wakeup(self) -> float:
        """Seconds until something is due, at most `LONGEST_WAIT`."""
        if self.mailbox.messages:
            return 0.0
        wait = min(LONGEST_WAIT, self.housekeeping.seconds_to_wakeup(), self.seconds_to_due())
        if self.performer.is_down:
            return min(wait, self.performer.seconds_to_wakeup())
        return min(wait, self.seconds_to_try())

    def seconds_to_due(self) -> float:
        """Seconds until the next tick, or whatever else is on a timeline; infinite where nothing is."""
        due, wait = self.timeline.first(self.is_gone), self.seconds_to_deadline()
        if due is None:
            return wait
        self.read_clock()
        return min(wait, max(0.0, (due - self.time) / 1_000_000))

    def seconds_to_try(self) -> float:
        """Seconds until what is ready is given to an executor without threads; infinite where nothing is."""
        names = self.guarded.without_threads
        if not names or self.draining or self.performer.is_down:
            return float("inf")
        waits = (self.guarded.seconds_to_try(name) for name in names if self.backlogs.get(name))
        return min(waits, default=float("inf"))

    def seconds_to_deadline(self) -> float:
        """Seconds until a call at work times out or is given up; infinite where none does."""
        due = self.deadlines.first(self.is_gone)
        return float("inf") if due is None else max(0.0, (due - self.services.monotonic()) / 1_000_000)

    def is_gone(self, due: int, item: DueItem) -> bool:
        """Whether nothing will come of an item any more."""
        return item.is_gone(due, self)

    def arm(self, due: int, item: DueItem) -> None:
        """Put an item on the timeline."""
        self.timeline.push(due, item)

    def ready(self, executor: str, item: Ready, *, last: bool = False, again: bool = False) -> None:
        """Let an item wait for a free worker; `again`: it has waited before those that do now."""
        backlog = self.backlogs.get(executor)
        if backlog is None:
            backlog = self.backlogs[executor] = Backlog()
        backlog.put(item, last=last, again=again)

    def park(self, row: RunRow) -> None:
        """Begin a queued or waiting run when it is due, or end it now if it was asked to stop, if this node knows its
        job."""
        entry = self.agenda.entries.get(row.job_id)
        if entry is None or row.id in self.services.calls or self.is_damaged(row):
            return
        parked = self.parked[row.id] = ParkedRun(row)
        self.read_clock()
        if row.due <= self.time or row.cancel_requested is not None:
            parked.come_due(row.due, self)
        else:
            self.timeline.push(row.due, parked)
        self.end_when_late(entry.job, parked)

    def end_when_late(self, job: Job, parked: ParkedRun) -> None:
        """Have a tick that waits end when it becomes too late for it, whoever is still at work."""
        longest, row = job.options.max_lateness, parked.row
        self.forget_limit(parked)
        if longest is not None and row.origin == "tick" and not row.attempt:
            parked.limit = TooLate(parked)
            self.timeline.push(row.due + int(longest * 1_000_000) + 1, parked.limit)

    def forget_limit(self, parked: ParkedRun) -> None:
        """It does not wait any more, or has another limit."""
        if parked.limit is not None:
            parked.limit = None
            self.timeline.note_gone(self.is_gone)

    def is_damaged(self, row: RunRow) -> bool:
        """Whether the store's row of a run cannot be worked with. The run is left alone, which is said once; the others
        go on."""
        damage = damage_of(row)
        if damage is None:
            self.damaged.discard(row.id)
            return False
        if row.id not in self.damaged:
            self.damaged.add(row.id)
            text = f"{damage}; the run is left alone until its row is mended"
            self.warn("run.damaged", text, job_id=row.job_id, run_id=row.id)
        return True

    def job_of(self, parked: ParkedRun) -> Job | None:
        """The job of a parked run as it is declared now; `None`, and the run is left to others: it is not any more."""
        entry = self.agenda.entries.get(parked.row.job_id)
        if entry is None:
            self.parked.pop(parked.row.id, None)
        return None if entry is None else entry.job

    def unpark(self, run_id: str) -> None:
        """Somebody has begun or ended it."""
        if self.parked.pop(run_id, None) is not None:
            self.performer.settled(run_id)
            self.timeline.note_gone(self.is_gone)

    def forget_busy(self, job_id: str) -> None:
        """Leave the runs of a job that wait for their turn to the store, from where they are taken up again."""
        for parked in self.performer.busy.drop(job_id):
            self.parked.pop(parked.row.id, None)

    def forget_entry(self) -> None:
        """The next tick of a job will not come: it is not declared any more, or anew."""
        self.timeline.note_gone(self.is_gone)

    def hold_back(self, entry: JobEntry) -> None:
        """Look at the entry again in a second: the store's clock has been stepped and is not trusted yet."""
        self.housekeeping.hold_back(entry)

    def warn(self, event: str, text: str, **fields: object) -> None:
        """Say something that a person should see, whatever the host has configured."""
        self.teller.warn(event, text, **fields)

    def is_quiet(self) -> bool:
        """Whether nothing is at work, ready or undelivered."""
        return (
            not self.attempts.working
            and not self.has_mail
            and not self.performer.pending
            and not any(self.backlogs.values())
        )

    def _work_off(self) -> None:
        """Handle messages, begin what is ready and perform effects, until nothing moves any more."""
        while self._drain() | self._fill() | self.performer.flush():
            if not self.mailbox.messages and not any(self.backlogs.values()):
                break  # what was performed has brought nothing new
            self._look_at_clocks()
            self._take_deadlines()  # calls may have been made in this very thread, and have taken long
            if self.backfill_began:
                self._let_ticks_in()

    def _let_ticks_in(self) -> None:
        """Where calls are made in this very thread, ticks go before the backfills that still wait. Once for each that
        begins, so that there is an end to it, however many ticks come due."""
        self.backfill_began = False
        self.last_turn = self.clock.monotonic()
        self.housekeeping.turn(self.last_turn)
        self._take_due()

    def _take_due(self) -> None:
        """Take off the timelines what is due."""
        for due, item in self.timeline.pop_due(self.time):
            self._come_due(due, item)
        self._take_deadlines()

    def _take_deadlines(self) -> None:
        if self.deadlines:
            for due, item in self.deadlines.pop_due(self.services.monotonic()):
                self._come_due(due, item)

    def _come_due(self, due: int, item: DueItem) -> None:
        try:
            item.come_due(due, self)
        except whatever_it_raises() as error:  # a fault of ours; what is due with it comes due all the same
            self.fault(error)

    def _drain(self) -> bool:
        """Handle the messages that are there now."""
        if not self.mailbox.messages:
            return False
        for message in self.mailbox.take():
            if message is not None:
                self._handle(message)
        return True

    def _handle(self, message: AttemptCall | Callable[[], None]) -> None:
        if isinstance(message, AttemptCall):
            try:
                self.attempts.ended(message)
            except whatever_it_raises() as error:  # a fault of ours, and of one run at most
                self.fault(error)
            return
        try:
            message()
        except BackendError as error:
            self.teller.store_trouble(error)
            self.housekeeping.put_off(message)
        except whatever_it_raises() as error:  # a command's failure is its caller's news; the loop goes on
            self.teller.error("engine.command_failed", error)

    def _fill(self) -> bool:
        """Start the flows of what is ready, as far as there are free workers."""
        if self.draining or self.performer.is_down:
            return False
        moved = False
        for name, backlog in self.backlogs.items():
            if backlog:
                moved |= self._fill_from(backlog, min(self.guarded.capacity(name), self._round))
        return moved

    def _fill_from(self, backlog: Backlog, room: int) -> bool:
        moved = False
        while room > 0:
            item = backlog.take()
            if item is None:
                break
            moved = True
            try:
                room -= self._start(item)
            except whatever_it_raises() as error:  # a fault of ours, and of one job at most
                self.fault(error)
        return moved

    def _start(self, item: Ready) -> int:
        if isinstance(item, JobEntry):
            claiming = self.agenda.claim(item, self.time)
            if claiming is None:
                return 0
            self.performer.claims.append(claiming)
            return 1
        job = self.job_of(item) if self.parked.get(item.row.id) is item else None
        if job is None:
            return 0
        self.performer.resume(job, item)
        return 1

    def _look_at_clocks(self) -> None:
        """Ask the time anew: the store may have taken long to answer, and the clock been set meanwhile."""
        self.read_clock()
        parted = self.time - self.offset - int(self.clock.boottime() * 1_000_000)
        stepped, self._parted = parted - self._parted, parted
        if abs(stepped) > CLOCK_STEP:
            self.warn(
                "clock.stepped",
                f"the wall clock was stepped by {stepped / 1_000_000:+.1f} s; next ticks are computed anew",
                step_s=stepped / 1_000_000,
            )
            self._set_right(stepped)
            for backlog in self.backlogs.values():
                backlog.drop_ticks()
            self.agenda.rearm_all()

    def _set_right(self, stepped: int) -> None:
        """Go by the store's clock, not by the one here that was just set."""
        try:
            self.ask_time()
        except whatever_it_raises() as error:  # whatever a store raises, it did not answer, and is asked again soon
            self.offset -= stepped
            self.read_clock()
            self.performer.go_down(error)
