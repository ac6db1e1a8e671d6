"""The parent of a reloader that could not be told when it started its scheduler: looked for again, a while later.

Law: `app.run(debug=True)` and `uvicorn.run("app:app", reload=True)` turn a process that has been serving as any other
into the parent of Werkzeug's reloader, or of uvicorn's reloader or workers, whose children then run the same jobs. From
there on the parent only arms. A program that has loaded nothing of the web by the first look is left alone: an idle
scheduler sleeps.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rota.drivers.hosting.autostart import Decision, decide_here

if TYPE_CHECKING:
    from rota.drivers.engine import Engine

FIRST_LOOK: Final = 1_000_000
"""Microseconds from the start to the first look; each later one is twice as far off, as an app may be long to load."""

LAST_LOOK: Final = 32_000_000

WEB: Final = ("werkzeug", "uvicorn", "starlette")
"""What is loaded in a program that may yet run such a server."""


def watch_for_reloader(engine: Engine, disarm: Callable[[Decision], None]) -> None:
    """Have `disarm` called, on a thread of its own, when this process turns out to be a reloader's parent."""
    engine.post(lambda: engine.arm(engine.time + FIRST_LOOK, _Look(disarm, FIRST_LOOK)))


class _Look:
    """A look on the timeline; the next one puts itself there."""

    __slots__ = ("_disarm", "_gap")

    def __init__(self, disarm: Callable[[Decision], None], gap: int) -> None:
        self._disarm = disarm
        self._gap = gap

    def come_due(self, _due: int, engine: Engine) -> None:
        """Look, and arm the next look."""
        if not any(name in sys.modules for name in WEB):
            return
        decision = decide_here()
        if not decision.run:
            threading.Thread(target=self._disarm, args=(decision,), name="rota-shutdown", daemon=True).start()
            return
        self._gap *= 2
        if self._gap <= LAST_LOOK:
            engine.arm(engine.time + self._gap, self)

    def is_gone(self, _due: int, _engine: Engine) -> bool:
        """Never: it is wanted whatever jobs there are."""
        return False
