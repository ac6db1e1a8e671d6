"""What is particular to locks in a directory of files."""

import json
import os
import sys

import pytest

from rota.errors import ConfigurationError, LockBackendError
from rota.locks import FileLocks
from rota.ports import Claim


def test_the_package_is_asked_for_by_name(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(ConfigurationError, match=r'pip install "rota\[file\]"'):
        FileLocks(tmp_path)


def test_a_network_file_system_warns_and_guarantees_less(monkeypatch, tmp_path):
    monkeypatch.setattr("rota.backends.file.network_type", lambda path: "nfs4")
    with pytest.warns(RuntimeWarning, match="nfs4"):
        locks = FileLocks(tmp_path)
    assert locks.guarantee == "efficiency"


def test_a_local_one_guarantees_correctness(tmp_path):
    assert FileLocks(f"file://{tmp_path}").guarantee == "correctness"


def test_the_directory_is_made_and_its_parent_is_not(tmp_path):
    assert FileLocks(tmp_path / "locks").acquire("a", "token", 30.0) is not None
    with pytest.raises(LockBackendError, match="parent"):
        FileLocks(tmp_path / "missing" / "locks").acquire("a", "token", 30.0)


def test_lock_files_are_never_deleted(tmp_path):
    locks = FileLocks(tmp_path)
    locks.acquire("a", "token", 30.0)
    before = {path.name: path.stat().st_ino for path in tmp_path.glob("*.lock")}
    locks.release("a", "token")
    locks.acquire("a", "other", 30.0)
    assert {path.name: path.stat().st_ino for path in tmp_path.glob("*.lock")} == before
    assert len(before) == 1


def test_the_name_is_in_the_file(tmp_path):
    locks = FileLocks(tmp_path)
    locks.acquire("täglich", "token", 30.0)
    (path,) = tmp_path.glob("*.json")
    facts = json.loads(path.read_text())
    assert facts["name"] == "täglich"
    path.write_text(json.dumps({**facts, "name": "other"}))
    with pytest.raises(LockBackendError, match="another name"):
        locks.acquire("täglich", "other", 30.0)


def test_names_without_number_leave_few_files_behind(tmp_path):
    locks = FileLocks(tmp_path)
    for number in range(1_000):
        locks.acquire(f"name {number}", "token", 30.0)
        locks.release(f"name {number}", "token")
    locks.acquire("held", "token", 30.0)
    locks.claim([Claim("claimed", None, 1)])
    while locks.forget_locks(100):
        pass
    names = {json.loads(path.read_text()).get("name") for path in tmp_path.glob("*.json")}
    assert names == {"held", "claimed", None}  # the last is the clock's
    assert len(list(tmp_path.iterdir())) <= 2 * 256 + 4
    fences = [locks.acquire(f"name {number}", "other", 30.0).fence for number in range(1_000)]
    assert min(fences) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_file_is_never_reset(tmp_path, content):
    locks = FileLocks(tmp_path)
    locks.acquire("a", "token", 30.0)
    (path,) = tmp_path.glob("*.json")
    path.write_text(content)
    with pytest.raises(LockBackendError):
        locks.acquire("a", "other", 30.0)
    assert not locks.forget_locks()
    assert path.read_text() == content


def test_a_file_that_stays_locked_is_given_up_in_time(tmp_path):
    import fcntl

    locks = FileLocks(tmp_path, timeout=0.1)
    locks.acquire("a", "token", 30.0)
    (path,) = tmp_path.glob("*.lock")
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(LockBackendError, match="busy"):
        locks.renew("a", "token", 30.0)
    os.close(descriptor)
    assert locks.renew("a", "token", 30.0)
