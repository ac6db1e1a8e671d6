"""Jobs: first sight, a changed trigger, a new name, a pause."""

from __future__ import annotations

from rota.ports import JobSeen
from rota.testing.conformance._store_case import JOB, SECOND, StoreCase
from rota.testing.conformance.lock_tokens import NAMES


class StoreJobs(StoreCase):
    """Jobs: first sight, a changed trigger, a new name, a pause."""

    def test_first_sight_starts_at_the_clock_of_the_store(self) -> None:
        before = self.now()
        state = self.store.sync_jobs([JobSeen(JOB, "signature")])[0]
        assert before <= state.first_seen <= self.now()
        assert state.watermark == state.first_seen
        assert (state.claimed, state.fence, state.covered_until, state.streak, state.paused_at) == (0, 0, None, 0, None)
        assert state.live == ()

    def test_declaring_again_changes_nothing(self) -> None:
        state = self.declared()
        assert self.open().sync_jobs([JobSeen(JOB, "signature")]) == [state]
        assert self.store.job_states([JOB, "unknown"]) == [state, None]

    def test_states_come_in_order(self) -> None:
        names = [f"job-{number}" for number in range(20)]
        states = self.store.sync_jobs([JobSeen(name, "signature") for name in names])
        assert [state.job_id for state in states] == names
        assert [state.job_id for state in self.store.job_states(names[::-1]) if state] == names[::-1]
        assert list(self.store.sync_jobs([])) == []

    def test_names_are_kept_apart(self) -> None:
        states = self.store.sync_jobs([JobSeen(name, "signature") for name in NAMES])
        if self.capabilities.takes_clock:
            self.clock.advance(3600.0)
        assert [state.job_id for state in states] == list(NAMES)
        rows = [self.row(state.watermark + 1, state.job_id) for state in states]
        for state, row in zip(states, rows, strict=True):
            self.claimed(state, state.watermark + 1, row)
        ready = self.store.due(self.now(), 100, NAMES[:2]).ready
        assert sorted(row.job_id for row in ready) == sorted(NAMES[2:])
        answers = self.store.begin([self.ask(row) for row in rows])
        assert [answer.row and answer.row.job_id for answer in answers] == list(NAMES)
        assert [[live.run_id for live in state.live] for state in self.store.job_states(NAMES) if state] == [
            [row.id] for row in rows
        ]

    def test_a_changed_trigger_has_no_past(self) -> None:
        self.declared(since=3600.0)
        state = self.store.sync_jobs([JobSeen(JOB, "other")])[0]
        assert (state.signature, state.watermark) == ("other", self.clock.now())
        assert state.first_seen < state.watermark

    def test_a_renamed_job_goes_on_under_its_earlier_id(self) -> None:
        state = self.declared("old")
        assert self.store.sync_jobs([JobSeen("new", "signature", "old")]) == [state]
        assert self.store.job_states(["new"]) == [None]

    def test_a_renamed_job_nobody_knew_starts_under_its_earlier_id(self) -> None:
        state = self.store.sync_jobs([JobSeen("new", "signature", "old")])[0]
        assert state.job_id == "old"

    def test_the_watermark_is_copied_once_the_earlier_id_is_dropped(self) -> None:
        state = self.declared("old")
        tick = state.watermark + 60 * SECOND
        self.store.sync_jobs([JobSeen("new", "signature", "old")])
        self.claimed(state, tick, counts=1)
        moved = self.store.sync_jobs([JobSeen("new", "signature")])[0]
        earlier = self.store.job_states(["old"])[0]
        assert earlier is not None
        assert moved == earlier.replaced(job_id="new")
        assert (moved.watermark, moved.claimed) == (tick, 1)

    def test_a_dropped_earlier_id_may_be_used_anew(self) -> None:
        self.declared("old")
        self.store.sync_jobs([JobSeen("new", "signature", "old")])
        moved = self.store.sync_jobs([JobSeen("new", "signature")])[0]
        old = self.store.sync_jobs([JobSeen("old", "signature")])[0]
        self.claimed(old, old.watermark + SECOND)
        assert self.store.sync_jobs([JobSeen("new", "signature")])[0].watermark == moved.watermark

    def test_a_job_renamed_twice_goes_on_where_it_stood(self) -> None:
        state = self.declared("first")
        self.store.sync_jobs([JobSeen("second", "signature", "first")])
        self.claimed(state, state.watermark + 60 * SECOND, counts=1)
        self.store.pause("first", "why")
        first = self.store.job_states(["first"])[0]
        assert first is not None
        for _ in range(2):
            assert self.store.sync_jobs([JobSeen("third", "signature", "second")]) == [first.replaced(job_id="second")]
        assert self.store.sync_jobs([JobSeen("third", "signature")]) == [first.replaced(job_id="third")]

    def test_jobs_that_exchange_their_ids_keep_their_states(self) -> None:
        one, other = self.declared("one"), self.declared("other", since=60.0)
        swapped = [JobSeen("one", "signature", "other"), JobSeen("other", "signature", "one")]
        for _ in range(2):
            assert self.store.sync_jobs(swapped) == [other, one]

    def test_a_job_declared_before_and_after_its_earlier_id_only_moves_on(self) -> None:
        self.declared("new")
        state = self.declared("old")
        self.store.sync_jobs([JobSeen("new", "signature", "old")])
        self.claimed(state, state.watermark + 60 * SECOND)
        assert self.store.sync_jobs([JobSeen("new", "signature")])[0].watermark == state.watermark + 60 * SECOND

    def test_pause_and_resume(self) -> None:
        assert self.store.pause("unknown", "why") is None
        self.declared()
        paused = self.store.pause(JOB, "why")
        assert paused is not None
        assert paused.pause_reason == "why"
        assert paused.paused_at is not None
        assert self.store.pause(JOB, "why") == paused
        assert self.open().job_states([JOB]) == [paused]
        resumed = self.store.pause(JOB, None)
        assert resumed is not None
        assert (resumed.paused_at, resumed.pause_reason) == (None, "")
        assert self.store.pause(JOB, None) == resumed

    def test_a_pause_without_words_is_a_pause(self) -> None:
        self.declared()
        paused = self.store.pause(JOB, "")
        assert paused is not None
        assert paused.paused_at is not None
