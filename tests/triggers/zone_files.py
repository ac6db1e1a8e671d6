"""The changes of a zone as its TZif file lists them; read here from the bytes, to compare with what was explored."""

from __future__ import annotations

import struct
import zoneinfo
from importlib import resources
from pathlib import Path


def zone_bytes(key: str) -> bytes:
    """The file that ``ZoneInfo`` takes: the system's first, then the tzdata package's."""
    for folder in zoneinfo.TZPATH:
        path = Path(folder, key)
        if path.is_file():
            return path.read_bytes()
    package = ".".join(["tzdata", "zoneinfo", *key.split("/")[:-1]])
    return resources.files(package).joinpath(key.rpartition("/")[2]).read_bytes()


def listed_changes(key: str) -> list[tuple[int, int, int]]:
    """Each change as (instant, offset before, offset after), in seconds; those by the rule for later years left out."""
    data = zone_bytes(key)
    counts = struct.unpack(">6l", data[20:44])
    is_ut, is_std, leaps, times, types, chars = counts
    second = 44 + times * 5 + types * 6 + chars + leaps * 8 + is_std + is_ut
    is_ut, is_std, leaps, times, types, chars = struct.unpack(">6l", data[second + 20 : second + 44])
    body = second + 44
    instants = struct.unpack(f">{times}q", data[body : body + 8 * times])
    kinds = data[body + 8 * times : body + 9 * times]
    table = body + 9 * times
    offsets = [struct.unpack(">l", data[table + 6 * n : table + 6 * n + 4])[0] for n in range(types)]
    found = []
    before = offsets[0]
    for instant, kind in zip(instants, kinds, strict=True):
        if offsets[kind] != before:
            found.append((instant, before, offsets[kind]))
        before = offsets[kind]
    return found
