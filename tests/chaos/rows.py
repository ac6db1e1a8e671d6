"""The rows of the chaos table: faults that need processes, signals and servers, each on every store that it fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from tests.fleet import crashes, deploys, outages, own_servers, processes, servers, ticks
from tests.fleet.places import KINDS, SERVERS

Scenario = Callable[..., str]


class Row(NamedTuple):
    """A fault. `number` is its own in the list of faults; `kinds`: the stores that it is tried on."""

    number: str
    scenario: Scenario
    kinds: tuple[str, ...] = KINDS
    sizes: Mapping[str, object] = MappingProxyType({})

    @property
    def what_is_done(self) -> str:
        """In words, with the sizes."""
        sizes = ", ".join(f"{name}={value}" for name, value in self.sizes.items())
        said = (self.scenario.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").strip()
        return f"{said} ({sizes})" if sizes else said

    def run(self, place: object) -> str:
        """What was seen. Raises `AssertionError` where it is not what must be."""
        return partial(self.scenario, place)(**self.sizes)


OWN = ("postgresql", "redis")
"""The stores of which a wheel brings a server that may be stopped."""

ROWS = (
    Row("1", ticks.each_tick_once, ("postgresql",), {"nodes": 16, "ticks": 400, "milliseconds": 100}),
    Row("2", ticks.each_tick_once, ("mysql", "redis"), {"nodes": 16, "ticks": 400, "milliseconds": 100}),
    Row("2", ticks.each_tick_once, ("sqlite",), {"nodes": 8, "ticks": 300, "milliseconds": 100}),
    Row("2", ticks.each_tick_once, ("files",), {"nodes": 4, "ticks": 50, "milliseconds": 200}),
    Row("3", ticks.each_tick_once, SERVERS, {"nodes": 8, "ticks": 20, "seed": 3}),
    Row("4", ticks.quick_job_slow_wakers, sizes={"ticks": 10}),
    Row("5", ticks.one_grid),
    Row("6", crashes.holder_killed),
    Row("6", crashes.taken_over),
    Row("7", crashes.holder_paused),
    Row("8", own_servers.server_paused, OWN),
    Row("9", processes.acquire_replies_lost, SERVERS),
    Row("10", outages.replies_lost, SERVERS, {"seconds": 20}),
    Row("11", outages.store_down, SERVERS, {"seconds": 60}),
    Row("12", outages.store_down, SERVERS, {"seconds": 12, "hangs": True}),
    Row("12", outages.hang_beside_another_store, SERVERS, {"seconds": 15}),
    Row("13", outages.sessions_ended, SERVERS, {"times": 5}),
    Row("13", own_servers.server_restarted, OWN),
    Row("13", own_servers.pooled, ("postgresql",)),
    Row("15", own_servers.server_evicts, ("redis",)),
    Row("16", outages.disk_full, ("sqlite",), {"seconds": 10}),
    Row("24", processes.never_returns),
    Row("29", processes.forks),
    Row("30", servers.gunicorn, sizes={"workers": 8}),
    Row("30", servers.gunicorn, sizes={"workers": 8, "preload": True}),
    Row("30", servers.uvicorn),
    Row("30", servers.uvicorn_reload),
    Row("30", servers.uwsgi),
    Row("30", servers.uwsgi, sizes={"option": "--lazy-apps"}),
    Row("30", servers.uwsgi, sizes={"option": "--py-call-uwsgi-fork-hooks"}),
    Row("32", processes.signals),
    Row("41", crashes.storm, sizes={"kills": 60}),
    Row("deploy", deploys.removed),
    Row("deploy", deploys.renamed),
    Row("deploy", deploys.rescheduled),
)
