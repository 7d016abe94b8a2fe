"""The HTTP server of a process: on its event loop, and on a socket that is bound before anything else begins."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from bridge.errors import SetupError


class Server(uvicorn.Server):
    """Uvicorn on our loop; signals are the process's own affair, not the server's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int, name: str) -> socket.socket:
    """Return a socket that listens there; `SetupError` names the setting, `name`, where that can't be."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SetupError(f"{name} {port} on {host} can't be listened on: {error.strerror}; choose another") from error
    listener.setblocking(False)
    return listener
