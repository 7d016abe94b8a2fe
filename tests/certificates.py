"""Certificates for the tests of TLS, and servers that speak it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sandbox.proxies.listener import listening

HOST = "localhost"
PASSWORD = "a key's p4ssword"


class Certificates:
    """A CA of its own, whose certificates are kept as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.ca_file = self.keep("ca.pem", self._ca.cert_pem.bytes())
        self.other_ca_file = self.keep("other-ca.pem", trustme.CA().cert_pem.bytes())
        client = self._ca.issue_cert("gateway.example")
        self.certificate, self.key = client.cert_chain_pems[0].bytes(), client.private_key_pem.bytes()
        self.cert_file = self.keep("client.crt", self.certificate)
        self.key_file = self.keep("client.key", self.key)
        self.pair_file = self.keep("client.pem", self.certificate + self.key)
        self.other_key_file = self.keep("other.key", self._ca.issue_cert("other").private_key_pem.bytes())
        locked = load_pem_private_key(self.key, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())
        )
        self.locked_key_file = self.keep("locked.key", locked)

    def keep(self, name: str, content: bytes) -> str:
        """Write a file; return its path."""
        path = self._folder / name
        path.write_bytes(content)
        return str(path)

    def server(self, name: str = HOST, *, is_expired: bool = False, wants_client: bool = False) -> ssl.SSLContext:
        """Return a server's context, whose certificate is for a name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        past = datetime(2020, 1, 1, tzinfo=UTC)
        self._ca.issue_cert(name, not_after=past if is_expired else None).configure_cert(context)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            self._ca.configure_trust(context)
        return context


@asynccontextmanager
async def tls_relay(context: ssl.SSLContext | None, target: tuple[str, int] | None = None) -> AsyncIterator[int]:
    """End TLS on a port, which is given, and pass bytes on to a server; where there is none, answer as HTTP does."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65_536):
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if target is None:
            with suppress(OSError):
                await reader.read(1)
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        there, back = await asyncio.open_connection(*target)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async with listening(accept, context=context) as port:
        yield port


@contextmanager
def alerting_server(context: ssl.SSLContext) -> Iterator[int]:
    """Make handshakes on a port, which is given; one that fails ends with an alert, which asyncio's server drops."""
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection = context.wrap_socket(listener.accept()[0], server_side=True, do_handshake_on_connect=False)
                with connection, suppress(OSError):
                    try:
                        connection.do_handshake()
                    except ssl.SSLError:
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(4096):
                            pass

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
