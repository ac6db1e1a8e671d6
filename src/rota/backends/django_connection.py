"""From the `DATABASES` of a Django project to connections of Rota's own.

Law: Django is asked how to connect, each time anew (a password may be made for the moment), and never for a connection:
what it does to its own (cursors, time zones, conversions) is not done to these.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Final

from rota.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_DRIVERS: Final = {
    "psycopg": "postgresql+psycopg",
    "psycopg2": "postgresql+psycopg2",
    "MySQLdb": "mysql+mysqldb",
    "pymysql": "mysql+pymysql",
}
"""By the module through which Django speaks to a server: how SQLAlchemy names it."""

_DJANGOS_OWN: Final = frozenset({"context", "conv", "cursor_factory", "prepare_threshold"})
"""Parameters of a connection that are made for Django's models."""


def settings_of(alias: str) -> dict[str, Any]:
    """What the project's settings say of a database now. Raises `ConfigurationError` where they do not name it."""
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.db import connections
    except ModuleNotFoundError as error:
        raise ConfigurationError('Django is not installed: pip install "rota[django]"') from error
    try:
        known = connections.settings
    except ImproperlyConfigured as error:
        raise ConfigurationError(f"the settings of the Django project cannot be read: {error}") from error
    if alias not in known:
        raise ConfigurationError(f"DATABASES of the Django project has no {alias!r}; it has {', '.join(known)}")
    return dict(known[alias])


def file_of(alias: str) -> str | None:
    """The path of a database that is a file of SQLite's, `None` for one on a server.

    Raises `ConfigurationError` for one in memory, and for a kind that Rota keeps no tables in.
    """
    wrapper = _wrapper(alias)
    if wrapper.vendor == "sqlite":
        name = str(wrapper.settings_dict["NAME"])
        if wrapper.is_in_memory_db():
            raise ConfigurationError(
                f"the database {alias!r} of the Django project lives in memory, in connections of Django's own. "
                "In tests, run jobs under rota.testing.simulate, or give DATABASES a TEST NAME that is a file"
            )
        return name
    if wrapper.vendor not in {"postgresql", "mysql"}:
        raise ConfigurationError(
            f"the database {alias!r} of the Django project is {wrapper.display_name}, which Rota keeps no tables in; "
            "it does in PostgreSQL, MySQL, MariaDB and SQLite. Name another alias, or another store"
        )
    if wrapper.Database.__name__ not in _DRIVERS:
        raise ConfigurationError(
            f"the database {alias!r} of the Django project is spoken to through {wrapper.Database.__name__}; Rota can "
            f"through {', '.join(_DRIVERS)}"
        )
    return None


def engine_of(alias: str, timeout: float) -> Engine:
    """An engine that connects to the database of an alias as Django would."""
    from sqlalchemy import URL, create_engine

    wrapper = _wrapper(alias)
    settings = wrapper.settings_dict
    host = str(settings["HOST"])
    shown = URL.create(
        _DRIVERS[wrapper.Database.__name__],
        username=settings["USER"] or None,
        host=None if host.startswith("/") else host or None,
        port=int(settings["PORT"]) if settings["PORT"] else None,
        database=settings["NAME"] or None,
    )
    return create_engine(shown, creator=lambda: _connected(wrapper, timeout))


def _wrapper(alias: str) -> Any:
    """Django's idea of the database, apart from the ones that its threads use."""
    settings = settings_of(alias)
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connections

    try:
        wrapper = connections.create_connection(alias)
    except ImproperlyConfigured as error:
        raise ConfigurationError(f"the database {alias!r} of the Django project cannot be used: {error}") from error
    wrapper.settings_dict = settings
    return wrapper


def _connected(wrapper: Any, timeout: float) -> Any:
    asked = wrapper.get_connection_params()
    parameters = {name: value for name, value in asked.items() if name not in _DJANGOS_OWN}
    parameters.setdefault("connect_timeout", max(2, ceil(timeout)))
    connection = wrapper.Database.connect(**parameters)
    role = wrapper.settings_dict["OPTIONS"].get("assume_role")
    if role:
        with connection.cursor() as cursor:
            cursor.execute('SET ROLE "{}"'.format(role.replace('"', '""')))
        connection.commit()
    return connection
