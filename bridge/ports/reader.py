"""The reads of the store for pages and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bridge.domain.task import Source, State, Task, UnreadableTask


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """The filter of a list; an empty field does not filter."""

    states: tuple[State, ...] = ()
    topics: tuple[str, ...] = ()
    source: Source | None = None
    business_key: str | None = None
    process_instance_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of tasks, newest first, and the cursor of the next (None at the end)."""

    tasks: tuple[Task | UnreadableTask, ...]
    after: tuple[datetime, str] | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many tasks are kept, by state and by topic: counted at that moment, or (None) for this very answer."""

    total: int
    by_state: Mapping[str, int]
    by_topic: Mapping[str, int]
    counted_at: datetime | None = None


class TaskReader(Protocol):
    """The read-only side of the store, for pages and the API."""

    async def get(self, task_id: str) -> Task | None:
        """Return the task; None where none is kept. Raises `TaskUnreadable`."""
        ...

    async def page(self, wanted: TaskFilter, limit: int, after: tuple[datetime, str] | None = None) -> Page:
        """List tasks without variables, outcome and history; one that can't be read only for these is listed so."""
        ...

    async def statistics(self) -> Statistics: ...
