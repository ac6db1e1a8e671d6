"""Random histories: the store at hand must answer as the reference model in memory does, call by call."""

# ruff: noqa: ARG002  # every way to draw a call is asked alike

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any
from uuid import UUID

import pytest

from rota.backends.memory import MemoryStore
from rota.core.run import RunRow
from rota.core.values import Value
from rota.ports import Begin, JobSeen, Store, Swap, TickClaim
from rota.testing.conformance._lock_case import IS_FULL
from rota.testing.conformance._store_case import NODE, SECOND, StoreCase

SEEDS = range(50 if IS_FULL else 6)
STEPS = 150
JOBS = ("a", "b", "c")
ENDS = ("succeeded", "failed", "timed_out", "lost", "waiting", "queued", "cancelled")


class StoreModel(StoreCase):
    """Random histories: the store at hand must answer as the reference model in memory does, call by call."""

    @pytest.mark.parametrize("seed", SEEDS)
    def test_answers_as_the_model_does(self, seed: int) -> None:
        model: Store = MemoryStore(self.clock)
        history = _History(random.Random(seed))  # noqa: S311  # drawn with a fixed seed
        for step in range(STEPS):
            name, args = history.next_call(model, self.clock.now())
            expected = getattr(model, name)(*_copied(args))
            answer = getattr(self.store, name)(*_copied(args))
            assert _plain(answer) == _plain(expected), f"seed {seed}, step {step}: {name}{args}"
            if name == "due":
                self.clock.advance(history.chance.choice((0.0, 0.5, 5.0, 40.0)))
        for job in JOBS:
            assert _plain(self.store.runs(job, limit=1000)) == _plain(model.runs(job, limit=1000))


class _History:
    """Draws calls that make sense, most of them, in the state the model is in."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._calls = (
            self._sync, self._claim, self._claim, self._claim, self._add, self._begin, self._begin, self._swap,
            self._swap, self._swap, self._renew, self._due, self._pause, self._cancel, self._prune, self._value,
        )  # fmt: skip
        self._is_first = True

    def next_call(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        """The name of a method, and its arguments."""
        if self._is_first:
            self._is_first = False
            return "sync_jobs", ([JobSeen(job, "signature") for job in JOBS],)
        return self.chance.choice(self._calls)(model, now)

    def _id(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    def _some(self, rows: list[RunRow]) -> RunRow | None:
        return self.chance.choice(rows) if rows else None

    def _all(self, model: Store) -> list[RunRow]:
        return sorted(model.runs(limit=1000), key=lambda row: row.id)

    def _sync(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        job = self.chance.choice(JOBS)
        signature = self.chance.choice(("signature", "signature", "other"))
        return "sync_jobs", ([JobSeen(job, signature)],)

    def _claim(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        claims = []
        for job in self.chance.sample(JOBS, self.chance.randint(1, 3)):
            state = model.job_states([job])[0]
            assert state is not None
            tick = state.watermark + self.chance.choice((1, 1, 5, -1)) * self.chance.randint(SECOND, 2 * SECOND)
            row = RunRow(self._id(), job, "tick", "queued", now, tick, scheduled_for=tick)
            rows = [row] if self.chance.random() < 0.9 else []
            start = None
            if rows and self.chance.random() < 0.6:
                start = Begin(row.id, job, 0, self._id(), "node", 30.0, self.chance.choice((None, 1, 2)))
            live = self.chance.choice((None, tuple(live.run_id for live in state.live), ()))
            cancel = (state.live[0].run_id,) if state.live and self.chance.random() < 0.2 else ()
            paused = state.paused_at is not None
            claims.append(TickClaim(job, state.watermark, tick, paused, live, tuple(rows), cancel, len(rows), start))
        return "claim", (claims,)

    def _add(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        rows = []
        for _ in range(self.chance.randint(1, 4)):
            origin = self.chance.choice(("enqueue", "backfill", "run_now"))
            lane: dict[str, Any] = {"lane": "lane", "lane_limit": 1} if origin == "backfill" else {}
            key = self.chance.choice((None, "k1", "k2")) if origin == "enqueue" else None
            due = now + self.chance.randint(-10 * SECOND, 10 * SECOND)
            job = self.chance.choice(JOBS)
            rows.append(RunRow(self._id(), job, origin, "queued", now, due, key=key, **lane))
        return "add", (rows,)

    def _begin(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        asks = []
        for row in self.chance.sample(rows := self._all(model), min(len(rows), 4)):
            limit, after = self.chance.choice((None, 1, 2)), self.chance.random() < 0.3
            asks.append(Begin(row.id, row.job_id, row.attempt, self._id(), "node", 30.0, limit, after))
        return "begin", (asks,)

    def _swap(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        swaps = []
        rows = self._all(model)
        at_work = [row for row in rows if row.token is not None] or rows
        for old in self.chance.sample(at_work, min(len(at_work), 3)):
            new = old.copy()
            new.status = self.chance.choice(ENDS)
            new.stuck = old.status == "running" and self.chance.random() < 0.2
            new.due = now + self.chance.randint(0, 5 * SECOND)
            new.finished_at = now
            covered, streak = self.chance.choice((None, now)), self.chance.choice((None, 0, 1))
            is_expired = self.chance.random() < 0.3
            swaps.append(Swap(new, old.status, old.token, is_expired, covered, streak, ('"line"',)))
        return "swap", (swaps,)

    def _renew(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        held = [(row.id, row.token) for row in self._all(model) if row.token is not None]
        return "renew", (NODE._replace(last_seen=now), held, 30.0)

    def _due(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        exclude = self.chance.sample(JOBS, self.chance.randint(0, 2))
        return "due", (now, self.chance.choice((2, 100)), exclude)

    def _pause(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        return "pause", (self.chance.choice(JOBS), self.chance.choice((None, None, "why")))

    def _cancel(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        row = self._some(self._all(model))
        return "request_cancel", ("none" if row is None else row.id, "cancel")

    def _prune(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        return "prune", (self.chance.choice((None, *JOBS)), {"succeeded": now, "failed": now - 20 * SECOND}, 1000)

    def _value(self, model: Store, now: int) -> tuple[str, tuple[Any, ...]]:
        row = self._some(self._all(model))
        return "values", (f"run:{row.id if row else ''}",)


def _copied(value: Any) -> Any:
    """The same arguments with rows of their own, since a store may keep what it is handed."""
    if isinstance(value, RunRow):
        return value.copy()
    if isinstance(value, Value):
        return type(value)(*map(_copied, _facts_of(value)))
    if type(value) in (list, tuple):
        return type(value)(map(_copied, value))
    return value


def _facts_of(value: Any) -> list[Any]:
    return [getattr(value, field.name) for field in fields(value)]


def _plain(value: Any) -> Any:
    """An answer as lists and rows, since which sort of sequence it is does not matter."""
    if isinstance(value, Value):
        value = _facts_of(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
