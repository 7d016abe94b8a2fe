"""A TCP proxy with faults, between a gateway and one of its servers. What it did is on record."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from sandbox.proxies.listener import Listener
from tests.e2e.gateways import TIME_LIMIT

_CHUNK = 2**16


class Deed(StrEnum):
    """What the proxy does to the answer of a request that a fault waits for."""

    DROP = "drop"
    HOLD = "hold"
    HALF_CLOSE = "half-close"


@dataclass(eq=False)
class Fault:
    """One fault: waits for a request with `marker` in it, strikes once, and tells by `struck` that it has.

    DROP lets the server work and answer, and cuts the connection in place of the answer. HOLD keeps the answer back
    until `release`. HALF_CLOSE sends the end of the stream after the request, while the other direction stays open.
    """

    deed: Deed
    marker: bytes
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    swallowed: int = 0

    async def until_struck(self) -> None:
        async with asyncio.timeout(TIME_LIMIT):
            await self.struck.wait()

    def release(self) -> None:
        """Let a held answer go."""
        self.released.set()


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.client_reader, self.client_writer = client
        self.server_reader, self.server_writer = server
        self.fault: Fault | None = None

    def cut(self) -> None:
        """End both sides at once, by a reset where data was on its way."""
        for writer in (self.client_writer, self.server_writer):
            writer.transport.abort()


class Proxy:
    """Listens on a port of its own and passes on to `host:port`; use it as a context."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._parts = parts
        self._target = (parts.hostname, parts.port)
        self.connections = 0
        self.cuts = 0
        self.refused = 0
        self._refuses = False
        self._faults: list[Fault] = []
        self._links: set[_Link] = set()
        self._listener = Listener(self._connected)

    async def __aenter__(self) -> Proxy:
        await self._listener.open()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.cut_all()
        await self._listener.close()

    @property
    def url(self) -> str:
        """The target's URL, by way of the proxy."""
        user, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self._listener.port}"))

    def drop_answer(self, marker: str) -> Fault:
        """Drop the answer of the next request that has `marker` in it."""
        return self._add(Deed.DROP, marker)

    def hold_answer(self, marker: str) -> Fault:
        """Keep back the answer of the next request that has `marker` in it."""
        return self._add(Deed.HOLD, marker)

    def half_close(self, marker: str) -> Fault:
        """Tell the client of the next such request that nothing more will come, and let its connection stand."""
        return self._add(Deed.HALF_CLOSE, marker)

    def cut_all(self) -> int:
        """Cut every connection; return how many there were."""
        links = list(self._links)
        for link in links:
            link.cut()
        self.cuts += len(links)
        return len(links)

    def lead_to(self, url: str) -> None:
        """Lead to another server from now on; connections to the one before end."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self.cut_all()

    def refuse(self, yes: bool = True) -> None:
        """Refuse new connections from now on, or no longer."""
        self._refuses = yes

    def _add(self, deed: Deed, marker: str) -> Fault:
        fault = Fault(deed, marker.encode())
        self._faults.append(fault)
        return fault

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refuses:
            self.refused += 1
            writer.transport.abort()
            return
        try:
            server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link((reader, writer), server)
        self._links.add(link)
        try:
            await asyncio.gather(self._requests(link), self._answers(link))
        finally:
            # A fault may have left a side open that its other end has closed by now.
            link.cut()
            self._links.discard(link)

    async def _requests(self, link: _Link) -> None:
        try:
            while data := await link.client_reader.read(_CHUNK):
                self._look_for_faults(link, data)
                link.server_writer.write(data)
                await link.server_writer.drain()
                if link.fault is not None and link.fault.deed is Deed.HALF_CLOSE:
                    link.client_writer.write_eof()
                    link.fault.struck.set()
            link.server_writer.close()
        except OSError:
            link.cut()

    def _look_for_faults(self, link: _Link, data: bytes) -> None:
        for fault in self._faults:
            if fault.marker in data:
                self._faults.remove(fault)
                link.fault = fault
                return

    async def _answers(self, link: _Link) -> None:
        with suppress(OSError):
            while data := await link.server_reader.read(_CHUNK):
                if not await self._passes(link, len(data)):
                    return
                link.client_writer.write(data)
                await link.client_writer.drain()
        link.client_writer.close()

    async def _passes(self, link: _Link, size: int) -> bool:
        fault = link.fault
        if fault is None:
            return True
        fault.swallowed += size
        if fault.deed is Deed.HOLD:
            fault.struck.set()
            await fault.released.wait()
            link.fault = None
            return True
        if fault.deed is Deed.DROP:
            link.cut()
            fault.struck.set()
        return False
