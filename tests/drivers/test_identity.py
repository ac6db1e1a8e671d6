"""Ids and tokens are never made twice, by whatever process."""

import json
import os
import random

from rota.drivers import identity
from rota.drivers.identity import id_maker, new_token, token_maker


def made() -> list[str]:
    """An id and tokens of the same millisecond, by makers of their own."""
    return [id_maker(lambda: 1_700_000_000_000_000)(), new_token(), token_maker()()]


def test_an_application_that_seeds_the_global_generator_gets_other_ids_each_time():
    random.seed(0)
    first = made()
    random.seed(0)
    assert not set(first) & set(made())


def test_making_ids_and_tokens_leaves_the_global_generator_where_it_was():
    random.seed(0)
    before = random.getstate()
    made()
    assert random.getstate() == before


def test_a_forked_child_makes_other_ids_than_its_parent():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writing, "w") as told:
            json.dump(made(), told)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        theirs = json.load(told)
    os.waitpid(child, 0)
    assert not set(theirs) & set(made())


def test_a_child_whose_server_called_no_hooks_makes_other_ids_too(monkeypatch):
    make = id_maker(lambda: 1_700_000_000_000_000)
    make()
    state = identity._drawn.getstate()
    parents = make()
    identity._drawn.setstate(state)
    monkeypatch.setattr(identity.os, "getpid", lambda: -1)
    assert make() != parents
