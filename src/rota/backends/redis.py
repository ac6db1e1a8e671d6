"""A store on a Redis or Valkey server, for a fleet: quick, and as durable as the server is told to be.

Law: each call is one script, or several in one round trip, and the server carries out a script whole and before
anybody else's. What is decided there is what `rota.backends.rules` would decide. Nothing in it expires by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from rota.backends import redis_flow, rules
from rota.backends import redis_rows as texts
from rota.backends.namespaces import Namespaced
from rota.backends.redis_connection import RedisServer
from rota.backends.redis_locks import SpaceLocks, micros
from rota.backends.redis_space import RedisSpace
from rota.core.run import RunRow
from rota.errors import LockBackendError, StoreError
from rota.ports import (
    Begin,
    BeginAnswer,
    Due,
    JobSeen,
    JobState,
    LockBackend,
    NodeRow,
    Renewal,
    Swap,
    SwapAnswer,
    TickAnswer,
    TickClaim,
)

JOBS_CHUNK = 1000
"""Jobs that go into one script."""

MOST_PAGES = 20
"""Pages of runs, one for each status at least, that one call looks through to prune: some 50 ms. The next one for the
same goes on there, and from the end to the start."""


class RedisStore(Namespaced):
    """Keeps everything on the server of a URL (`redis://`, `rediss://`, `unix://`, `valkey://`, `valkeys://`) or of the
    app's own client of redis or valkey, which is not used itself: Rota connects as it does.

    Schedulers of different names share a server without seeing each other; a `namespace`, if given, is used in place of
    the scheduler's name. `timeout` is the longest that a call waits for the server, in seconds; then it raises
    `StoreError`, as it does for a server that may evict what it keeps, or is a replica.
    """

    def __init__(self, url_or_client: object, namespace: str | None = None, *, timeout: float = 5.0) -> None:
        self._server = RedisServer(url_or_client, timeout)
        self._start_in(namespace)

    def _keep_in(self, namespace: str) -> None:
        """Work in that namespace from now on."""
        self._space = RedisSpace(self._server, namespace, StoreError, keeps_history=True)
        self._locks = SpaceLocks(RedisSpace(self._server, namespace, LockBackendError, keeps_history=False))
        self._pruned_to: dict[str | None, tuple[object, int, int]] = {}

    @property
    def shared(self) -> bool:
        return True

    @property
    def locks(self) -> LockBackend:
        return self._locks

    def open(self, *, create_tables: bool = True) -> None:  # noqa: ARG002  # the port has it
        """See whether the server can be trusted; there are no tables to create."""
        self._space.open()

    def close(self) -> None:
        self._space.server.close()

    def now(self) -> int:
        return int(self._space.run("now"))

    # Jobs ----------------------------------------------------------------------------------------------------------

    def sync_jobs(self, jobs: Sequence[JobSeen]) -> Sequence[JobState]:
        names = [seen.renamed_from or seen.job_id for seen in jobs]
        told = [(seen.job_id, seen.signature, seen.renamed_from) for seen in jobs]
        calls = [[b"sync", texts.batch(told[at : at + JOBS_CHUNK])] for at in range(0, len(told), JOBS_CHUNK)]
        return [texts.state_of(name, facts) for name, facts in zip(names, self._states(calls), strict=True)]

    def job_states(self, job_ids: Sequence[str]) -> Sequence[JobState | None]:
        calls = [[b"look", texts.listed(job_ids[at : at + JOBS_CHUNK])] for at in range(0, len(job_ids), JOBS_CHUNK)]
        return [texts.known_state_of(job_id, facts) for job_id, facts in zip(job_ids, self._states(calls), strict=True)]

    def pause(self, job_id: str, reason: str | None) -> JobState | None:
        calls = [[b"pause", texts.listed([job_id]), texts.fragment(reason)]]
        return texts.known_state_of(job_id, next(self._states(calls)))

    def _states(self, calls: Sequence[Sequence[bytes]]) -> Iterator[list[Any]]:
        for reply in self._space.run_all("jobs", calls):
            yield from texts.groups(texts.items(reply), texts.STATE)

    # The life of a run ---------------------------------------------------------------------------------------------

    def claim(self, claims: Sequence[TickClaim]) -> Sequence[TickAnswer]:
        return redis_flow.claim(self._space, claims)

    def add(self, rows: Sequence[RunRow]) -> Sequence[RunRow]:
        return redis_flow.add(self._space, rows)

    def begin(self, asks: Sequence[Begin]) -> Sequence[BeginAnswer]:
        return redis_flow.begin(self._space, asks)

    def swap(self, swaps: Sequence[Swap]) -> Sequence[SwapAnswer]:
        return redis_flow.swap(self._space, swaps)

    def request_cancel(self, run_id: str, reason: str) -> bool:
        return bool(self._space.run("cancel", texts.fragment(run_id), texts.fragment(reason)))

    def renew(self, node: NodeRow, held: Sequence[tuple[str, str]], ttl: float) -> Renewal:
        arguments = (texts.fragment(node.id), _node_text(node), micros(ttl), texts.batch(held))
        lost, cancelled = texts.items(self._space.run("renew", *arguments))
        return Renewal(frozenset(held[at][0] for at in lost), {held[at][0]: reason for at, reason in cancelled})

    # Looking -------------------------------------------------------------------------------------------------------

    def due(self, before: int, limit: int, exclude: Collection[str] = ()) -> Due:
        reply = self._space.run("due", b"%d" % before, b"%d" % limit, texts.listed(exclude))
        ready, expired = texts.items(reply)
        return Due([texts.row_of(facts) for facts in ready], [texts.row_of(facts) for facts in expired])

    def run(self, run_id: str) -> RunRow | None:
        kept = self._space.command(b"HGET", self._space.key(b"runs"), texts.fragment(run_id))
        return None if kept is None else texts.row_of(texts.items(kept[: -texts.NUMBER]))

    def runs(
        self,
        job_id: str | None = None,
        *,
        statuses: Collection[str] | None = None,
        origins: Collection[str] | None = None,
        limit: int = 100,
        before: int | None = None,
        since: int | None = None,
        discarded: bool | None = None,
    ) -> Sequence[RunRow]:
        marks = (texts.listed(statuses), texts.listed(origins), _flag(discarded), _instant(since), _instant(before))
        return list(self._search(b"" if job_id is None else texts.fragment(job_id), marks, limit, b""))

    def count_open(self) -> Mapping[str, int]:
        asked: list[list[bytes]] = [[]]
        for queue in (b"due", b"late"):
            jobs = self._space.command(b"ZRANGE", self._space.key(queue), b"0", b"-1")
            asked += [[queue, *jobs[at : at + JOBS_CHUNK]] for at in range(0, len(jobs), JOBS_CHUNK)]
        counts = Counter[str]()
        for reply in self._space.run_all("count_open", asked):
            counts.update(dict(zip(map(texts.decoded, reply[::2]), map(int, reply[1::2]), strict=True)))
        return counts

    def runs_of_ticks(self, job_id: str, first: int, last: int) -> Sequence[RunRow]:
        marks = (b"null", b"null", b"null", _instant(first - rules.QUEUED_EARLY), b"")
        found = list(self._search(texts.fragment(job_id), marks, 2**62, b"[%d\0%d]" % (first, last)))
        return found[::-1]

    def _search(self, job: bytes, marks: tuple[bytes, ...], limit: int, ticks: bytes) -> Iterator[RunRow]:
        """Runs by their marks, newest first, page by page."""
        cursor: str | None = ""
        while cursor is not None and limit > 0:
            reply = self._space.run("search", job, *marks, b"%d" % limit, ticks, cursor.encode("ascii"))
            cursor, found = texts.items(reply)
            yield from map(texts.row_of, found)
            limit -= len(found)

    def discard(self, run_id: str) -> bool:
        return bool(self._space.run("progress", texts.fragment(run_id), b"discard"))

    # Values, logs, nodes -------------------------------------------------------------------------------------------

    def values(self, scope: str) -> Mapping[str, str]:
        found: dict[str, str] = texts.decoded(self._space.run("values", texts.fragment(scope)))
        return found

    def put_value(
        self, scope: str, key: str, value: str, *, ttl: float | None = None, holder: str | None = None
    ) -> bool:
        held = (b"", b"")
        if holder is not None:
            held = (texts.fragment(rules.scoped_run(scope)), texts.fragment(holder))
        span = b"" if ttl is None else micros(ttl)
        kept = map(texts.fragment, (scope, key, value))
        return bool(self._space.run("put_value", *kept, span, *held))

    def value(self, scope: str, key: str) -> str | None:
        kept = self._space.run("value", texts.fragment(scope), texts.fragment(key))
        return None if kept is None else str(texts.decoded(kept))

    def delete_value(self, scope: str, key: str) -> None:
        self._space.command(b"HDEL", self._space.key(b"values:" + texts.fragment(scope)), texts.fragment(key))

    def set_progress(self, run_id: str, token: str, progress: str) -> bool:
        arguments = (texts.fragment(run_id), b"progress", texts.fragment(token), texts.fragment(progress))
        return bool(self._space.run("progress", *arguments))

    def logs(self, run_id: str) -> Sequence[str]:
        lines = self._space.command(b"LRANGE", self._space.key(b"logs:" + texts.fragment(run_id)), b"0", b"-1")
        return [texts.decoded(line) for line in lines]

    def beat(self, node: NodeRow) -> None:
        self._space.command(b"HSET", self._space.key(b"nodes"), texts.fragment(node.id), _node_text(node))

    def nodes(self) -> Sequence[NodeRow]:
        found = [NodeRow(*texts.decoded(text)) for text in self._space.command(b"HVALS", self._space.key(b"nodes"))]
        return sorted(found, key=lambda node: (node.started_at, node.id), reverse=True)

    def prune(
        self, job_id: str | None, keep_from: Mapping[str, int], limit: int = 1000, exclude: Collection[str] = ()
    ) -> int:
        job = b"" if job_id is None else texts.fragment(job_id)
        asked = (job, texts.batch(list(keep_from.items())), texts.listed(exclude))
        question = (tuple(keep_from), tuple(exclude))
        asked_before, *reached = self._pruned_to.pop(job_id, (question, 1, 0))
        place, passed = reached if asked_before == question else (1, 0)
        from_the_start = (place, passed) == (1, 0)
        deleted, pages = 0, 0
        while place and deleted < limit and pages < MOST_PAGES:
            numbers = (b"%d" % number for number in (limit - deleted, place, passed))
            gone, place, passed = self._space.run("prune", *asked, *numbers)
            deleted += gone
            pages += 1
            if not place and not from_the_start:  # what was passed over may have to go by now
                from_the_start, place, passed = True, 1, 0
        if place:
            self._pruned_to[job_id] = (question, place, passed)
        return deleted

    def forget(self, seen_since: int, limit: int = 1000) -> bool:
        return int(self._space.run("forget", b"%d" % seen_since, b"%d" % limit)) == limit


def _node_text(node: NodeRow) -> bytes:
    return texts.array(node)


def _flag(value: bool | None) -> bytes:
    return b"null" if value is None else str(value).lower().encode("ascii")


def _instant(value: int | None) -> bytes:
    return b"" if value is None else b"%d" % value
