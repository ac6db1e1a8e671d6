"""Every way in which one request on a connection may go wrong, each in turn; and asking until there is an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeVar

from tests.waiting import until

from rota.errors import BackendError
from rota.testing import FaultProxy

T = TypeVar("T")


def every_fault(proxy: FaultProxy) -> Iterator[str]:
    """Orders a fault for the first request from now on, then for the second, and so on, until one does not come about
    before the next is asked for: a reply that is lost, then half a request. What it is called."""
    for order in (proxy.lose_reply, proxy.cut_request):
        for nth in count(1):
            order(nth)
            yield f"{order.__name__} {nth}"
            if not proxy.fired:
                proxy.restore()
                break


def asked(call: Callable[[], T]) -> T:
    """Ask until there is an answer, as everybody does who is told that it is unknown."""
    answers: list[T] = []

    def is_answered() -> bool:
        try:
            answers.append(call())
        except BackendError:
            return False
        return True

    assert until(is_answered)
    return answers[0]
