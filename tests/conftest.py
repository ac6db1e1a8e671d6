"""What every test may rely on: Hypothesis profiles, tests that need a server, and the list of what could not run here.

A test that needs a server says so, and asks for the address of a database of its own process:

    @pytest.mark.requires_service("postgresql")
    def test_claims(service_url):
        store = SQLStore(service_url("postgresql"))

services.py says where the server comes from. Outside of fixtures, `services.url("postgresql")` gives the same address.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests import services

# The same examples on every machine and every run, however slow it is; ROTA_EXPLORE=1 looks for new ones.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", patient, derandomize=True)
settings.register_profile("explore", patient, max_examples=5_000)
settings.load_profile("explore" if os.environ.get("ROTA_EXPLORE") else "ci")


def require(name: str) -> None:
    """Skip the test, or fail it where services are required, unless there is such a server."""
    reason = services.why_unavailable(name)
    if reason is None:
        services.url(name)  # made here, so that a child which asks first finds it
        return
    if os.environ.get("ROTA_REQUIRE_SERVICES") == "1":
        pytest.fail(f"ROTA_REQUIRE_SERVICES=1, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def service_url() -> Callable[[str], str]:
    """Gives the address of a service by its name; skips the test where there is none."""

    def url(name: str) -> str:
        require(name)
        return services.url(name)

    return url


@pytest.fixture(autouse=True)
def _no_fault_of_ours(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The engine survives a fault of ours, so that no test would notice: here it is one all the same."""
    yield
    if not request.node.get_closest_marker("faults_of_ours"):
        assert not [r for r in caplog.get_records("call") if r.name == "rota" and "engine.fault" in r.getMessage()]


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts a program in the background has it ignore Ctrl-C, which some tests press.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "faults_of_ours: the test makes the engine's own code raise")
    config.addinivalue_line("markers", "any_versions: what it proves does not depend on the versions of dependencies")
    kinds = ", ".join(services.DEFAULT_PORTS)
    config.addinivalue_line("markers", f"requires_service(name): runs only with a server: {kinds}")
    opened = services.opened()
    opened.__enter__()
    config.add_cleanup(lambda: opened.__exit__(None, None, None))


LONGEST_FIRST = (
    "simulation/test_seeds.py", "anomaly/test_every_effect_fails.py", "conformance/test_sql.py", "fleet/test_ticks.py",
    "fleet/test_faults.py", "conformance/test_locks.py", "oracle/test_against_brute_force.py",
    "conformance/test_redis.py", "anomaly/test_clock_steps.py", "anomaly/test_kills.py", "anomaly/test_servers.py",
    "stories/test_timeouts.py", "stories/test_starting_and_stopping.py", "conformance/test_on_the_wire.py",
    "conformance/test_django.py", "backends/test_sql.py", "executors/test_process.py", "stories/test_retries.py",
)  # fmt: skip
"""Files whose tests take long together. A worker is given file after file: one of these at the very end would keep the
other workers waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    rank = {tests / name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("requires_service"):
        for name in mark.args:
            require(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every test that did not run here, under the reason."""
    by_reason: dict[str, list[str]] = {}
    for report in terminalreporter.getreports("skipped"):
        if isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            by_reason.setdefault(reason, []).append(report.nodeid)
    if by_reason:
        terminalreporter.section("could not run on this machine")
    for reason, names in sorted(by_reason.items()):
        terminalreporter.line(f"{reason} ({len(names)})")
        for name in sorted(names):
            terminalreporter.line(f"    {name}")
