"""Writing many rows in one statement, on PostgreSQL and on MySQL/MariaDB.

Law: a batch goes in as a JSON list of rows that the server takes apart, so that its cost is one round trip whatever its
size. A value that is not there is `NULL`. No text from outside is ever put into a statement, all are parameters.

Every character of the list is looked at several times on its way, and MySQL and MariaDB walk through a row anew for
each of its columns. So the list has short names, and only the columns in which rows differ; where all have the same
value, which is so of most columns, that value is a parameter by itself.
"""

# ruff: noqa: S608  # the statements are put together from names of columns alone

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
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

_SPACE: Final = "(SELECT id FROM rota_spaces WHERE id = %(space)s)"
"""The number of a space, or `NULL`, which no table takes, where the tables were made anew without it."""

_PARAMETER: Final = re.compile(r"%\((\w+)\)s")

Statement = tuple[str, tuple[object, ...]]
"""A statement as drivers take it, and its parameters."""

Maker = Callable[["_Rows"], str]
"""Makes a statement, its parameters by name: `space`, `rows`, and the columns in which rows do not differ."""


class Batch:
    """A statement that writes rows of some columns into a table; `space` is a column of every row."""

    def __init__(self, table: Table, columns: Sequence[str], make: Maker) -> None:
        self._columns = columns
        self._statement = lru_cache(lambda family, varied: _numbered(make(_Rows(family, table, columns, varied))))

    def of(self, family: str, space: int, rows: Iterable[Sequence[object]]) -> Iterator[Statement]:
        """What writes rows, each the values of the columns in their order. Their keys differ."""
        found = list(rows)
        if not found:
            return
        columns = dict(zip(self._columns, zip(*found, strict=True), strict=True))
        varied = tuple(name for name, values in columns.items() if values.count(values[0]) < len(values))
        varied = varied or (self._columns[0],)  # a list has columns, and one row to be updated is found by its key
        statement, names = self._statement(family, varied)
        parameters: dict[str, object] = {name: _kept(family, values[0]) for name, values in columns.items()}
        parameters["space"] = space
        for batch in _batches(family, list(zip(*(columns[name] for name in varied), strict=True))):
            parameters["rows"] = batch
            yield statement, tuple([parameters[name] for name in names])


class _Rows:
    """The rows of a batch as a statement has them; they differ in some columns, `varied`."""

    def __init__(self, family: str, table: Table, columns: Sequence[str], varied: Sequence[str]) -> None:
        self.family = family
        self.columns = columns
        self._types = {name: _TYPES[family][type(table.c[name].type)] for name in columns}
        self._places = {name: _short(number) for number, name in enumerate(varied)}

    def value(self, name: str) -> str:
        """The value of a column."""
        if name in self._places:
            return f"r.{self._places[name]}"
        return f"CAST(%({name})s AS {self._types[name]})" if self.family == "postgresql" else f"%({name})s"

    def source(self) -> str:
        """Where rows are selected from, as `r`."""
        types = {place: self._types[name] for name, place in self._places.items()}
        if self.family == "postgresql":
            described = ", ".join(f"{place} {kind}" for place, kind in types.items())
            return f"json_to_recordset(CAST(%(rows)s AS json)) AS r ({described})"
        described = ", ".join(f"{place} {kind} PATH '$.{place}'" for place, kind in types.items())
        return f"JSON_TABLE(CONVERT(%(rows)s USING utf8mb4), '$[*]' COLUMNS ({described})) AS r"

    def quoted(self, name: str) -> str:
        """The name of a column of the table."""
        return f'"{name}"' if self.family == "postgresql" else f"`{name}`"


def inserting(table: Table, columns: Sequence[str], known: Literal["fails", "stays", "changes"] = "fails") -> Batch:
    """Insert rows. What becomes of a row whose key is known: the statement fails, it stays, or it is changed."""
    return Batch(table, columns, lambda rows: _insert(table, rows, known))


def updating(table: Table, key: str, columns: Sequence[str]) -> Batch:
    """Update rows that are known; `key` comes first of the columns."""
    return Batch(table, (key, *columns), lambda rows: _update(table, key, rows))


def _insert(table: Table, rows: _Rows, known: str) -> str:
    names, values = ", ".join(map(rows.quoted, rows.columns)), ", ".join(map(rows.value, rows.columns))
    statement = f"INSERT INTO {table.name} (space, {names}) SELECT {_SPACE}, {values} FROM {rows.source()}"
    if known == "fails":
        return statement
    keys = [column.name for column in table.primary_key]
    changed = [name for name in rows.columns if name not in keys] if known == "changes" else []
    if rows.family == "postgresql":
        assigned = ", ".join(f"{rows.quoted(name)} = excluded.{rows.quoted(name)}" for name in changed)
        action = f"({', '.join(keys)}) DO UPDATE SET {assigned}" if changed else "DO NOTHING"
        return f"{statement} ON CONFLICT {action}"
    assigned = ", ".join(f"{table.name}.{rows.quoted(name)} = {rows.value(name)}" for name in changed)
    return f"{statement} ON DUPLICATE KEY UPDATE {assigned or f'{table.name}.space = {table.name}.space'}"


def _update(table: Table, key: str, rows: _Rows) -> str:
    changed = [name for name in rows.columns if name != key]
    if rows.family == "postgresql":
        assigned = ", ".join(f"{rows.quoted(name)} = {rows.value(name)}" for name in changed)
        place = f"t.space = %(space)s AND t.{key} = {rows.value(key)}"
        return f"UPDATE {table.name} AS t SET {assigned} FROM {rows.source()} WHERE {place}"
    assigned = ", ".join(f"t.{rows.quoted(name)} = {rows.value(name)}" for name in changed)
    place = f"t.space = %(space)s AND t.{key} = CAST({rows.value(key)} AS BINARY)"
    return f"UPDATE {rows.source()} STRAIGHT_JOIN {table.name} AS t ON {place} SET {assigned}"


def _numbered(statement: str) -> tuple[str, list[str]]:
    """The statement with its parameters by place, and their names in that order."""
    return _PARAMETER.sub("%s", statement), _PARAMETER.findall(statement)


def _short(number: int) -> str:
    """The name in a batch of the column of that number."""
    return f"c{number}"


def _kept(family: str, value: object) -> object:
    """A value as the database can keep it."""
    return escaped(value) if family == "postgresql" and isinstance(value, str) else value


def _batches(family: str, rows: Sequence[Sequence[object]]) -> Iterator[str | bytes]:
    """The rows as JSON lists of bounded length, in order."""
    text = _encoded(rows)
    if len(text) > LARGEST and len(rows) > 1:
        middle = len(rows) // 2
        yield from _batches(family, rows[:middle])
        yield from _batches(family, rows[middle:])
    elif family == "mysql":
        yield text.encode()  # drivers in Python send bytes in less time than a text full of quotes
    elif "\\u0000" in text or "\\u001a" in text:
        # JSON spells control characters out; PostgreSQL cannot keep all of them.
        yield _encoded([[_kept(family, value) for value in row] for row in rows])
    else:
        yield text


def _encoded(rows: Sequence[Sequence[object]]) -> str:
    names = [_short(number) for number in range(len(rows[0]))]
    return _encode([{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows])
