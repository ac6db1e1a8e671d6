"""Ids and tokens are never made twice, by whatever process."""

import json
import os
import random
from itertools import count, cycle
from threading import Thread
from uuid import RFC_4122, UUID

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
    parents = make()
    monkeypatch.setattr(identity.os, "getpid", lambda: -1)
    assert make()[19:] != parents[19:]


def test_ids_differ_when_the_clock_is_set_back():
    moments = cycle([1_700_000_000_000_000, 1_600_000_000_000_000])
    make = id_maker(lambda: next(moments))
    assert len({make() for _ in range(10_000)}) == 10_000


def test_ids_of_one_moment_differ_and_grow_and_are_well_formed():
    make = id_maker(lambda: 1_700_000_000_000_000)
    ids = [make() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert ids[:4096] == sorted(ids[:4096])
    assert {UUID(one).version for one in ids} == {7}
    assert {UUID(one).variant for one in ids} == {RFC_4122}
    assert {UUID(one).int >> 80 for one in ids} == {1_700_000_000_000}


def test_threads_that_make_ids_at_the_same_moment_make_different_ones():
    moments = count(1_700_000_000_000_000, 7)
    make = id_maker(lambda: next(moments))
    made: list[list[str]] = [[] for _ in range(4)]
    threads = [Thread(target=lambda ids=ids: ids.extend(make() for _ in range(20_000))) for ids in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for ids in made for one in ids}) == 80_000
