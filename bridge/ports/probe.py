"""Probes of servers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol


class Probe(Protocol):
    """A probe of a part's health: returns the part's version, or raises a `GatewayError`."""

    def __call__(self) -> Awaitable[str]: ...
