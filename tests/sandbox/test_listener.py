"""Connections end with their listener, however far they are."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress

import pytest

from sandbox.proxies.listener import Listener, listening


async def wait_for_bytes(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(100))


@pytest.mark.parametrize("turns", range(7))
def test_a_silent_connection_ends_with_its_listener_and_leaves_nothing_to_the_collector(turns: int) -> None:
    async def visit() -> socket.socket:
        async with listening(wait_for_bytes) as port:
            client = socket.create_connection(("127.0.0.1", port))
            for _ in range(turns):
                await asyncio.sleep(0)
        return client

    with asyncio.run(visit()) as client:
        gc.collect()
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


async def test_what_was_written_is_sent_before_the_connection_ends() -> None:
    async with listening(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"ping")
        assert await reader.read() == b"ping"
        writer.close()


async def test_it_listens_on_the_same_port_again() -> None:
    listener = Listener(echo)
    await listener.open()
    port = listener.port
    await listener.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await listener.open()
    try:
        assert listener.port == port
    finally:
        await listener.close()
