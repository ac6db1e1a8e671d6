"""A Django project whose application starts the scheduler: `runserver` with its reloader, and commands beside it."""

import json
import signal
import socket
import sys
import urllib.request
from http.client import HTTPException
from importlib.util import find_spec
from json import JSONDecodeError
from pathlib import Path

import pytest
from tests.anomaly.programs import Program, assert_sound, ledger
from tests.waiting import until

pytestmark = pytest.mark.skipif(find_spec("django") is None, reason="Django is not installed")

FILES = {
    "manage.py": """
import os, sys
from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
execute_from_command_line(sys.argv)
""",
    "site_settings.py": """
DEBUG = True
SECRET_KEY = "tests"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "site_urls"
USE_TZ = True
INSTALLED_APPS = ["rota.integrations.django", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}}
""",
    "site_urls.py": """
import os
from django.http import JsonResponse
from django.urls import path
from shop.jobs import scheduler

urlpatterns = [path("", lambda request: JsonResponse({"pid": os.getpid(), "alive": scheduler.health().alive}))]
""",
    "shop/__init__.py": "",
    "shop/apps.py": """
from django.apps import AppConfig

class ShopConfig(AppConfig):
    name = "shop"

    def ready(self):
        from shop.jobs import scheduler
        scheduler.start()
""",
    "shop/jobs.py": """
import os
from rota import Scheduler
from rota.stores import DjangoStore

scheduler = Scheduler("shop", store=DjangoStore("default", "shop"), create_tables=False, shutdown_timeout=3)

def note(run):
    tick = run.scheduled_for.isoformat() if run.scheduled_for else run.id
    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, f"start {run.job_id} {tick} {run.attempt} {run.lease.fence} {os.getpid()}\\n".encode())
    os.close(ledger)

@scheduler.interval(seconds=1)
def each(run):
    note(run)

@scheduler.job()
def asked(run):
    note(run)
""",
}


class Site:
    """The project in a directory, and its `manage.py`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "shop").mkdir()
        for name, text in FILES.items():
            (directory / name).write_text(text)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def manage(self, *words: str) -> Program:
        """A command of `manage.py`."""
        return Program.of(self.directory, [sys.executable, "manage.py", *words])

    def carried_out(self, *words: str) -> Program:
        """The same, at its end; it must have succeeded."""
        with self.manage(*words) as program:
            assert program.end() == 0, program.stderr
        return program

    def health(self) -> dict[str, object]:
        """Which process answers, and whether it runs jobs; empty while none answers, or one that is being ended."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                return json.load(answer)
        except (OSError, HTTPException, JSONDecodeError):
            return {}

    def answer_of_another_than(self, pid: object) -> dict[str, object]:
        """The same, of the first process to answer that is another."""
        answers: list[dict[str, object]] = []

        def is_another() -> bool:
            answers.append(self.health())
            return answers[-1].get("pid") not in {None, pid}

        assert until(is_another)
        return answers[-1]


def test_the_reloader_and_commands_beside_it_run_each_tick_once(tmp_path):
    site = Site(tmp_path)
    migrated = site.carried_out("migrate", "--verbosity=0")
    assert "manage.py command other than `runserver`" in migrated.stderr
    assert ledger(tmp_path) == []

    with site.manage("runserver", f"127.0.0.1:{site.port}") as server:
        assert until(lambda: len(ledger(tmp_path)) >= 2), server.stderr
        first = site.answer_of_another_than(None)
        assert first["alive"]
        assert {entry.pid for entry in ledger(tmp_path)} == {first["pid"]}
        assert first["pid"] != server.process.pid
        assert "parent of Django's reloader" in server.stderr

        said = site.carried_out("shell", "-c", "from shop.jobs import scheduler; scheduler.enqueue('asked')")
        assert "Traceback" not in said.stderr
        assert until(lambda: any(entry.job == "asked" for entry in ledger(tmp_path)))
        assert {entry.pid for entry in ledger(tmp_path)} == {first["pid"]}

        jobs = tmp_path / "shop" / "jobs.py"
        jobs.write_text(jobs.read_text() + "\n# changed\n")
        # Not asked while it is being replaced: a server that ends would tell of the thread that it cannot start.
        assert until(lambda: any(entry.pid != first["pid"] for entry in ledger(tmp_path))), server.stderr
        second = site.answer_of_another_than(first["pid"])
        assert second["alive"]
        count = len(ledger(tmp_path))
        assert until(lambda: len(ledger(tmp_path)) >= count + 2)
        server.send(signal.SIGTERM)
        server.end()
    assert_sound(ledger(tmp_path))
    assert {entry.pid for entry in ledger(tmp_path)} == {first["pid"], second["pid"]}
    assert "Traceback" not in server.stderr
