"""Calls to the engine go by the proxy that the environment names, and by none where it says so."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from yarl import URL

from bridge.adapters.camunda.engine import CamundaEngine
from bridge.domain.errors import CallNotMade, SetupError
from gateway.tls import TlsFiles
from sandbox.proxies.listener import listening
from tests.certificates import HOST, Certificates, tls_relay
from tests.contract.stub_engine import Stub, stub_engine

LOGIN = "Basic " + base64.b64encode(b"user:s3cret").decode()


class ForwardProxy:
    """Makes tunnels (CONNECT) to a port of this machine, and answers other requests with 204 itself."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.logins: list[str] = []
        self.refuses = False
        self.port = 0
        self.running: set[asyncio.Future[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.running.add(running := asyncio.ensure_future(self._serve(reader, writer)))
        await running

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *headers = head.split("\r\n")
        self.asked.append(line)
        self.logins += [header.partition(": ")[2] for header in headers if header.startswith("Proxy-Authorization")]
        if self.refuses:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif line.startswith("CONNECT "):
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await self._tunnel(reader, writer, int(line.split()[1].rpartition(":")[2]))
        else:
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await _end(writer)

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    finally:
        await _end(writer)


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ForwardProxy]:
    made = ForwardProxy()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with listening(made.serve) as made.port:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://user:s3cret@127.0.0.1:{made.port}")
        yield made
        await asyncio.gather(*made.running)


@asynccontextmanager
async def opened(engine: CamundaEngine) -> AsyncIterator[CamundaEngine]:
    await engine.open()
    try:
        yield engine
    finally:
        await engine.close()


async def test_plain_calls_go_by_the_proxy(proxy: ForwardProxy) -> None:
    async with opened(CamundaEngine("http://engine.example/engine-rest", credentials="Bearer x")) as engine:
        await engine.complete("t1", "w", {})
    assert proxy.asked == ["POST http://engine.example/engine-rest/external-task/t1/complete HTTP/1.1"]
    assert proxy.logins == [LOGIN]


async def test_calls_by_tls_go_through_a_tunnel(proxy: ForwardProxy, tmp_path: Path) -> None:
    certificates, stub = Certificates(tmp_path), Stub()
    tls = TlsFiles("X", certificates.ca_file).context()
    async with (
        stub_engine(stub) as plain,
        tls_relay(certificates.server(), ("127.0.0.1", URL(plain).port or 0)) as port,
        opened(CamundaEngine(f"https://{HOST}:{port}/engine-rest", tls=tls)) as engine,
    ):
        await engine.complete("t1", "w", {})
    assert proxy.asked == [f"CONNECT {HOST}:{port} HTTP/1.1"]
    assert proxy.logins == [LOGIN]
    assert len(stub.requests) == 1


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "example.com,127.0.0.1"])
async def test_hosts_of_no_proxy_are_called_without(
    no_proxy: str, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", no_proxy)
    stub = Stub()
    async with stub_engine(stub) as url, opened(CamundaEngine(url)) as engine:
        await engine.complete("t1", "w", {})
    assert (proxy.asked, len(stub.requests)) == ([], 1)


async def test_a_proxy_of_another_kind_stops_the_start(proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:s3cret@127.0.0.1:9")
    with pytest.raises(SetupError, match="HTTPS_PROXY names a proxy of the kind socks5, not http"):
        await CamundaEngine("https://engine.example/engine-rest").open()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_away_is_told(scheme: str, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", "http://user:s3cret@127.0.0.1:9")
    async with opened(CamundaEngine(f"{scheme}://engine.example/engine-rest")) as engine:
        with pytest.raises(CallNotMade, match="the proxy of HTTP_PROXY or HTTPS_PROXY lets no call through") as raised:
            await engine.complete("t1", "w", {})
    assert "s3cret" not in str(raised.value)


async def test_a_proxy_that_refuses_is_told(proxy: ForwardProxy) -> None:
    proxy.refuses = True
    async with opened(CamundaEngine("https://engine.example/engine-rest")) as engine:
        with pytest.raises(
            CallNotMade, match="lets no call through: HTTP 407; name the engine's host in NO_PROXY"
        ) as raised:
            await engine.complete("t1", "w", {})
    assert "s3cret" not in str(raised.value)
