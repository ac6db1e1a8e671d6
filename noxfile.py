"""Rota's checks, one session each: `nox -s tests` is the one to start with, `nox -l` lists them.

A session runs on the Python that runs nox. With ROTA_ALL_PYTHONS=1 (or CI) set, `tests` runs on every supported Python
found on PATH, `lowest` on the oldest of them and `newest` on the newest.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "imports", "docs", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = ",".join(PYPROJECT["project"]["optional-dependencies"])
SUPPORTED = [
    words[-1]
    for words in (line.split(" :: ") for line in PYPROJECT["project"]["classifiers"])
    if re.fullmatch(r"3\.\d+", words[-1])
]


def answers(version: str) -> bool:
    """Whether pythonX.Y is on PATH and really starts: a version manager leaves stubs that only print an error."""
    command = shutil.which(f"python{version}")
    return command is not None and subprocess.run([command, "-c", ""], capture_output=True, check=False).returncode == 0


def pythons() -> list[str] | None:
    """The interpreters to test on; None is the one that runs nox."""
    own_is_supported = sys.version_info >= (3, 11)
    if own_is_supported and not (os.environ.get("ROTA_ALL_PYTHONS") or os.environ.get("CI")):
        return None
    present = [version for version in SUPPORTED if answers(version)]
    if not present and not own_is_supported:
        sys.exit(f"Rota needs one of Python {', '.join(SUPPORTED)}; none was found on PATH.")
    return (present or None) if own_is_supported else present[-1:]


PYTHONS = pythons()
OLDEST = PYTHONS[0] if PYTHONS else None
NEWEST = PYTHONS[-1] if PYTHONS else None


def install(session: nox.Session, *groups: str, pins: tuple[str, ...] = ()) -> None:
    """Install Rota with all its extras, editable, and the named groups of development tools."""
    session.install("-e", f".[{EXTRAS}]", *nox.project.dependency_groups(PYPROJECT, *groups), *pins)


def run_pytest(session: nox.Session) -> None:
    """Run the suite, each worker one file at a time, those that take longest first; pytest's own arguments follow `--`.

    One worker more than there are cores: for much of the time a test waits for a server or for another process.
    Compiled files are kept, whatever the machine says: hundreds of programs are started, and each would compile Rota.
    """
    workers = (os.cpu_count() or 1) + 1
    options = ("-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder")
    session.run("pytest", *options, *session.posargs, env={"PYTHONDONTWRITEBYTECODE": None})


LOWEST = (
    "alembic==1.13.0", "croniter==6.0.0", "django==4.2", "psycopg[binary]==3.1.18", "pymysql==1.1.0", "redis==5.0.0",
    "sqlalchemy==2.0.30", "structlog==23.1.0",
)  # fmt: skip
"""The oldest dependencies that Rota admits, but for dateutil."""

PUBLIC_FACE = (
    "tests/typing/public_face.py",
    *(f"src/rota/{name}.py" for name in ("__init__", "scheduler", "awaitable", "ports", "errors")),
    *(f"src/rota/core/{name}.py" for name in ("checkpoint", "context", "declaring", "job", "retry", "run")),
    *(f"src/rota/testing/{name}.py" for name in ("__init__", "clock", "simulation")),
    "src/rota/triggers",
)

ANNOTATED = (
    *(f"rota.{name}." for name in ("scheduler", "awaitable", "ports", "errors", "core", "stores", "locks")),
    *(f"rota.testing.{name}." for name in ("clock", "proxy", "simulation")),
    *(f"rota.triggers.{name}." for name in ("base", "combine", "cron", "interval", "once", "rrule")),
    "rota.triggers.calendar.Calendar.",
)
"""Where every public name has a type that all checkers agree on."""


def refuse_unannotated(session: nox.Session) -> None:
    """Fail for a name of the public face whose type another checker might infer otherwise: it is to be annotated.

    pyright judges the whole package, what is internal as well, so not all that it finds counts."""
    verify = ("pyright", "--verifytypes", "rota", "--ignoreexternal", "--outputjson")
    told = session.run(*verify, silent=True, stderr=None, success_codes=[0, 1])
    symbols = json.loads(str(told))["typeCompleteness"]["symbols"]
    unknown = [name["name"] for name in symbols if not name["isTypeKnown"] and name["name"].startswith(ANNOTATED)]
    if not symbols or unknown:
        session.error(f"types to be annotated: {', '.join(unknown) or 'pyright found no name at all'}")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite. `nox -s tests -- -k cron` hands arguments to pytest."""
    install(session, "test")
    run_pytest(session)


@nox.session(python=OLDEST)
@nox.parametrize("dateutil", ["2.8.2", "2.9.0.post0"])
def lowest(session: nox.Session, dateutil: str) -> None:
    """The test suite on the oldest dependencies that Rota admits, and on the dateutil that other libraries pin."""
    install(session, "test", pins=(*LOWEST, f"python-dateutil=={dateutil}"))
    run_pytest(session)


@nox.session(python=NEWEST)
def newest(session: nox.Session) -> None:
    """The test suite on the newest major releases of the dependencies."""
    install(session, "test", pins=("croniter>=7,<8", "python-dateutil>=4"))
    run_pytest(session)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Style: ruff's rules and its format. `nox -s lint -- --fix` repairs what can be repaired."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]), ".")


@nox.session(python=OLDEST)
def types(session: nox.Session) -> None:
    """Types: mypy --strict inside, pyright on the public face and on an application that uses it; no name without."""
    install(session, "types")
    session.run("mypy")
    session.run("mypy", "tests/typing/public_face.py")
    session.run("pyright", *PUBLIC_FACE)
    refuse_unannotated(session)


@nox.session(python=OLDEST)
def imports(session: nox.Session) -> None:
    """The import law: which layer may import which."""
    install(session, "imports")
    session.run("lint-imports")


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """The documentation site, built into site/; a broken link is an error."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "docs"))
    session.run("zensical", "build", "--clean", "--strict")


@nox.session
def simulate(session: nox.Session) -> None:
    """Simulated fleets under faults, a story per seed: `-- --seeds 100000 --jobs 2`, or one again: `-- --replay 42`."""
    session.install("-e", ".")
    session.run("python", "-m", "tests.simulation", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """What Rota costs beside its peers, as a table. `nox -s bench -- dispatch --rounds 1` measures less."""
    install(session, "bench", "test")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """What befalls a fleet, tried with real processes and servers: a table. `nox -s chaos -- --row 7` tries less."""
    install(session, "test")
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """See Rota at work: `python -m rota demo`, with the arguments after `--`."""
    session.install("-e", ".[flask]")
    session.run("python", "-m", "rota", "demo", *session.posargs)
