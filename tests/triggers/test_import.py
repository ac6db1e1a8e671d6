"""Importing the triggers is cheap: what is heavy comes in with the first trigger that needs it."""

from __future__ import annotations

import subprocess
import sys

LATE = ("croniter", "dateutil", "hashlib", "json", "difflib", "asyncio", "threading", "logging", "random", "socket")


def test_importing_brings_in_nothing_heavy() -> None:
    code = f"""
import sys
import enum, importlib.metadata, sysconfig, typing, zoneinfo  # what these bring in differs from Python to Python
before = set(sys.modules)
import rota.triggers
rota.triggers.Cron("30 2 * * *", tz="Europe/Paris")
print(sorted(name for name in {LATE!r} if name in set(sys.modules) - before))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
