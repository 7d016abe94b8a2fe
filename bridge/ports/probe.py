"""What tells whether a server answers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol


class Probe(Protocol):
    """A part whose health is asked for: returns its version, or raises a `GatewayError`."""

    def __call__(self) -> Awaitable[str]: ...
