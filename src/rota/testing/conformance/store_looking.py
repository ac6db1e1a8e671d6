"""What is found: runs that are due, history, ticks, dead letters, and what is pruned."""

from __future__ import annotations

from typing import Any

from rota.testing.conformance._store_case import JOB, NODE, StoreCase


class StoreLooking(StoreCase):
    """What is found: runs that are due, history, ticks, dead letters, and what is pruned."""

    def test_due_in_order_and_backfills_last(self) -> None:
        now = self.now()
        rows = [
            self.row(origin="backfill", due=now - 90),
            self.row(origin="enqueue", due=now - 10),
            self.row(origin="enqueue", due=now - 30, status="waiting"),
            self.row(origin="backfill", due=now - 80),
            self.row(origin="run_now", due=now + 10_000_000),
            self.row(origin="run_now", due=now - 20, job_id="other"),
        ]
        ids = [row.id for row in rows]
        self.store.add(rows)
        in_order = [ids[2], ids[5], ids[1], ids[0], ids[3]]
        assert [row.id for row in self.store.due(now, 10).ready] == in_order
        assert [row.id for row in self.store.due(now, 4).ready] == in_order[:4]
        assert [row.id for row in self.store.due(now, 10, {"other"}).ready] == [i for i in in_order if i != ids[5]]
        assert self.store.due(now, 10, {"other", JOB}).ready == []
        assert self.store.due(now - 91, 10).ready == []
        assert self.store.due(now, 0).ready == []

    def test_equal_ones_come_as_they_came(self) -> None:
        now = self.now()
        ids = [self.store.add([self.row(origin="enqueue", due=now)])[0].id for _ in range(20)]
        assert [row.id for row in self.store.due(now, 100).ready] == ids

    def test_what_was_begun_is_not_due(self) -> None:
        self.declared()
        begun = self.begun(self.row(origin="run_now"))
        assert self.store.due(self.now(), 10).ready == []
        waiting = self.ended(begun, "waiting")
        waiting.row.due = self.now() + 5
        self.store.swap([waiting])
        assert self.store.due(self.now() + 4, 10).ready == []
        assert [row.id for row in self.store.due(self.now() + 5, 10).ready] == [begun.id]

    def test_runs_newest_first(self) -> None:
        rows = [
            self.row(origin="tick", queued_at=10, status="succeeded"),
            self.row(origin="enqueue", queued_at=30, status="failed"),
            self.row(origin="tick", queued_at=20, status="failed", discarded=True),
            self.row(origin="tick", queued_at=40, job_id="other"),
        ]
        ids = [row.id for row in rows]
        self.store.add(rows)

        def found(*args: str, **marks: Any) -> list[int]:
            return [ids.index(row.id) for row in self.store.runs(*args, **marks)]

        assert found() == [3, 1, 2, 0]
        assert found(JOB) == [1, 2, 0]
        assert found(limit=2) == [3, 1]
        assert found(statuses={"failed"}) == [1, 2]
        assert found(statuses=[]) == []
        assert found(origins={"tick"}) == [3, 2, 0]
        assert found(before=30) == [2, 0]
        assert found(since=20) == [3, 1, 2]
        assert found(JOB, discarded=False) == [1, 0]
        assert found(discarded=True) == [2]
        assert found("unknown") == []

    def test_open_runs_are_counted_by_job(self) -> None:
        assert self.store.count_open() == {}
        names = ("a", 'b "ü" 🔒', "c ", "d")
        for name in names:
            self.declared(name)
        self.store.add([self.row(origin="enqueue", job_id=names[0], due=2**61) for _ in range(5)])
        self.store.add([self.row(origin="backfill", job_id=names[1]), self.row(job_id=names[1], status="waiting")])
        self.store.add([self.row(job_id=names[3], status=status) for status in ("succeeded", "missed", "failed")])
        at_work = [self.begun(self.row(job_id=names[2], origin="run_now")) for _ in range(4)]
        assert self.store.count_open() == {names[0]: 5, names[1]: 2, names[2]: 4}
        stuck_in_retry, stuck = self.ended(at_work[0], "waiting"), self.ended(at_work[1], "timed_out")
        stuck_in_retry.row.stuck = stuck.row.stuck = True
        self.store.swap([stuck_in_retry, stuck, self.ended(at_work[2])])
        assert self.store.count_open() == {names[0]: 5, names[1]: 2, names[2]: 2}

    def test_runs_of_ticks(self) -> None:
        rows = [
            self.row(100, queued_at=100),
            self.row(200, queued_at=200, status="succeeded"),
            self.row(300, queued_at=500, origin="backfill"),
            self.row(450, queued_at=450, status="missed", count=3, window_start=350, window_end=450),
            self.row(200, queued_at=200, job_id="other"),
            self.row(origin="run_now", queued_at=200),
        ]
        ids = [row.id for row in rows]
        self.store.add(rows)

        def found(first: int, last: int) -> set[int]:
            return {ids.index(row.id) for row in self.store.runs_of_ticks(JOB, first, last)}

        assert found(0, 1000) == {0, 1, 2, 3}
        assert found(100, 200) == {0, 1}
        assert found(101, 199) == set()
        assert found(300, 349) == {2}
        assert found(360, 400) == {3}
        assert found(451, 1000) == set()

    def test_discard_is_for_dead_letters(self) -> None:
        failed, fine = self.row(status="failed"), self.row(status="succeeded")
        self.store.add([failed, fine])
        assert self.store.discard(failed.id)
        assert self.store.discard(failed.id)
        assert not self.store.discard(fine.id)
        assert not self.store.discard("unknown")
        assert self.kept(failed.id).discarded

    def test_prune_keeps_what_it_should(self) -> None:
        state = self.declared()
        old, young = self.begun(self.row(origin="run_now")), self.begun(self.row(origin="run_now"))
        failed, other_job = self.begun(self.row(origin="run_now")), self.row(None, "other", status="succeeded")
        other_job.finished_at = self.now()
        still_queued = self.row(origin="enqueue", key="k")
        self.store.add([other_job, still_queued])
        self.store.put_value(f"run:{old.id}", "k", "1")
        self.store.swap([self.ended(old, logs=('"line"',)), self.ended(failed, "failed")])
        self.clock.advance(100.0)
        keep_from = {"succeeded": self.now()}
        self.store.swap([self.ended(young)])
        assert self.store.prune(JOB, keep_from) == 1
        assert self.store.run(old.id) is None
        assert self.store.values(f"run:{old.id}") == {}
        assert list(self.store.logs(old.id)) == []
        for row in (young, failed, other_job, still_queued):
            assert self.store.run(row.id) is not None
        assert self.store.prune(None, keep_from, exclude=["other"]) == 0
        assert self.store.prune(None, keep_from) == 1
        assert self.store.prune(None, keep_from) == 0
        after = self.store.job_states([JOB])[0]
        assert after is not None
        assert (after.watermark, after.fence) == (state.watermark, 3)

    def test_prune_is_bounded(self) -> None:
        rows = [self.row(status="skipped", finished_at=5, queued_at=5) for _ in range(7)]
        self.store.add(rows)
        assert [self.store.prune(None, {"skipped": 6}, limit=3) for _ in range(4)] == [3, 3, 1, 0]

    def test_a_pruned_key_may_be_used_again(self) -> None:
        row = self.row(origin="enqueue", key="k", status="succeeded", finished_at=5, queued_at=5)
        self.store.add([row])
        self.store.prune(None, {"succeeded": 6})
        again = self.row(origin="enqueue", key="k")
        assert self.store.add([again])[0].id == again.id

    def test_a_stuck_run_is_not_pruned(self) -> None:
        self.declared()
        stuck = self.ended(self.begun(self.row(origin="run_now")), "timed_out")
        stuck.row.stuck = True
        self.store.swap([stuck])
        assert self.store.prune(None, {"timed_out": self.now() + 1}) == 0

    def test_nodes_newest_first_and_forgotten_when_not_seen_for_long(self) -> None:
        for number in range(3):
            self.store.beat(NODE._replace(id=f"node-{number}", started_at=number, last_seen=number))
        self.store.beat(NODE._replace(id="node-1", started_at=1, last_seen=9, stopped_at=9))
        assert [node.id for node in self.store.nodes()] == ["node-2", "node-1", "node-0"]
        assert self.store.nodes()[1].stopped_at == 9
        self.store.prune(None, {"succeeded": 5})
        assert len(self.store.nodes()) == 3
        self.store.forget(2)
        assert [node.id for node in self.store.nodes()] == ["node-2", "node-1"]
