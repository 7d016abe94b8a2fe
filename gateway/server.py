"""The HTTP server of a process: on its event loop, and on a socket that is bound before anything else begins."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from bridge.domain.errors import SetupError
from gateway.http_protocol import BoundedProtocol

_OWN_FILES: Final = 256
"""Open files that a process needs besides those of its HTTP clients: engine, MongoDB, RabbitMQ, logs."""


class Server(uvicorn.Server):
    """Uvicorn on our loop, without its handlers of signals. Once a second it enforces the limits."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # it ticks ten times a second
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.enforce(now)
        return await super().on_tick(counter)


def possible_connections(wanted: int) -> int:
    """Return how many clients' connections the process may keep open: the system's limit of files leaves no more."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - _OWN_FILES))


def listen_on_all(hosts: Iterable[str], port: int, name: str) -> list[socket.socket]:
    """Return a socket for each address, all of the same port; `SetupError` as `listen`, and none is left open then."""
    listeners: list[socket.socket] = []
    try:
        for host in hosts:
            listeners.append(listen(host, port, name))
            port = listeners[0].getsockname()[1]
    except SetupError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def listen(host: str, port: int, name: str) -> socket.socket:
    """Return a socket that listens there; `SetupError` names the setting, `name`, where that can't be.

    One of an IPv6 address takes IPv6 alone: else a client of IPv4 had an address of IPv6, which TRUSTED_PROXIES and the
    limits don't know.
    """
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SetupError(f"{name} {port} on {host} can't be listened on: {error.strerror}; choose another") from error
    listener.setblocking(False)
    return listener
