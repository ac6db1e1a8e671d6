"""The queue of due runs, against a sorted list."""

import random

from hypothesis import given
from hypothesis import strategies as st

from rota.backends.memory_queue import DueQueue


@given(st.randoms(use_true_random=False), st.integers(1, 200))
def test_it_answers_as_a_sorted_list_does(chance: random.Random, steps: int):
    queue, entries = DueQueue(), {}
    for number in range(steps):
        if entries and chance.random() < 0.4:
            run_id = chance.choice(list(entries))
            queue.remove(entries.pop(run_id)[2], run_id)
        else:
            run_id, job_id, due = f"run-{number}", f"job-{chance.randrange(4)}", chance.randrange(20)
            entries[run_id] = (due, number, job_id)
            queue.add(job_id, run_id, due)
        exclude = {f"job-{each}" for each in range(4) if chance.random() < 0.3}
        before, limit = chance.randrange(25), chance.randrange(10)
        in_order = sorted((due, order, run_id) for run_id, (due, order, job) in entries.items() if job not in exclude)
        expected = [run_id for due, _, run_id in in_order if due <= before][:limit]
        assert queue.first(before, limit, exclude) == expected
        assert queue.earliest() == min((due for due, _, _ in entries.values()), default=None)


def test_an_excluded_job_costs_nothing():
    queue = DueQueue()
    for number in range(50_000):
        queue.add("busy", f"busy-{number}", 0)
    queue.add("free", "free", 1)
    looked_at = []

    class Counted(list):
        def __getitem__(self, index):
            looked_at.append(index)
            return super().__getitem__(index)

    queue._jobs["busy"].heap = Counted(queue._jobs["busy"].heap)
    assert queue.first(10, 5, {"busy"}) == ["free"]
    assert len(looked_at) < 10


def test_what_has_gone_does_not_pile_up():
    queue = DueQueue()
    queue.add("job", "first", 0)
    for number in range(10_000):
        queue.add("job", f"run-{number}", 5)
        queue.remove("job", f"run-{number}")
    assert len(queue._jobs["job"].heap) < 200
    assert len(queue._heads) < 2_000
