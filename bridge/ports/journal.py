"""The log: events by name with values."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from bridge.domain.task import Task


class Level(StrEnum):
    """How much an event matters to who reads the log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Journal(Protocol):
    """Where the gateway tells what happened, one event a line."""

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        """Tell of `event`; `task` adds its id, topic, instance and trace. `stack` takes an exception."""
        ...
