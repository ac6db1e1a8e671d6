"""Addresses as they may be shown."""

import pytest
from sqlalchemy import create_engine

from rota import Scheduler
from rota.backends.urls import without_password
from rota.errors import ConfigurationError, StoreError
from rota.locks import RedisLocks
from rota.stores import RedisStore, SQLiteStore, SQLStore


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://host/database", "postgresql://host/database"),
        ("postgresql://user@host:5432/database?options=-c%20x", "postgresql://user@host:5432/database?options=-c%20x"),
        ("postgresql://user:secret@host/database", "postgresql://user:***@host/database"),
        ("mysql://user:se/cr#e?t@host/database", "mysql://user:***@host/database"),
        ("mysql://user:se@cret@host", "mysql://user:***@host"),
        ("redis://:secret@[::1]:6379/0", "redis://:***@[::1]:6379/0"),
        ("redis://host/0?db=1&password=secret", "redis://host/0?db=1&password=***"),
        ("postgresql://host/d?user=u&sslpassword=secret&x=y", "postgresql://host/d?user=u&sslpassword=***&x=y"),
        ("sqlite:////directory/file.db", "sqlite:////directory/file.db"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert without_password(url) == shown


@pytest.mark.parametrize("url", ["redis://me:secret@host/shop", "rediss://host/1/2", "valkey://host/-1?db=1"])
@pytest.mark.parametrize("use", [RedisStore, RedisLocks, lambda url: Scheduler("shop", store=url)])
def test_a_redis_database_has_a_number(url, use):
    with pytest.raises(
        ConfigurationError, match=r"names the database '.*': Redis knows its databases by number"
    ) as raised:
        use(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["redis://host", "redis://host/", "redis://host/0/", "rediss://host:1/12", "unix:///tmp/redis.sock?db=1"],
)
def test_redis_urls_that_will_do(url):
    RedisStore(url)
    Scheduler("shop", store=url)


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:shop.db", "sqlite:/shop.db", "mysql:shop", "postgresql:"])
def test_an_address_without_its_slashes_is_refused_and_no_file_of_that_name_made(url):
    for given in ("store", "locks"):
        with pytest.raises(ConfigurationError, match="sqlite:///"):
            Scheduler("shop", **{given: url})
    if url.startswith("sqlite"):
        with pytest.raises(ConfigurationError, match="sqlite:///"):
            SQLiteStore(url)


@pytest.mark.parametrize("given", [str, create_engine])
def test_no_password_is_told_of_a_database_that_cannot_be_reached(given):
    store = SQLStore(given("postgresql+psycopg://127.0.0.1:1/database?user=user&password=secret"))
    with pytest.raises(StoreError) as raised:
        store.open()
    assert "password=***" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_certificate_that_is_missing_is_an_error_of_the_store():
    store = SQLStore("mysql+pymysql://user@127.0.0.1:1/database?ssl_ca=/missing/certificate")
    with pytest.raises(StoreError, match="No such file"):
        store.open()
