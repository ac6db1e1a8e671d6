"""Performs what flows yield: effects of one kind go to the store in one batch.

Law: an answer that did not come is not guessed. A swap is performed again until it is answered; a claim or a begin is
looked up by the id of its row and its token once the store is back. Only what the store raises means that it is down;
each answer is handed on by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from rota.containment import whatever_it_raises
from rota.core import lifecycle
from rota.core.effects import Begin, BeginAnswer, JobState, Swap, SwapAnswer, TickAnswer
from rota.core.job import Job
from rota.core.lifecycle import Answer, Attempt, Cancel, Effect, Flow, Holder, Pause, Return, States
from rota.core.run import OPEN, RunRow
from rota.core.verdict import ended_unstarted, handed_back
from rota.drivers.agenda import ASK_AGAIN, Claiming
from rota.drivers.busy import Busy
from rota.drivers.calls import AttemptCall
from rota.errors import BackendError

if TYPE_CHECKING:
    from rota.drivers.backlog import ParkedRun
    from rota.drivers.engine import Engine

A = TypeVar("A")
B = TypeVar("B")

RETRY_AFTER = 1.0
"""Seconds between two tries of a store that is down."""

MAX_BATCH = 500

MOST_REFUSALS = 60
"""How often, a second apart, a swap may be refused alone while the store takes other writes, before it is given up. A
store that is slow, or out of reach, refuses nothing."""


class Cancelling(NamedTuple):
    """A swap that cancels a run, and what became of it."""

    swap: Swap
    answer: SwapAnswer


class Beginning:
    """A begin on its way to the store."""

    __slots__ = ("ask", "flow", "parked")

    def __init__(self, parked: ParkedRun, flow: Flow, ask: Begin) -> None:
        self.parked = parked
        self.flow = flow
        self.ask = ask


class Performer:
    """Pending effects, and what became of the store."""

    def __init__(self, engine: Engine, holder: Holder) -> None:
        self._engine = engine
        self._holder = holder
        self.claims: list[Claiming] = []
        self.begins: list[Beginning] = []
        self.swaps: list[tuple[Flow, Swap]] = []
        self.others: list[tuple[Flow, Effect]] = []
        self.calls: defaultdict[str, list[AttemptCall]] = defaultdict(list)
        self.busy = Busy(lambda parked: engine.parked.get(parked.row.id) is parked)
        self._unsure_claims: list[Claiming] = []
        self._unsure_begins: list[Beginning] = []
        self._swap_size = MAX_BATCH
        self._refusals: dict[str, int] = {}
        self._is_refusal = False
        self.given_up: set[str] = set()
        self._trusted_until = 0.0
        self._retry_at: float | None = None

    @property
    def is_down(self) -> bool:
        """Whether the store did not answer the last time."""
        return self._retry_at is not None

    @property
    def pending(self) -> int:
        """How many effects wait to be performed."""
        unsure = len(self._unsure_claims) + len(self._unsure_begins)
        return len(self.claims) + len(self.begins) + len(self.swaps) + len(self.others) + unsure

    def seconds_to_wakeup(self) -> float:
        """Seconds until a store that is down is tried again."""
        return float("inf") if self._retry_at is None else max(0.0, self._retry_at - self._engine.clock.monotonic())

    def resume(self, job: Job, parked: ParkedRun) -> None:
        """Start the flow of a run whose time has come."""
        engine = self._engine
        flow = lifecycle.resume(job, parked.row, engine.time, self._holder)
        try:
            effect = next(flow)
        except whatever_it_raises() as error:  # its trigger's, which is user code
            engine.teller.error("trigger.failed", error)
            engine.arm(engine.time + ASK_AGAIN, parked)
            return
        del engine.parked[parked.row.id]
        engine.forget_limit(parked)
        if not isinstance(effect, Begin):  # it ends without another attempt
            self.take(flow, effect)
            self.settled(parked.row.id)
            return
        others = self.busy.joins(parked, effect)
        if others is None:
            self.begins.append(Beginning(parked, flow, effect))
        else:
            self._wait(parked, flow, others)

    def start(self, flow: Flow) -> None:
        """Run a flow from its beginning."""
        self.send(flow, None)

    def send(self, flow: Flow, answer: Answer) -> None:
        """Give a flow its answer and take up what it wants next."""
        try:
            effect = flow.send(answer)
        except StopIteration:
            return
        self.take(flow, effect)

    def take(self, flow: Flow, effect: Effect) -> None:
        """Remember an effect for the next flush; an attempt goes to its executor, a return to the table of calls."""
        kind = type(effect)
        if kind is Attempt:
            assert isinstance(effect, Attempt)
            call = self._engine.attempts.new(effect.job, effect.row, flow, self._trusted_until)
            self.calls[effect.job.executor].append(call)
        elif kind is Swap:
            assert isinstance(effect, Swap)
            self.swaps.append((flow, effect))
        elif kind is Return:
            assert isinstance(effect, Return)
            self._engine.attempts.await_return(effect.row, flow)
        else:
            self.others.append((flow, effect))

    def flush(self) -> bool:
        """Perform what is pending; whether anything moved."""
        moved = False
        if self._retry_at is not None:
            if not self._try_again():
                return False
            moved = True  # what was looked up may begin now
        while self.claims or self.begins or self.swaps or self.others:
            moved = True
            if self.swaps and not self._swap():
                break
            if self.claims and not self._claim():
                break
            if self.begins and not self._begin():
                break
            if self.others and not self._perform_others():
                break
        if self.calls:
            moved = True
            self._submit()
        return moved

    def _submit(self) -> None:
        calls, self.calls = self.calls, defaultdict(list)
        for name, batch in calls.items():
            if self._engine.settings.leased:
                self._tell_untrusted(batch)
            self._engine.guarded.submit(name, batch)

    def _tell_untrusted(self, calls: Sequence[AttemptCall]) -> None:
        """A run whose lease was so long on its way here that it may be another's by now knows it from its start."""
        now = self._engine.clock.boottime()
        for call in calls:
            if call.trusted_until <= now:
                call.ask_to_stop("lease_lost")

    def _asked(self, ask: Callable[[B], Sequence[A]], what: B) -> Sequence[A] | None:
        """The store's answers; `None`: it did not answer, whatever it raised. Nothing else is called in here."""
        try:
            return ask(what)
        except whatever_it_raises() as error:  # a store of the host's may raise anything
            self._is_refusal = not (isinstance(error, BackendError) and error.unreachable)
            self.go_down(error)
            return None

    def _deliver(self, batch: Sequence[B], answers: Sequence[A], take: Callable[[B, A], None]) -> None:
        """Hand on each answer, whatever becomes of the one before it."""
        for one, answer in zip(batch, answers, strict=True):
            try:
                take(one, answer)
            except whatever_it_raises() as error:  # a fault of ours, and of one run at most
                self._engine.fault(error)

    def _claim(self) -> bool:
        batch = self.claims[:MAX_BATCH]
        del self.claims[: len(batch)]
        self._note_instant()
        answers = self._asked(self._engine.store.claim, [claiming.claim for claiming in batch])
        if answers is None:
            self._unsure_claims += batch
            return False
        self._deliver(batch, answers, self._claimed)
        return True

    def _claimed(self, claiming: Claiming, answer: TickAnswer) -> None:
        engine = self._engine
        if answer.verdict == "too_early":
            engine.offset += answer.now - engine.time
            engine.read_clock()
        engine.agenda.answered(claiming, answer)
        if answer.verdict == "claimed":
            self._note_claimed(claiming)
            if answer.begun is None and claiming.claim.counts:
                engine.park(claiming.claim.rows[-1])
        self.send(claiming.flow, answer)

    def _note_claimed(self, claiming: Claiming) -> None:
        self._engine.teller.ticks_disposed(claiming)
        for run_id in claiming.claim.cancel:
            self._engine.attempts.stop(run_id, "replaced")

    def _begin(self) -> bool:
        batch = self.begins[:MAX_BATCH]
        del self.begins[: len(batch)]
        self._note_instant()
        answers = self._asked(self._engine.store.begin, [beginning.ask for beginning in batch])
        if answers is None:
            self._unsure_begins += batch
            return False
        self._deliver(batch, answers, self._begun)
        return True

    def _begun(self, beginning: Beginning, answer: BeginAnswer) -> None:
        parked, engine = beginning.parked, self._engine
        if answer.verdict == "busy":
            self._wait(parked, beginning.flow, self.busy.add(parked, beginning.ask))
            return
        engine.agenda.note_begun(answer.row)
        engine.backfill_began |= parked.row.origin == "backfill"
        self.settled(parked.row.id)
        self.send(beginning.flow, answer)

    def _wait(self, parked: ParkedRun, flow: Flow, others: Iterable[ParkedRun]) -> None:
        """It waits for its turn, and `others` ask now."""
        engine = self._engine
        engine.parked[parked.row.id] = parked
        job = engine.job_of(parked)
        if job is not None:
            engine.end_when_late(job, parked)
        for first in others:
            first.ask_again(engine)
        self.send(flow, BeginAnswer("busy"))

    def _swap(self) -> bool:
        """In smaller batches each time that one fails, so that a swap which the store refuses is found out alone."""
        batch = self.swaps[: self._swap_size]
        answers = self._asked(self._engine.store.swap, [swap for _, swap in batch])
        if answers is None:
            self._swap_size = max(1, len(batch) // 2)
            if len(batch) == 1 and self._is_refusal:
                self._put_behind()
            return False
        self._swap_size = min(MAX_BATCH, 2 * self._swap_size)
        del self.swaps[: len(batch)]
        if not self.swaps:
            self._refusals.clear()
        self._deliver(batch, answers, self._go_on)
        return True

    def _put_behind(self) -> None:
        """The first swap was refused, alone: it comes after the others. In the end it is given up, and its run is left
        alone here from then on: one row that the store does not take must not keep all jobs from running."""
        flow, swap = self.swaps.pop(0)
        run_id = swap.row.id
        refusals = self._refusals[run_id] = self._refusals.get(run_id, 0) + 1
        if refusals < MOST_REFUSALS:
            self.swaps.append((flow, swap))
            return
        del self._refusals[run_id]
        self.given_up.add(run_id)
        self._engine.teller.given_up(swap.row)
        self._deliver([flow], [SwapAnswer("lost", None)], self.send)

    def _go_on(self, swapping: tuple[Flow, Swap], answer: SwapAnswer) -> None:
        flow, swap = swapping
        self._swapped(swap, answer)
        self.send(flow, answer)

    def _swapped(self, swap: Swap, answer: SwapAnswer) -> None:
        engine, row = self._engine, swap.row
        engine.agenda.note_state(answer.state)
        if answer.verdict == "lost":
            if swap.token is not None:
                engine.teller.lease_lost(row)
        else:
            engine.teller.run_swapped(swap)
            if not row.stuck and row.status in {"queued", "waiting"}:
                engine.park(row)
        if row.status != "running":
            self.free(row.job_id)

    def free(self, job_id: str) -> None:
        """A run of the job has ended: the first of those that wait for their turn asks again."""
        for parked in self.busy.ended(job_id):
            parked.ask_again(self._engine)

    def settled(self, run_id: str) -> None:
        """The run does not wait for its turn any more: if it was the first to ask, it is the next one's turn."""
        for parked in self.busy.settled(run_id):
            parked.ask_again(self._engine)

    def _perform_others(self) -> bool:
        while self.others:
            batch = self.others[:1]
            answers = self._asked(self._perform, batch[0][1])
            if answers is None:
                return False
            del self.others[0]
            self._deliver(batch, answers, self._performed)
        return True

    def _perform(self, effect: Effect) -> Sequence[JobState | Cancelling | None]:
        """The store's part of it."""
        store = self._engine.store
        if isinstance(effect, Pause):
            return [store.pause(effect.job.claim_id, effect.reason)]
        if isinstance(effect, States):
            return [store.job_states([effect.job.claim_id])[0]]
        assert isinstance(effect, Cancel)
        row = store.run(effect.run_id)
        if row is None or row.status not in OPEN or row.status == "running":
            return [None]
        swap = ended_unstarted(row, "cancelled", effect.reason, self._engine.time)
        return [Cancelling(swap, store.swap([swap])[0])]

    def _performed(self, asked: tuple[Flow, Effect], answer: JobState | Cancelling | None) -> None:
        flow, effect = asked
        if isinstance(answer, Cancelling):
            self._engine.unpark(answer.swap.row.id)
            self._swapped(*answer)
            self.send(flow, answer.answer.verdict == "swapped")
            return
        if isinstance(effect, Pause):
            self._engine.agenda.note_state(answer)
            self._engine.teller.job_paused(effect.job, effect.reason)
        self.send(flow, False if isinstance(effect, Cancel) else answer)

    def _note_instant(self) -> None:
        """Before a request: trust in the leases it grants counts from here."""
        self._trusted_until = self._engine.attempts.trust_from_now()

    def go_down(self, error: BaseException) -> None:
        """The store did not answer: it is left alone for a while, and then asked what it has done."""
        engine = self._engine
        if self._retry_at is None:
            engine.teller.store_down(error)
        self._retry_at = engine.clock.monotonic() + RETRY_AFTER

    def _try_again(self) -> bool:
        """Whether the store answers again; then what was left open is looked up, and ticks are judged anew."""
        engine = self._engine
        assert self._retry_at is not None
        if engine.clock.monotonic() < self._retry_at:
            return False
        try:
            engine.open_store()
            self._resolve_claims()
            self._resolve_begins()
            # A write: one that others keep from being written to can still be read.
            engine.store.beat(engine.node._replace(last_seen=engine.clock.now()))
            engine.ask_time()
            for backlog in engine.backlogs.values():
                backlog.drop_ticks()
            engine.agenda.refresh([entry for entry in engine.agenda.entries.values() if entry.seen_at is not None])
        except whatever_it_raises():  # whatever a store raises, it did not answer
            self._retry_at = engine.clock.monotonic() + RETRY_AFTER
            return False
        self._retry_at = None
        engine.teller.store_back()
        return True

    def _resolve_claims(self) -> None:
        while self._unsure_claims:
            claiming = self._unsure_claims[0]
            start, rows = claiming.claim.start, claiming.claim.rows
            row = self._engine.store.run(rows[-1].id) if rows else None
            state = None if row is None else self._engine.store.job_states([claiming.claim.job_id])[0]
            if start is not None and row is not None and row.token == start.token:
                self._hand_back(row)
            elif row is not None and row.status == "queued":
                self._engine.park(row)
            self._unsure_claims.pop(0)
            if state is not None:  # it was carried out: its flow goes on, but that the run waits for its turn
                self._note_claimed(claiming)
                self.send(claiming.flow, TickAnswer("claimed", state, self._engine.time))

    def _resolve_begins(self) -> None:
        while self._unsure_begins:
            beginning = self._unsure_begins[0]
            row = self._engine.store.run(beginning.ask.run_id)
            self.settled(beginning.ask.run_id)
            if row is not None and row.token == beginning.ask.token:
                self._hand_back(row, beginning.parked.row.reason)
            elif row is not None and row.status in OPEN and row.status != "running":
                self._engine.park(row)
            self._unsure_begins.pop(0)

    def _hand_back(self, row: RunRow, was: str = "") -> None:
        """A run that this node was given without learning of it in time: nobody has started it, so it queues again."""
        swap = handed_back(row, was)
        answer = self._engine.store.swap([swap])[0]
        if answer.verdict == "swapped":
            self._engine.park(swap.row)
