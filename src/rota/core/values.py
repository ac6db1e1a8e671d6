"""Values: what is handed from one part to another with each run, and never changed.

Law: a value is equal to another of the same facts, has no hash, and a type checker refuses to change one. It is not
kept from being changed while the program runs, since that would cost each run a tenth of its time: a frozen dataclass
takes longer to make, and a named tuple takes twice as long to make and to read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar, cast, dataclass_transform

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True)
def value(cls: type[Class]) -> type[Class]:
    """Decorator of a class that lists its fields, as for `dataclass`."""
    return dataclass(slots=True)(cls)


class Value:
    """What all values can do."""

    __slots__ = ()

    def replaced(self, **changes: object) -> Self:
        """The same with other facts in some fields."""
        return cast(Self, replace(cast(Any, self), **changes))
