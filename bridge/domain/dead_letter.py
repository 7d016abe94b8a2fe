"""A message that the broker gave up on, or that can't be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.domain.task import TaskKey


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message among the dead letters. `key` None: it can't be read, and `body` (its beginning) is all there is.

    `reason` is the broker's (`delivery_limit`, `rejected`, `expired`, `maxlen`), or why it can't be read.
    """

    topic: str
    reason: str
    key: TaskKey | None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead message as it is kept for people to see: one that led to no task."""

    id: str
    topic: str
    reason: str
    body: str
    task_id: str | None
    found_at: datetime
