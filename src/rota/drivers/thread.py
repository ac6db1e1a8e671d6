"""The thread driver: turns an engine in a daemon thread of its own. No job runs on it but by `executor="inline"`."""

from __future__ import annotations

from threading import Thread

from rota.core.outcome import message_of
from rota.drivers.engine import Engine
from rota.errors import StateError
from rota.hooks.logging import logger, warn_visibly


class ThreadDriver:
    """Started once, stopped once."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._stopping = False
        self.trouble = ""
        self._thread = Thread(target=self._run, name=f"rota-{name}", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread lives and turns: false in a forked child."""
        return self._thread.is_alive() and not self.trouble

    def start(self) -> None:
        """Start turning. `StateError` where no thread can be started any more."""
        try:
            self._thread.start()
        except RuntimeError as error:  # at a limit of the machine, or while the interpreter is ending
            raise StateError(f"the scheduler cannot start: it has no thread to run in ({error})") from error

    def stop(self, timeout: float | None = None) -> None:
        """Stop turning after the present turn, and wait for that, at most `timeout` seconds."""
        self._stopping = True
        self._engine.post(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._turn_until_stopped()
        except BaseException as error:  # noqa: BLE001  # whatever it is, a scheduler that ends must not do so in silence
            kind = type(error).__name__
            self.trouble = f"its thread has ended with {kind}: {message_of(error)}"
            logger().error("engine.thread_ended", error_type=kind, exc_info=error)

    def _turn_until_stopped(self) -> None:
        engine = self._engine
        while not self._stopping:
            try:
                wait = engine.turn()
                self.trouble = ""
            except BaseException as error:  # noqa: BLE001  # a fault of ours must not end everybody's schedule
                self._tell(error)
                wait = 1.0
            if not self._stopping:
                engine.wait(wait)

    def _tell(self, error: BaseException) -> None:
        """Loudly the first time, so that a scheduler that does nothing is not mistaken for one with nothing to do."""
        logger().error("engine.turn_failed", error_type=type(error).__name__, exc_info=error)
        if not self.trouble:
            warn_visibly(
                "engine.stalled", f"no job is run: the scheduler's own code failed with {error!r}; it goes on trying"
            )
        self.trouble = f"its own code failed with {error!r}"
