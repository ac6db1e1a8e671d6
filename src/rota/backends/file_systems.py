"""Where a file lives: whether its file system is one that several machines may share, its locks in doubt."""

from __future__ import annotations

import os
from pathlib import Path

NETWORK: frozenset[str] = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3",
        "smbfs", "fuse.ceph", "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone",
        "fuse.s3fs", "fuse.sshfs",
    }
)  # fmt: skip
"""Types of file systems, as Linux calls them, whose files other machines may open too."""

MOUNTS = Path("/proc/self/mounts")


def network_type(path: str, mounts: str | None = None) -> str | None:
    """The type of the network file system that `path` lies on; `None` for a local one, and where it cannot be told.

    `mounts` is the text of `/proc/mounts`, read where it is not given.
    """
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    found = _type_of(os.path.realpath(path), mounts)
    return found if found in NETWORK else None


def _type_of(path: str, mounts: str) -> str:
    best, found = "", ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = _unescaped(words[1])
        is_above = path == point or path.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= len(best):
            best, found = point, words[2]
    return found


def _unescaped(point: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, character)
    return point
