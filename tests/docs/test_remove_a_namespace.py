"""What the guide says to do to remove a namespace removes all of it, and nothing of another."""

import re
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from sqlalchemy import create_engine
from tests import services

from rota.backends.sql_engine import chosen_url
from rota.backends.sql_tables import metadata
from rota.core.run import RunRow
from rota.ports import Begin, Claim, JobSeen, NodeRow, Store, Swap
from rota.stores import RedisStore, SQLiteStore, SQLStore

GUIDE = (Path(__file__).parents[2] / "docs/how-to/remove-a-namespace.md").read_text()
TABLES = sorted(name for name, table in metadata.tables.items() if "space" in table.columns)

Do = Callable[[str], Iterable[tuple[object, ...]]]


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


def fill(store: Store) -> None:
    """Keep one thing of each kind."""
    store.sync_jobs([JobSeen("earlier", "signature"), JobSeen("job", "signature", "earlier")])
    run = RunRow(str(uuid4()), "earlier", "run_now", "queued", 1, 1)
    store.add([run])
    begun = store.begin([Begin(run.id, "earlier", 0, "token", "node", 30.0)])[0].row
    assert begun is not None
    begun.status = "failed"
    store.swap([Swap(begun, "running", "token", logs=('"line"',))])
    store.put_value("scope", "key", "1", ttl=1000.0)
    store.beat(NodeRow("node", "host", 1, 0, 0))
    assert store.locks.acquire("name", "token", 30.0) is not None
    assert store.locks.claim([Claim("name", None, 1)])[0].verdict == "claimed"


def removed(make: Callable[[str], Store], do: Do) -> None:
    shop, other = f"shop-{uuid4().hex}", f"shop-{uuid4().hex}"
    stores = [make(shop), make(other)]
    for store in stores:
        fill(store)
        store.close()
    numbers = [next(iter(do(f"SELECT id FROM rota_spaces WHERE name = '{name}'")))[0] for name in (shop, other)]

    def rows(number: object) -> dict[str, object]:
        counted = {name: next(iter(do(f"SELECT count(*) FROM {name} WHERE space = {number}")))[0] for name in TABLES}
        return counted | {"spaces": next(iter(do(f"SELECT count(*) FROM rota_spaces WHERE id = {number}")))[0]}

    before = rows(numbers[1])
    assert rows(numbers[0]) == before
    assert 0 not in before.values()
    for statement in block("sql").replace("'shop'", f"'{shop}'").strip().split(";\n"):
        do(statement.removesuffix(";"))
    assert set(rows(numbers[0]).values()) == {0}
    assert rows(numbers[1]) == before


@pytest.mark.parametrize(
    "server",
    [
        pytest.param("postgresql", marks=pytest.mark.requires_service("postgresql")),
        pytest.param("mysql", marks=pytest.mark.requires_service("mysql")),
    ],
)
def test_on_a_server(server):
    engine = create_engine(chosen_url(services.url(server)), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:

        def do(statement: str) -> Iterable[tuple[object, ...]]:
            result = connection.exec_driver_sql(statement)
            return [tuple(found) for found in result] if result.returns_rows else []

        removed(lambda name: SQLStore(services.url(server), name, timeout=30.0), do)
    engine.dispose()


def test_in_a_file(tmp_path):
    with closing(sqlite3.connect(tmp_path / "rota.db", isolation_level=None)) as connection:
        removed(lambda name: SQLiteStore(tmp_path / "rota.db", name), lambda text: connection.execute(text).fetchall())


@pytest.mark.requires_service("redis")
@pytest.mark.parametrize("name", ["shop", "the shop {1}*"])
def test_on_redis(name):
    program: dict[str, Callable[..., None]] = {}
    exec(block("python"), program)
    shop, other = f"{name}-{uuid4().hex}", f"{name}-{uuid4().hex}"
    with redis.Redis.from_url(services.url("redis")) as client:
        before = set(client.scan_iter(count=1000))
        kept = RedisStore(services.url("redis"), other)
        fill(kept)
        kept.close()
        of_other = set(client.scan_iter(count=1000)) - before
        gone = RedisStore(services.url("redis"), shop)
        fill(gone)
        gone.close()
        assert len(set(client.scan_iter(count=1000)) - before) == 2 * len(of_other)
        program["remove"](client, shop)
        assert set(client.scan_iter(count=1000)) - before == of_other
        program["remove"](client, other)
