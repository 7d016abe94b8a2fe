"""The outcomes that wait for their delivery: topics take turns, and slow deliveries don't hold up the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from bridge.domain.task import Task
from bridge.runtime.turns import Turns


@dataclass(slots=True)
class _Part:
    """The quick deliveries, or the slow ones: `total` counts those that wait and those under way."""

    limit: int
    waiting: Turns[Entry] = field(default_factory=Turns)
    under_way: int = 0
    total: int = 0


@dataclass(eq=False, slots=True)
class Entry:
    """A task whose outcome waits for its turn, or is under way."""

    task: Task
    put_at: datetime
    part: _Part


class DeliveryQueue:
    """Orders deliveries. At most `quick` and `slow` of them are under way; `is_slow` tells of which kind a task is."""

    def __init__(self, quick: int, slow: int, is_slow: Callable[[Task], bool]) -> None:
        self._quick = _Part(quick)
        self._slow = _Part(slow)
        self._is_slow = is_slow

    @property
    def quick(self) -> int:
        """How many deliveries that are not slow wait or are under way."""
        return self._quick.total

    def put(self, task: Task, now: datetime) -> None:
        """Let a task wait for its turn."""
        part = self._slow if self._is_slow(task) else self._quick
        part.total += 1
        part.waiting.push(task.topic, Entry(task, now, part))

    def next(self) -> Entry | None:
        """Return the entry whose turn it is, and count it as under way; None where no delivery may begin."""
        while self._quick.under_way < self._quick.limit and (entry := self._quick.waiting.pop()) is not None:
            if not self._is_slow(entry.task):
                self._quick.under_way += 1
                return entry
            self._move(entry)
            self._slow.waiting.push(entry.task.topic, entry)
        if self._slow.under_way < self._slow.limit and (entry := self._slow.waiting.pop()) is not None:
            self._slow.under_way += 1
            return entry
        return None

    def outlast(self, entry: Entry) -> None:
        """Count an entry under way as slow, so that it holds up no other, unless `slow` are under way already."""
        if entry.part is self._quick and self._slow.under_way < self._slow.limit:
            self._quick.under_way -= 1
            self._slow.under_way += 1
            self._move(entry)

    def end(self, entry: Entry) -> None:
        """Count an entry as under way no more."""
        entry.part.under_way -= 1
        entry.part.total -= 1

    def _move(self, entry: Entry) -> None:
        self._quick.total -= 1
        self._slow.total += 1
        entry.part = self._slow
