"""The open tasks of the engine in memory, by topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from bridge.ports.engine import EngineTask


def open_tasks(tasks: Iterable[EngineTask], topic: str | None, *, workable: bool) -> Sequence[EngineTask]:
    """Return the tasks of a topic or of all; `workable`: those that are not suspended and have retries left."""
    return [
        task
        for task in tasks
        if topic in {None, task.topic} and not (workable and (task.suspended or task.retries == 0))
    ]


def oldest_of(tasks: Iterable[EngineTask]) -> datetime | None:
    """Return when the oldest was created."""
    return min((task.created_at for task in tasks if task.created_at is not None), default=None)
