"""Addresses: which path a URL, or a plain path, means; what a URL needs, and how it may be shown.

`sqlite:///relative.db` and `sqlite:////absolute.db`, as SQLAlchemy has it; `file:///absolute/directory`, as RFC 8089
has it, and `file:relative`. A relative path is made absolute at once: a program may change its directory later.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rota.errors import ConfigurationError

SQLITE = "sqlite://"
FILE = "file:"

_PASSWORD: Final = re.compile(r"(?<=://)([^:/@]*):.*@")
_NUMBERED: Final = re.compile(r"/?[0-9]*")
_PASSWORD_OPTION: Final = re.compile(r"(?i)([?&][^=&]*pass[^=&]*=)[^&#]*")


def sqlite_path(url_or_path: str | os.PathLike[str]) -> str:
    """The absolute path of an SQLite file. Raises `ConfigurationError` for a URL of another kind, or `:memory:`."""
    text = os.fspath(url_or_path)
    path = text
    if text.startswith(SQLITE):
        rest = text.removeprefix(SQLITE)
        if rest and not rest.startswith("/"):
            raise ConfigurationError(f"{text!r} names a host: write sqlite:///relative.db or sqlite:////absolute.db")
        if "?" in rest:
            raise ConfigurationError(f"{text!r}: a sqlite URL takes no options after a '?'")
        path = rest[1:]
    elif "://" in text or text.startswith("sqlite:"):
        raise ConfigurationError(
            f"{text!r} is no sqlite URL: write sqlite:///relative.db, sqlite:////absolute.db or a path"
        )
    if path in {"", ":memory:"} or path.startswith("file:"):
        raise ConfigurationError(f"{text!r} names no file; to keep everything in memory, leave the store out")
    return str(Path(path).absolute())


def directory_path(url_or_path: str | os.PathLike[str]) -> str:
    """The absolute path of a directory. Raises `ConfigurationError` for a URL of another kind."""
    text = os.fspath(url_or_path)
    path = text
    if text.startswith(FILE):
        path = text.removeprefix(FILE)
        if path.startswith("//"):
            path = path[2:].removeprefix("localhost")
            if not path.startswith("/"):
                raise ConfigurationError(f"{text!r} names a host: write file:///absolute/directory or file:relative")
            path = "/" + path.lstrip("/")
    elif "://" in text:
        raise ConfigurationError(f"{text!r} is no file URL: write file:///absolute/directory or a path")
    if not path:
        raise ConfigurationError(f"{text!r} names no directory")
    return str(Path(path).absolute())


def without_password(url: str) -> str:
    """A URL as it may be shown in messages and logs, be it one at all: what may be part of a password is left out,
    with signs in it that ought to be quoted, and in options such as `?password=`."""
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def scheme_of(url: str) -> str:
    """`postgresql` of `postgresql+psycopg://…`; nothing where there is no scheme. Only `file:` does without slashes."""
    if url.startswith(FILE):
        return "file"
    scheme, is_url, _ = url.partition("://")
    return scheme.partition("+")[0].lower() if is_url else ""


def check_redis_database(url: str) -> None:
    """Raise `ConfigurationError` for a Redis URL that names its database otherwise than by a number: the client would
    take number 0."""
    parts = urlsplit(url)
    if parts.scheme != "unix" and _NUMBERED.fullmatch(parts.path.rstrip("/")) is None:
        raise ConfigurationError(
            f"{without_password(url)!r} names the database {parts.path[1:]!r}: Redis knows its databases by number, as "
            "in redis://host:6379/0. Schedulers of different names share one without seeing each other"
        )


def require_package(url: str, packages: tuple[str, ...], extra: str) -> None:
    """Raise `ConfigurationError` where none of the packages that speak to the server of a URL is installed."""
    if not any(find_spec(package) for package in packages):
        raise ConfigurationError(
            f'{without_password(url)!r} needs the package {packages[0]}: pip install "rota[{extra}]"'
        )
