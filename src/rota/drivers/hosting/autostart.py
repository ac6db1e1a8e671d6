"""Whether `start()` runs jobs in this process, or only arms: everything but execution.

Law: decided from facts that are handed in, row by row of `ROWS`, the first that applies. A process that no row knows
runs jobs: a plain script or a server. To run in one process too many is waste (every run is claimed); to run in none is
a night without a backup.

`ROTA_AUTOSTART=always` or `never` overrules the table; `auto` is the default.

What the servers look like was found out by starting them: gunicorn 27, uWSGI 2.0, uvicorn 0.54, hypercorn 0.18, Flask
3.1, Django 5.2, Celery 5.7.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType
from typing import Final, NamedTuple

from rota.backends import uwsgi
from rota.drivers.hosting.forks import is_server_worker
from rota.errors import ConfigurationError

CHOICES: Final = ("auto", "always", "never")

SERVERS_OF_CHILDREN: Final = frozenset({"uvicorn", "hypercorn", "granian", "sanic", "gunicorn", "daphne", "robyn"})
"""Packages whose `multiprocessing` children serve requests."""

QUEUE_WORKERS: Final = frozenset(
    {
        "arq",
        "celery",
        "dramatiq",
        "dramatiq-gevent",
        "huey_consumer",
        "huey_consumer.py",
        "procrastinate",
        "rq",
        "rqworker",
        "taskiq",
    }
)
"""Programs that work a queue off, or steer the ones that do."""

DJANGO_SERVERS: Final = frozenset({"runserver", "runserver_plus", "runsslserver"})

_FLASK_OPTIONS_WITH_VALUE: Final = frozenset({"--app", "-A", "--env-file", "-e"})
_DJANGO_OPTIONS_WITH_VALUE: Final = frozenset({"--settings", "--pythonpath", "-v", "--verbosity"})


class Decision(NamedTuple):
    """`run`: whether this process executes jobs. `why`: in a clause that fits after "only armed: ". `is_child`: it is a
    child that imports the main module again, or works for a scheduler."""

    run: bool
    why: str
    is_child: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """What is known of this process apart from its environment and arguments.

    `child_of`: `""` unless it is a `multiprocessing` child; then the package of the function that it runs, or `"?"`
    while it is only importing the main module again. `stack`: the modules whose functions the main thread is in.
    `is_server_worker`: it was forked by a server's master. `is_yet_to_fork`: it loads the application for uWSGI, which
    then forks. `lacks_threads`: uWSGI lets no threads run in it.
    """

    pid: int = 0
    child_of: str = ""
    stack: Collection[str] = ()
    is_server_worker: bool = False
    is_yet_to_fork: bool = False
    lacks_threads: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a row may look at."""

    environ: Mapping[str, str]
    argv: Sequence[str]
    modules: Collection[str]
    process: Process

    @property
    def program(self) -> str:
        """The program's name: `flask` for `/usr/bin/flask` as well as for `python -m flask`."""
        path = PurePath(self.argv[0]) if self.argv else PurePath()
        return path.parent.name if path.name == "__main__.py" else path.name

    def command(self, options_with_value: Collection[str]) -> str:
        """The first argument that is neither an option nor an option's value; `""` if there is none."""
        arguments = iter(self.argv[1:])
        for argument in arguments:
            if argument in options_with_value:
                next(arguments, None)
            elif not argument.startswith("-"):
                return argument
        return ""


class Row(NamedTuple):
    """A kind of process that only arms."""

    applies: Callable[[Facts], bool]
    why: str
    is_child: bool = False


def decide(
    environ: Mapping[str, str], argv: Sequence[str], modules: Collection[str], process: Process = Process()
) -> Decision:
    """Whether a process with these facts executes jobs. `ConfigurationError` for an unknown `ROTA_AUTOSTART`."""
    choice = environ.get("ROTA_AUTOSTART", "").strip().lower() or "auto"
    if choice not in CHOICES:
        raise ConfigurationError(f"ROTA_AUTOSTART is {choice!r}; it may be {', '.join(CHOICES)}")
    if choice != "auto":
        return Decision(choice == "always", f"ROTA_AUTOSTART={choice}")
    facts = Facts(environ, argv, modules, process)
    for row in ROWS:
        if row.applies(facts):
            return Decision(run=False, why=row.why, is_child=row.is_child)
    return Decision(run=True, why="")


def decide_here() -> Decision:
    """`decide` for this process, now."""
    return decide(os.environ, sys.argv, sys.modules, look_at_process())


def look_at_process() -> Process:
    """The facts of this process."""
    return Process(
        os.getpid(),
        _child_of(),
        _modules_on_the_stack(),
        is_server_worker(),
        uwsgi.is_yet_to_fork(),
        uwsgi.lacks_threads(),
    )


def worker_count() -> int:
    """Among how many workers of its server this process is one, as far as that can be told; else 0."""
    spawned = _workers_asked_for() if _child_of() in SERVERS_OF_CHILDREN else 0
    return max(spawned, _gunicorn_workers(), uwsgi.worker_count())


# The table ------------------------------------------------------------------------------------------------------------


def makes_process_jobs(environ: Mapping[str, str], pid: int) -> bool:
    """Whether a process makes the calls of process jobs for another one."""
    return environ.get("ROTA_CHILD") == str(pid)


def _is_rota_child(facts: Facts) -> bool:
    return makes_process_jobs(facts.environ, facts.process.pid)


def _is_multiprocessing_child(facts: Facts) -> bool:
    return facts.process.child_of not in SERVERS_OF_CHILDREN | {""}


def _is_gunicorn_master(facts: Facts) -> bool:
    stack = facts.process.stack
    if facts.process.is_server_worker:  # within the fork the stack is still the master's
        return False
    return "gunicorn.arbiter" in stack and not any(module.startswith("gunicorn.workers") for module in stack)


def _is_uwsgi_without_threads(facts: Facts) -> bool:
    return facts.process.lacks_threads


def _is_uwsgi_before_its_forks(facts: Facts) -> bool:
    return facts.process.is_yet_to_fork


def _is_queue_worker(facts: Facts) -> bool:
    return facts.program in QUEUE_WORKERS


def _is_flask_command(facts: Facts) -> bool:
    return facts.program == "flask" and facts.command(_FLASK_OPTIONS_WITH_VALUE) != "run"


def _is_flask_reloader(facts: Facts) -> bool:
    if facts.program != "flask" or facts.environ.get("WERKZEUG_RUN_MAIN") == "true" or "--no-reload" in facts.argv:
        return False
    debug = facts.environ.get("FLASK_DEBUG", "").lower() not in ("", "0", "false", "no")
    return "--reload" in facts.argv or (("--debug" in facts.argv or debug) and "--no-debug" not in facts.argv)


def _is_werkzeug_reloader(facts: Facts) -> bool:
    return "werkzeug._reloader" in facts.process.stack and facts.environ.get("WERKZEUG_RUN_MAIN") != "true"


def _is_django(facts: Facts) -> bool:
    return facts.program in ("manage.py", "django-admin", "django") and "django.core.management" in facts.modules


def _is_django_command(facts: Facts) -> bool:
    return _is_django(facts) and facts.command(_DJANGO_OPTIONS_WITH_VALUE) not in DJANGO_SERVERS


def _is_django_reloader(facts: Facts) -> bool:
    if not _is_django(facts) or "--noreload" in facts.argv:
        return False
    is_child = facts.environ.get("RUN_MAIN") == "true" or facts.environ.get("WERKZEUG_RUN_MAIN") == "true"
    return not is_child


def _is_uvicorn_reloader(facts: Facts) -> bool:
    if facts.process.child_of:
        return False
    if any(module.startswith("uvicorn.supervisors.") for module in facts.process.stack):  # in `uvicorn.run(…)`
        return True
    if facts.program == "fastapi":
        is_dev = facts.command(()) == "dev" and "--no-reload" not in facts.argv
        return is_dev or "--reload" in facts.argv or "--workers" in facts.argv
    return facts.program == "uvicorn" and "--reload" in facts.argv


ROWS: Final = (
    Row(_is_rota_child, "this child process makes the calls of process jobs", is_child=True),
    Row(
        _is_multiprocessing_child,
        "this is a multiprocessing child, whose parent has the scheduler (it imports the main module again: what a"
        " script does belongs under `if __name__ == '__main__':`)",
        is_child=True,
    ),
    Row(_is_gunicorn_master, "this is gunicorn's master (--preload); its workers run jobs once they are forked"),
    Row(_is_uwsgi_without_threads, "uWSGI lets no threads run: give it the option enable-threads, and start it anew"),
    Row(_is_uwsgi_before_its_forks, "uWSGI is yet to fork its workers, which run jobs from then on"),
    Row(_is_queue_worker, "this is a queue worker or its command line, not the application's server"),
    Row(_is_flask_command, "this is a flask command other than `run`"),
    Row(_is_flask_reloader, "this is the parent of Flask's reloader; its child runs jobs"),
    Row(_is_werkzeug_reloader, "this is the parent of Werkzeug's reloader; its child runs jobs"),
    Row(_is_django_command, "this is a manage.py command other than `runserver`"),
    Row(_is_django_reloader, "this is the parent of Django's reloader; its child runs jobs"),
    Row(_is_uvicorn_reloader, "this is the parent of uvicorn's reloader or workers; its children run jobs"),
)


# Looking at the process -----------------------------------------------------------------------------------------------


def _child_of() -> str:
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        target = getattr(process.current_process(), "_target", None)
        module = getattr(getattr(target, "func", target), "__module__", None)
        return str(module).partition(".")[0] if module else "?"
    # A spawned child imports the main module again before multiprocessing says that it has a parent.
    is_spawned = any(word == "--multiprocessing-fork" or "multiprocessing.forkserver" in word for word in sys.orig_argv)
    return "?" if is_spawned else ""


def _modules_on_the_stack() -> frozenset[str]:
    return frozenset(str(frame.f_globals.get("__name__")) for frame in _stack())


def _stack() -> Iterator[FrameType]:
    """The frames of the main thread, innermost first."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001  # there is no public way
    while frame is not None:
        yield frame
        frame = frame.f_back


def _gunicorn_workers() -> int:
    """How many workers gunicorn keeps, asked of its master, on whose stack a worker lives."""
    for frame in _stack():
        if frame.f_globals.get("__name__") == "gunicorn.arbiter":
            count = getattr(frame.f_locals.get("self"), "num_workers", 0)
            return count if isinstance(count, int) else 0
    return 0


def _workers_asked_for() -> int:
    """How many workers the command line of a server that spawns them asks for."""
    words = [os.environ.get("WEB_CONCURRENCY", "")]
    for index, word in enumerate(sys.argv):
        name, _, value = word.partition("=")
        if name in ("--workers", "-w"):
            words.append(value or "".join(sys.argv[index + 1 : index + 2]))
    return max(int(word) if word.isdecimal() else 0 for word in words)
