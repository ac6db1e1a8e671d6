"""What is particular to PostgreSQL and MySQL/MariaDB: addresses, engines, statements, deadlines, texts, refusals."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, event, make_url, select
from sqlalchemy.pool import NullPool
from tests import services

from rota.backends import sql_connection, sql_engine, sql_errors, sql_space, sql_statements, sql_transaction
from rota.backends import sql_tables as tables
from rota.backends.sql_engine import chosen_url
from rota.core.run import DEAD_LETTERS, UNHAPPY, RunRow
from rota.errors import ConfigurationError, StoreError
from rota.locks import SQLLocks
from rota.ports import Begin, JobSeen, NodeRow, Swap, TickClaim
from rota.stores import SQLStore
from rota.testing import FaultProxy

SECOND = 1_000_000
NODE = NodeRow("node", "host", 1, 0, 0)
LONG = 30.0
"""Seconds for what must not fail on a slow machine."""

both = pytest.mark.parametrize(
    "server",
    [
        pytest.param("postgresql", marks=pytest.mark.requires_service("postgresql")),
        pytest.param("mysql", marks=pytest.mark.requires_service("mysql")),
    ],
)


@contextmanager
def opened(source: str | Engine, namespace: str | None = None, timeout: float = LONG) -> Iterator[SQLStore]:
    store = SQLStore(source, namespace or uuid4().hex, timeout=timeout)
    try:
        store.open()
        yield store
    finally:
        store.close()


@contextmanager
def proxied(server: str) -> Iterator[tuple[FaultProxy, str]]:
    """A proxy in front of a server, and the address through it."""
    parts = urlsplit(services.url(server))
    with FaultProxy(parts.hostname or "127.0.0.1", parts.port or services.DEFAULT_PORTS[server]) as proxy:
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        yield proxy, parts._replace(netloc=f"{user}{proxy.address}").geturl()


def row(store: SQLStore, job_id: str = "job", origin: str = "run_now", **facts: Any) -> RunRow:
    now = store.now()
    return RunRow(str(uuid4()), job_id, origin, "queued", now, now, **facts)


class Counted(NamedTuple):
    """What an engine sent to its server."""

    statements: list[str]

    @property
    def round_trips(self) -> int:
        return len(self.statements)


@contextmanager
def counted(store: SQLStore) -> Iterator[Counted]:
    """Every statement and commit in the block; statements that are sent at once count as one."""
    engine = store._space._database.engine
    sent: list[str] = []

    def send_at_once(*args: Any) -> Any:
        sent.append("several at once")
        return sql_connection.send_at_once(*args)

    def executed(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    def committed(_connection: object) -> None:
        sent.append("COMMIT by the driver")

    event.listen(engine, "before_cursor_execute", executed)
    event.listen(engine, "commit", committed)
    try:
        with patch.object(sql_transaction, "send_at_once", send_at_once):
            yield Counted(sent)
    finally:
        event.remove(engine, "before_cursor_execute", executed)
        event.remove(engine, "commit", committed)


# Addresses and engines


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me@host/db", "postgresql+psycopg://me@host/db"),
        ("postgres://me@host/db", "postgresql+psycopg://me@host/db"),
        ("mysql://me@host/db", "mysql+pymysql://me@host/db"),
        ("mariadb://me@host/db", "mariadb+pymysql://me@host/db"),
        ("mysql+pymysql://me@host/db", "mysql+pymysql://me@host/db"),
    ],
)
def test_the_driver_of_a_url(url, expected):
    assert chosen_url(url).render_as_string() == expected


@pytest.mark.parametrize(
    ("installed", "url", "expected"),
    [
        ({"psycopg2"}, "postgresql://host/db", "postgresql+psycopg2"),
        ({"MySQLdb"}, "mysql://host/db", "mysql+mysqldb"),
        ({"MySQLdb", "pymysql"}, "mysql+mysqldb://host/db", "mysql+mysqldb"),
    ],
)
def test_the_driver_is_one_that_is_installed(monkeypatch, installed, url, expected):
    monkeypatch.setattr(sql_engine, "find_spec", lambda name: name if name in installed else None)
    assert chosen_url(url).drivername == expected


@pytest.mark.parametrize(
    ("scheme", "remedy"),
    [
        ("postgresql", 'driver psycopg: pip install "rota[postgresql]"'),
        ("postgres", 'driver psycopg: pip install "rota[postgresql]"'),
        ("postgresql+psycopg", 'driver psycopg: pip install "rota[postgresql]"'),
        (
            "postgresql+psycopg2",
            'driver psycopg2: pip install "rota[postgresql]" brings psycopg, for postgresql://…; or install psycopg2',
        ),
        ("mysql", 'driver pymysql: pip install "rota[mysql]"'),
        ("mariadb", 'driver pymysql: pip install "rota[mysql]"'),
        (
            "mysql+mysqldb",
            'driver mysqldb: pip install "rota[mysql]" brings pymysql, for mysql://…; or install mysqlclient',
        ),
    ],
)
def test_a_missing_driver_is_told_with_its_remedy(monkeypatch, scheme, remedy):
    monkeypatch.setattr(sql_engine, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as raised:
        SQLStore(f"{scheme}://me:secret@host/db")
    assert str(raised.value) == f"{scheme}://me:***@host/db needs the {remedy}"


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ('FATAL:  database "shop" does not exist', "there is no such database on the server: create it first"),
        ('FATAL:  password authentication failed for user "me"', "it refused the user or the password"),
        ('FATAL:  role "me" does not exist', "it refused the user or the password"),
        ("FATAL:  sorry, too many clients already", "the server takes no more connections"),
        ("FATAL:  too many connections for role", "the server takes no more connections"),
        ("FATAL:  remaining connection slots are reserved", "the server takes no more connections"),
        ("FATAL:  what nobody has heard of", "it failed"),
    ],
)
def test_what_postgresql_says_while_connecting_is_told_with_its_remedy(said, meaning):
    failure = Exception(f"connection failed: connection to server at host, port 5432 failed: {said}")
    assert sql_errors.meaning(failure).startswith(meaning)


@pytest.mark.parametrize(
    ("failure", "is_unreachable"),
    [
        (Exception("connection failed: Connection refused Is the server running on that host?"), True),
        (Exception("failed to resolve host 'db': [Errno -2] Name or service not known"), True),
        (Exception('connection to server at "db", port 5432 failed: timeout expired'), True),
        (Exception("server closed the connection unexpectedly"), True),
        (Exception("FATAL:  the database system is starting up"), True),
        (Exception("FATAL:  sorry, too many clients already"), True),
        (Exception(2003, "Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)"), True),
        (Exception(1040, "Too many connections"), True),
        (ConnectionRefusedError(111, "Connection refused"), True),
        (Exception('FATAL:  password authentication failed for user "me"'), False),
        (Exception("FATAL:  what nobody has heard of"), False),
        (Exception("server does not support SSL, but SSL was required"), False),
        (FileNotFoundError(2, "No such file or directory", "root.crt"), False),
        (Exception(1045, "Access denied for user 'me'"), False),
    ],
    ids=str,
)
def test_a_server_that_cannot_be_reached_is_told_from_one_that_refuses(failure, is_unreachable):
    assert sql_errors.is_unreachable(failure) is is_unreachable


@both
def test_a_server_that_is_not_there_is_unreachable(server):
    nowhere = make_url(services.url(server)).set(host="127.0.0.1", port=1)
    with pytest.raises(StoreError) as caught:
        SQLStore(nowhere.render_as_string(hide_password=False), "space").open()
    assert caught.value.unreachable


@both
def test_a_store_that_was_not_to_make_tables_makes_none_at_a_later_call(server, monkeypatch):
    store = SQLStore(services.url(server), "space")
    said = []

    def refuse(engine, *, create, error):
        said.append(create)
        raise error("no tables")

    monkeypatch.setattr(sql_space, "prepare", refuse)
    for call in (lambda: store.open(create_tables=False), store.runs, lambda: store.add([])):
        with pytest.raises(StoreError, match="no tables"):
            call()
    assert said == [False] * 3
    store.close()


@both
def test_a_database_that_is_not_there_is_told(server):
    missing = make_url(services.url(server)).set(database="nowhere")
    with pytest.raises(StoreError, match="there is no such database on the server: create it first"):
        SQLStore(missing.render_as_string(hide_password=False)).open()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+asyncpg://host/db", "asyncpg"),
        ("mysql+aiomysql://host/db", "aiomysql"),
        ("oracle://host/db", "oracle"),
        ("postgresql://host", "names no database"),
        ("no url at all", "no URL"),
    ],
)
def test_urls_that_cannot_be_used(url, said):
    with pytest.raises(ConfigurationError, match=said):
        SQLStore(url)


def test_an_engine_of_another_database_is_refused():
    with pytest.raises(ConfigurationError, match="sqlite"):
        SQLStore(create_engine("sqlite://"))


@both
def test_the_programs_engine_lends_only_its_way_to_connect(server):
    url = chosen_url(services.url(server))
    engine = create_engine(url, poolclass=NullPool)
    connected: list[object] = []
    event.listen(engine, "connect", lambda connection, _: connected.append(connection))
    space = uuid4().hex
    with engine.connect() as program, program.begin() as transaction, opened(engine, space) as store:
        store.put_value("scope", "key", "1")
        assert store.locks.acquire("a", "token", 30.0) is not None
        transaction.rollback()
        assert len(connected) >= 2
    with opened(services.url(server), space) as after:
        assert after.value("scope", "key") == "1"
        assert after.locks.acquire("a", "other", 30.0) is None
    engine.dispose()


@both
def test_store_and_locks_of_one_namespace_are_one(server):
    space = uuid4().hex
    locks = SQLLocks(services.url(server), space, timeout=LONG)
    with opened(services.url(server), space) as store, opened(services.url(server)) as other:
        assert locks.acquire("a", "token", 30.0) is not None
        assert store.locks.acquire("a", "other", 30.0) is None
        assert other.locks.acquire("a", "other", 30.0) is not None
    locks.close()


@both
def test_names_without_number_leave_no_rows_behind(server):
    with opened(services.url(server)) as store:
        locks = store.locks
        for number in range(100):
            assert locks.acquire(f"name {number}", "token", 30.0).fence == 1
            assert locks.release(f"name {number}", "token")
        assert not locks.release("never acquired", "token")
        assert locks.acquire("held", "token", 30.0) is not None
        while locks.forget_locks(30):
            pass
        with store._space._database.engine.connect() as connection:
            left = connection.execute(select(tables.locks.c.name).where(tables.locks.c.space == store._space._number))
            assert [bytes(name) for (name,) in left] == [b"held"]
        assert locks.acquire("name 8", "token", 30.0).fence == 2


@both
def test_a_number_that_another_namespace_has_is_drawn_again(server, monkeypatch):
    with opened(services.url(server)) as one:
        taken, free = one._space._opened(), secrets.randbelow(2**30) + 1
        drawn = [taken - 1, taken - 1, free - 1]
        monkeypatch.setattr(sql_space, "randbelow", lambda _: drawn.pop(0))
        with opened(services.url(server)) as other:
            assert other._space._opened() == free
            other.put_value("scope", "key", "1")
        assert one.value("scope", "key") is None


# Batches

JOBS = 1000


@both
def test_a_batch_is_a_handful_of_round_trips(server):
    with opened(services.url(server)) as store:
        states = store.sync_jobs([JobSeen(f"job-{number}", "signature") for number in range(JOBS)])
        store.beat(NODE)
        claims = []
        while store.now() <= states[-1].watermark + 1:
            pass
        for state in states:
            tick = state.watermark + 1
            run = row(store, state.job_id, "tick", scheduled_for=tick)
            start = Begin(run.id, state.job_id, 0, uuid4().hex, "node", 30.0)
            claims.append(TickClaim(state.job_id, state.watermark, tick, False, (), (run,), (), 1, start))
        with counted(store) as claiming:
            answers = store.claim(claims)
        begun = [answer.begun for answer in answers if answer.begun is not None]
        assert len(begun) == JOBS
        swaps = []
        for run in begun:
            ended = run.copy()
            ended.status, ended.finished_at = "succeeded", run.started_at
            swaps.append(Swap(ended, "running", run.token, streak=0, logs=('"line"',)))
        with counted(store) as swapping:
            assert {answer.verdict for answer in store.swap(swaps)} == {"swapped"}
        with counted(store) as again:
            assert {answer.verdict for answer in store.claim(claims)} == {"claimed"}
        held = [(run.id, run.token or "") for run in begun]
        with counted(store) as renewing:
            assert len(store.renew(NODE, held, 30.0).lost) == JOBS
    assert claiming.round_trips <= 10, claiming.statements
    assert swapping.round_trips <= 14, swapping.statements
    assert again.round_trips <= 10
    assert renewing.round_trips <= 10
    assert (claiming.round_trips + swapping.round_trips) / JOBS < 0.2


@both
def test_batches_in_opposite_order_do_not_deadlock(server):
    """Each thread hands in the same jobs in an order of its own; all are claimed, tick by tick, by one of them."""
    names = [f"job-{number}" for number in range(20)]
    won: list[tuple[str, int]] = []
    failures: list[BaseException] = []
    with opened(services.url(server)) as store:
        store.sync_jobs([JobSeen(name, "signature") for name in names])

        def work(order: list[str]) -> None:
            try:
                for _ in range(15):
                    states = store.job_states(order)
                    claims = [
                        TickClaim(state.job_id, state.watermark, state.watermark + 1, False, None)
                        for state in states
                        if state is not None
                    ]
                    answers = store.claim(claims)
                    won.extend(
                        (claim.job_id, claim.tick)
                        for claim, answer in zip(claims, answers, strict=True)
                        if answer.verdict == "claimed"
                    )
            except BaseException as failure:
                failures.append(failure)

        threads = [
            threading.Thread(target=work, args=(order,)) for order in (names, names[::-1], names[10:] + names[:10])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not failures
    assert len(won) == len(set(won)) >= 15 * len(names)


# Texts

TEXTS = ("a\x00b", "\x1a", "\x1a0", "a ", "A", "a", "🔒 日本", "%s :x {y} \\ ' \" `", "\ufeff", "ß" * 400)


@both
def test_texts_come_back_as_they_went_in(server):
    with opened(services.url(server)) as store:
        for number, text in enumerate(TEXTS):
            store.sync_jobs([JobSeen(text, text)])
            new = row(store, text, "enqueue", key=text, args=text, error=text, reason=text, lane=text, schedule_id=text)
            assert store.add([new.copy()]) == [new]
            assert store.run(new.id) == new
            again = row(store, text, "enqueue", key=text)
            assert store.add([again])[0].id == new.id
            assert [found.id for found in store.runs(text)] == [new.id]
            store.put_value("scope", text, text)
            store.beat(NODE._replace(id=text, host=text, started_at=number))
            assert store.pause(text, text).pause_reason == text
        assert store.values("scope") == {text: text for text in TEXTS}
        assert [node.id for node in store.nodes()] == list(TEXTS[::-1])


@both
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("values", ["all the same", "all different", "some missing", "all missing"])
def test_rows_come_back_as_they_went_in_whether_they_agree_or_differ(server, count, values):
    def text(number: int) -> str | None:
        missing = values == "all missing" or (values == "some missing" and number % 2 == 0)
        return None if missing else TEXTS[0] + TEXTS[7] + (str(number) if values == "all different" else "")

    def instant(number: int) -> int | None:
        return None if text(number) is None else len(text(number)) + number

    with opened(services.url(server)) as store:
        store.sync_jobs([JobSeen("job", "signature")])
        new = [row(store, args=text(n), lane=text(n), scheduled_for=instant(n)) for n in range(count)]
        assert store.add([each.copy() for each in new]) == new
        for number, each in enumerate(new):
            each.status, each.result, each.error, each.finished_at = "failed", text(number), text(-number), number
        store.swap([Swap(each.copy(), "queued", None, logs=(text(0) or "line",) * 2) for each in new])
        assert [store.run(each.id) for each in new] == new
        assert [store.logs(each.id) for each in new] == [[text(0) or "line"] * 2] * count


@both
def test_a_large_batch_goes_in_pieces(server):
    with opened(services.url(server)) as store:
        rows = [row(store, args=str(number) * 300_000) for number in range(8)]
        assert store.add(rows) == rows
        assert [found.id for found in store.due(store.now(), 10).ready] == [each.id for each in rows]


# Servers that do not answer, and replies that are lost


@both
def test_connecting_to_a_server_that_hangs_is_given_up_in_time(server):
    with proxied(server) as (proxy, url), opened(url, timeout=2.0) as store:
        store.close()
        proxy.hang()
        with pytest.raises(StoreError, match="did not answer within 2 s"):
            store.put_value("scope", "key", "1")
        proxy.restore()
        assert until_answered(store)


@both
def test_a_server_that_hangs_is_given_up_in_time_whoever_made_the_engine(server):
    with proxied(server) as (proxy, url):
        engine = create_engine(chosen_url(url))
        with opened(engine, timeout=2.0) as store:
            proxy.hang()
            with pytest.raises(StoreError, match="did not answer within 2 s"):
                store.put_value("scope", "key", "1")
            proxy.restore()
            assert until_answered(store)
        engine.dispose()


@both
def test_a_server_that_is_down_is_an_error_at_once_and_found_again(server):
    with proxied(server) as (proxy, url), opened(url) as store:
        proxy.refuse()
        with pytest.raises(StoreError):
            store.value("scope", "key")
        proxy.restore()
        assert store.value("scope", "key") is None


@both
def test_a_broken_connection_is_replaced_without_a_word(server):
    with proxied(server) as (proxy, url), opened(url) as store:
        for number in range(3):
            proxy.reset()
            assert store.put_value("scope", "key", str(number))
        assert store.value("scope", "key") == "2"


@both
@pytest.mark.parametrize("fault", ["lose_reply", "cut_request"])
def test_whichever_reply_is_lost_asking_again_gives_one_answer(server, fault):
    with proxied(server) as (proxy, url), opened(url) as store:
        state = store.sync_jobs([JobSeen("job", "signature")])[0]
        for number in range(1, 9):
            run = row(store, "job", "tick", scheduled_for=state.watermark + 1)
            start = Begin(run.id, "job", 0, uuid4().hex, "node", 30.0)
            claim = TickClaim("job", state.watermark, state.watermark + 1, False, None, (run,), (), 1, start)
            getattr(proxy, fault)(number)
            try:
                answer = store.claim([claim])[0]
            except StoreError:
                answer = store.claim([claim])[0]
            proxy.restore()
            assert answer.verdict == "claimed"
            assert answer.begun is not None
            assert answer.begun.token == start.token
            state = answer.state
        assert (state.claimed, state.fence, len(store.runs("job"))) == (8, 8, 8)


def until_answered(store: SQLStore) -> bool:
    """Connections that were on their way when the server hung may still fail."""
    for _ in range(20):
        try:
            return store.put_value("scope", "key", "2")
        except StoreError:
            continue
    return False


# Refusals


@pytest.mark.requires_service("postgresql")
def test_a_read_only_role_is_told_what_to_do():
    url = f"{services.url('postgresql')}?options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(StoreError, match="default_transaction_read_only"), opened(url):
        pass


@both
def test_missing_tables_are_told_of(server):
    """A namespace of its own does not help: the tables are the database's."""
    with opened(services.url(server)) as store:
        engine = store._space._database.engine
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE rota_nodes RENAME TO moved_nodes")
        try:
            with pytest.raises(StoreError, match="rota db upgrade"):
                store.beat(NODE)
        finally:
            with engine.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE moved_nodes RENAME TO rota_nodes")


@pytest.mark.requires_service("mysql")
def test_tables_without_transactions_are_refused():
    with opened(services.url("mysql")) as store:
        engine = store._space._database.engine
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE rota_meta ENGINE = MyISAM")
        try:
            with pytest.raises(StoreError, match="ALTER TABLE rota_meta ENGINE = InnoDB"):
                store.open()
        finally:
            with engine.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE rota_meta ENGINE = InnoDB")


@pytest.mark.requires_service("mysql")
def test_a_session_is_strict_whatever_the_server_says():
    engine = create_engine(chosen_url(services.url("mysql")))
    event.listen(engine, "connect", lambda connection, _: connection.cursor().execute("SET SESSION sql_mode = ''"))
    with opened(engine) as store, pytest.raises(StoreError, match="too long"):
        store.sync_jobs([JobSeen("x" * 1025, "signature")])
    engine.dispose()


@both
def test_open_runs_are_found_by_the_indexes_of_what_is_ready_or_held(server):
    with opened(services.url(server)) as store:
        store.sync_jobs([JobSeen("job", "signature")])
        rows = [row(store, origin=origin) for origin in ("run_now", "backfill", "run_now", "run_now")]
        rows[3].status = "succeeded"
        store.add(rows)
        store.begin([Begin(rows[0].id, "job", 0, "token", "node", LONG)])
        found = {one.id for one in store.runs(statuses=("queued", "running", "waiting"))}
        assert found == {one.id for one in rows[:3]}
        assert [one.id for one in store.runs("job", statuses=("running",))] == [rows[0].id]
    assert "held = 1" in str(sql_statements.search(None, ("queued", "running"), None, None, None, None, 100))
    assert "held = 1" not in str(sql_statements.search(None, ("queued", "failed"), None, None, None, None, 100))


@both
def test_dead_letters_are_found_and_rare_ends_pruned_by_the_index_of_rare_statuses(server):
    with opened(services.url(server)) as store:
        store.sync_jobs([JobSeen("job", "signature")])
        rows = [row(store) for _ in range(3000)]
        for number, one in enumerate(rows):
            one.status = "failed" if number % 300 == 0 else "succeeded"
        store.add(rows)
        engine = store._space._database.engine
        looks = [
            lambda: store.runs(statuses=DEAD_LETTERS, discarded=False, limit=10_000),
            lambda: store.runs(statuses=UNHAPPY),
            lambda: store._space.read(lambda tx: tx.ended(None, ("other",), "failed", 2**60, 500)),
        ]
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ANALYZE {'' if server == 'postgresql' else 'TABLE '}rota_runs")
            connection.commit()
            for look in looks:
                with asked(engine) as statements:
                    assert len(look()) == 10
                plan = connection.exec_driver_sql("EXPLAIN " + statements[0][0], statements[0][1]).all()
                assert "rota_runs_rare" in [word for line in plan for word in str(line).replace("'", " ").split()]
        with asked(engine) as statements:
            assert store.prune(None, {"failed": 2**60, "succeeded": 2**60}, 1000) == 1000
    assert "rare_status" in statements[0][0]
    assert "rare_status" not in statements[1][0]


@both
def test_open_runs_are_counted_by_the_indexes_of_what_is_ready_or_held(server):
    with opened(services.url(server)) as store:
        store.sync_jobs([JobSeen("job", "signature")])
        rows = [row(store) for _ in range(3000)]
        for number, one in enumerate(rows):
            one.status = "queued" if number % 300 == 0 else "succeeded"
        store.add(rows)
        engine = store._space._database.engine
        with asked(engine) as statements:
            assert store.count_open() == {"job": 10}
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ANALYZE {'' if server == 'postgresql' else 'TABLE '}rota_runs")
            connection.commit()
            plan = str(connection.exec_driver_sql("EXPLAIN " + statements[0][0], statements[0][1]).all())
        assert "rota_runs_due" in plan
        assert "rota_runs_held" in plan
        assert "Seq Scan" not in plan


@contextmanager
def asked(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """The statements of the block, with their parameters."""
    sent: list[tuple[str, Any]] = []

    def executed(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", executed)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", executed)
