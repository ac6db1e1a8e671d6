"""A Django project within the test process, and the databases of its settings, named as the services are.

Settings can be given once per process; databases are added to them as tests ask.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.db import connections
from tests import services

ENGINES = {"postgresql": "django.db.backends.postgresql", "mysql": "django.db.backends.mysql"}


def configure() -> None:
    """Give the settings, unless they have been given."""
    if settings.configured:
        return
    settings.configure(
        SECRET_KEY="tests", USE_TZ=True, LOGGING_CONFIG=None, INSTALLED_APPS=["rota.integrations.django"], DATABASES={}
    )
    django.setup()


def alias_of(name: str) -> str:
    """The alias of this process's own database on a server."""
    if name == "mysql":
        speak_through_pymysql()
    parts = urlsplit(services.url(name))
    return add(
        name,
        ENGINE=ENGINES[name],
        NAME=parts.path[1:],
        USER=parts.username or "",
        PASSWORD=parts.password or "",
        HOST=parts.hostname or "",
        PORT=str(parts.port or ""),
    )


@contextmanager
def fresh(name: str) -> Iterator[str]:
    """The alias of a database on a server in which there is nothing yet."""
    owner = alias_of(name)
    own = f"{connections.settings[owner]['NAME']}_django"
    alias = add(f"fresh {name}", **{**connections.settings[owner], "NAME": own})
    drop = f"DROP DATABASE IF EXISTS {own}{' WITH (FORCE)' if name == 'postgresql' else ''}"
    with connections[owner].cursor() as cursor:
        cursor.execute(drop)
        cursor.execute(f"CREATE DATABASE {own}")
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        with connections[owner].cursor() as cursor:
            cursor.execute(drop)
        connections[owner].close()


def alias_of_file(path: Path | str) -> str:
    """The alias of a file of SQLite's."""
    return add(str(path), ENGINE="django.db.backends.sqlite3", NAME=str(path))


def add(alias: str, **facts: Any) -> str:
    """Name a database in the settings, as others than before if need be; its alias."""
    configure()
    databases = connections.settings
    databases[alias] = {**facts}
    connections.configure_settings(databases)
    return alias


def speak_through_pymysql() -> None:
    """Let Django take PyMySQL for mysqlclient, as its users do: it needs no compiler."""
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)
    pymysql.install_as_MySQLdb()
