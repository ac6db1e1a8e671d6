"""What the errors of PostgreSQL and MySQL/MariaDB mean, and what to do about them."""

from __future__ import annotations

import re
from typing import Final

_READ_ONLY: Final = "it cannot be written: it is a replica, or read-only; give the address of the primary"
_NO_TABLES: Final = "it lacks tables of Rota, or has old ones; run `rota db upgrade` or leave create_tables on"
_NOT_ALLOWED: Final = (
    "this user may not do it: grant SELECT, INSERT, UPDATE and DELETE on Rota's tables, and have them made by "
    "`rota db upgrade`, as a user who may"
)
_NO_ACCESS: Final = "it refused the user or the password"
_UNKNOWN: Final = "there is no such database on the server: create it first"
_FULL: Final = "its disk is full"
_CROWDED: Final = "the server takes no more connections"
_SLOW: Final = "it was busy for longer than the call may take; ask again"
_STATEMENT_POOLING: Final = "the pool in front of it gives each statement another session; set it to transaction mode"

_MEANINGS: Final[dict[str | int, str]] = {
    # PostgreSQL, by SQLSTATE
    "25006": _READ_ONLY,
    "42P01": _NO_TABLES,
    "42703": _NO_TABLES,
    "42501": _NOT_ALLOWED,
    "28P01": _NO_ACCESS,
    "28000": _NO_ACCESS,
    "3D000": _UNKNOWN,
    "53100": _FULL,
    "53300": _CROWDED,
    "57014": _SLOW,
    "55P03": _SLOW,
    "25P01": _STATEMENT_POOLING,
    # MySQL and MariaDB, by number
    1290: _READ_ONLY,
    1792: _READ_ONLY,
    1836: _READ_ONLY,
    1146: _NO_TABLES,
    1054: _NO_TABLES,
    1142: _NOT_ALLOWED,
    1044: _NO_ACCESS,
    1045: _NO_ACCESS,
    1049: _UNKNOWN,
    1021: _FULL,
    1114: _FULL,
    1040: _CROWDED,
    1205: _SLOW,
}

_UNREACHABLE: Final[frozenset[str | int]] = frozenset(
    {
        "08000", "08001", "08003", "08006", "53300", "55P03", "57014", "57P01", "57P02", "57P03",
        1040, 1053, 1205, 2002, 2003, 2005, 2006, 2013,
    }
)  # fmt: skip
"""Nobody is there, or is starting, ending, or too busy just now."""

_SAID_BY_NOBODY: Final = re.compile(
    r"connection refused|is the server running|timed? ?out|no connection was made in time|server closed the connection|"
    r"connection reset|no route to host|network is unreachable|host is down|(resolve|translate) host",
    re.IGNORECASE,
)
"""What is said where no server has said anything, of which PostgreSQL's drivers give no SQLSTATE."""

_SAID: Final = (
    (re.compile(r'FATAL: +database ".*" does not exist'), "3D000"),
    (re.compile(r'FATAL: +role ".*" (does not exist|is not permitted to log in)'), "28000"),
    (re.compile(r"FATAL: +(password authentication failed|no pg_hba.conf entry)"), "28P01"),
    (re.compile(r"FATAL: +(sorry, )?(too many|remaining) (clients|connection)"), "53300"),
    (re.compile(r"not allowed in statement pooling mode"), "25P01"),
    (re.compile(r"no more connections allowed|query_wait_timeout"), "53300"),
    (re.compile(r"FATAL: +the database system is"), "57P03"),
)
"""What PostgreSQL says while connecting, and the SQLSTATE of it, which its drivers do not hand on then; and what
PgBouncer says, which gives one SQLSTATE to all that."""

_OF_PGBOUNCER: Final = "08P01"

_PASSING: Final = frozenset({"40001", "40P01", 1213, 1205, 1020})
"""Deadlocks and their like: the transaction was undone, and may be done again at once."""

_NULL: Final = frozenset({"23502", 1048})


def code_of(failure: BaseException | None) -> str | int | None:
    """The SQLSTATE or MySQL's number, `None` where there is none."""
    number = failure.args[0] if failure is not None and failure.args else None
    if isinstance(number, int):
        return number
    state = getattr(failure, "sqlstate", None) or getattr(failure, "pgcode", None)
    if state is None or state == _OF_PGBOUNCER:
        return next((code for said, code in _SAID if said.search(str(failure))), state)
    return str(state)


def is_passing(failure: BaseException | None) -> bool:
    """Whether the same may succeed when done again."""
    return code_of(failure) in _PASSING


def is_unreachable(failure: BaseException | None) -> bool:
    """Whether nobody answers, which may be over soon by itself."""
    if isinstance(failure, (ConnectionError, TimeoutError)):
        return True
    code = code_of(failure)
    return code in _UNREACHABLE if code is not None else _SAID_BY_NOBODY.search(str(failure)) is not None


def lacks_space(failure: BaseException | None) -> bool:
    """Whether a statement failed because the number of its namespace is not in the tables."""
    original = getattr(failure, "orig", None)
    return code_of(original) in _NULL and "space" in str(original)


def meaning(failure: BaseException | None) -> str:
    """What a driver's error means, in words that say what to do."""
    said = " ".join(str(failure).split()) if failure is not None else ""
    return f"{_MEANINGS.get(code_of(failure) or '', 'it failed')} ({said})"
