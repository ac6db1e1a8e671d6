"""Leases and claims in a directory of small files, for the processes of one machine.

Law: `flock` guards only the moment in which a file is read and replaced (a stopped holder would keep it for ever). The
lease itself is a boot time, a boot id and a token inside. A name has a file called by its hash: `.json`, which is
replaced whole, synced, and says the name again. Names whose hashes begin alike share a `.lock`, which is never deleted
or replaced, and a `.floor`: the greatest fence of those names that were forgotten, above which one without a file
begins.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rota.backends.checks import checked_ttl, name_bytes
from rota.backends.embedded_clock import EmbeddedClock, Moment, Sighting, is_worth_keeping
from rota.backends.file_systems import network_type
from rota.backends.rules import judge_claim
from rota.backends.urls import directory_path
from rota.errors import ConfigurationError, LockBackendError
from rota.ports import Claim, ClaimAnswer, Clock, Grant, Guarantee

if TYPE_CHECKING:
    from filelock import BaseFileLock

T = TypeVar("T")
Facts = dict[str, Any]
"""What the file of a name holds: `name`, `fence`, `token`, `boot`, `until`, `watermark`."""

SHARED: Final = 2
"""With how many digits the hashes of names begin that share files: there are 256 of each."""

POLL: Final = 0.002
"""Seconds between attempts at a file that another is reading and replacing."""

CLOCK: Final = "clock"
"""The file that remembers how wall and boot clock lay to one another; no hash reads like this."""


class FileLocks:
    """Locks in a directory, which is made if its parent is there (`file:///absolute/directory` or a path).

    Needs the package `filelock`. `timeout` is the longest that a call waits for its turn at a file, in seconds; then it
    raises `LockBackendError`. On a network file system it warns, and its guarantee is only `efficiency`.
    """

    def __init__(self, directory: str | os.PathLike[str], clock: Clock | None = None, *, timeout: float = 5.0) -> None:
        self._open_lock = _lock_factory(timeout)
        self._directory = Path(directory_path(directory))
        self._clock = EmbeddedClock(clock)
        self._to_look_at: list[str] = []
        self._network = network_type(str(self._directory))
        if self._network is not None:
            warnings.warn(
                f"{self._directory} lies on a network file system ({self._network}), where file locks may be granted "
                "twice; put it on a local disk, or use Redis, PostgreSQL or MySQL",
                RuntimeWarning,
                stacklevel=2,
            )

    @property
    def guarantee(self) -> Guarantee:
        return "correctness" if self._network is None else "efficiency"

    def follow_clock(self, clock: Clock) -> bool:
        """Go by the clock of a scheduler, if none was given."""
        self._clock.follow(clock)
        return True

    def acquire(self, name: str, token: str, ttl: float) -> Grant | None:
        encoded, ttl = name_bytes(name), checked_ttl(ttl)

        def work(facts: Facts) -> Grant | None:
            boot = self._clock.boottime()
            if facts["token"] is None or self._is_over(facts, boot):
                facts["fence"] += 1
            elif facts["token"] != token:
                return None
            facts.update(token=token, boot=self._clock.boot_id, until=boot + ttl)
            return Grant(facts["fence"], ttl)

        return self._change(encoded, work)

    def renew(self, name: str, token: str, ttl: float) -> bool:
        encoded, ttl = name_bytes(name), checked_ttl(ttl)

        def work(facts: Facts) -> bool:
            boot = self._clock.boottime()
            if facts["token"] != token or self._is_over(facts, boot):
                return False
            facts["until"] = boot + ttl
            return True

        return self._change(encoded, work)

    def release(self, name: str, token: str) -> bool:
        def work(facts: Facts) -> bool:
            if facts["token"] != token or self._is_over(facts, self._clock.boottime()):
                return False
            facts.update(token=None, boot=None, until=None)
            return True

        return self._change(name_bytes(name), work)

    def claim(self, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        encoded = [name_bytes(claim.name) for claim in claims]
        self._recall_clock()
        return [self._claim(name, claim) for name, claim in zip(encoded, claims, strict=True)]

    def forget_locks(self, limit: int = 1000) -> bool:
        listed = self._to_look_at or self._listed()
        looked_at, self._to_look_at = listed[:limit], listed[limit:]
        for group, stems in groupby(looked_at, key=lambda stem: stem[:SHARED]):
            self._locked(group, partial(self._forget, group, list(stems)))
        return bool(self._to_look_at)

    def close(self) -> None:
        """Nothing to let go of: no file stays open between calls."""

    def _claim(self, encoded: bytes, claim: Claim) -> ClaimAnswer:
        def work(facts: Facts) -> ClaimAnswer:
            answer = judge_claim(claim, facts["watermark"], self._clock.observe())
            if answer.verdict == "claimed":
                facts["watermark"] = claim.tick
            return answer

        return self._change(encoded, work)

    def _is_over(self, facts: Facts, boot: float) -> bool:
        return bool(facts["boot"] != self._clock.boot_id or facts["until"] <= boot)

    def _change(self, encoded: bytes, work: Callable[[Facts], T]) -> T:
        """Read the facts of a name, do `work` on them, and keep them if they have changed."""

        stem = hashlib.sha256(encoded).hexdigest()
        group, path = stem[:SHARED], self._directory / f"{stem}.json"

        def on_file() -> T:
            kept = _read(path)
            facts = _unknown(encoded, self._floor(group)) if kept is None else kept
            if facts["name"] != encoded.decode():
                raise LockBackendError(f"the lock file {path} is that of another name, {facts['name']!r}: not touched")
            before = dict(facts)
            result = work(facts)
            if facts != before:
                _replace(path, facts)
            return result

        return self._locked(group, on_file)

    def _forget(self, group: str, stems: Sequence[str]) -> None:
        """Delete those files of a group that nothing hangs on, having raised the floor."""
        found = {path: _read_sound(path) for path in (self._directory / f"{stem}.json" for stem in stems)}
        boot = self._clock.boottime()
        free = {path: facts["fence"] for path, facts in found.items() if facts and self._is_free(facts, boot)}
        if free:
            _replace(self._directory / f"{group}.floor", {"fence": max(self._floor(group), *free.values())})
        for path in free:
            path.unlink(missing_ok=True)

    def _floor(self, group: str) -> int:
        facts = _read(self._directory / f"{group}.floor")
        return 0 if facts is None else int(facts["fence"])

    def _is_free(self, facts: Facts, boot: float) -> bool:
        return facts["watermark"] is None and (facts["token"] is None or self._is_over(facts, boot))

    def _listed(self) -> list[str]:
        """The hashes of all names that have a file, those of a group together."""
        with self._explained():
            stems = [path.stem for path in self._directory.glob("*.json")]
        return sorted(stem for stem in stems if stem != CLOCK)

    def _recall_clock(self) -> Moment:
        """Judge the clock by what the directory remembers of it, and have it remember this."""

        path = self._directory / f"{CLOCK}.json"

        def on_file() -> Moment:
            facts = _read(path)
            kept = None if facts is None else Sighting(**facts)
            moment = self._clock.observe_after(kept)
            last = self._clock.last
            if last is not None and is_worth_keeping(last, kept):
                _replace(path, last._asdict())
            return moment

        return self._locked(CLOCK, on_file)

    def _locked(self, stem: str, work: Callable[[], T]) -> T:
        """Do `work` while nobody else is at the files that go by this `.lock`."""
        with self._explained():
            self._directory.mkdir(exist_ok=True)
            with self._open_lock(self._directory / f"{stem}.lock"):
                return work()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as failure:
            raise LockBackendError(
                f"the lock files in {self._directory} were busy for too long: {failure}"
            ) from failure
        # The last is what filelock raises where the file system has no locks.
        except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as failure:
            raise LockBackendError(
                f"the lock files in {self._directory} cannot be used: {failure}. Check that the directory, or its "
                "parent, exists and may be written; a damaged file is never reset by itself"
            ) from failure


def _lock_factory(timeout: float) -> Callable[[Path], BaseFileLock]:
    try:
        from filelock import FileLock  # an extra, imported where it is first needed
    except ImportError as failure:
        raise ConfigurationError('FileLocks needs the package filelock: pip install "rota[file]"') from failure

    def factory(path: Path) -> BaseFileLock:
        return FileLock(path, timeout=timeout, poll_interval=POLL, fallback_to_soft=False)

    return factory


def _unknown(encoded: bytes, floor: int) -> Facts:
    return {"name": encoded.decode(), "fence": floor, "token": None, "boot": None, "until": None, "watermark": None}


def _read(path: Path) -> Facts | None:
    """What a file holds; `None` where there is none. A damaged one raises `ValueError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError(f"{path} is damaged: it holds {text[:40]!r}")  # noqa: TRY004  # the content is wrong, no type
    return facts


def _read_sound(path: Path) -> Facts | None:
    """The same; `None` for a damaged one, which is left to whoever asks for its name."""
    try:
        facts = _read(path)
    except ValueError:
        return None
    return facts if facts is not None and facts.keys() == _unknown(b"", 0).keys() else None


def _replace(path: Path, facts: Facts) -> None:
    """Put a new file in the place of the old, so that a crash leaves one or the other."""
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
