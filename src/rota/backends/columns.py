"""The facts of runs and jobs that tables keep, by the names of their columns: the same in every database."""

from __future__ import annotations

from typing import Final

from rota.core.run import RunRow

COLUMNS: Final = tuple(RunRow.__slots__)
"""All of a run, in the order in which a row is read and inserted."""

FIXED: Final = frozenset(
    {"id", "job_id", "origin", "queued_at", "scheduled_for", "schedule_id", "key", "lane", "lane_limit"}
)
"""Facts that stay as they were when the run was made."""

BEGUN: Final = (
    "status", "token", "node", "attempt", "attempt_started_at", "started_at", "fence", "reason", "cancel_requested",
)  # fmt: skip
"""What a begin changes of a run."""

SWAPPED: Final = tuple(name for name in COLUMNS if name not in FIXED and name != "progress")
"""What a swap may change of a run."""

JOB: Final = (
    "job_id", "signature", "first_seen", "watermark", "claimed", "fence", "covered_until", "streak", "paused_at",
    "pause_reason",
)  # fmt: skip
"""What is kept of a job, in the order in which `JobFacts` takes it."""

MOVED: Final = ("watermark", "claimed", "fence", "covered_until", "streak")
"""What runs change of their job."""
