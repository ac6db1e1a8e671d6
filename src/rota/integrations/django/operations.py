"""What Django's migrations of Rota are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation

from rota.backends import sql_schema
from rota.backends.sql_migrations import MIGRATIONS, statements


class UpgradeTables(Operation):  # type: ignore[misc]  # Django has no types
    """Bring the tables of Rota up to a version. What has been done already, by whatever way, is found done.

    A database that Rota keeps no tables in, Oracle say, is left alone. There is no way back: history would be lost.
    """

    reversible = False

    def __init__(self, version: int) -> None:
        self.version = version

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The tables have no models."""

    def database_forwards(self, app_label: str, schema_editor: Any, *_states: Any) -> None:
        """Make what is missing; for `sqlmigrate`, write the statements of this step."""
        connection = schema_editor.connection
        dialect = connection.vendor
        if dialect not in MIGRATIONS or not router.allow_migrate(connection.alias, app_label):
            return
        if schema_editor.collect_sql:
            for statement in statements(dialect, self.version - 1, self.version):
                schema_editor.execute(statement)
        else:
            sql_schema.upgrade(lambda statement: _ask(connection, statement), dialect, self.version)

    def describe(self) -> str:
        """What `migrate --plan` says."""
        return f"Make the tables of Rota those of version {self.version}"


def _ask(connection: Any, statement: str) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows: Sequence[Any] = cursor.fetchall() if cursor.description else ()
        return rows
