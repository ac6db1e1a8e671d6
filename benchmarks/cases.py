"""The register of measurements: each is a function of a scale (1.0; less for a trial), named by case and library.

A measurement gives figures by name. It is always made in a process of its own (`benchmarks.one`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

Figures = dict[str, float]
Measure = Callable[[float], Figures]

CASES: dict[tuple[str, str], Measure] = {}


def case(name: str, *libraries: str) -> Callable[[Callable[..., Figures]], Callable[..., Figures]]:
    """Register `measure(scale, library)` for each library."""

    def register(measure: Callable[..., Figures]) -> Callable[..., Figures]:
        for library in libraries:
            CASES[name, library] = lambda scale, library=library: measure(scale, library)
        return measure

    return register


def scaled(count: int, scale: float) -> int:
    """`count` at full scale, at least 2."""
    return max(2, int(count * scale))


def resident_bytes() -> int:
    """The memory this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
