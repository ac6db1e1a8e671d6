"""Making and upgrading the tables: `rota db upgrade`, and `rota.migrations.upgrade` in an Alembic revision."""

import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect, make_url
from tests import services

from rota import migrations
from rota.backends.schema_versions import VERSION, Standing
from rota.backends.sql_schema import asked, standing, upgrade
from rota.cli import main
from rota.errors import ConfigurationError
from rota.stores import SQLiteStore

DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
SERVERS = [pytest.param(name, marks=pytest.mark.requires_service(name)) for name in DRIVERS]

SHARED = {"meta", "spaces", "locks", "watermarks", "jobs", "renames", "runs", "values", "logs", "nodes"}
TABLES = {"postgresql": SHARED, "mysql": SHARED, "sqlite": SHARED | {"clock"}}


@pytest.fixture
def database(request: pytest.FixtureRequest):
    """The URL of a database in which there is nothing yet."""
    address = make_url(services.url(request.param))
    name = f"{address.database}_migrations"
    server = create_engine(address.set(drivername=DRIVERS[request.param]), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield address.set(database=name)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    server.dispose()


@pytest.fixture
def engine(database):
    """An engine on it."""
    engine = create_engine(database.set(drivername=DRIVERS[database.drivername]))
    yield engine
    engine.dispose()


@pytest.mark.parametrize("database", SERVERS, indirect=True)
def test_the_command_makes_the_tables_and_says_so(database, engine, capsys):
    url = database.render_as_string(hide_password=False)
    assert main(["db", "upgrade", "--store", url]) == 0
    assert capsys.readouterr().out.endswith(f": made the tables, version {VERSION}\n")
    assert main(["db", "upgrade", "--store", url]) == 0
    assert capsys.readouterr().out.endswith(f" has tables of version {VERSION}: nothing to do\n")
    with engine.connect() as connection:
        assert standing(asked(connection), engine.dialect.name) == Standing.at(VERSION)


@pytest.mark.parametrize("database", SERVERS, indirect=True)
def test_what_sql_prints_makes_the_same_tables(database, engine, capsys):
    assert main(["db", "upgrade", "--store", f"{database.drivername}://nowhere/at-all", "--sql"]) == 0
    with engine.begin() as connection:
        for statement in capsys.readouterr().out.split(";\n"):
            if statement.strip() not in {"", "BEGIN", "COMMIT"}:
                connection.exec_driver_sql(statement)
        made = inspect(connection).get_table_names()
        assert upgrade(asked(connection), engine.dialect.name, VERSION) == Standing.at(VERSION)
        assert inspect(connection).get_table_names() == made


def test_the_command_makes_a_file(tmp_path: Path, capsys):
    url = f"sqlite:///{tmp_path}/rota.db"
    assert main(["db", "upgrade", "--store", url]) == 0
    assert capsys.readouterr().out == f"{url}: made the tables, version {VERSION}\n"
    assert main(["db", "upgrade", "--store", url]) == 0
    assert capsys.readouterr().out == f"{url} has tables of version {VERSION}: nothing to do\n"
    SQLiteStore(url, "tests").open(create_tables=False)


def test_what_sql_prints_for_a_file_is_a_script(tmp_path: Path, capsys):
    assert main(["db", "upgrade", "--store", "sqlite:///rota.db", "--sql"]) == 0
    with closing(sqlite3.connect(tmp_path / "rota.db")) as connection:
        connection.executescript(capsys.readouterr().out)
    SQLiteStore(tmp_path / "rota.db", "tests").open(create_tables=False)


@pytest.mark.parametrize(
    "url", ["redis://localhost", "oracle://localhost/db", "rota.db", "postgresql://127.0.0.1:1/db"]
)
def test_what_cannot_be_upgraded_is_one_line_and_a_2(url, capsys):
    assert main(["db", "upgrade", "--store", url]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("rota: error: ")
    assert said.err.count("\n") == 1


def test_no_password_is_shown(capsys):
    assert main(["db", "upgrade", "--store", "postgresql://me:secret@127.0.0.1:1/db"]) == 2
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize("database", SERVERS, indirect=True)
def test_an_alembic_revision_makes_the_tables(database, engine):
    for _ in range(2):
        with engine.begin() as connection:
            migrations.upgrade(Operations(MigrationContext.configure(connection)), 1)
    with engine.connect() as connection:
        assert standing(asked(connection), engine.dialect.name) == Standing.at(1)


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "sqlite"])
def test_offline_an_alembic_revision_writes_the_statements(dialect):
    written = io.StringIO()
    offline = MigrationContext.configure(dialect_name=dialect, opts={"as_sql": True, "output_buffer": written})
    migrations.upgrade(Operations(offline), 1)
    assert written.getvalue().count("CREATE TABLE") == len(TABLES[dialect])
    migrations.upgrade(Operations(offline), 1, since=1)
    with pytest.raises(ConfigurationError, match="not 0 to 99"):
        migrations.upgrade(Operations(offline), 99)


def test_a_package_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("rota.backends.urls.find_spec", lambda name: None)
    assert main(["db", "upgrade", "--store", "mysql://me:secret@localhost/app"]) == 2
    assert capsys.readouterr().err == (
        "rota: error: 'mysql://me:***@localhost/app' needs the package sqlalchemy: pip install \"rota[mysql]\"\n"
    )
