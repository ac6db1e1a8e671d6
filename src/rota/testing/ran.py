"""Did it run? An answer that shows what did.

Law: pure, on records. A run *ran* if an attempt of it began, however it ended.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from rota.core.run import RunRecord
from rota.testing.instants import instant
from rota.triggers.base import from_micros

MOST_SHOWN = 20
"""Runs listed in a message, the latest ones."""

Instants = datetime | str | Collection[datetime | str] | None


def check_ran(job_id: str, records: Sequence[RunRecord], at: Instants, times: int | None) -> None:
    """Raise `AssertionError` unless these records of one job have runs at these instants, or any; so many, if said."""
    ran = [record for record in records if record.started_at is not None]
    wanted = _instants(at)
    missing = [moment for moment in wanted if not any(_is_at(record, moment) for record in ran)]
    if missing:
        raise AssertionError(f"{job_id!r} did not run at {', '.join(map(_shown, missing))}\n{_what_ran(records)}")
    if wanted:
        ran = [record for record in ran if any(_is_at(record, moment) for moment in wanted)]
    if times is None and not ran:
        raise AssertionError(f"{job_id!r} did not run\n{_what_ran(records)}")
    if times is not None and len(ran) != times:
        raise AssertionError(f"{job_id!r} ran {len(ran)} times, not {times}\n{_what_ran(records)}")


def _instants(at: Instants) -> list[datetime]:
    if at is None:
        return []
    several = [at] if isinstance(at, (datetime, str)) else list(at)
    return [from_micros(instant(moment, "assert_ran: at")) for moment in several]


def _is_at(record: RunRecord, moment: datetime) -> bool:
    return moment in (record.scheduled_for, record.started_at)


def _what_ran(records: Sequence[RunRecord]) -> str:
    if not records:
        return "there are no runs of it"
    lines = [f"    {_line(record)}" for record in records[-MOST_SHOWN:]]
    title = "its runs:" if len(records) <= MOST_SHOWN else f"the last {MOST_SHOWN} of its {len(records)} runs:"
    return "\n".join([title, *lines])


def _line(record: RunRecord) -> str:
    tick = record.origin if record.scheduled_for is None else _shown(record.scheduled_for)
    parts = [tick, record.status]
    if record.started_at is not None and record.started_at != record.scheduled_for:
        parts.append(f"started {_shown(record.started_at)}")
    if record.count > 1:
        parts.append(f"{record.count} ticks")
    parts += [text for text in (record.reason, record.error) if text]
    return ", ".join(parts)


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
