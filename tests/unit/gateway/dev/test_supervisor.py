"""When `gateway dev` starts a gateway, keeps it, and ends it; the processes are stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.dev.supervisor import Supervisor


class Gateway:
    """A child that ends when it is told to, or by itself."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def ended(self) -> int:
        return await asyncio.shield(self.code)

    def stop(self) -> None:
        self.calls.append("stop")
        if not self.code.done():
            self.code.set_result(0)

    def kill(self) -> None:
        self.calls.append("kill")


class Loop:
    """A supervisor with files that a test changes and spoils."""

    def __init__(self) -> None:
        self.gateways: list[Gateway] = []
        self.faults: Sequence[str] = []
        self.told: list[tuple[str, bool]] = []
        self.changes: asyncio.Queue[Sequence[str]] = asyncio.Queue()
        self.stop = asyncio.Event()
        self.news = asyncio.Condition()
        self.supervisor = Supervisor(self._start, self._check, self._changed(), self._say, self.stop)

    async def _start(self) -> Gateway:
        self.gateways.append(Gateway())
        await self._tell()
        return self.gateways[-1]

    async def _check(self) -> Sequence[str]:
        return self.faults

    async def _changed(self) -> AsyncIterator[Sequence[str]]:
        while True:
            yield await self.changes.get()

    def _say(self, text: str, wrong: bool) -> None:
        self.told.append((text, wrong))
        self._telling = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def until(self, gateways: int, said: str = "") -> None:
        """Return when so many gateways were started, and a text was said."""
        async with asyncio.timeout(5), self.news:
            await self.news.wait_for(lambda: len(self.gateways) == gateways and any(said in t for t, _ in self.told))


@asynccontextmanager
async def running() -> AsyncIterator[Loop]:
    loop = Loop()
    task = asyncio.create_task(loop.supervisor.run())
    try:
        yield loop
    finally:
        loop.stop.set()
        async with asyncio.timeout(5):
            await task


async def test_a_change_starts_another_gateway_after_the_first_has_ended() -> None:
    async with running() as loop:
        loop._say("begun", False)
        await loop.until(1, "begun")
        await loop.changes.put(["topics/a.py", "topics/b.py", "topics/c.py", "topics/d.py"])
        await loop.until(2, "topics/a.py, topics/b.py, topics/c.py and 1 more changed")
        assert loop.gateways[0].calls == ["stop"]
        assert loop.gateways[1].calls == []
    assert loop.gateways[1].calls == ["stop"]


async def test_a_file_with_an_error_leaves_the_gateway_running_until_it_is_mended() -> None:
    async with running() as loop:
        loop._say("begun", False)
        await loop.until(1, "begun")
        loop.faults = ["topics/a.py can't be imported: SyntaxError"]
        await loop.changes.put(["topics/a.py"])
        await loop.until(1, "the gateway goes on with the topics as they were")
        assert ("topics/a.py can't be imported: SyntaxError", True) in loop.told
        assert loop.gateways[0].calls == []
        loop.faults = []
        await loop.changes.put(["topics/a.py"])
        await loop.until(2, "starting again")
        assert loop.gateways[0].calls == ["stop"]


async def test_a_file_with_an_error_at_the_start_is_waited_for() -> None:
    async with running() as loop:
        loop.faults = ["topics/a.py can't be imported: SyntaxError"]
        await loop.until(0, "no gateway runs")
        loop.faults = []
        await loop.changes.put(["topics/a.py"])
        await loop.until(1, "topics/a.py changed")


async def test_a_gateway_that_ends_by_itself_is_told_and_started_at_the_next_change() -> None:
    async with running() as loop:
        loop._say("begun", False)
        await loop.until(1, "begun")
        loop.gateways[0].code.set_result(2)
        await loop.until(1, "the gateway ended with 2: it starts again when a file changes")
        await loop.changes.put([".env.gateway"])
        await loop.until(2, ".env.gateway changed")
        assert loop.gateways[0].calls == []


async def test_the_gateway_is_ended_at_once_where_that_is_asked_for() -> None:
    async with running() as loop:
        loop._say("begun", False)
        await loop.until(1, "begun")
        loop.supervisor.kill()
        assert loop.gateways[0].calls == ["kill"]
