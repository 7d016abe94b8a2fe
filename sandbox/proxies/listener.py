"""A server of byte streams, whose connections end with it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from sandbox.ports import LOOPBACK

_TURNS_OF_ACCEPTING: Final = 4
"""Turns of the loop from a connection to `_accept`: asyncio loses the socket of one whose server ends in between."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Listener:
    """Serves each connection to a port of this machine.

    asyncio's own server leaves open connections to the garbage collector, which finds them after the loop has closed.
    """

    def __init__(self, serve: Serve, *, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.port = port
        self._serve = serve
        self._context = context
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen on the port, any free one for 0, and on the same after each `close`."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port, ssl=self._context)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Refuse new connections, and end those that are open."""
        if self._server is None:
            return
        for _ in range(_TURNS_OF_ACCEPTING):
            await asyncio.sleep(0)
        self._server.close()
        self._server = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(lambda done: self._end(done, writer))

    def _end(self, connection: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._connections.discard(connection)
        if connection.cancelled():
            writer.transport.abort()
            return
        writer.close()
        if (error := connection.exception()) is not None:
            connection.get_loop().call_exception_handler({"message": "a connection failed", "exception": error})


@asynccontextmanager
async def listening(serve: Serve, *, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve the connections to a port, which is given; they end with the block."""
    listener = Listener(serve, context=context)
    await listener.open()
    try:
        yield listener.port
    finally:
        await listener.close()
