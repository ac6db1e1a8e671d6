"""Writing many rows in one statement, on PostgreSQL and on MySQL/MariaDB.

Law: a batch goes in as one parameter, a JSON list of rows that the server takes apart, so that its cost is one round
trip whatever its size. A value that is not there is `NULL`. No text from outside is ever put into a statement.
"""

# ruff: noqa: S608  # the statements are put together from names of columns alone

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from json import JSONEncoder
from typing import Any, Final, Literal

from sqlalchemy import Table
from sqlalchemy.types import BigInteger, Boolean, Integer, SmallInteger, String, TypeEngine

from rota.backends.sql_tables import FreeText, Name, escaped

LARGEST: Final = 1_000_000
"""Characters of one parameter: servers limit how long a statement may be."""

_encode: Final = JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

_TYPES: Final[dict[str, dict[type[TypeEngine[Any]], str]]] = {
    "postgresql": {
        Name: "text",
        FreeText: "text",
        String: "text",
        BigInteger: "bigint",
        Integer: "bigint",
        SmallInteger: "bigint",
        Boolean: "boolean",
    },
    # One longer than the columns are: JSON_TABLE cuts silently what does not fit, a column refuses it.
    "mysql": {
        Name: "VARCHAR(1025) CHARACTER SET utf8mb4",
        FreeText: "LONGTEXT CHARACTER SET utf8mb4",
        String: "VARCHAR(65) CHARACTER SET utf8mb4",
        BigInteger: "BIGINT",
        Integer: "BIGINT",
        SmallInteger: "BIGINT",
        Boolean: "TINYINT",
    },
}

_SPACE: Final = "(SELECT id FROM rota_spaces WHERE id = %s)"
"""The number of a space, or `NULL`, which no table takes, where the tables were made anew without it."""

Statement = tuple[str, tuple[object, ...]]
"""A statement as drivers take it, and its parameters."""


class Batch:
    """A statement that writes rows of some columns into a table; `space` is a column of every row."""

    def __init__(self, statements: Mapping[str, str], columns: Sequence[str], *, space_first: bool) -> None:
        self._statements = statements
        self._columns = columns
        self._space_first = space_first

    def of(self, family: str, space: int, rows: Iterable[Sequence[object]]) -> Iterator[Statement]:
        """What writes rows, each the values of the columns in their order."""
        for batch in _batches(self._columns, rows, escape=family == "postgresql"):
            yield self._statements[family], (space, batch) if self._space_first else (batch, space)


def inserting(table: Table, columns: Sequence[str], known: Literal["fails", "stays", "changes"] = "fails") -> Batch:
    """Insert rows. What becomes of a row whose key is known: the statement fails, it stays, or it is changed."""
    return Batch({family: _insert(family, table, columns, known) for family in _TYPES}, columns, space_first=True)


def updating(table: Table, key: str, columns: Sequence[str]) -> Batch:
    """Update rows that are known; `key` comes first of the columns."""
    return Batch(
        {family: _update(family, table, key, columns) for family in _TYPES}, (key, *columns), space_first=False
    )


def _insert(family: str, table: Table, columns: Sequence[str], known: str) -> str:
    names = ", ".join(_quoted(family, name) for name in columns)
    values = ", ".join(f"r.{_quoted(family, name)}" for name in columns)
    rows = _rows(family, table, columns)
    statement = f"INSERT INTO {table.name} (space, {names}) SELECT {_SPACE}, {values} FROM {rows}"
    if known == "fails":
        return statement
    keys = [column.name for column in table.primary_key]
    changed = [name for name in columns if name not in keys] if known == "changes" else []
    if family == "postgresql":
        assigned = ", ".join(f"{_quoted(family, name)} = excluded.{_quoted(family, name)}" for name in changed)
        action = f"({', '.join(keys)}) DO UPDATE SET {assigned}" if changed else "DO NOTHING"
        return f"{statement} ON CONFLICT {action}"
    assigned = ", ".join(f"{table.name}.{_quoted(family, name)} = r.{_quoted(family, name)}" for name in changed)
    return f"{statement} ON DUPLICATE KEY UPDATE {assigned or f'{table.name}.space = {table.name}.space'}"


def _update(family: str, table: Table, key: str, columns: Sequence[str]) -> str:
    rows = _rows(family, table, (key, *columns))
    if family == "postgresql":
        assigned = ", ".join(f"{_quoted(family, name)} = r.{_quoted(family, name)}" for name in columns)
        return f"UPDATE {table.name} AS t SET {assigned} FROM {rows} WHERE t.space = %s AND t.{key} = r.{key}"
    assigned = ", ".join(f"t.{_quoted(family, name)} = r.{_quoted(family, name)}" for name in columns)
    return (
        f"UPDATE {rows} STRAIGHT_JOIN {table.name} AS t ON t.space = %s AND t.{key} = CAST(r.{key} AS BINARY) "
        f"SET {assigned}"
    )


def _rows(family: str, table: Table, columns: Sequence[str]) -> str:
    types = [(_quoted(family, name), _type(family, table, name), name) for name in columns]
    if family == "postgresql":
        described = ", ".join(f"{quoted} {kind}" for quoted, kind, _ in types)
        return f"json_to_recordset(CAST(%s AS json)) AS r ({described})"
    described = ", ".join(f"{quoted} {kind} PATH '$.{name}'" for quoted, kind, name in types)
    return f"JSON_TABLE(%s, '$[*]' COLUMNS ({described})) AS r"


def _type(family: str, table: Table, name: str) -> str:
    return _TYPES[family][type(table.c[name].type)]


def _quoted(family: str, name: str) -> str:
    return f'"{name}"' if family == "postgresql" else f"`{name}`"


def _batches(columns: Sequence[str], rows: Iterable[Sequence[object]], *, escape: bool) -> Iterator[str]:
    """The rows as JSON lists of bounded length, in order."""
    batch: list[str] = []
    length = 0
    for values in rows:
        row = {name: value for name, value in zip(columns, values, strict=True) if value is not None}
        encoded = _encode(row)
        # JSON spells control characters out; PostgreSQL cannot keep all of them.
        if escape and ("\\u0000" in encoded or "\\u001a" in encoded):
            encoded = _encode(
                {name: escaped(value) if isinstance(value, str) else value for name, value in row.items()}
            )
        if batch and length + len(encoded) > LARGEST:
            yield f"[{','.join(batch)}]"
            batch, length = [], 0
        batch.append(encoded)
        length += len(encoded)
    if batch:
        yield f"[{','.join(batch)}]"
