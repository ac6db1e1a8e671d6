"""What is damaged in the row of a run, told so that a person can mend it.

Theory. A store gives back what it was given, unless somebody else has written to it: a hand, or a disk that fails. A
database takes any text where JSON belongs, and an SQLite file takes one where a number does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rota.core.run import RunRow

SHOWN: Final = 100
"""Characters of a damaged text that are told."""

_NUMBERS: Final = (
    "queued_at", "due", "scheduled_for", "count", "window_start", "window_end", "lane_limit", "attempt", "spent",
    "attempt_started_at", "started_at", "finished_at", "fence",
)  # fmt: skip

_TEXTS_OF_JSON: Final[Mapping[str, type]] = {
    "args": list,
    "kwargs": dict,
    "attempts": list,
    "result": object,
    "progress": dict,
}
"""What each holds, where it holds anything."""


def damage_of(row: RunRow) -> str | None:
    """What the first damaged column holds, in words; `None`: nothing is damaged."""
    for name in _NUMBERS:
        value = getattr(row, name)
        if value is not None and type(value) is not int:
            return _told(row, name, f"{str(value)[:SHOWN]!r}, which is no whole number")
    for name, kind in _TEXTS_OF_JSON.items():
        text = getattr(row, name)
        if text and not _is_json(text, kind):
            return _told(row, name, f"{text[:SHOWN]!r}, which is not the JSON that belongs there")
    return None


def _is_json(text: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(text), kind)
    except (TypeError, ValueError, RecursionError):
        return False


def _told(row: RunRow, column: str, holds: str) -> str:
    return f"the row of run {row.id!r} is damaged (in a database: of table rota_runs): its {column} is {holds}"
