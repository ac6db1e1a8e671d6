"""Fleets of real processes run each tick once. These scenarios are the short ones; `nox -s chaos` runs all."""

import pytest
from tests.fleet import deploys, servers, ticks
from tests.fleet.conftest import each_store

pytestmark = pytest.mark.any_versions


@each_store("postgresql")
def test_eight_processes_with_clocks_minutes_apart_run_each_tick_once(place):
    ticks.each_tick_once(place, ticks=3)


@each_store("mysql", "redis")
def test_four_processes_with_clocks_minutes_apart_run_each_tick_once(place):
    ticks.each_tick_once(place, nodes=4, ticks=3)


@each_store("postgresql")
def test_gunicorn_with_a_killed_worker_and_a_reload_runs_each_tick_once(place):
    pytest.importorskip("gunicorn")
    servers.gunicorn(place, workers=3, preload=True, ticks=1)


@each_store("redis")
def test_a_job_renamed_on_half_of_the_nodes_runs_each_tick_once(place):
    deploys.renamed(place)
