"""The tables of Rota in PostgreSQL and MySQL/MariaDB, as statements speak of them.

Law: these are the tables that the migrations of `sql_migrations` make, and a test compares the two. No
name is ever folded: whatever a user chooses is compared byte by byte, trailing spaces, case and NUL included.

Every row belongs to a space, which is a scheduler's name: several schedulers share one database. Instants are
microseconds; a lease ends at `lease_until` of the server's clock.

Of `rota_runs` the server computes five columns, which the indexes are made of (partial indexes where it has them).
Write them as literals, `live = 1`, not as parameters, so that the planner can tell which index serves.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

_ESCAPE: Final = "\x1a"


def escaped(text: str) -> str:
    """The text as PostgreSQL can keep it: without NUL, and no two alike that were not."""
    if "\0" in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _ESCAPE + "1").replace("\0", _ESCAPE + "0")
    return text


def unescaped(text: str) -> str:
    """The text that `escaped` was given."""
    if _ESCAPE in text:
        return text.replace(_ESCAPE + "0", "\0").replace(_ESCAPE + "1", _ESCAPE)
    return text


def key_hash(key: str) -> bytes:
    """What stands for a key of a value in the primary key: a key may be of any length, an index entry not."""
    return sha256(key.encode()).digest()


class Name(TypeDecorator[str]):
    """Text of at most 1024 bytes in UTF-8, equal only to itself. MySQL compares no text so, only bytes."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kept_as: TypeEngine[Any] = Text() if dialect.name == "postgresql" else LargeBinary()
        return dialect.type_descriptor(kept_as)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | bytes | None:
        if value is None:
            return None
        return escaped(value) if dialect.name == "postgresql" else value.encode()

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return unescaped(value) if dialect.name == "postgresql" else bytes(value).decode()


class FreeText(TypeDecorator[str]):
    """Text of any length that nothing is looked up by."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return escaped(value) if value is not None and dialect.name == "postgresql" else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return unescaped(value) if value is not None and dialect.name == "postgresql" else value


Word = String(64)
"""ASCII text that Rota itself makes: statuses, tokens."""

metadata = MetaData()

spaces = Table(
    "rota_spaces",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("fence_floor", BigInteger, nullable=False, server_default="0"),
)

locks = Table(
    "rota_locks",
    metadata,
    Column("space", Integer, primary_key=True, autoincrement=False),
    Column("name", LargeBinary, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("token", Word),
    Column("lease_until", BigInteger),
)

watermarks = Table(
    "rota_watermarks",
    metadata,
    Column("space", Integer, primary_key=True, autoincrement=False),
    Column("name", LargeBinary, primary_key=True),
    Column("tick", BigInteger, nullable=False),
)

jobs = Table(
    "rota_jobs",
    metadata,
    Column("space", Integer, primary_key=True, autoincrement=False),
    Column("job_id", Name, primary_key=True),
    Column("signature", FreeText, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("watermark", BigInteger, nullable=False),
    Column("claimed", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("covered_until", BigInteger),
    Column("streak", BigInteger, nullable=False),
    Column("paused_at", BigInteger),
    Column("pause_reason", FreeText, nullable=False),
)

renames = Table(
    "rota_renames",
    metadata,
    Column("space", Integer, primary_key=True, autoincrement=False),
    Column("job_id", Name, primary_key=True),
    Column("earlier_id", Name, nullable=False),
)

runs = Table(
    "rota_runs",
    metadata,
    Column("number", BigInteger, Identity(), nullable=False),
    Column("space", Integer, primary_key=True, autoincrement=False),
    Column("id", Name, primary_key=True),
    Column("job_id", Name, nullable=False),
    Column("origin", Word, nullable=False),
    Column("status", Word, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("scheduled_for", BigInteger),
    Column("schedule_id", Name),
    Column("count", BigInteger, nullable=False),
    Column("window_start", BigInteger),
    Column("window_end", BigInteger),
    Column("reason", FreeText, nullable=False),
    Column("key", Name),
    Column("args", FreeText),
    Column("kwargs", FreeText),
    Column("lane", Name),
    Column("lane_limit", BigInteger),
    Column("is_catch_up", Boolean, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("attempts", FreeText),
    Column("attempt_started_at", BigInteger),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("node", Name),
    Column("token", Word),
    Column("fence", BigInteger, nullable=False),
    Column("cancel_requested", FreeText),
    Column("stuck", Boolean, nullable=False),
    Column("discarded", Boolean, nullable=False),
    Column("result", FreeText),
    Column("error", FreeText),
    Column("progress", FreeText),
    Column("lease_until", BigInteger),
    # What the server computes; it refuses to have them written.
    Column("live", SmallInteger),  # 1: in the way of its job's next tick (`RunRow.is_live_tick`)
    Column("held", SmallInteger),  # 1: has a token
    Column("ready", SmallInteger),  # queued or waiting and not stuck: 0, or 1 for a backfill, which comes after others
    Column("enqueued_key", Name),  # the key, of runs that were enqueued
    Column("rare_status", Word),  # the status, where it is one of `rules.RARE`
)

values = Table(
    "rota_values",
    metadata,
    Column("space", Integer, primary_key=True, autoincrement=False),
    Column("scope", Name, primary_key=True),
    Column("key_hash", LargeBinary, primary_key=True),
    Column("key", FreeText, nullable=False),
    Column("value", FreeText, nullable=False),
    Column("until", BigInteger),
)

logs = Table(
    "rota_logs",
    metadata,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("space", Integer, nullable=False),
    Column("run_id", Name, nullable=False),
    Column("line", FreeText, nullable=False),
)

nodes = Table(
    "rota_nodes",
    metadata,
    Column("space", Integer, primary_key=True, autoincrement=False),
    Column("id", Name, primary_key=True),
    Column("host", FreeText, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("stopped_at", BigInteger),
)
