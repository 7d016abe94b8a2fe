"""How many tasks are kept in this process."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from bridge.adapters.memory.store import MemoryStore
from bridge.domain.task import State
from bridge.domain.task_counts import OPEN, SETTLED, TaskCounts
from bridge.ports.dashboard import Turn


class MemoryCounts:
    """`bridge.ports.dashboard.TaskCounters` on the tasks of a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._counts: dict[str, Counter[State]] = {}
        self._ended: set[str] = set()
        self._counted_at: datetime | None = None
        self._turns: dict[Turn, tuple[str, datetime]] = {}

    async def task_counts(self) -> TaskCounts | None:
        if self._counted_at is None:
            return None
        return TaskCounts({topic: dict(+counts) for topic, counts in self._counts.items()}, self._counted_at)

    async def take_turn(self, turn: Turn, replica: str, now: datetime, until: datetime) -> bool:
        taken = self._turns.get(turn)
        if taken is not None and taken[0] != replica and taken[1] > now:
            return False
        self._turns[turn] = (replica, until)
        return True

    async def refresh_counts(self, now: datetime) -> None:
        tasks = self._store.tasks.values()
        topics = {task.topic for task in tasks}
        self._counts = {topic: self._counts.get(topic, Counter()) for topic in topics}
        for counts in self._counts.values():
            for state in OPEN:
                del counts[state]
        for task in tasks:
            if task.state in OPEN or task.id not in self._ended:
                self._counts[task.topic][task.state] += 1
        # As on MongoDB, an end is counted once: that a task has left its state is for `recount` to find out.
        self._ended = {task.id for task in tasks if task.state in SETTLED}
        self._counted_at = now

    async def recount(self, topic: str, state: State, now: datetime) -> int:  # noqa: ARG002 - as the port has it
        if topic not in self._counts:
            return 0
        counts = self._counts[topic]
        wrong = sum(t.topic == topic and t.state is state for t in self._store.tasks.values()) - counts[state]
        counts[state] += wrong
        return wrong
