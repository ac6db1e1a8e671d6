"""In which processes `start()` runs jobs. The facts are those that the servers showed when they were started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rota.drivers.hosting.autostart import Process, decide, decide_here
from rota.errors import ConfigurationError

HERE = Process(pid=7)
DJANGO = {"django.core.management"}
FLASK = ["/venv/bin/flask", "--app", "shop"]
MASTER_STACK = ("__main__", "gunicorn.app.base", "gunicorn.arbiter")
MASTER = Process(pid=7, stack=MASTER_STACK)
JUST_FORKED = Process(pid=7, stack=MASTER_STACK, is_server_worker=True)
WORKER = Process(pid=7, stack=(*MASTER_STACK, "gunicorn.workers.base", "gunicorn.workers.gthread"))
SUPERVISING = ("__main__", "uvicorn.main", "uvicorn.supervisors.multiprocess")
RELOADED = {"WERKZEUG_RUN_MAIN": "true"}


@pytest.mark.parametrize(
    ("argv", "environ", "modules", "process"),
    [
        (["script.py"], {}, (), HERE),
        ([""], {}, (), HERE),
        (["/venv/bin/pytest"], {}, (), HERE),
        (["app.py"], RELOADED, (), HERE),
        (["/venv/bin/uvicorn", "shop:app"], {}, ("uvicorn",), HERE),
        (["/venv/bin/uvicorn", "shop:app", "--reload"], {}, (), Process(7, "uvicorn")),
        (["/venv/bin/uvicorn", "shop:app", "--workers", "2"], {}, (), Process(7, "uvicorn")),
        (["app.py"], {}, (), Process(7, "uvicorn", stack=SUPERVISING)),
        (["/venv/bin/fastapi", "dev", "shop.py"], {}, (), Process(7, "uvicorn")),
        (["/venv/bin/fastapi", "run", "shop.py"], {}, (), HERE),
        (["/venv/bin/hypercorn", "shop:app"], {}, (), Process(7, "hypercorn")),
        (["/venv/bin/gunicorn", "shop:app"], {}, (), WORKER),
        (
            ["/venv/bin/gunicorn", "--preload", "shop:app"],
            {},
            (),
            Process(7, stack=MASTER_STACK, is_server_worker=True),
        ),
        (["uwsgi"], {}, (), Process(7, is_server_worker=True)),
        ([*FLASK, "run"], {}, (), HERE),
        ([*FLASK, "--debug", "run"], RELOADED, (), HERE),
        ([*FLASK, "run", "--debug", "--no-reload"], {"FLASK_DEBUG": "1"}, (), HERE),
        ([*FLASK, "run"], {"FLASK_DEBUG": "0"}, (), HERE),
        (["manage.py", "runserver", "8000"], {"RUN_MAIN": "true"}, DJANGO, HERE),
        (["manage.py", "runserver", "--noreload"], {}, DJANGO, HERE),
        (["manage.py", "runserver_plus"], RELOADED, DJANGO, HERE),
        (["script.py"], {"ROTA_CHILD": "6"}, (), HERE),
        (["/venv/bin/celery", "-A", "shop", "worker"], {"ROTA_AUTOSTART": "always"}, (), HERE),
        (["script.py"], {"ROTA_AUTOSTART": "auto"}, (), HERE),
    ],
)
def test_it_runs_jobs_in(argv: list[str], environ: dict[str, str], modules: tuple[str, ...], process: Process) -> None:
    assert decide(environ, argv, modules, process).run


@pytest.mark.parametrize(
    ("argv", "environ", "modules", "process", "why"),
    [
        (["script.py"], {"ROTA_CHILD": "7"}, (), HERE, "process jobs"),
        (["script.py"], {}, (), Process(7, "?"), "multiprocessing child"),
        (["script.py"], {}, (), Process(7, "shop"), "multiprocessing child"),
        (["/venv/bin/gunicorn", "--preload", "shop:app"], {}, (), MASTER, "gunicorn's master"),
        (["uwsgi"], {}, (), Process(7, is_yet_to_fork=True), "yet to fork"),
        (["uwsgi"], {}, (), Process(7, lacks_threads=True, is_server_worker=True), "enable-threads"),
        (["/venv/bin/celery", "-A", "shop", "worker"], {}, (), HERE, "queue worker"),
        (["/venv/lib/celery/__main__.py", "-A", "shop", "beat"], {}, (), HERE, "queue worker"),
        (["/venv/bin/rq", "worker"], {}, (), HERE, "queue worker"),
        (["/venv/bin/dramatiq", "shop"], {}, (), HERE, "queue worker"),
        (["/venv/bin/huey_consumer", "shop.huey"], {}, (), HERE, "queue worker"),
        ([*FLASK, "routes"], {}, (), HERE, "flask command"),
        ([*FLASK, "db", "upgrade"], {}, (), HERE, "flask command"),
        ([*FLASK], {}, (), HERE, "flask command"),
        (["/lib/flask/__main__.py", "run", "--reload"], {}, (), HERE, "Flask's reloader"),
        ([*FLASK, "run", "--debug"], {}, (), HERE, "Flask's reloader"),
        ([*FLASK, "run"], {"FLASK_DEBUG": "1"}, (), HERE, "Flask's reloader"),
        (["app.py"], {}, (), Process(7, stack=("__main__", "werkzeug._reloader")), "Werkzeug's reloader"),
        (["manage.py", "check"], {}, DJANGO, HERE, "manage.py command"),
        (["manage.py", "--settings", "shop.settings", "migrate"], {}, DJANGO, HERE, "manage.py command"),
        (["manage.py"], {}, DJANGO, HERE, "manage.py command"),
        (["manage.py", "runserver"], {}, DJANGO, HERE, "Django's reloader"),
        (["manage.py", "runserver_plus"], {}, DJANGO, HERE, "Django's reloader"),
        (["/venv/bin/uvicorn", "shop:app", "--reload"], {}, (), HERE, "uvicorn's reloader"),
        (["/venv/bin/fastapi", "dev", "shop.py"], {}, (), HERE, "uvicorn's reloader"),
        (["app.py"], {}, (), Process(7, stack=SUPERVISING), "uvicorn's reloader or workers"),
        (["script.py"], {"ROTA_AUTOSTART": "never"}, (), HERE, "ROTA_AUTOSTART=never"),
    ],
)
def test_it_only_arms_in(
    argv: list[str], environ: dict[str, str], modules: tuple[str, ...], process: Process, why: str
) -> None:
    decision = decide(environ, argv, modules, process)
    assert not decision.run
    assert why in decision.why


def test_an_unknown_choice_names_the_three() -> None:
    with pytest.raises(ConfigurationError, match="'sometimes'; it may be auto, always, never"):
        decide({"ROTA_AUTOSTART": "sometimes"}, ["script.py"], ())


def test_it_runs_jobs_under_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROTA_AUTOSTART", raising=False)
    assert decide_here().run


SPAWN = """
import json, multiprocessing, sys
sys.path.insert(0, {source!r})
from rota.drivers.hosting.autostart import decide_here

WHILE_IMPORTING = decide_here().run

def tell(queue):
    queue.put([WHILE_IMPORTING, decide_here().run])

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    queue = context.Queue()
    process = context.Process(target=tell, args=(queue,))
    process.start()
    print(json.dumps([WHILE_IMPORTING, *queue.get()]))
    process.join()
"""


@pytest.mark.parametrize(
    ("method", "expected"),
    [("spawn", [True, False, False]), ("forkserver", [True, False, False]), ("fork", [True, True, False])],
)
def test_multiprocessing_children_are_known_while_they_import_the_main_module_too(
    tmp_path: Path, method: str, expected: list[bool]
) -> None:
    source = str(Path(__file__).parents[3] / "src")
    path = tmp_path / "script.py"
    path.write_text(SPAWN.format(source=source, method=method), encoding="utf-8")
    ended = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(ended.stdout) == expected
