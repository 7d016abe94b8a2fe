"""What tests of the flow hand in: a clock moved by hand, a journal that remembers, and a task to work on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.adapters.memory.store import MemoryStore
from bridge.domain.errors import StoreUnavailable
from bridge.domain.lifecycle import Move
from bridge.domain.task import Task, TaskKey
from bridge.ports.journal import Level

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LOCK = 60 * SECOND


class HandClock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self._now = NOW

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


@dataclass(frozen=True, slots=True)
class Line:
    event: str
    task: Task | None
    level: Level
    values: dict[str, object]


@dataclass(slots=True)
class Notes:
    """A journal that remembers its lines."""

    lines: list[Line] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        self.lines.append(Line(event, task, level, values))
        self._news.set()

    async def until(self, event: str, count: int = 1) -> None:
        """Return once there are so many lines of an event."""
        async with asyncio.timeout(10):
            while len(self.of(event)) < count:
                self._news.clear()
                await self._news.wait()

    def of(self, event: str) -> list[Line]:
        return [line for line in self.lines if line.event == event]


class UnreliableStore(MemoryStore):
    """A store that is away for the calls named in `away`; `refused` counts those that it has struck."""

    def __init__(self) -> None:
        super().__init__()
        self.away: set[str] = set()
        self.refused: list[str] = []

    async def accept(self, tasks: Sequence[Task]) -> Sequence[Task | None]:
        self._strike("accept")
        return await super().accept(tasks)

    async def confirm(self, keys: Sequence[TaskKey], now: datetime, next_at: datetime) -> None:
        self._strike("confirm")
        await super().confirm(keys, now, next_at)

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        self._strike("move")
        return await super().move(moves)

    def _strike(self, call: str) -> None:
        if call in self.away:
            self.refused.append(call)
            raise StoreUnavailable(f"{call}: the store is away")


def a_task(task_id: str = "t1", topic: str = "orders", **fields: Any) -> Task:
    """Return a task as an intake keeps it."""
    base = {"worker_id": "w1", "lease_until": NOW + LOCK, "created_at": NOW, "updated_at": NOW, "retries": 3}
    return Task(task_id, topic, **{**base, "next_at": NOW + 10 * SECOND, **fields})
