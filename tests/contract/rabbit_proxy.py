"""A proxy in front of RabbitMQ that cuts and holds back what its connections carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from yarl import URL

from sandbox.proxies.listener import Listener
from tests.ports import free_port


class Proxy:
    """Passes bytes on to a server, until told to cut its connections or to hold back what they carry."""

    def __init__(self, host: str, port: int) -> None:
        self.cuts = 0
        self._target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.holds = asyncio.Event()
        self._hold_at: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._listener = Listener(self._accept, port=free_port())

    async def open(self) -> None:
        await self._listener.open()

    def url(self, original: str) -> str:
        return str(URL(original).with_host("127.0.0.1").with_port(self._listener.port))

    def hold(self) -> None:
        self._flowing.clear()

    def hold_at(self, marker: bytes) -> None:
        """Hold back what has the marker in it, and all that comes after."""
        self._hold_at = marker

    def flow(self) -> None:
        self._flowing.set()

    async def close(self) -> None:
        """Cut all connections and refuse new ones, until opened again."""
        await self.cut()
        await self._listener.close()

    async def cut(self) -> None:
        self.cuts += len(self._writers)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._pumps)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(*self._target)
        self._writers |= {writer, onward}
        pumps = {asyncio.create_task(self._pump(*pair)) for pair in ((reader, onward), (there, writer))}
        self._pumps |= pumps
        try:
            await asyncio.gather(*pumps)
        finally:
            self._pumps -= pumps
            self._writers -= {writer, onward}
            onward.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if self._hold_at is not None and self._hold_at in data:
                    self._hold_at = None
                    self.hold()
                if not self._flowing.is_set():
                    self.holds.set()
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        target.transport.abort()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    """Open a proxy in front of the server at this address."""
    server = URL(url)
    made = Proxy(server.host or "", server.port or 0)
    await made.open()
    try:
        yield made
    finally:
        made.flow()
        await made.close()


async def release(proxy: Proxy) -> None:
    proxy.flow()
