"""Nodes of one process on one store that is not polled: what is asked of the store at one of them, the others hear.

Law: a store that only this process writes to has nobody else to tell of; one that others write to is polled, and its
nodes are not listed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from rota.backends.fork_safety import ForkSafeLock

if TYPE_CHECKING:
    from rota.drivers.node import Node
    from rota.ports import Store

_open: Final[WeakSet[Node]] = WeakSet()
_mutex: Final = ForkSafeLock()


def join(node: Node) -> None:
    """The node has opened: from now on it hears of its store, and those that are there know that they are not alone."""
    with _mutex.lock:
        _open.add(node)
    together = on(node.parts.store)
    if len(together) > 1:
        for each in together:
            each.watch()


def leave(node: Node) -> None:
    """The node is over: what it leaves undone, the others take up."""
    with _mutex.lock:
        was_open = node in _open
        _open.discard(node)
    for other in on(node.parts.store) if was_open else ():
        other.take_up()


def on(store: Store) -> list[Node]:
    """The open nodes on this very store."""
    with _mutex.lock:
        return [node for node in _open if node.parts.store is store]
