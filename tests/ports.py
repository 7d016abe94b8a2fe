"""Ports for processes that the tests start."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from functools import cache

from tests.conftest import base_port


def free_port() -> int:
    """Return a port that nobody listens on, another each time.

    It is none that the kernel gives: until the process listens, any connection of this machine could take that one.
    """
    return next(port for port in _ports() if _is_free(port))


@cache
def _ports() -> Iterator[int]:
    return itertools.cycle(range(base_port(500), base_port(1000)))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
