"""A loop of Rota's own, in a daemon thread, for coroutines of programs that have no loop.

Law: nothing a callback raises ends it: asyncio hands on the `SystemExit` of any task, and the loop is entered again.
"""

from __future__ import annotations

import asyncio
import logging
import threading

_log = logging.getLogger("rota")


class OwnLoop:
    """A running loop, which keeps `owner` alive: an interpreter that ends frees everything but what running threads
    hold, and asyncio complains of each suspended task that is freed. Making one raises `RuntimeError` where the
    interpreter starts no more threads."""

    def __init__(self, name: str, owner: object) -> None:
        self.loop = asyncio.new_event_loop()
        self._owner = owner
        self._is_ending = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self.loop.close()
            raise

    def wind_up(self) -> None:
        """Cancel what jobs have left behind on the loop, then end and close it. To be called on its thread."""
        self._farewell = self.loop.create_task(self._cancel_the_rest())

    def join(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for the thread to end; at once on that thread itself."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _serve(self) -> None:
        while not self._is_ending:
            try:
                self.loop.run_forever()
            except BaseException:  # noqa: BLE001  # a task a job left behind may raise SystemExit; other jobs go on
                _log.exception(
                    "executor.loop_left detail='a task raised out of the loop, which has been entered again'"
                )
        self.loop.close()

    async def _cancel_the_rest(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest)
        await self.loop.shutdown_asyncgens()
        self._is_ending = True
        self.loop.stop()
