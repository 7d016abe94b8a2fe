"""The time that all replicas share."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time that all replicas share, so that a replica with a wrong clock does no harm."""

    def now(self) -> datetime:
        """Return the shared time, aware, in UTC."""
        ...
