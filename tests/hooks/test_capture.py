"""A run's log lines are kept with the run: once, in bounded room, without the host noticing."""

import asyncio
import contextvars
import json
import logging
import sys
import threading

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from tests.waiting import PATIENCE

from rota.hooks import capture
from rota.hooks.capture import LogCapture, begin, end
from rota.hooks.log_buffer import MOST_BYTES, MOST_LINES
from rota.hooks.log_line import LINE_BYTES, line_text


@pytest.fixture(autouse=True)
def structlog_as_found():
    structlog.reset_defaults()
    capture.after_fork_in_child()  # a scheduler that another test left to the interpreter's end may still capture
    yield
    structlog.reset_defaults()


@pytest.fixture
def buffer():
    capture.install()
    buffer = LogCapture(lambda: 5)
    token = begin(buffer)
    yield buffer
    end(token)
    capture.uninstall()
    assert logging.getLogRecordFactory() is logging.LogRecord


def lines_of(buffer: LogCapture) -> list[dict]:
    return [json.loads(line) for line in buffer.lines()]


def events_of(buffer: LogCapture) -> list[str]:
    return [line["event"] for line in lines_of(buffer)]


# logging ---------------------------------------------------------------------------------------------------------


def test_a_line_of_logging_is_captured(buffer):
    logging.getLogger("app.db").warning("took %d ms", 30)
    assert lines_of(buffer) == [{"at": 5, "level": "warning", "logger": "app.db", "event": "took 30 ms"}]


def test_an_exception_of_logging_is_captured_as_text(buffer):
    try:
        raise KeyError("k")
    except KeyError:
        logging.getLogger("app").exception("failed")
    (line,) = lines_of(buffer)
    assert line["level"] == "error"
    assert line["exception"].endswith("KeyError: 'k'")


def test_a_line_below_the_hosts_level_is_not_captured(buffer):
    logging.getLogger("app").debug("noise")
    assert buffer.lines() == []


def test_arguments_that_do_not_fit_are_captured_as_they_are(buffer, caplog, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    caplog.set_level(logging.CRITICAL, "app")
    logger = logging.getLogger("app.silent")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    logger.critical("%d of them", "x")
    assert events_of(buffer) == ["%d of them"]


def test_nothing_is_captured_outside_of_a_run():
    capture.install()
    buffer = LogCapture(lambda: 5)
    end(begin(buffer))
    logging.getLogger("app").warning("outside")
    capture.uninstall()
    assert buffer.lines() == []


def test_installing_adds_no_handler_and_uninstalling_leaves_nothing():
    handlers = list(logging.getLogger().handlers)
    processors = structlog.get_config()["processors"]
    before = list(processors)
    capture.install()
    capture.install()
    capture.uninstall()
    assert logging.getLogRecordFactory() is not logging.LogRecord
    capture.uninstall()
    capture.uninstall()
    assert logging.getLogRecordFactory() is logging.LogRecord
    assert logging.getLogger().handlers == handlers
    assert structlog.get_config()["processors"] is processors
    assert processors == before
    assert not structlog.is_configured()


def test_a_factory_that_was_chained_on_top_stays_and_nothing_is_captured_twice():
    capture.install()
    ours = logging.getLogRecordFactory()

    def on_top(*args, **kwargs):
        return ours(*args, **kwargs)

    logging.setLogRecordFactory(on_top)
    try:
        capture.uninstall()
        assert logging.getLogRecordFactory() is on_top
        capture.install()
        buffer = LogCapture(lambda: 5)
        token = begin(buffer)
        logging.getLogger("app").warning("once")
        end(token)
        capture.uninstall()
        assert logging.getLogRecordFactory() is on_top
        assert events_of(buffer) == ["once"]
    finally:
        logging.setLogRecordFactory(logging.LogRecord)


def test_a_child_after_a_fork_captures_nothing():
    capture.install()
    capture.after_fork_in_child()
    assert logging.getLogRecordFactory() is logging.LogRecord
    capture.uninstall()


# structlog -------------------------------------------------------------------------------------------------------


def test_an_unconfigured_structlog_is_captured_and_still_prints(buffer, capsys):
    structlog.get_logger().info("hello", size=3)
    assert lines_of(buffer) == [{"at": 5, "level": "info", "logger": "", "event": "hello", "size": 3}]
    assert "hello" in capsys.readouterr().out
    assert not structlog.is_configured()


def test_structlog_configured_after_the_start_is_captured_from_the_next_attempt_on(capsys):
    capture.install()
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    buffer = LogCapture(lambda: 5)
    token = begin(buffer)
    structlog.get_logger().info("hello")
    end(token)
    capture.uninstall()
    assert events_of(buffer) == ["hello"]
    assert [type(one) for one in structlog.get_config()["processors"]] == [structlog.processors.KeyValueRenderer]


def test_a_logger_that_was_bound_and_cached_before_is_captured(capsys):
    structlog.configure(processors=[structlog.processors.JSONRenderer()], cache_logger_on_first_use=True)
    log = structlog.get_logger().bind(tenant="a")
    capture.install()
    buffer = LogCapture(lambda: 5)
    token = begin(buffer)
    log.info("hello")
    end(token)
    capture.uninstall()
    (line,) = lines_of(buffer)
    assert line["tenant"] == "a"
    assert type(structlog.get_config()["processors"][0]) is structlog.processors.JSONRenderer


PIPELINES = {
    "rendered": [structlog.stdlib.filter_by_level, structlog.processors.JSONRenderer()],
    "keywords": [structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
    "formatter": [structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_line_that_goes_through_structlog_and_logging_is_captured_once(name, caplog):
    structlog.configure(
        processors=list(PIPELINES[name]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    capture.install()
    buffer = LogCapture(lambda: 5)
    token = begin(buffer)
    structlog.get_logger("app").warning("one", size=1)
    structlog.get_logger("app").debug("below the host's level")
    logging.getLogger("app").warning("two")
    structlog.get_logger("app").warning("%s", "three")
    end(token)
    capture.uninstall()
    assert [(line["logger"], line["event"]) for line in lines_of(buffer)] == [
        ("app", "one"),
        ("app", "two"),
        ("app", "three"),
    ]
    assert len(caplog.records) == 3


def test_a_line_of_logging_after_a_dropped_event_is_captured(caplog):
    def drop(*_):
        raise structlog.DropEvent

    structlog.configure(
        processors=[drop], logger_factory=structlog.stdlib.LoggerFactory(), wrapper_class=structlog.stdlib.BoundLogger
    )
    capture.install()
    buffer = LogCapture(lambda: 5)
    token = begin(buffer)
    structlog.get_logger("app").warning("dropped")
    logging.getLogger("app").warning("kept")
    end(token)
    capture.uninstall()
    assert events_of(buffer) == ["dropped", "kept"]


def test_what_is_bound_to_the_context_is_captured(buffer, capsys):
    with structlog.contextvars.bound_contextvars(tenant="a"):
        structlog.get_logger().info("hello")
    assert lines_of(buffer)[0]["tenant"] == "a"


def test_capture_logs_of_a_users_test_sees_everything_and_leaves_nothing(buffer):
    processors = structlog.get_config()["processors"]
    with structlog.testing.capture_logs() as events:
        inner = LogCapture(lambda: 5)
        token = begin(inner)
        structlog.get_logger().info("hello")
        end(token)
    assert [event["event"] for event in events] == ["hello"]
    assert events_of(inner) == ["hello"]
    structlog.get_logger().bind()
    assert len(processors) == len(structlog.get_config()["processors"])


# contexts --------------------------------------------------------------------------------------------------------


def test_two_runs_at_once_are_kept_apart():
    capture.install()
    buffers = [LogCapture(lambda: 5), LogCapture(lambda: 5)]
    both = threading.Barrier(2, timeout=PATIENCE)

    def work(number):
        token = begin(buffers[number])
        both.wait()
        logging.getLogger("app").warning("from %d", number)
        both.wait()
        end(token)

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    capture.uninstall()
    assert [events_of(buffer) for buffer in buffers] == [["from 0"], ["from 1"]]


def test_a_thread_of_its_own_is_captured_only_with_a_copied_context(buffer):
    def speak(text):
        logging.getLogger("app").warning(text)

    for target in (speak, contextvars.copy_context().run):
        args = ("alone",) if target is speak else (speak, "copied")
        thread = threading.Thread(target=target, args=args)
        thread.start()
        thread.join(PATIENCE)
    assert events_of(buffer) == (
        ["copied"] if not getattr(sys.flags, "thread_inherit_context", 0) else ["alone", "copied"]
    )


def test_tasks_and_to_thread_are_captured(buffer):
    async def main():
        logging.getLogger("app").warning("task")
        await asyncio.to_thread(logging.getLogger("app").warning, "thread")

    asyncio.run(main())
    assert events_of(buffer) == ["task", "thread"]


# bounds ----------------------------------------------------------------------------------------------------------


def test_the_first_and_the_last_lines_are_kept_with_a_count_between():
    buffer = LogCapture(lambda: 5)
    for number in range(2_000):
        buffer.add("info", "app", str(number), {})
    lines = lines_of(buffer)
    assert len(lines) == MOST_LINES
    numbers = [int(line["event"]) for line in lines if "left_out" not in line]
    assert numbers[:250] == list(range(250))
    assert numbers[250:] == list(range(2_000 - 249, 2_000))
    assert [line for line in lines if "left_out" in line] == [
        {"at": 5, "level": "info", "logger": "rota", "event": "1501 lines left out here", "left_out": 1501}
    ]


@given(st.lists(st.integers(0, 6_000), max_size=120))
def test_lines_of_any_length_stay_within_64_kb_and_in_order(lengths):
    buffer = LogCapture(lambda: 5)
    for number, length in enumerate(lengths):
        buffer.add("info", "app", f"{number} " + "x" * length, {})
    lines = buffer.lines()
    assert sum(map(len, lines)) <= MOST_BYTES
    decoded = [json.loads(line) for line in lines]
    left_out = sum(line.get("left_out", 0) for line in decoded)
    numbers = [int(line["event"].split()[0]) for line in decoded if "left_out" not in line]
    assert numbers == sorted(numbers)
    assert len(numbers) + left_out == len(lengths)
    if lengths:
        assert numbers[0] == 0
        assert numbers[-1] == len(lengths) - 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(
    st.text() | st.text("é\U0001f600\ud800\0", min_size=1_000),
    st.dictionaries(st.text(), json_values),
    st.integers(1, 60),
)
def test_any_line_is_one_json_text_of_at_most_4_kb(event, fields, times):
    fields = {key * times: value for key, value in fields.items()}
    text = line_text(5, "info", "é" * 300, event, fields)
    assert len(text) <= LINE_BYTES
    assert text.isascii()
    assert "\n" not in text
    line = json.loads(text)
    assert line["at"] == 5
    if line["logger"] != "":
        assert line["event"] == event or line["event"].endswith("…")


def test_values_that_cannot_be_shown_cost_neither_the_line_nor_the_run(buffer, capsys):
    class Broken:
        def __repr__(self):
            raise RuntimeError("no picture")

    class Chatty:
        def __repr__(self):
            logging.getLogger("app").warning("echo")
            return "<chatty>"

    loop: list = []
    loop.append(loop)
    buffer.add("info", "app", Broken(), {"broken": Broken(), "chatty": Chatty(), "loop": loop, "huge": 10**10_000})
    (line,) = lines_of(buffer)
    assert line["chatty"] == "<chatty>"
    assert "Broken" in line["broken"]
    assert line["loop"]


def test_the_end_of_a_long_traceback_is_kept(buffer):
    try:
        raise ValueError("x" * 10_000 + "the end")
    except ValueError:
        logging.getLogger("app").exception("failed")
    (line,) = lines_of(buffer)
    assert line["cut"] is True
    assert line["exception"].endswith("the end")


def test_lines_of_a_child_process_are_kept_and_rubbish_is_not():
    child, parent = LogCapture(lambda: 1), LogCapture(lambda: 5)
    child.add("info", "app", "hello", {})
    parent.add_remote({"lines": [*child.lines(), 3, "x" * 5_000]})
    parent.add_remote({"other": 1})
    assert events_of(parent) == ["hello"]


def test_lines_from_many_threads_are_all_counted():
    buffer = LogCapture(lambda: 5)

    def speak():
        for _ in range(500):
            buffer.add("info", "app", "x", {})

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    lines = lines_of(buffer)
    assert sum(line.get("left_out", 1) for line in lines) == 2_000
