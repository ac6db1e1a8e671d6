"""What is kept with a run from one attempt to the next, by name; and the checkpoint, the job's own part of it.

Law: what is assigned is durable when the assignment returns. Values are JSON and come back as copies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import ClassVar, Never, Protocol, TypeVar

from rota.core.json_values import from_text, storable, to_text
from rota.core.run import JSON, RunRow

T = TypeVar("T")


class KeepsValues(Protocol):
    """What keeps the values. Blocking and thread-safe; `LeaseLost` where the run is no longer held by this process."""

    def load_values(self, row: RunRow) -> dict[str, str]: ...

    def keep_value(self, row: RunRow, key: str, text: str | None) -> None: ...

    def in_pool(self, func: Callable[[], T]) -> Awaitable[T]: ...


class RunValues:
    """The values kept with a run, JSON text by name: fetched when they are first asked for, written at once."""

    __slots__ = ("_keeper", "_row", "_texts")

    def __init__(self, row: RunRow, keeper: KeepsValues) -> None:
        self._row = row
        self._keeper = keeper
        self._texts: dict[str, str] | None = None

    def texts(self) -> dict[str, str]:
        """All of them, as they are kept."""
        if self._texts is None:
            self._texts = self._keeper.load_values(self._row)
        return self._texts

    def keep(self, name: str, text: str | None) -> None:
        """Write one, or with `None` forget it."""
        texts = self.texts()
        self._keeper.keep_value(self._row, name, text)
        if text is None:
            texts.pop(name, None)
        else:
            texts[name] = text

    async def load(self) -> None:
        """Fetch them off the loop, unless they are here."""
        if self._texts is None:
            await self.in_pool(self.texts)

    def in_pool(self, func: Callable[[], T]) -> Awaitable[T]:
        """Call `func` off the loop."""
        return self._keeper.in_pool(func)


class _Values:
    """Reading a checkpoint; values come back as copies."""

    __slots__ = ("_kept",)
    _PREFIX = "checkpoint:"

    def __init__(self, kept: RunValues) -> None:
        self._kept = kept

    def __getitem__(self, key: str) -> JSON:
        try:
            return from_text(self._kept.texts()[self._PREFIX + key])
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._PREFIX + key in self._kept.texts()

    def __iter__(self) -> Iterator[str]:
        prefix = self._PREFIX
        return iter([key.removeprefix(prefix) for key in self._kept.texts() if key.startswith(prefix)])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({ {key: self[key] for key in self} })"

    def _write(self, key: str, value: object) -> None:
        if type(key) is not str:
            raise TypeError(f"a checkpoint key is a str, not {type(key).__name__}")
        storable(key, "checkpoint key")
        self._kept.keep(self._PREFIX + key, to_text(value, f"checkpoint[{key!r}]"))

    def _remove(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._kept.keep(self._PREFIX + key, None)


class Checkpoint(_Values, MutableMapping[str, JSON]):
    """A run's checkpoint, for plain functions: an assignment returns when the value is durable."""

    __slots__ = ()

    def __setitem__(self, key: str, value: JSON) -> None:
        self._write(key, value)

    def __delitem__(self, key: str) -> None:
        self._remove(key)


class AsyncCheckpoint(_Values):
    """A run's checkpoint, for coroutines: reading is immediate, writing is awaited."""

    __slots__ = ()

    def get(self, key: str, default: JSON = None) -> JSON:
        """The value, or `default`."""
        return self[key] if key in self else default  # noqa: SIM401  # this is `get`

    def keys(self) -> list[str]:
        """The keys."""
        return list(self)

    def values(self) -> list[JSON]:
        """The values."""
        return [self[key] for key in self]

    def items(self) -> list[tuple[str, JSON]]:
        """Keys and values."""
        return [(key, self[key]) for key in self]

    def __eq__(self, other: object) -> bool:
        """Whether it holds what another mapping holds."""
        mine = dict(self.items())
        return mine == (dict(other.items()) if isinstance(other, AsyncCheckpoint) else other)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # it changes, as a dict does

    def __setitem__(self, key: Never, value: Never) -> Never:
        raise TypeError(f"in a coroutine write `await run.checkpoint.set({key!r}, value)`")

    def __delitem__(self, key: Never) -> Never:
        raise TypeError(f"in a coroutine write `await run.checkpoint.delete({key!r})`")

    async def set(self, key: str, value: JSON) -> None:
        """Keep a value; durable when this returns."""
        await self._kept.in_pool(lambda: self._write(key, value))

    async def delete(self, key: str) -> None:
        """Forget a value; `KeyError` where there is none."""
        await self._kept.in_pool(lambda: self._remove(key))
