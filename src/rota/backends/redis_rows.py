"""Rows, asks and states as the texts that the scripts of Redis keep and compare.

Law: a text is a JSON array, in ASCII, with a NUL in the place of the comma between its items. A batch goes over as one
array of such arrays; what is kept, and what is answered, has no brackets around it. The order of the first items of a
row is known to `lua/rows.lua`; names of keys and fields are JSON strings too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any, Final

from rota.core.effects import JobState, Live
from rota.core.run import RunRow

_JUDGED: Final = (
    "status", "stuck", "token", "due", "cancel_requested", "progress", "id", "job_id", "origin", "queued_at", "lane",
    "scheduled_for", "lane_limit", "key", "attempt", "started_at", "fence", "node", "attempt_started_at", "reason",
    "finished_at", "discarded", "count", "window_start",
)  # fmt: skip
"""What the scripts look at or change."""

FIELDS: Final = (*_JUDGED, *(name for name in RunRow.__slots__ if name not in _JUDGED))

NUMBER: Final = 13
"""How many characters of a row as it is kept come after its text: a separator and its number."""

STATE: Final = 11
"""How many items the state of a job has."""

_facts = attrgetter(*FIELDS)
_dumps = json.JSONEncoder(separators=("\0", ":"), check_circular=False).encode


def fragment(text: str | None) -> bytes:
    """A text as the scripts know it: a JSON string, or `null`."""
    return b"null" if text is None else encode_basestring_ascii(text).encode("ascii")


def array(items: Sequence[object]) -> bytes:
    """Scalars as one argument."""
    return _dumps(items).encode("ascii")


def batch(arrays: Sequence[Sequence[object]]) -> bytes:
    """Arrays of scalars, of which the last item may be a list, as one argument."""
    return _dumps(arrays).encode("ascii")


def rows_text(rows: Iterable[RunRow]) -> bytes:
    """Rows as one argument."""
    return batch(list(map(_facts, rows)))


def listed(texts: Collection[str] | None) -> bytes:
    """A list of texts as one argument; `None` is `null`."""
    return b"null" if texts is None else _dumps(list(texts)).encode("ascii")


def items(reply: bytes) -> list[Any]:
    """The items of what was kept or answered."""
    found: list[Any] = decoded(b"[%b]" % reply)
    return found


def groups(items: list[Any], size: int) -> list[list[Any]]:
    """The items of a flat list that belong together."""
    return [items[at : at + size] for at in range(0, len(items), size)]


def decoded(reply: bytes) -> Any:
    """A text as JSON."""
    return json.loads(reply.replace(b"\0", b",").decode("ascii"))


def row_of(facts: Sequence[Any]) -> RunRow:
    """A row as it came from the server."""
    row = RunRow.__new__(RunRow)
    for name, value in zip(FIELDS, facts, strict=True):
        setattr(row, name, value)
    return row


def state_of(job_id: str, facts: Sequence[Any]) -> JobState:
    """The state of a job, which `facts` end with as it came from the server, which also counts the runs at work."""
    live = facts[-1]
    return JobState(*[job_id, *facts[-STATE:-2], _live_of(live) if live else ()])


def known_state_of(job_id: str, facts: Sequence[Any]) -> JobState | None:
    """The same; `None` for a job that was never declared."""
    return None if facts[-STATE] is None else state_of(job_id, facts)


def _live_of(facts: Sequence[Any]) -> tuple[Live, ...]:
    run_ids, ticks, statuses, stuck = (facts[column::4] for column in range(4))
    return tuple(map(Live, run_ids, statuses, stuck, ticks))
