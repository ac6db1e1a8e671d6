"""Points 39 and 40: a tick is claimed once, in order, and never before its time."""

from __future__ import annotations

from rota.ports import Claim
from rota.testing.conformance._lock_case import IS_FULL, LockCase, LockFactory
from rota.testing.conformance._processes import compete

COMPETITORS = 16 if IS_FULL else 4
TICKS = 400 if IS_FULL else 60
SECOND = 1_000_000


class LockClaims(LockCase):
    """A tick is claimed once, in order, and never before its time."""

    def test_39_every_tick_is_claimed_by_exactly_one_process(self) -> None:
        base = self.open_real().claim([Claim("clock", None, 0)])[0].now - (TICKS + 5) * SECOND
        arguments = [(type(self).factory, self.place, base, TICKS) for _ in range(COMPETITORS)]
        won = [tick for ticks in compete(claim_all, arguments) for tick in ticks]
        assert sorted(won) == [base + number * SECOND for number in range(TICKS)]

    def test_40_claims_are_monotone(self) -> None:
        now = self.now()
        ticks = [now - 30 * SECOND, now - 20 * SECOND, now - 10 * SECOND]
        claim = self.backend.claim
        assert claim([Claim("a", None, ticks[1])])[0].verdict == "claimed"
        for previous, tick in ((None, ticks[1]), (None, ticks[2]), (ticks[0], ticks[2])):
            answer = claim([Claim("a", previous, tick)])[0]
            assert (answer.verdict, answer.watermark) == ("taken", ticks[1])
        for tick in (ticks[0], ticks[1]):
            assert claim([Claim("a", ticks[1], tick)])[0].verdict == "taken"
        answer = claim([Claim("a", ticks[1], ticks[2])])[0]
        assert (answer.verdict, answer.watermark) == ("claimed", ticks[2])

    def test_40_a_name_without_watermark_is_claimed_from_none_only(self) -> None:
        now = self.now()
        answer = self.backend.claim([Claim("a", now - 20, now - 10)])[0]
        assert (answer.verdict, answer.watermark) == ("taken", None)

    def test_40_a_future_tick_is_too_early(self) -> None:
        tick = self.now() + 3600 * SECOND
        answer = self.backend.claim([Claim("a", None, tick)])[0]
        assert (answer.verdict, answer.watermark) == ("too_early", None)
        assert abs(answer.now - self.now()) < 5 * SECOND

    def test_40_tolerance_is_nothing(self) -> None:
        now = self.clock.now()
        assert self.backend.claim([Claim("a", None, now + 1)])[0].verdict == "too_early"
        assert self.backend.claim([Claim("a", None, now)])[0].verdict == "claimed"

    def test_40_each_of_a_batch_is_judged_in_order(self) -> None:
        now = self.now()
        claims = [
            Claim("a", None, now - 5),
            Claim("a", now - 5, now - 4),
            Claim("a", None, now - 3),
            Claim("b", None, 1),
        ]
        verdicts = [answer.verdict for answer in self.backend.claim(claims)]
        assert verdicts == ["claimed", "claimed", "taken", "claimed"]
        assert self.backend.claim([]) == []

    def test_40_watermarks_survive_a_restart_of_the_program(self) -> None:
        now = self.now()
        self.backend.claim([Claim("a", None, now - 5)])
        self.backend.close()
        answer = self.open().claim([Claim("a", None, now - 4)])[0]
        assert (answer.verdict, answer.watermark) == ("taken", now - 5)

    def test_40_a_jump_of_a_day_and_back_poisons_no_watermark(self) -> None:
        now = self.clock.now()
        assert self.backend.claim([Claim("a", None, now - 5)])[0].verdict == "claimed"
        self.clock.step(86_400.0)
        self.clock.advance(5.0)
        assert self.backend.claim([Claim("a", now - 5, now + 80_000 * SECOND)])[0].verdict == "unsettled"
        self.clock.advance(5.0)
        self.clock.step(-86_400.0)
        assert self.backend.claim([Claim("a", now - 5, now - 4)])[0].verdict == "unsettled"
        self.clock.advance(30.0)
        assert self.backend.claim([Claim("a", now - 5, now - 4)])[0].verdict == "claimed"

    def test_40_a_program_started_after_the_jump_is_not_fooled(self) -> None:
        now = self.clock.now()
        self.backend.claim([Claim("a", None, now - 5)])
        self.backend.close()
        self.clock.step(86_400.0)
        assert self.open().claim([Claim("a", now - 5, now + SECOND)])[0].verdict == "unsettled"

    def test_40_a_clock_that_stands_for_half_a_minute_is_believed(self) -> None:
        now = self.clock.now()
        self.backend.claim([Claim("a", None, now - 5)])
        self.clock.step(3600.0)
        self.backend.claim([Claim("a", now - 5, now)])
        self.clock.advance(29.0)
        assert self.backend.claim([Claim("a", now - 5, now)])[0].verdict == "unsettled"
        self.clock.advance(1.5)
        assert self.backend.claim([Claim("a", now - 5, now)])[0].verdict == "claimed"


def claim_all(factory: LockFactory, place: str, base: int, ticks: int) -> list[int]:
    """Walk all ticks in order, as a node would; those that were won here."""
    backend = factory(place, None)
    won: list[int] = []
    watermark: int | None = None
    while watermark is None or watermark < base + (ticks - 1) * SECOND:
        tick = base if watermark is None else watermark + SECOND
        answer = backend.claim([Claim("shared", watermark, tick)])[0]
        if answer.verdict == "claimed":
            won.append(tick)
        watermark = answer.watermark
    backend.close()
    return won
