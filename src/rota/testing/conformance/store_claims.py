"""Claims of ticks: once, in order, never early, with all that follows from them."""

from __future__ import annotations

from rota.ports import JobSeen
from rota.testing.conformance._processes import compete
from rota.testing.conformance._store_case import JOB, SECOND, StoreCase
from rota.testing.conformance._work import walk_ticks

COMPETITORS = 4
TICKS = 60


class StoreClaims(StoreCase):
    """Claims of ticks: once, in order, never early, with all that follows from them."""

    def test_a_claim_moves_the_watermark_and_inserts_its_rows(self) -> None:
        state = self.declared()
        tick = state.watermark + 60 * SECOND
        run, missed = self.row(tick), self.row(tick - SECOND, status="missed", count=59)
        answer = self.claimed(state, tick, run, missed, counts=1)
        assert answer.begun is None
        assert (answer.state.watermark, answer.state.claimed) == (tick, 1)
        assert [(live.run_id, live.status) for live in answer.state.live] == [(run.id, "queued")]
        assert self.kept(run.id).status == "queued"
        assert self.kept(missed.id).count == 59
        assert self.store.job_states([JOB]) == [answer.state]

    def test_a_claim_may_begin_its_run(self) -> None:
        state = self.declared()
        row = self.row(state.watermark + SECOND)
        answer = self.claimed(state, state.watermark + SECOND, row, start=self.ask(row, "token", job_limit=1))
        begun = answer.begun
        assert begun is not None
        assert (begun.status, begun.token, begun.attempt, begun.node) == ("running", "token", 1, "node-1")
        assert begun.fence == answer.state.fence == 1
        assert begun.started_at == begun.attempt_started_at == self.clock.now()
        assert self.kept(row.id) == begun
        assert [live.status for live in answer.state.live] == ["running"]

    def test_a_start_that_a_limit_forbids_stays_queued(self) -> None:
        state = self.declared()
        self.begun(self.row(origin="run_now"))
        row = self.row(state.watermark + SECOND)
        answer = self.claimed(state, state.watermark + SECOND, row, start=self.ask(row, job_limit=1))
        assert answer.begun is None
        assert self.kept(row.id).status == "queued"

    def test_limits_count_within_a_batch(self) -> None:
        first, second = self.declared(), self.store.sync_jobs([JobSeen("other", "signature")])[0]
        self.clock.advance(60.0)
        tick = second.watermark + SECOND
        rows = [self.row(tick), self.row(tick + SECOND), self.row(tick, "other")]
        claims = [
            self.claim_of(first, tick, rows[0], start=self.ask(rows[0], job_limit=1)),
            self.claim_of(first.replaced(watermark=tick), tick + SECOND, rows[1], start=self.ask(rows[1], job_limit=1),
                          live=(rows[0].id,)),
            self.claim_of(second, tick, rows[2], start=self.ask(rows[2], job_limit=1)),
        ]  # fmt: skip
        answers = self.store.claim(claims)
        assert [answer.verdict for answer in answers] == ["claimed"] * 3
        assert [answer.begun is not None for answer in answers] == [True, False, True]

    def test_a_claim_of_a_changed_state_is_taken(self) -> None:
        state = self.declared()
        tick = state.watermark + SECOND
        claimed = self.claimed(state, tick, self.row(tick)).state
        outdated = [
            self.claim_of(state, tick + SECOND, self.row(tick + SECOND)),
            self.claim_of(claimed, tick + SECOND, self.row(tick + SECOND), live=()),
            self.claim_of(claimed, tick + SECOND, self.row(tick + SECOND), live=("foreign",)),
            self.claim_of(claimed, tick + SECOND, self.row(tick + SECOND), paused=True),
            self.claim_of(claimed, tick, self.row(tick)),
            self.claim_of(claimed, tick - 1, self.row(tick)),
        ]
        for claim in outdated:
            answer = self.store.claim([claim])[0]
            assert (answer.verdict, answer.state) == ("taken", claimed)
        assert len(self.store.runs(JOB)) == 1
        assert self.store.claim([self.claim_of(claimed, tick + SECOND, live=None)])[0].verdict == "claimed"

    def test_live_runs_are_named_oldest_tick_first(self) -> None:
        state = self.declared()
        ids = []
        for number in range(1, 4):
            row = self.row(state.watermark + SECOND)
            ids.append(row.id)
            state = self.claimed(state, state.watermark + SECOND, row).state
            assert [live.run_id for live in state.live] == ids, number
        finished = self.begun(self.kept(ids[0]))
        self.store.swap([self.ended(finished, "failed")])
        reopened = self.kept(ids[0]).copy()
        reopened.status = "queued"
        answer = self.store.swap([self.ended(finished).replaced(row=reopened, status="failed", token=None)])[0]
        assert answer.state is not None
        assert [live.run_id for live in answer.state.live] == ids

    def test_a_claim_whose_watermark_somebody_else_keeps_only_moves_it_on(self) -> None:
        state = self.declared()
        later, earlier = state.watermark + 10 * SECOND, state.watermark + 5 * SECOND
        for tick in (later, earlier):
            row = self.row(tick)
            known = self.store.job_states([JOB])[0]
            assert known is not None
            answer = self.store.claim([self.claim_of(known, tick, row, counts=1).replaced(previous=None)])[0]
            assert (answer.verdict, answer.state.watermark) == ("claimed", later)
            assert self.store.run(row.id) is not None
        after = self.store.job_states([JOB])[0]
        assert after is not None
        assert (after.watermark, after.claimed) == (later, 2)

    def test_a_claim_asked_again_is_claimed_again(self) -> None:
        state = self.declared()
        tick = state.watermark + SECOND
        row = self.row(tick)
        claim = self.claim_of(state, tick, row.copy(), start=self.ask(row, "token"), counts=1)
        first = self.store.claim([claim])[0]
        again = self.store.claim([claim.replaced(rows=(row.copy(),))])[0]
        assert again.verdict == "claimed"
        assert again.begun == first.begun
        assert again.state == first.state
        assert len(self.store.runs(JOB)) == 1

    def test_a_claim_asked_again_after_the_next_is_claimed_still(self) -> None:
        state = self.declared()
        row = self.row(state.watermark + SECOND)
        claim = self.claim_of(state, state.watermark + SECOND, row.copy())
        after = self.store.claim([claim])[0].state
        self.claimed(after, after.watermark + SECOND)
        assert self.store.claim([claim.replaced(rows=(row.copy(),))])[0].verdict == "claimed"

    def test_a_future_tick_is_too_early(self) -> None:
        state = self.declared()
        tick = self.now() + 1 if self.capabilities.takes_clock else self.now() + 60 * SECOND
        answer = self.store.claim([self.claim_of(state, tick, self.row(tick))])[0]
        assert (answer.verdict, answer.state) == ("too_early", state)
        assert abs(answer.now - self.now()) < SECOND
        assert list(self.store.runs(JOB)) == []

    def test_a_jump_of_a_day_and_back_poisons_no_watermark(self) -> None:
        state = self.declared()
        tick = state.watermark + SECOND
        state = self.claimed(state, tick).state
        self.clock.step(86_400.0)
        assert self.store.claim([self.claim_of(state, tick + 80_000 * SECOND)])[0].verdict == "unsettled"
        fresh = self.store.sync_jobs([JobSeen("fresh", "signature")])[0]
        self.clock.advance(10.0)
        self.clock.step(-86_400.0)
        assert self.store.claim([self.claim_of(state, tick + SECOND)])[0].verdict == "unsettled"
        assert fresh.watermark <= self.clock.now()
        self.clock.advance(30.0)
        assert self.store.claim([self.claim_of(state, tick + SECOND)])[0].verdict == "claimed"

    def test_replaced_runs_are_asked_to_stop(self) -> None:
        state = self.declared()
        old = self.row(state.watermark + SECOND)
        answer = self.claimed(state, state.watermark + SECOND, old, start=self.ask(old, "token"))
        new = self.row(answer.state.watermark + SECOND)
        self.claimed(answer.state, answer.state.watermark + SECOND, new, cancel=(old.id,))
        assert self.kept(old.id).cancel_requested == "replaced"

    def test_every_tick_is_claimed_by_exactly_one_process(self) -> None:
        store = type(self).factory(self.place, None)
        store.open()
        first = store.sync_jobs([JobSeen("walked", "signature")])[0].watermark
        store.close()
        won = compete(walk_ticks, [(type(self).factory, self.place, "walked", TICKS, n) for n in range(COMPETITORS)])
        ticks = [tick for ticks in won for tick, _ in ticks]
        fences = [fence for ticks in won for _, fence in ticks]
        assert sorted(ticks) == [first + number + 1 for number in range(TICKS)]
        assert sorted(fences) == list(range(1, TICKS + 1))
