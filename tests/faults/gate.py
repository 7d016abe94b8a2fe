"""A gate that handlers wait at: the test sees who has come, and lets them go on when it wants to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from tests.e2e.gateways import TIME_LIMIT


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a handler, as it tells of itself."""

    task_id: str
    key: str
    attempt: int

    @classmethod
    def read(cls, line: str) -> Run:
        """Read what the test topics write about a run."""
        task_id, key, attempt = line.split()
        return cls(task_id, key, int(attempt))


class Visit:
    """A handler that waits at the gate."""

    def __init__(self, run: Run, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.run = run
        self._reader = reader
        self._writer = writer

    async def let_go(self) -> None:
        """Let the handler end well, if it is still there."""
        with suppress(ConnectionError):
            self._writer.write(b"go\n")
            await self._writer.drain()

    async def gone(self) -> None:
        """Return when the handler is gone from the gate: let go, cancelled, or killed with its process."""
        async with asyncio.timeout(TIME_LIMIT):
            with suppress(ConnectionError):
                await self._reader.read()


class Gate:
    """Where handlers wait; it is closed until `open`."""

    def __init__(self) -> None:
        self.port = 0
        self.visits: list[Visit] = []
        self._is_open = False
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._news = asyncio.Condition()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._visited, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()

    async def open(self) -> None:
        """Let all go who wait, and who come from now on."""
        self._is_open = True
        for visit in self.visits:
            await visit.let_go()

    async def until(self, count: int) -> list[Visit]:
        """Return all visits once so many have come."""
        async with asyncio.timeout(TIME_LIMIT), self._news:
            await self._news.wait_for(lambda: len(self.visits) >= count)
        return list(self.visits)

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        line = await reader.readline()
        if not line:
            return
        visit = Visit(Run.read(line.decode()), reader, writer)
        async with self._news:
            self.visits.append(visit)
            self._news.notify_all()
        if self._is_open:
            await visit.let_go()
