"""A host on somebody's asyncio loop: started, kept at work and shut down while the loop is free for others.

Law: what blocks is done in a thread of its own, and here where no thread has a part. A cancellation that comes
meanwhile is passed on when all is done.
"""

from __future__ import annotations

from asyncio import CancelledError, get_running_loop
from functools import partial

from rota.drivers.hosting.host import Host
from rota.drivers.hosting.loops import Waker, in_own_thread, whatever_comes
from rota.drivers.node_parts import ShutdownReport


async def start(host: Host) -> None:
    """Run with the coroutines of jobs on the running loop, which is free while the store is opened and jobs are
    declared. In a simulation they stay on the simulated one."""
    if host.is_driven:
        host.start_for(get_running_loop())
        return
    try:
        await whatever_comes(in_own_thread(partial(host.start_for, get_running_loop())))
    except CancelledError:
        await close(host)
        raise


async def serve(host: Host) -> None:
    """Run on the running loop until cancelled or shut down.

    A Ctrl-C that the loop's owner lets through to a job, as a plain `run_until_complete` does, is raised here once
    all is shut down.
    """
    over, ctrl_c = Waker(), Waker()
    await start(host)
    host.tell_of_end(over.wake, partial(ctrl_c.wake, over))
    try:
        await over.wait()
    finally:
        await close(host)
    if ctrl_c.is_awake:
        raise KeyboardInterrupt


async def aclose(host: Host, timeout: float | None) -> ShutdownReport:
    """`shutdown` in a thread, so that coroutines of the loop can end meanwhile."""
    if host.is_driven:
        return host.shutdown(timeout)
    return await in_own_thread(partial(host.shutdown, timeout))


async def close(host: Host) -> None:
    """`aclose` for the end of a block."""
    if host.is_driven:
        host.shutdown(None)
    else:
        await whatever_comes(in_own_thread(host.finish))
