"""Which time zone data is in force, and whether the tzdata package holds newer one.

`zoneinfo` takes the system's database first and the package only as a fallback; releases differ on the future of some
zones, so it is said at start, in `health()` and in the docs which one decides.
"""

from __future__ import annotations

from pathlib import Path
from zoneinfo import TZPATH


def zone_data() -> str:
    """One text: `2025b (system)`, `2026f (tzdata package)`, with what is newer where that is known."""
    system, package = _system_release(), _package_release()
    if system is None:
        return f"{package or 'unknown'} (tzdata package)" if not _system_has_zones() else "unknown (system)"
    newer = f"; the tzdata package has {package}" if package is not None and package > system else ""
    return f"{system} (system){newer}"


def _system_release() -> str | None:
    for root in TZPATH:
        for name in ("tzdata.zi", "+VERSION"):
            try:
                with (Path(root) / name).open(encoding="ascii", errors="replace") as file:
                    first = file.readline().strip()
            except OSError:
                continue
            return first.removeprefix("# version ").strip() or None
    return None


def _system_has_zones() -> bool:
    return any((Path(root) / "UTC").exists() for root in TZPATH)


def _package_release() -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # 14 ms, and asked for by hand only

    try:
        year, letter = version("tzdata").split(".")[:2]
    except (PackageNotFoundError, ValueError):
        return None
    return f"{year}{chr(ord('a') + int(letter) - 1)}" if letter.isdigit() and int(letter) else year
