"""Jobs in tables: declared, paused, resumed.

Law: functions of an open transaction; none begins or ends one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rota.backends import rules
from rota.backends.rules import JobFacts
from rota.backends.transaction import Transaction
from rota.errors import StoreError
from rota.ports import JobSeen, JobState


def of(jobs: Mapping[str, JobFacts], job_id: str) -> JobFacts:
    """The facts of a job that must have been declared."""
    facts = jobs.get(job_id)
    if facts is None:
        raise StoreError(f"the store does not know the job {job_id!r}: declare it with sync_jobs first")
    return facts


def sync(tx: Transaction, seen_jobs: Sequence[JobSeen]) -> list[JobState]:
    """Declare jobs; their states, in order."""
    tx.alone()
    ids = {seen.job_id for seen in seen_jobs}
    ids |= {seen.renamed_from for seen in seen_jobs if seen.renamed_from is not None}
    renames = tx.renames(ids)
    jobs = tx.jobs(ids | set(renames.values()))
    before = {job_id: _kept(facts) for job_id, facts in jobs.items()}
    states = [_sync_one(tx, seen, jobs, renames).state() for seen in seen_jobs]
    changed = [facts for job_id, facts in jobs.items() if before.get(job_id) != _kept(facts)]
    if changed:
        tx.write_jobs(changed)
    return states


def _sync_one(tx: Transaction, seen: JobSeen, jobs: dict[str, JobFacts], renames: dict[str, str]) -> JobFacts:
    job_id = seen.renamed_from or seen.job_id
    own = jobs.get(job_id)
    if seen.renamed_from is not None and renames.get(seen.job_id) != seen.renamed_from:
        renames[seen.job_id] = seen.renamed_from
        tx.set_rename(seen.job_id, seen.renamed_from)
    if job_id in renames and (seen.renamed_from is None or own is None):
        earlier = jobs.get(renames.pop(job_id))
        tx.delete_rename(job_id)
        if earlier is not None:
            target = jobs[job_id] = own or rules.first_sight(seen, job_id, tx.moment)
            rules.carry_over(own, earlier, target)
    if job_id not in jobs:
        jobs[job_id] = rules.first_sight(seen, job_id, tx.moment)
    rules.see_signature(jobs[job_id], seen, tx.moment)
    return jobs[job_id]


def _kept(facts: JobFacts) -> JobState:
    return facts.state().replaced(live=())


def pause(tx: Transaction, job_id: str, reason: str | None) -> JobState | None:
    """Pause or resume a job."""
    job = tx.jobs([job_id]).get(job_id)
    if job is None:
        return None
    rules.set_pause(job, reason, tx.moment)
    tx.write_jobs([job])
    return job.state()
