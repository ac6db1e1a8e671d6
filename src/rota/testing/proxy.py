"""A TCP server in front of another that fails as networks and servers fail, when it is told to.

Law: the bytes pass unread. A request is what a client sends until it is answered, so any protocol of questions and
answers will do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Final, Literal, TypeAlias, TypeVar

T = TypeVar("T")

_Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_PATIENCE: Final = 10.0
"""Seconds within which the proxy itself does what it is told."""


class FaultProxy:
    """Passes connections on to the server at `host` and `port`, until told otherwise.

        with FaultProxy("127.0.0.1", 6379) as proxy:
            locks = RedisLocks(f"redis://{proxy.address}/0")
            proxy.lose_reply()
            ...

    It starts a thread of its own. Its methods return when what they order is in force.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self._passes = asyncio.Event()
        self._passes.set()
        self._delay = 0.0
        self._requests = 0
        self._fault: tuple[Literal["lose", "cut"], int] | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._listening: socket.socket | None = None
        self.port: int = 0
        self._do(self._listen())

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def fired(self) -> bool:
        """Whether the fault ordered by `lose_reply` or `cut_request` has happened."""
        return self._fault is None

    def lose_reply(self, nth: int = 1) -> None:
        """Of the requests from now on, let the server carry out the `nth`, and reset the connection instead of its
        reply."""
        self._do(self._arm("lose", nth))

    def cut_request(self, nth: int = 1) -> None:
        """Of the requests from now on, send only half of the `nth` to the server, and reset the connection."""
        self._do(self._arm("cut", nth))

    def hang(self) -> None:
        """Accept connections, and let no byte through in either direction until `restore`."""
        self._do(self._hang())

    def refuse(self) -> None:
        """Reset what is open and refuse new connections until `restore`, as a server that is down."""
        self._do(self._refuse())

    def reset(self) -> None:
        """Reset what is open; new connections are welcome."""
        self._do(self._reset())

    def delay(self, seconds: float) -> None:
        """Hold each reply back for so long until `restore`."""
        self._do(self._hold_back(seconds))

    def restore(self) -> None:
        """Pass everything on again, what was held back first; forget faults that have not happened."""
        self._do(self._restore())

    def close(self) -> None:
        """Reset what is open and end the thread; nothing if it has ended."""
        if not self._thread.is_alive():
            return
        self._do(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, order: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(order, self._loop).result(_PATIENCE)

    async def _listen(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port), backlog=128)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._loop.add_reader(listening, self._accept, listening)
        self._listening = listening

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except OSError:  # the client has given up
            return
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        serving = self._loop.create_task(self._serve(connection))
        self._serving.add(serving)
        serving.add_done_callback(lambda _: self._end(serving, connection))

    def _end(self, serving: asyncio.Task[None], connection: socket.socket) -> None:
        self._serving.discard(serving)
        connection.close()  # it may have ended before it was served

    async def _arm(self, fault: Literal["lose", "cut"], nth: int) -> None:
        self._fault = (fault, self._requests + nth)

    async def _hang(self) -> None:
        self._passes.clear()

    async def _hold_back(self, seconds: float) -> None:
        self._delay = seconds

    async def _refuse(self) -> None:
        if self._listening is not None:
            self._loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        await self._reset()

    async def _reset(self) -> None:
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _restore(self) -> None:
        self._delay = 0.0
        self._fault = None
        self._passes.set()
        if self._listening is None:
            await self._listen()

    async def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await self._passes.wait()
            async with (
                _streams(asyncio.open_connection(sock=client)) as (from_client, to_client),
                _streams(asyncio.open_connection(*self._server)) as (from_server, to_server),
            ):
                await _Connection(self, from_client, to_client, from_server, to_server).pass_on()

    async def gate(self) -> None:
        """Wait while it hangs."""
        await self._passes.wait()

    async def hold_back(self) -> None:
        """Wait as long as a reply is to be held back."""
        if self._delay:
            await asyncio.sleep(self._delay)

    def fault_of_next_request(self) -> Literal["lose", "cut"] | None:
        """Count a request; the fault ordered for it, which has happened by this."""
        self._requests += 1
        if self._fault is None or self._fault[1] > self._requests:
            return None
        fault, self._fault = self._fault[0], None
        return fault


class _Connection:
    """A client's connection and the one made for it to the server."""

    def __init__(
        self,
        proxy: FaultProxy,
        from_client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = from_client, to_client
        self._from_server, self._to_server = from_server, to_server
        self._is_asked = False
        self._loses_reply = False

    async def pass_on(self) -> None:
        """Until one side ends it or a fault does."""
        ways = [asyncio.ensure_future(self._pass_requests()), asyncio.ensure_future(self._pass_replies())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_requests(self) -> None:
        while sent := await self._from_client.read(65536):
            await self._proxy.gate()
            if not self._is_asked:
                self._is_asked = True
                fault = self._proxy.fault_of_next_request()
                if fault == "cut":
                    self._to_server.write(sent[: len(sent) // 2])
                    await self._to_server.drain()
                    return
                self._loses_reply = fault == "lose"
            self._to_server.write(sent)
            await self._to_server.drain()

    async def _pass_replies(self) -> None:
        while answered := await self._from_server.read(65536):
            if self._loses_reply:
                return
            self._is_asked = False
            await self._proxy.hold_back()
            await self._proxy.gate()
            self._to_client.write(answered)
            await self._to_client.drain()


@contextlib.asynccontextmanager
async def _streams(opening: Coroutine[object, object, _Streams]) -> AsyncIterator[_Streams]:
    """Both directions of a connection, which ends with the block."""
    reader, writer = await opening
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
