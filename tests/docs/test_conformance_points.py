"""The table of points in the guide to backends of one's own, against the tests of the conformance kit."""

import re
from dataclasses import fields
from pathlib import Path

from rota.testing.conformance import LockBackendContract, LockCapabilities, lock_backend_contract

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "own-backend.md").read_text()
POINTS = range(1, 49)


def rows() -> dict[int, tuple[int, str]]:
    found = re.findall(r"^\| (\d+) \| .+? \| (\d+) \| (?:`(\w+)`)? ?\|$", PAGE, re.MULTILINE)
    return {int(point): (int(count), need) for point, count, need in found}


def by_point(contract: type) -> dict[int, list[str]]:
    names = [name for name in dir(contract) if name.startswith("test_") and getattr(contract, name) is not None]
    return {point: [name for name in names if name.startswith(f"test_{point:02d}_")] for point in POINTS}


def test_every_test_of_a_lock_backend_bears_the_number_of_its_point():
    names = [name for name in dir(LockBackendContract) if name.startswith("test_")]
    assert [name for name in names if not re.match(r"test_\d\d_", name)] == []


def test_every_point_is_in_the_table_with_its_tests():
    table, tests = rows(), by_point(LockBackendContract)
    assert {point: table[point][0] for point in POINTS} == {point: len(tests[point]) for point in POINTS}
    assert all(tests.values())


def test_the_table_says_what_a_point_needs():
    plain = by_point(lock_backend_contract(lambda place, clock: None))
    left_out = {point for point, names in plain.items() if len(names) < rows()[point][0]}
    assert left_out == {point for point, (_, need) in rows().items() if need}


def test_every_capability_is_explained():
    assert [field.name for field in fields(LockCapabilities) if f"`{field.name}" not in PAGE] == []
