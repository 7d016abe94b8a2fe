"""Ports for processes that the tests start."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from sandbox.probes import free_ports
from tests.conftest import base_port


def free_port() -> int:
    """Return a port that nobody listens on, another each time."""
    return next(_ports())


@cache
def _ports() -> Iterator[int]:
    return free_ports(range(base_port(500), base_port(1000)))
