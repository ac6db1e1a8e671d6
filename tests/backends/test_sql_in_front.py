"""What may stand between a program and PostgreSQL: PgBouncer, TLS, a standby that is taken for the primary."""

from __future__ import annotations

import re
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from tests import services
from tests.more_servers import TLS, PgBouncer, Standby, certificate
from tests.waiting import until
from tests.wheel_servers import PostgreSQL, is_installed

from rota import Scheduler
from rota.errors import LockBackendError, StoreError
from rota.locks import SQLLocks

pytestmark = pytest.mark.any_versions

needs_own = pytest.mark.skipif(
    not is_installed("postgresql"), reason="postgresql: no wheel brings a server that may be followed"
)


@pytest.fixture
def directory():
    """One that everybody may pass through: these servers refuse to be root."""
    with tempfile.TemporaryDirectory(prefix="rota-own-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def pool(service_url, directory: Path):
    """Gives the address of a PgBouncer in a mode, in front of the tests' database."""
    with ExitStack() as opened:

        def url(mode: str) -> str:
            try:
                made = PgBouncer(directory, service_url("postgresql"), mode)
            except services.Unavailable as reason:
                pytest.skip(str(reason))
            return opened.enter_context(made).url

        yield url


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_many_more_threads_than_sessions_work_through_pgbouncer(pool, mode):
    scheduler = Scheduler(uuid4().hex, store=pool(mode), max_workers=12)
    scheduler.add(lambda run, number: run.checkpoint.update(number=number), id="asked", max_running=12)
    scheduler.start()
    ids = {scheduler.run_now("asked", args=[number]) for number in range(40)}
    assert until(lambda: len(scheduler.runs("asked", status="succeeded")) == len(ids))
    with scheduler.lock("name") as lease:
        assert lease.fence == 1
    scheduler.shutdown()


def test_pgbouncer_in_statement_mode_is_refused_with_what_to_do(pool):
    url = pool("statement")
    with pytest.raises(StoreError, match="set it to transaction mode"):
        Scheduler(uuid4().hex, store=url).start()
    with pytest.raises(LockBackendError, match="set it to transaction mode"):
        SQLLocks(url, uuid4().hex).acquire("name", "token", 10.0)


@pytest.mark.requires_service("postgresql")
def test_a_url_that_asks_for_tls_is_given_it_and_a_certificate_of_nobodys_is_refused(tmp_path):
    try:
        signed, key = certificate(tmp_path)
    except services.Unavailable as reason:
        pytest.skip(str(reason))
    parts = urlsplit(services.url("postgresql"))
    with TLS((parts.hostname or "127.0.0.1", parts.port or 5432), signed, key, is_asked_for=True) as front:
        url = f"postgresql://{parts.username}@localhost:{front.port}{parts.path}"
        for wanted in ("sslmode=require", f"sslmode=verify-full&sslrootcert={signed}"):
            locks = SQLLocks(f"{url}?{wanted}", uuid4().hex)
            assert locks.acquire("name", "token", 10.0) is not None
            locks.close()
        with pytest.raises(LockBackendError, match="root certificate file"):
            SQLLocks(f"{url}?sslmode=verify-full&sslrootcert=/none", uuid4().hex).acquire("name", "token", 10.0)


@needs_own
def test_a_hot_standby_is_refused_and_followed_once_it_is_the_primary(directory):
    for name in ("primary", "standby"):
        (directory / name).mkdir()
    with PostgreSQL(directory / "primary") as primary, Standby(directory / "standby", primary) as standby:
        with pytest.raises(StoreError, match="it is a replica, which cannot be written: give the address of the prim"):
            Scheduler("shop", store=standby.url).start()
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (standby, primary))
        url = f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write"
        scheduler = Scheduler("shop", store=url)
        scheduler.add(lambda: None, id="asked")
        scheduler.start()
        first = scheduler.run_now("asked")
        assert until(lambda: scheduler.get_run(first).status == "succeeded")
        assert until(lambda: _has_followed(standby, primary))
        primary.stop(signal.SIGQUIT)
        standby.promote()
        assert until(lambda: scheduler.health().store)
        assert scheduler.get_run(first).status == "succeeded"
        second = scheduler.run_now("asked")
        assert until(lambda: scheduler.get_run(second).status == "succeeded")
        scheduler.shutdown()


def _has_followed(standby: Standby, primary: PostgreSQL) -> bool:
    import psycopg

    with psycopg.connect(primary.url) as one, psycopg.connect(standby.url) as other:
        written = one.execute("SELECT pg_current_wal_lsn()").fetchone()[0]
        return other.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (written,)).fetchone()[0]


def test_a_url_that_a_driver_takes_and_we_cannot_is_answered_with_the_one_to_write():
    from rota.errors import ConfigurationError
    from rota.stores import SQLStore

    with pytest.raises(ConfigurationError, match=re.escape("?host=one:5432&host=two:5432&target_session_attrs=")):
        SQLStore("postgresql://user@one:5432,two:5432/database")
