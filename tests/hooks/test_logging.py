"""Rota's log in every kind of host: silent, plain `logging`, structlog, and a broken one."""

import io
import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import capture_logs

from rota.hooks import capture
from rota.hooks import logging as rota_logging
from rota.hooks.capture import LogCapture
from rota.hooks.logging import bind_run, logger, run_logger, unbind_run, warn_visibly

RUN = SimpleNamespace(id="run-1", job_id="nightly", attempt=2)


@pytest.fixture(autouse=True)
def structlog_as_found():
    structlog.reset_defaults()
    rota_logging._complained.clear()
    logging.getLogger("rota").setLevel(logging.NOTSET)
    yield
    structlog.reset_defaults()
    rota_logging._complained.clear()


@pytest.fixture
def plain_host(monkeypatch):
    """A host without any handler but those a test adds (pytest has its own on the root logger)."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    root.manager._clear_cache()
    yield root
    root.manager._clear_cache()


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)


def test_importing_and_using_the_log_imports_no_structlog():
    code = (
        "import sys; from rota.hooks.logging import *; logger().warning('a.b', job_id='x');"
        "unbind_run(bind_run('j', 'r', 1)); assert 'structlog' not in sys.modules"
    )
    result = run_python(code)
    assert (result.stdout, result.stderr) == ("", "")


def test_an_unconfigured_host_hears_nothing_but_visible_warnings():
    code = (
        "from rota.hooks.logging import logger, warn_visibly\n"
        "logger().error('run.failed', job_id='x')\n"
        "warn_visibly('scheduler.armed', 'only armed,\\nbecause so', pid=1)\n"
    )
    result = run_python(code)
    assert result.stdout == ""
    assert result.stderr == "rota: WARNING: only armed, because so\n"


def test_an_unconfigured_host_that_imported_structlog_hears_nothing_either():
    result = run_python("import structlog; from rota.hooks.logging import logger; logger().error('run.failed')")
    assert (result.stdout, result.stderr) == ("", "")


def test_a_plain_host_gets_a_readable_message_and_the_fields_as_extra(caplog):
    logger().warning("run.failed", job_id="nightly", error_type="ValueError", error="no such file")
    (record,) = caplog.records
    assert record.getMessage() == "run.failed job_id=nightly error_type=ValueError error='no such file'"
    assert (record.name, record.event, record.job_id) == ("rota", "run.failed", "nightly")
    assert record.filename == "test_logging.py"


def test_a_plain_host_gets_a_visible_warning_through_its_logging(caplog, capsys):
    warn_visibly("scheduler.armed", "only armed", pid=7)
    (record,) = caplog.records
    assert (record.levelname, record.detail, record.pid) == ("WARNING", "only armed", 7)
    assert capsys.readouterr().err == ""


def test_fields_named_like_attributes_of_a_record_are_renamed(caplog):
    logger().warning("run.failed", name="x", args=(1,), message="m")
    (record,) = caplog.records
    assert (record.name_, record.args_, record.message_) == ("x", (1,), "m")


def test_a_record_factory_with_a_field_of_the_same_name_costs_the_extra_only(caplog):
    previous = logging.getLogRecordFactory()

    def factory(*args, **kwargs):
        record = previous(*args, **kwargs)
        record.job_id = "host's"
        return record

    logging.setLogRecordFactory(factory)
    try:
        logger().warning("run.failed", job_id="nightly")
    finally:
        logging.setLogRecordFactory(previous)
    assert caplog.messages == ["run.failed job_id=nightly"]


def test_exc_info_reaches_a_plain_host(caplog):
    try:
        raise ValueError("boom")
    except ValueError:
        logger().error("run.failed", job_id="x", exc_info=True)
    assert caplog.records[0].exc_info[0] is ValueError


def test_enabled_for_follows_the_host(plain_host):
    assert not logger().enabled_for(logging.INFO)
    plain_host.setLevel(logging.INFO)
    try:
        assert logger().enabled_for(logging.INFO)
    finally:
        plain_host.setLevel(logging.WARNING)
    structlog.configure()
    assert logger().enabled_for(logging.INFO)


def test_a_structlog_host_gets_events_through_its_own_pipeline(caplog):
    structlog.configure()
    with capture_logs() as events:
        logger().info("run.started", job_id="nightly")
        warn_visibly("scheduler.armed", "only armed")
    assert events == [
        {"event": "run.started", "job_id": "nightly", "log_level": "info"},
        {"event": "scheduler.armed", "detail": "only armed", "log_level": "warning"},
    ]
    assert caplog.records == []


def test_structlog_is_asked_at_each_call(caplog):
    logger().warning("first")
    structlog.configure()
    with capture_logs() as events:
        logger().warning("second")
    assert [record.event for record in caplog.records] == ["first"]
    assert [event["event"] for event in events] == ["second"]


def test_a_broken_processor_breaks_nothing_and_is_reported_once(capsys):
    def broken(*_):
        raise RuntimeError("host")

    structlog.configure(processors=[broken])
    for _ in range(3):
        logger().info("run.started", job_id="nightly")
        run_logger(RUN).info("hello")
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "RuntimeError('host')" in error


def test_no_stderr_breaks_nothing(plain_host, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    warn_visibly("scheduler.armed", "only armed")


# run.log ---------------------------------------------------------------------------------------------------------


def lines_of(buffer: LogCapture) -> list[dict]:
    return [json.loads(line) for line in buffer.lines()]


def test_run_log_is_kept_at_every_level_in_a_silent_host(plain_host, capsys):
    buffer = LogCapture(lambda: 5, "run-1")
    log = run_logger(RUN, buffer)
    log.debug("checked")
    log.info("%s of %d", "one", 3, size=4)
    log.bind(tenant="a").critical("bound")
    log.new(only="this").warning("new")
    log.info("still bound")
    assert lines_of(buffer) == [
        {"at": 5, "level": "debug", "logger": "rota.run", "event": "checked"},
        {"at": 5, "level": "info", "logger": "rota.run", "event": "one of 3", "size": 4},
        {"at": 5, "level": "critical", "logger": "rota.run", "event": "bound", "tenant": "a"},
        {"at": 5, "level": "warning", "logger": "rota.run", "event": "new", "only": "this"},
        {"at": 5, "level": "info", "logger": "rota.run", "event": "still bound"},
    ]
    assert capsys.readouterr() == ("", "")


def test_run_log_keeps_the_exception():
    buffer = LogCapture(lambda: 5, "run-1")
    try:
        raise ValueError("boom")
    except ValueError:
        run_logger(RUN, buffer).exception("failed")
    (line,) = lines_of(buffer)
    assert line["level"] == "error"
    assert line["exception"].endswith("ValueError: boom")


def test_run_log_reaches_a_plain_host_from_the_line_that_spoke(caplog):
    run_logger(RUN).warning("careful", size=3)
    (record,) = caplog.records
    assert (record.name, record.job_id, record.run_id, record.attempt) == ("rota.run", "nightly", "run-1", 2)
    assert (record.filename, record.funcName) == (
        "test_logging.py",
        "test_run_log_reaches_a_plain_host_from_the_line_that_spoke",
    )


def test_run_log_reaches_a_structlog_host_with_its_level_and_is_kept_once():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    buffer = LogCapture(lambda: 5, "run-1")
    capture.install()
    bound = bind_run("nightly", "run-1", 2, buffer)
    try:
        with capture_logs() as events:
            run_logger(RUN).info("quiet")
            run_logger(RUN, buffer).warning("loud", size=1)
    finally:
        unbind_run(bound)
        capture.uninstall()
    assert [line["event"] for line in lines_of(buffer)] == ["quiet", "loud"]
    assert events == [
        {"event": "loud", "size": 1, "job_id": "nightly", "run_id": "run-1", "attempt": 2, "log_level": "warning"}
    ]


async def log_from_a_coroutine(log):
    await log.ainfo("awaited")


def test_run_log_has_the_awaitable_methods_of_structlog():
    import asyncio

    buffer = LogCapture(lambda: 5, "run-1")
    asyncio.run(log_from_a_coroutine(run_logger(RUN, buffer)))
    assert [line["event"] for line in lines_of(buffer)] == ["awaited"]


# ids on a job's own lines ----------------------------------------------------------------------------------------


def test_a_jobs_own_lines_carry_the_ids_until_they_are_unbound():
    stream = io.StringIO()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    log = structlog.get_logger()
    outer = bind_run("outer", "run-0", 1)
    bound = bind_run("nightly", "run-1", 2)
    log.info("inside")
    unbind_run(bound)
    log.info("outer again")
    unbind_run(outer)
    log.info("outside")
    inside, again, outside = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert inside == {"event": "inside", "job_id": "nightly", "run_id": "run-1", "attempt": 2}
    assert again["job_id"] == "outer"
    assert outside == {"event": "outside"}
