"""The life of a run: added, begun under limits, renewed, swapped, taken over."""

from __future__ import annotations

from rota.ports import JobSeen, Swap
from rota.testing.conformance._processes import compete
from rota.testing.conformance._store_case import JOB, NODE, SECOND, StoreCase
from rota.testing.conformance._work import begin_all


class StoreRuns(StoreCase):
    """The life of a run: added, begun under limits, renewed, swapped, taken over."""

    def test_added_rows_are_kept_whole(self) -> None:
        self.declared()
        row = self.row(
            origin="enqueue", key="k", args="[1]", kwargs='{"a": "ü"}', lane="lane", lane_limit=2, is_catch_up=True,
            window_start=1, window_end=2, reason="asked", schedule_id="s", spent=1, attempts="[]", progress="{}",
            discarded=True, result="null", error="none",
        )  # fmt: skip
        copy = row.copy()
        assert list(self.store.add([row])) == [copy]
        assert self.kept(row.id) == copy
        assert self.open().run(row.id) == copy
        assert self.store.run("unknown") is None

    def test_adding_again_gives_the_earlier_row(self) -> None:
        row = self.row(origin="enqueue", key="k")
        self.store.add([row])
        other = row.copy()
        other.args = "[2]"
        assert self.store.add([other])[0].args is None
        same_key, other_job = self.row(origin="enqueue", key="k"), self.row(None, "other", "enqueue", key="k")
        tick_key = self.row(5, key="k")
        kept = self.store.add([same_key, other_job, tick_key])
        assert [found.id for found in kept] == [row.id, other_job.id, tick_key.id]
        twins = [self.row(origin="enqueue", key="twin"), self.row(origin="enqueue", key="twin")]
        assert {found.id for found in self.store.add(twins)} == {twins[0].id}

    def test_begin(self) -> None:
        self.declared()
        row = self.row(origin="run_now", reason="asked")
        self.store.add([row.copy()])
        answer = self.store.begin([self.ask(row, "token")])[0]
        begun = answer.row
        assert answer.verdict == "begun"
        assert begun is not None
        assert (begun.status, begun.token, begun.node, begun.attempt) == ("running", "token", "node-1", 1)
        assert (begun.fence, begun.reason, begun.started_at) == (1, "", begun.attempt_started_at)
        assert self.kept(row.id) == begun
        assert self.store.begin([self.ask(row, "token")])[0] == answer
        assert self.store.begin([self.ask(row, "other")])[0].verdict == "gone"
        assert self.store.begin([self.ask(self.row())])[0].verdict == "gone"

    def test_the_second_attempt_has_the_next_fence_and_keeps_the_first_start(self) -> None:
        self.declared()
        first = self.begun(self.row(origin="run_now"))
        waiting = self.ended(first, "waiting")
        self.store.swap([waiting])
        self.clock.advance(10.0)
        stale, right = self.ask(self.kept(first.id)).replaced(attempt=0), self.ask(self.kept(first.id))
        assert self.store.begin([stale])[0].verdict == "gone"
        second = self.store.begin([right])[0].row
        assert second is not None
        assert (second.attempt, second.fence) == (2, 2)
        assert second.started_at == first.started_at
        assert second.attempt_started_at == self.clock.now()

    def test_begin_respects_the_limit_of_the_job(self) -> None:
        self.declared()
        rows = [self.row(origin="run_now") for _ in range(3)]
        self.store.add([row.copy() for row in rows])
        answers = self.store.begin([self.ask(row, job_limit=2) for row in rows])
        assert [answer.verdict for answer in answers] == ["begun", "begun", "busy"]
        assert answers[0].row is not None
        self.store.swap([self.ended(answers[0].row)])
        assert self.store.begin([self.ask(rows[2], job_limit=2)])[0].verdict == "begun"

    def test_a_stuck_run_is_at_work(self) -> None:
        self.declared()
        first, second = self.begun(self.row(origin="run_now")), self.row(origin="run_now")
        self.store.add([second.copy()])
        stuck = self.ended(first, "timed_out")
        stuck.row.stuck = True
        assert self.store.swap([stuck])[0].verdict == "swapped"
        assert self.kept(first.id).token == first.token
        assert self.store.begin([self.ask(second, job_limit=1)])[0].verdict == "busy"
        assert not self.store.renew(NODE, [(first.id, first.token or "")], 30.0).lost
        over = self.kept(first.id).copy()
        over.stuck = False
        self.store.swap([stuck.replaced(row=over, status="timed_out")])
        assert self.kept(first.id).token is None
        assert self.store.begin([self.ask(second, job_limit=1)])[0].verdict == "begun"

    def test_a_retry_waits_until_the_stuck_thread_is_back(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"))
        stuck = self.ended(begun, "waiting")
        stuck.row.stuck = True
        self.store.swap([stuck])
        assert not self.store.due(self.now(), 10).ready
        assert self.store.begin([self.ask(self.kept(begun.id))])[0].verdict == "gone"
        over = self.kept(begun.id).copy()
        over.stuck = False
        self.store.swap([stuck.replaced(row=over, status="waiting")])
        assert [row.id for row in self.store.due(self.now(), 10).ready] == [begun.id]

    def test_begin_respects_the_limit_of_the_lane(self) -> None:
        self.declared()
        rows = [self.row(5, origin="backfill", lane="lane", lane_limit=1) for _ in range(2)]
        other = self.row(5, origin="backfill", lane="other", lane_limit=1)
        self.store.add([row.copy() for row in (*rows, other)])
        answers = self.store.begin([self.ask(row) for row in (*rows, other)])
        assert [answer.verdict for answer in answers] == ["begun", "busy", "begun"]

    def test_begin_after_earlier_ticks(self) -> None:
        state = self.declared()
        rows = []
        for _ in range(2):
            rows.append(self.row(state.watermark + SECOND))
            state = self.claimed(state, state.watermark + SECOND, rows[-1].copy()).state
        late, early = self.ask(rows[1], after_ticks=True), self.ask(rows[0], after_ticks=True)
        assert self.store.begin([late])[0].verdict == "busy"
        begun = self.store.begin([early])[0].row
        assert begun is not None
        assert self.store.begin([late])[0].verdict == "busy"
        self.store.swap([self.ended(begun)])
        assert self.store.begin([late])[0].verdict == "begun"

    def test_swap_needs_the_status_and_the_token(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"))
        right = self.ended(begun)
        assert self.store.swap([right.replaced(row=right.row.copy(), token=None)])[0].verdict == "lost"
        assert self.store.swap([right.replaced(row=right.row.copy(), status="queued")])[0].verdict == "lost"
        assert self.kept(begun.id).status == "running"
        assert self.store.swap([right])[0].verdict == "swapped"
        kept = self.kept(begun.id)
        assert (kept.status, kept.token, kept.fence) == ("succeeded", None, begun.fence)
        assert self.store.swap([self.ended(self.row())])[0].verdict == "lost"

    def test_swap_again_with_the_same_row_is_swapped_and_counts_once(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"))
        swap = self.ended(begun, "failed", streak=1, covered=7, logs=('"line"',))
        first = self.store.swap([swap.replaced(row=swap.row.copy())])[0]
        again = self.store.swap([swap.replaced(row=swap.row.copy())])[0]
        assert again == first
        assert first.state is not None
        assert (first.state.streak, first.state.covered_until) == (1, 7)
        assert list(self.store.logs(begun.id)) == ['"line"']

    def test_streak_and_covered(self) -> None:
        self.declared()
        seen = []
        for covered, streak in ((None, 1), (50, 1), (40, 0), (None, None), (60, 1)):
            swap = self.ended(self.begun(self.row(origin="run_now")), covered=covered, streak=streak)
            state = self.store.swap([swap])[0].state
            assert state is not None
            seen.append((state.covered_until, state.streak))
        assert seen == [(None, 1), (50, 2), (50, 0), (50, 0), (60, 1)]

    def test_take_over_only_after_the_lease(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"), ttl=30.0)
        swap = self.ended(begun, "lost", expired=True)
        assert self.store.swap([swap.replaced(row=swap.row.copy())])[0].verdict == "lost"
        assert not self.store.due(self.now(), 10).expired
        self.clock.advance(30.0)
        assert [row.id for row in self.store.due(self.now(), 10).expired] == [begun.id]
        assert self.store.swap([swap])[0].verdict == "swapped"
        assert not self.store.due(self.now(), 10).expired
        assert self.store.swap([self.ended(begun)])[0].verdict == "lost"

    def test_a_stuck_run_of_a_dead_process_is_taken_over(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"), ttl=30.0)
        stuck = self.ended(begun, "timed_out")
        stuck.row.stuck = True
        self.store.swap([stuck])
        self.clock.advance(31.0)
        found = self.store.due(self.now(), 10).expired
        assert [row.id for row in found] == [begun.id]
        over = found[0].copy()
        over.stuck = False
        swap = stuck.replaced(row=over, status="timed_out", expired=True)
        assert self.store.swap([swap])[0].verdict == "swapped"
        assert self.kept(begun.id).token is None

    def test_renewal_extends_and_tells(self) -> None:
        self.declared()
        begun, other = self.begun(self.row(origin="run_now")), self.begun(self.row(origin="run_now"))
        assert begun.token is not None
        assert other.token is not None
        for _ in range(3):
            self.clock.advance(20.0)
            assert self.store.renew(NODE, [(begun.id, begun.token)], 30.0) == (frozenset(), {})
        held = [(begun.id, begun.token), (other.id, other.token), ("unknown", "token"), (begun.id, begun.token)]
        assert self.store.renew(NODE, held, 30.0).lost == {other.id, "unknown"}
        assert self.store.request_cancel(begun.id, "cancel")
        assert self.store.request_cancel(begun.id, "again")
        assert self.store.renew(NODE, [(begun.id, begun.token)], 30.0).cancelled == {begun.id: "cancel"}
        assert self.store.renew(NODE, [(begun.id, "foreign")], 30.0).lost == {begun.id}
        assert [node.id for node in self.store.nodes()] == [NODE.id]

    def test_only_a_running_run_can_be_asked_to_stop(self) -> None:
        self.declared()
        row = self.row(origin="run_now")
        self.store.add([row.copy()])
        assert not self.store.request_cancel(row.id, "cancel")
        assert not self.store.request_cancel("unknown", "cancel")

    def test_a_run_that_was_asked_to_stop_is_asked_as_long_as_it_is_open_and_not_begun_again(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"))
        assert self.store.request_cancel(begun.id, "cancel")
        moved = begun.copy()
        moved.window_start = 1
        assert self.store.swap([Swap(moved, "running", begun.token)])[0].verdict == "swapped"
        waiting = moved.copy()
        waiting.status, waiting.node = "waiting", None
        assert self.store.swap([Swap(waiting, "running", begun.token)])[0].verdict == "swapped"
        kept = self.kept(begun.id)
        assert kept.cancel_requested == "cancel"
        assert self.store.begin([self.ask(kept)])[0].verdict == "gone"
        assert self.kept(begun.id).status == "waiting"

    def test_a_swap_leaves_progress_to_its_holder(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"))
        assert begun.token is not None
        assert self.store.set_progress(begun.id, begun.token, '{"done": 1}')
        assert not self.store.set_progress(begun.id, "foreign", "{}")
        self.store.swap([self.ended(begun)])
        assert self.kept(begun.id).progress == '{"done": 1}'
        assert not self.store.set_progress(begun.id, begun.token, "{}")

    def test_what_was_handed_out_does_not_change(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"))
        before = begun.copy()
        self.store.request_cancel(begun.id, "cancel")
        self.store.swap([self.ended(begun)])
        assert begun == before

    def test_every_run_is_begun_by_exactly_one_process(self) -> None:
        store = type(self).factory(self.place, None)
        store.open()
        store.sync_jobs([JobSeen(JOB, "signature")])
        rows = [self.row(origin="enqueue") for _ in range(60)]
        ids = [row.id for row in rows]
        store.add(rows)
        store.close()
        begun = compete(begin_all, [(type(self).factory, self.place, number) for number in range(4)])
        assert sorted(run_id for each in begun for run_id in each) == sorted(ids)
