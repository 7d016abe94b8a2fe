"""What a client may take of the HTTP server: on real sockets, with the server's own second beaten by hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

import pytest

from bridge.runtime.http_limits import Connections, HttpLimits, Refused
from gateway.http_protocol import BoundedConfig, BoundedProtocol
from gateway.server import Server, listen, possible_connections

ASK: Final = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST: Final = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
LONG: Final = 1e9
LIMITS: Final = HttpLimits()


@dataclass
class Application:
    """Reads each request, once it `may_read`, and answers `answer`; keeps the paths, headers and bodies it got."""

    answer: bytes = b"ok"
    may_read: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[int] = field(default_factory=list)
    disconnects: int = 0

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        self.asked.append(scope)
        await self.may_read.wait()
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            size, more = size + len(message["body"]), message["more_body"]
        self.bodies.append(size)
        length = str(len(self.answer)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.answer})


class Client:
    """A raw connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def status(self) -> int:
        """Return the status of the next answer, without its body."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length"))
            await self.reader.readexactly(length)
        return int(lines[0].split()[1])

    async def is_closed(self) -> bool:
        """Wait for the server to close the connection."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass
        return True


class Lab:
    """A server with these limits, and what it refused."""

    def __init__(self, limits: HttpLimits, proxies: Iterable[str] = ()) -> None:
        self.app = Application()
        self.app.may_read.set()
        self.refused: Counter[Refused] = Counter()
        self.connections = Connections(limits, proxies=list(proxies), observe=self._observe)
        self.server = Server(BoundedConfig(self.app, self.connections, log_config=None, access_log=False))
        self.listener = listen("127.0.0.1", 0, "PORT")
        self._news = asyncio.Event()
        self._clients = AsyncExitStack()

    def _observe(self, reason: Refused) -> None:
        self.refused[reason] += 1
        self._news.set()

    @property
    def open(self) -> list[BoundedProtocol]:
        """The connections that are open."""
        return [each for each in self.server.server_state.connections if isinstance(each, BoundedProtocol)]

    async def connect(self, data: bytes = b"") -> Client:
        """Connect, and send this; return when the server has the connection."""
        before, refused = set(self.open), self.refused.total()
        reader, writer = await asyncio.open_connection(*self.listener.getsockname()[:2])
        self._clients.callback(writer.close)
        client = Client(reader, writer)
        client.send(data)
        await until(lambda: bool(set(self.open) - before) or self.refused.total() > refused)
        return client

    def enforce(self, later: float = 0.0) -> None:
        """Let the server look at its connections as if it were so many seconds later."""
        for connection in self.open:
            connection.enforce(asyncio.get_running_loop().time() + later)

    async def until_refused(self, reason: Refused) -> None:
        await until(lambda: self.refused[reason] > 0)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0)


@asynccontextmanager
async def serving(limits: HttpLimits | None = None, proxies: Iterable[str] = ()) -> AsyncIterator[Lab]:
    lab = Lab(limits or HttpLimits(), proxies)
    running = asyncio.create_task(lab.server.serve(sockets=[lab.listener]))
    try:
        await until(lambda: lab.server.started)
        yield lab
    finally:
        await lab._clients.aclose()
        lab.app.may_read.set()
        lab.server.should_exit = True
        await running
        lab.listener.close()


# heads


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"a" * 2_000,
        b"GET / HTTP/1.1\r\nx: " + b"a" * 2_000,
        b"GET / HTTP/1.1\r\n" + b"a" * 2_000,
        b"GET / HTTP/1.1\r\n" + b"x: 1\r\n" * 500,
        b"GET / HTTP/1.1\r\nx: " + b"a" * 990 + b"\r\n\r\n",
        b"GET /" + b"a" * 990 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_a_head_that_is_too_large_is_refused_whole_or_not(endless: bytes) -> None:
    async with serving(HttpLimits(head_bytes=980)) as lab:
        client = await lab.connect(endless)
        assert await client.status() == 431
        assert await client.is_closed()
        assert lab.app.asked == []
        assert lab.refused == {Refused.HEAD_TOO_LARGE: 1}


async def test_a_hundred_header_lines_are_enough() -> None:
    async with serving() as lab:
        client = await lab.connect(b"GET / HTTP/1.1\r\n" + b"x: 1\r\n" * 100 + b"\r\n")
        assert await client.status() == 200
        client.send(b"GET / HTTP/1.1\r\n" + b"x: 1\r\n" * 101 + b"\r\n")
        assert await client.status() == 431


async def test_a_silent_connection_is_closed_without_a_word_and_a_slow_head_is_told() -> None:
    async with serving() as lab:
        silent, slow = await lab.connect(), await lab.connect(b"GET / HTTP/1.1\r\n")
        await until(lambda: sum(each._has_begun for each in lab.open) == 1)
        lab.enforce(LIMITS.head_within - 5)
        assert not lab.refused
        slow.send(b"x: y\r\n")
        lab.enforce(LIMITS.head_within + 1)
        assert await slow.status() == 408
        assert await slow.is_closed()
        assert await silent.reader.read() == b""
        assert lab.refused == {Refused.HEAD_TOO_SLOW: 2}


async def test_the_next_request_of_a_connection_has_to_be_whole_in_time_as_well() -> None:
    async with serving() as lab:
        client = await lab.connect(ASK)
        assert await client.status() == 200
        lab.enforce(LONG)
        assert not lab.refused, "keeping it alive is another's affair, by its own time"
        client.send(b"GET / HT")
        await until(lambda: any(each._due for each in lab.open))
        lab.enforce(LONG)
        assert await client.status() == 408


async def test_a_request_that_is_worked_takes_as_long_as_it_takes() -> None:
    async with serving() as lab:
        lab.app.may_read.clear()
        client = await lab.connect(ASK)
        await until(lambda: bool(lab.app.asked))
        lab.enforce(LONG)
        lab.app.may_read.set()
        assert await client.status() == 200
        assert not lab.refused


async def test_no_more_than_so_many_requests_wait_for_the_one_before_them() -> None:
    async with serving(HttpLimits(pipelined=3)) as lab:
        client = await lab.connect(ASK * 4)
        assert [await client.status() for _ in range(4)] == [200] * 4
        lab.app.may_read.clear()
        client.send(ASK * 5)
        await lab.until_refused(Refused.TOO_MANY_PIPELINED)
        assert await client.is_closed()


async def test_trailers_are_no_headers_and_are_bounded() -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    async with serving() as lab:
        client = await lab.connect(chunked + b"authorization: Bearer x\r\n\r\n")
        assert await client.status() == 200
        assert [name for name, _ in lab.app.asked[0]["headers"]] == [b"host", b"transfer-encoding"]
        lab.app.may_read.clear()
        client.send(chunked)
        await until(lambda: len(lab.app.asked) == 2)
        client.send(b"x: " + b"a" * 1_000_000)
        await lab.until_refused(Refused.HEAD_TOO_LARGE)


async def test_who_asks_for_a_websocket_is_answered_as_if_they_had_not() -> None:
    async with serving() as lab:
        client = await lab.connect(ASK[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert await client.status() == 200


# bodies


async def test_a_body_that_trickles_is_given_up_and_one_that_flows_is_not() -> None:
    async with serving(HttpLimits(body_rate=1)) as lab:
        client = await lab.connect(POST % 200)
        await until(lambda: bool(lab.app.asked))
        client.send(b"x" * 100)
        await until(lambda: lab.connections.body_bytes == 100)
        lab.enforce(100)
        assert not lab.refused, "a hundred bytes are 100 s more than 20"
        lab.enforce(121)
        assert await client.status() == 408
        assert lab.refused == {Refused.BODY_TOO_SLOW: 1}
        await until(lambda: lab.app.disconnects == 1)
        assert lab.app.bodies == []
        assert lab.connections.body_bytes == 0


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
async def test_a_body_that_the_server_does_not_read_is_nobody_s_delay(expects: bytes) -> None:
    async with serving() as lab:
        lab.app.may_read.clear()
        client = await lab.connect((POST % 200_000)[:-2] + expects + b"\r\n")
        await until(lambda: bool(lab.app.asked))
        if not expects:
            client.send(b"x" * 150_000)
            await until(lambda: lab.connections.body_bytes > 65_536)
        lab.enforce(LONG)
        assert not lab.refused


async def test_large_bodies_together_take_so_many_bytes_and_small_ones_pass() -> None:
    limits = HttpLimits(bodies=1_000_000, small_body=1_000)
    async with serving(limits) as lab:
        first = await lab.connect(POST % 900_001 + b"x" * 900_000)
        await until(lambda: lab.connections.body_bytes == 900_000)
        second = await lab.connect(POST % 900_000 + b"x" * 200_000)
        await lab.until_refused(Refused.BODIES_TOO_LARGE)
        small = await lab.connect(POST % 1_000 + b"x" * 1_000)
        assert await small.status() == 200
        first.send(b"x")
        assert await first.status() == 200
        assert await second.is_closed()
        assert lab.connections.body_bytes == 0
        third = await lab.connect(POST % 900_000 + b"x" * 900_000)
        assert await third.status() == 200


# answers


async def test_an_answer_of_which_nothing_is_read_is_given_up() -> None:
    async with serving() as lab:
        lab.app.answer = b"x" * 20_000_000
        client = await lab.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(ASK)
        await until(lambda: bool(lab.app.bodies))
        lab.enforce()
        lab.enforce(LIMITS.unread_for - 5)
        assert not lab.refused
        lab.enforce(LIMITS.unread_for + 1)
        assert lab.refused == {Refused.ANSWER_UNREAD: 1}
        await until(lambda: len(lab.connections) == 0)


async def test_an_answer_that_is_read_slowly_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as lab:
        await lab.connect(ASK)
        (connection,) = lab.open
        for step, unsent in enumerate([900_000, 900_000, 899_999, 899_999, 0, 10, 10, 9]):
            monkeypatch.setattr(
                connection, "transport", SimpleNamespace(get_write_buffer_size=lambda size=unsent: size)
            )
            connection.enforce(step * (LIMITS.unread_for - 5))
        monkeypatch.undo()
        assert not lab.refused


# connections


async def test_an_address_has_so_many_connections_and_those_that_end_make_room() -> None:
    async with serving(HttpLimits(of_address=2)) as lab:
        first, second = await lab.connect(ASK), await lab.connect(ASK)
        third = await lab.connect()
        assert await third.status() == 503
        assert await third.is_closed()
        assert lab.refused == {Refused.TOO_MANY_OF_ADDRESS: 1}
        assert (await first.status(), await second.status()) == (200, 200), "those that are there go on"
        first.writer.close()
        await until(lambda: len(lab.connections) == 1)
        assert await (await lab.connect(ASK)).status() == 200


async def test_a_trusted_proxy_has_as_many_as_it_needs_up_to_those_of_all() -> None:
    async with serving(HttpLimits(of_address=1, connections=3), ["127.0.0.0/8"]) as lab:
        assert [await (await lab.connect(ASK)).status() for _ in range(4)] == [200, 200, 200, 503]
        assert lab.refused == {Refused.TOO_MANY: 1}


def test_of_one_machine_s_addresses_in_ipv6_all_are_one() -> None:
    connections = Connections(HttpLimits(of_address=2))
    assert connections.admit("2001:db8::1") is None
    assert connections.admit("2001:db8::2") is None
    assert connections.admit("2001:db8::3") is Refused.TOO_MANY_OF_ADDRESS
    assert connections.admit("2001:db9::3") is None
    connections.release("2001:db8::1")
    assert connections.admit("2001:db8::3") is None
    assert len(connections) == 3


def test_no_more_connections_are_kept_than_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    assert possible_connections(2000) == 1024 - 256
    assert possible_connections(100) == 100


async def test_the_server_enforces_its_limits_by_itself() -> None:
    async with serving(HttpLimits(head_within=0.0)) as lab:
        client = await lab.connect()
        assert await client.is_closed()
        assert lab.refused == {Refused.HEAD_TOO_SLOW: 1}
