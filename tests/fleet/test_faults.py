"""Fleets of real processes live through faults. These scenarios are the short ones; `nox -s chaos` runs all."""

import pytest
from tests.fleet import crashes, outages
from tests.fleet.conftest import each_store

pytestmark = pytest.mark.any_versions


@each_store("mysql")
def test_what_a_killed_holder_ran_is_rerun_or_lost_as_its_job_says(place):
    crashes.holder_killed(place)


@each_store("redis")
def test_a_holder_stopped_for_twice_its_lease_does_no_harm_when_it_goes_on(place):
    crashes.holder_paused(place)


@each_store("postgresql")
def test_a_store_that_was_down_is_caught_up_with_once(place):
    outages.store_down(place)


@each_store("sqlite")
def test_a_full_disk_loses_no_claim(place):
    outages.disk_full(place)
