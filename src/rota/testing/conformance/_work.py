"""What competing processes do with a store."""

from __future__ import annotations

from uuid import uuid4

from rota.core.run import RunRow
from rota.ports import Begin, Swap, TickClaim
from rota.testing.conformance._store_case import StoreFactory


def walk_ticks(factory: StoreFactory, place: str, job_id: str, ticks: int, number: int) -> list[tuple[int, int]]:
    """Claim, begin and end ticks one after the other, as a node would; the ticks won here, with their fences."""
    store = factory(place, None)
    store.open()
    won: list[tuple[int, int]] = []
    state = store.job_states([job_id])[0]
    while state is not None and state.claimed < ticks:
        tick = state.watermark + 1
        row = RunRow(str(uuid4()), job_id, "tick", "queued", tick, tick, scheduled_for=tick)
        start = Begin(row.id, job_id, 0, uuid4().hex, f"node-{number}", 30.0)
        answer = store.claim([TickClaim(job_id, state.watermark, tick, False, None, (row,), (), 1, start)])[0]
        state = answer.state
        if answer.verdict == "claimed" and answer.begun is not None:
            won.append((tick, answer.begun.fence))
            ended = answer.begun.copy()
            ended.status, ended.finished_at = "succeeded", tick
            store.swap([Swap(ended, "running", answer.begun.token, covered=tick, streak=0)])
    store.close()
    return won


def begin_all(factory: StoreFactory, place: str, number: int) -> list[str]:
    """Begin whatever is due until nothing is; the runs begun here."""
    store = factory(place, None)
    store.open()
    begun: list[str] = []
    while ready := store.due(2**62, 10).ready:
        asks = [Begin(row.id, row.job_id, row.attempt, uuid4().hex, f"node-{number}", 30.0) for row in ready]
        answers = store.begin(asks)
        begun += [answer.row.id for answer in answers if answer.row is not None]
    store.close()
    return begun
