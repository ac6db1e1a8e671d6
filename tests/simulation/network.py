"""The way from a process to the store, on which calls are refused, get lost, take time, and are the last of a process.

Law: a call takes effect once, or not at all, or once long after its caller has been told that it failed. Rows cross the
wire by value, as on any network. The ledger sees each effect as it happens, whatever becomes of the reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.world import Killed, World

from rota.errors import StoreError
from rota.ports import Store, Swap, TickClaim
from rota.testing import FaultyStore

if TYPE_CHECKING:
    from tests.simulation.ledger import Ledger
    from tests.simulation.process import Process

    from rota.core.run import RunRow

FATES = (
    "refused",
    "reply_lost",
    "effect_late",
    "slow",
    "reply_slow",
    "killed_before",
    "killed_after",
    "stopped_before",
    "stopped_after",
)
"""What may happen to a call."""

SPANS = (1_000, 20_000, 300_000, 1_100_000, 2_500_000, 5_000_000)
"""Microseconds that something slow takes."""

UNTOLD = frozenset({"due", "job_states", "now"})
"""What is asked all the time is in the journal only where something happened to it."""


class Network:
    """`rate`: which part of the calls meets one of `fates`. `down_until`: the store answers nobody until then."""

    def __init__(self, world: World, store: Store, ledger: Ledger, random: Random) -> None:
        self.world = world
        self.store = store
        self.ledger = ledger
        self.down_until = 0
        self.rate = 0.0
        self.fates: Sequence[str] = ()
        self._random = random

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.rate = 0.0
        self.down_until = 0
        for process in self.world.processes:
            process.cut_until = 0
            process.stopped_until = 0

    def fate(self, process: Process) -> str | None:
        """What becomes of a call; `None`: it works."""
        if self.world.now < max(self.down_until, process.cut_until):
            return "refused"
        if self.rate and self._random.random() < self.rate:
            return self._random.choice(self.fates)
        return None

    def span(self) -> int:
        """How long something takes."""
        return self._random.choice(SPANS)


class Wire(FaultyStore):
    """A process's connection to the store."""

    def __init__(self, process: Process, network: Network) -> None:
        super().__init__(network.store, shared=True)
        self._process = process
        self._network = network
        self._world = network.world

    def _call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        process, network, world = self._process, self._network, self._world
        if process.is_dead or world.problems:
            raise Killed
        args = _by_value(method, args)
        triggers = self._triggers(method, args)
        fate = network.fate(process)
        if fate is None:
            return self._perform(method, args, kwargs, triggers)
        world.note(process.name, method, fate)
        if fate == "refused":
            self._wait_in_vain()
            raise StoreError(f"{method}: refused")
        if fate == "effect_late":
            world.after(network.span(), lambda: self._perform(method, args, kwargs, triggers))
            self._wait_in_vain()
            raise StoreError(f"{method}: timed out")
        self._meet(fate, "before")
        answer = self._perform(method, args, kwargs, triggers)
        self._meet(fate, "after")
        if fate == "reply_lost":
            self._wait_in_vain()
            raise StoreError(f"{method}: done, but the reply was lost")
        return answer

    def _meet(self, fate: str, when: str) -> None:
        process, network = self._process, self._network
        if fate == f"killed_{when}":
            process.kill()
            raise Killed
        if fate == f"stopped_{when}":
            process.stop_for(2 * network.span())
            self._world.sleep(process, 0)
        if fate == ("slow" if when == "before" else "reply_slow"):
            self._sleep(network.span())

    def _wait_in_vain(self) -> None:
        """Until a call is given up: at once, or after its deadline."""
        if self._network._random.random() < 0.3:
            self._sleep(self._network.span())

    def _sleep(self, micros: int) -> None:
        self._process.disturbed_at = self._world.now + micros
        self._world.sleep(self._process, micros)
        self._process.disturbed_at = self._world.now

    def _perform(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], triggers: dict[str, list[Any]]
    ) -> Any:
        answer = getattr(self._network.store, method)(*args, **kwargs)
        if method not in UNTOLD:
            self._world.note(self._process.name, method, _told(method, args, answer))
        self._network.ledger.observe(self._process, method, args, answer, triggers)
        return answer

    def _triggers(self, method: str, args: tuple[Any, ...]) -> dict[str, list[Any]]:
        """The triggers by which ticks are claimed, as they are when the claim is made."""
        if method != "claim":
            return {}
        return {claim.job_id: self._process.triggers_of(claim.job_id) for claim in args[0]}


def _by_value(method: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with rows of their own."""
    if method == "claim":
        claims: Sequence[TickClaim] = args[0]
        return ([claim.replaced(rows=_copies(claim.rows)) for claim in claims],)
    if method == "swap":
        swaps: Sequence[Swap] = args[0]
        return ([swap.replaced(row=swap.row.copy()) for swap in swaps],)
    if method == "add":
        return (_copies(args[0]),)
    return args


def _copies(rows: Sequence[RunRow]) -> tuple[RunRow, ...]:
    return tuple([row.copy() for row in rows])


def _told(method: str, args: tuple[Any, ...], answer: Any) -> object:
    """What a journal says of a call."""
    if method == "claim":
        asked = zip(args[0], answer, strict=True)
        return [(claim.job_id, claim.tick, given.verdict, given.begun is not None) for claim, given in asked]
    if method == "begin":
        return [(ask.run_id, ask.attempt, given.verdict) for ask, given in zip(args[0], answer, strict=True)]
    if method == "swap":
        asked = zip(args[0], answer, strict=True)
        return [(swap.row.id, swap.status, swap.row.status, swap.row.reason, given.verdict) for swap, given in asked]
    if method == "add":
        return [(row.job_id, row.origin, row.id) for row in answer]
    return "done"
