"""How a part shows that it answers: by its own protocol, as a paused process still accepts a connection."""

import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from sandbox.ports import LOOPBACK

Probe = Callable[[], bool]

TIME_LIMIT = 2.0
AMQP_0_9_1 = b"AMQP\x00\x00\x09\x01"


def http(port: int, path: str, auth: tuple[str, str] | None = None) -> Probe:
    """True when the path answers 200; `auth` are user and password for a server that asks."""

    def probe() -> bool:
        with suppress(httpx.HTTPError):
            # trust_env: a proxy of the machine has no way to this loopback.
            response = httpx.get(f"http://{LOOPBACK}:{port}{path}", auth=auth, timeout=TIME_LIMIT, trust_env=False)
            return response.status_code == httpx.codes.OK
        return False

    return probe


def mongodb(port: int) -> Probe:
    """True when a ping comes back."""

    def probe() -> bool:
        wait = int(TIME_LIMIT * 1000)
        client: MongoClient[dict[str, object]] = MongoClient(
            LOOPBACK,
            port,
            directConnection=True,
            serverSelectionTimeoutMS=wait,
            connectTimeoutMS=wait,
            socketTimeoutMS=wait,
        )
        with client, suppress(PyMongoError):
            client.admin.command("ping")
            return True
        return False

    return probe


def amqp(port: int) -> Probe:
    """True when the broker opens the conversation (a method frame on channel 0)."""

    def probe() -> bool:
        with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=TIME_LIMIT) as connection:
            connection.sendall(AMQP_0_9_1)
            return connection.recv(3) == b"\x01\x00\x00"
        return False

    return probe


def listening(port: int) -> bool:
    """True when anything at all holds the port."""
    with socket.socket() as attempt:
        # Else a connection in TIME_WAIT would look like a server.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def free_ports(ports: range) -> Iterator[int]:
    """Yield ports that nothing holds, another each time, for processes that are about to listen.

    The range must lie below the ports that the kernel gives: any connection of this machine could take one of those
    until the process listens.
    """
    return (port for port in itertools.cycle(ports) if not listening(port))
