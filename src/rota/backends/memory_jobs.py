"""Declaring jobs to a store in memory.

Law: called under the store's mutex.
"""

from __future__ import annotations

from rota.backends import rules
from rota.backends.embedded_clock import Moment
from rota.backends.memory_runs import MemoryJob, MemoryRuns
from rota.ports import JobSeen


def sync(runs: MemoryRuns, earlier_ids: dict[str, str], seen: JobSeen, moment: Moment) -> MemoryJob:
    """The job under which the declared one goes; `earlier_ids` remembers who is named otherwise, for a while."""
    job_id = seen.renamed_from or seen.job_id
    if seen.renamed_from is not None:
        earlier_ids[seen.job_id] = seen.renamed_from
    if seen.renamed_from is None or not runs.job(job_id).declared:
        _take_over(runs, earlier_ids.pop(job_id, None), job_id)
    job = _declared(runs, seen, job_id, moment)
    rules.see_signature(job, seen, moment)
    return job


def _take_over(runs: MemoryRuns, earlier_id: str | None, job_id: str) -> None:
    earlier = runs.jobs.get(earlier_id) if earlier_id is not None else None
    if earlier is not None and earlier.declared:
        job = runs.job(job_id)
        rules.carry_over(job if job.declared else None, earlier, job)
        job.declared = True


def _declared(runs: MemoryRuns, seen: JobSeen, job_id: str, moment: Moment) -> MemoryJob:
    job = runs.job(job_id)
    if not job.declared:
        rules.see_first(job, seen, moment)
        job.declared = True
    return job
