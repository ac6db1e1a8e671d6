"""Renews the leases of all runs at work on a node, in one call, with the node's sign of life.

Law: runs on the renewal thread, which no user code can block. A lease that could not be renewed in time is not trusted
any more; one that was lost stops its run.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Timer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rota.drivers.calls import AttemptCall
    from rota.drivers.engine import Engine

LEAST_WAIT: Final = 0.05
"""Seconds from one look at what is trusted to the next."""


class RunLeases:
    """A `Renewable` for `rota.drivers.renewal.Renewal`."""

    def __init__(self, engine: Engine, *, inline: bool = False) -> None:
        self._engine = engine
        self._inline = inline

    @property
    def interval(self) -> float:
        """A third of the leases' time to live, in seconds."""
        return self._engine.settings.lease_ttl / 3

    def renew(self) -> None:
        """Renew, and pass on what the store says: runs that are lost, and runs that are asked to stop."""
        engine = self._engine
        calls = {call.row.id: call for call in engine.attempts.all() if call.row.token is not None}
        held = [(run_id, call.row.token) for run_id, call in calls.items() if call.row.token is not None]
        trusted_until = engine.attempts.trust_from_now()
        row = engine.node._replace(last_seen=engine.clock.now())
        watch = None if self._inline else _Watch(self)
        try:
            renewal = engine.store.renew(row, held, engine.settings.lease_ttl)
        finally:
            self.stop_untrusted()
            if watch is not None:
                watch.end()
        for run_id, call in calls.items():
            if run_id not in renewal.lost:
                call.trusted_until = max(call.trusted_until, trusted_until)
        for run_id in renewal.lost:
            self._stop(calls[run_id], "lease_lost")
        for run_id, reason in renewal.cancelled.items():
            self._stop(calls[run_id], reason)

    def seconds_of_trust(self) -> float:
        """Seconds until a run may be at work whose lease is not trusted any more, one that is yet to begin included."""
        engine = self._engine
        now = engine.clock.boottime()
        ends = [call.trusted_until for call in engine.attempts.all() if call.cancel_reason is None]
        return max(LEAST_WAIT, min(ends, default=engine.attempts.trust_from_now()) - now)

    def stop_untrusted(self) -> None:
        """A run whose lease may soon be another's stops before that, whether or not the store answers."""
        now = self._engine.clock.boottime()
        for call in self._engine.attempts.all():
            if call.trusted_until <= now:
                self._stop(call, "lease_lost")

    def _stop(self, call: AttemptCall, reason: str) -> None:
        """Ask this very attempt to stop; the run may be at its next one by the time the engine hears of it."""
        engine, run_id = self._engine, call.row.id
        call.ask_to_stop(reason)

        def stop() -> None:
            if engine.services.calls.get(run_id) is call:
                engine.attempts.stop(run_id, reason)

        engine.post(stop)


class _Watch:
    """While a store that hangs is waited for, somebody else must see trust end, of runs that begin meanwhile too."""

    def __init__(self, leases: RunLeases) -> None:
        self._leases = leases
        self._is_over = False
        self._timer = self._wait()

    def end(self) -> None:
        """The store has answered."""
        self._is_over = True
        self._timer.cancel()

    def _wait(self) -> Timer:
        timer = Timer(self._leases.seconds_of_trust(), self._look)
        timer.daemon = True
        with suppress(RuntimeError):  # no more threads, or the interpreter is on its way out: renewing goes on
            timer.start()
        return timer

    def _look(self) -> None:
        self._leases.stop_untrusted()
        if not self._is_over:
            self._timer = self._wait()
