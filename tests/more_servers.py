"""Servers of other kinds that a test starts for itself: replicas, Redis Sentinel, PgBouncer, and TLS in front of one.

PgBouncer is a program of the machine (`apt install pgbouncer`), all others come from the wheels of `wheel_servers`.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.services import Unavailable
from tests.wheel_servers import PostgreSQL, Valkey, WheelServer, answers_as_postgresql


class Standby(PostgreSQL):
    """A hot standby of a PostgreSQL from the wheel: it follows its primary, and may be read."""

    def __init__(self, directory: Path, primary: PostgreSQL) -> None:
        super().__init__(directory)
        self._primary = primary

    def _create(self) -> None:
        if self._user is not None:
            self.directory.chmod(0o777)
        where = ["-h", "127.0.0.1", "-p", str(self._primary.port), "-U", "postgres"]
        self._run("pg_basebackup", *where, "-D", str(self.directory / "data"), "-R", "-X", "stream", "-c", "fast")

    def promote(self) -> None:
        """Make it a primary."""
        self._run("pg_ctl", "-w", "-D", str(self.directory / "data"), "promote")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs() / program), *arguments]
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, **self._rights(), check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")


class Replica(Valkey):
    """A replica of a Valkey from the wheel."""

    def __init__(self, directory: Path, primary: Valkey) -> None:
        super().__init__(directory)
        self._primary = primary

    def _command(self) -> list[str]:
        return [*super()._command(), "--replicaof", "127.0.0.1", str(self._primary.port)]


class Sentinel(Valkey):
    """A Sentinel that watches over a primary, which it knows as `shop`, and fails over when that does not answer."""

    def __init__(self, directory: Path, primary: Valkey) -> None:
        super().__init__(directory)
        self._primary = primary

    def _command(self) -> list[str]:
        lines = [
            f"port {self.port}", "bind 127.0.0.1", f"sentinel monitor shop 127.0.0.1 {self._primary.port} 1",
            "sentinel down-after-milliseconds shop 1000", "sentinel failover-timeout shop 4000",
        ]  # fmt: skip
        path = self.directory / "sentinel.conf"
        path.write_text("\n".join(lines) + "\n")
        return [super()._command()[0], str(path), "--sentinel"]


class PgBouncer(WheelServer):
    """PgBouncer in front of the database of a URL. Raises `Unavailable` where this machine has none."""

    def __init__(self, directory: Path, url: str, mode: str) -> None:
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if program is None:
            raise Unavailable("pgbouncer: no PgBouncer is on PATH (apt install pgbouncer)")
        super().__init__(directory)
        self._program, self._behind, self._mode = program, urlsplit(url), mode

    @property
    def url(self) -> str:
        return f"postgresql://{self._behind.username}@127.0.0.1:{self.port}{self._behind.path}"

    def _command(self) -> list[str]:
        server = f"host={self._behind.hostname} port={self._behind.port or 5432} user={self._behind.username}"
        password = f" password={self._behind.password}" if self._behind.password else ""
        lines = [
            "[databases]", f"* = {server}{password}", "[pgbouncer]", "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}", "auth_type = any", "unix_socket_dir =", f"pool_mode = {self._mode}",
            "default_pool_size = 4", "max_client_conn = 300",
        ]  # fmt: skip
        path = self.directory / "pgbouncer.ini"
        self.directory.chmod(0o755)
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o644)
        return [self._program, str(path)]

    def _answers(self) -> bool:
        return answers_as_postgresql(self.url)


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for `localhost` that nobody but its own key has signed, and that key."""
    program = shutil.which("openssl")
    if program is None:
        raise Unavailable("openssl: it is not on PATH, and makes the certificates")
    signed, key = directory / "certificate.pem", directory / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-keyout", str(key), "-out", str(signed)]
    subprocess.run([program, "req", *made, *names], check=True, capture_output=True)
    return signed, key


class TLS:
    """Speaks TLS to clients, with that certificate, and hands on to a server what they say.

    PostgreSQL's clients ask for TLS first, in plain; Redis's begin with it.
    """

    def __init__(self, behind: tuple[str, int], signed: Path, key: Path, *, is_asked_for: bool) -> None:
        self._behind, self._is_asked_for = behind, is_asked_for
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(signed, key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> TLS:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(30)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if self._is_asked_for:
                await reader.readexactly(8)
                writer.write(b"S")
            await writer.start_tls(self._context)
            server_reader, server_writer = await asyncio.open_connection(*self._behind)
            await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))
        writer.close()


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    finally:
        writer.close()
