"""Versions of the tables of Rota, the same numbers in every database.

Law: migration number n, counted from 1, turns tables of version n - 1 into those of version n; a database that needs
nothing for it has an empty one. Old and new Rotas work on the same tables while a fleet is being replaced: tables say
from which version on a Rota can work with them, and older ones leave them alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

VERSION: Final = 1
"""The tables that this Rota works with."""

BREAKS: Final[tuple[int, ...]] = ()
"""Versions whose tables older Rotas cannot work with. A new table, index, or column that may be left out is none; it is
one to take away a column, or an index, that an older Rota names."""


class Standing(NamedTuple):
    """Which version tables are of (0: there are none), and which one a Rota must know to work with them."""

    version: int
    compatible_from: int

    @classmethod
    def of(cls, known: dict[str, int]) -> Standing:
        """How tables stand whose `rota_meta` says this."""
        return cls(known.get("version", 0), known.get("compatible_from", 0))

    @classmethod
    def at(cls, version: int) -> Standing:
        """How tables of that version stand."""
        return cls(version, max((number for number in BREAKS if number <= version), default=1))

    def refusal(self, known: int) -> str | None:
        """Why a Rota that knows tables up to a version leaves these alone, or `None`."""
        if self.compatible_from <= known:
            return None
        return (
            f"was upgraded by a newer Rota (tables of version {self.version}, for Rotas that know version "
            f"{self.compatible_from}; this one knows up to {known}): upgrade rota here"
        )
