"""What is contained where the code of others is called: a store, locks, an executor, a trigger, the host's logging.

Law: whatever it raises is its failure and ends no thread of Rota's, a `SystemExit` as little as a `ValueError`. In the
main thread an `Exception` alone is contained: whatever else comes there may be raised by the handler of a signal, in
the middle of any call, and is somebody's wish to end the program.
"""

from __future__ import annotations

import threading


def is_main_thread() -> bool:
    """Whether this is the thread that signals interrupt."""
    return threading.current_thread() is threading.main_thread()


def whatever_it_raises() -> type[BaseException]:
    """What to catch in this thread: `except whatever_it_raises() as error`."""
    return Exception if is_main_thread() else BaseException
