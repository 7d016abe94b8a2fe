"""Two lanes for deliveries: those of slow activities don't hold up the others, and topics take turns in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from bridge.domain.task import Task
from bridge.runtime.turns import Turns


@dataclass(slots=True)
class _Lane:
    limit: int
    waiting: Turns[Entry] = field(default_factory=Turns)
    under_way: int = 0
    total: int = 0


@dataclass(eq=False, slots=True)
class Entry:
    """A task whose outcome waits for its turn, or is under way."""

    task: Task
    put_at: datetime
    lane: _Lane


class Lanes:
    """`quick` and `slow` bound how many are under way in each; `is_slow` tells which is a task's."""

    def __init__(self, quick: int, slow: int, is_slow: Callable[[Task], bool]) -> None:
        self._quick = _Lane(quick)
        self._slow = _Lane(slow)
        self._is_slow = is_slow

    @property
    def quick(self) -> int:
        """How many wait or are under way that hold up others."""
        return self._quick.total

    def put(self, task: Task, now: datetime) -> None:
        """Let a task wait for its turn."""
        lane = self._slow if self._is_slow(task) else self._quick
        lane.total += 1
        lane.waiting.push(task.topic, Entry(task, now, lane))

    def next(self) -> Entry | None:
        """Return one whose turn it is, and count it as under way; None where none may begin."""
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
        """Let one that is under way hold up no other; where too many do already, it keeps its place."""
        if entry.lane is self._quick and self._slow.under_way < self._slow.limit:
            self._quick.under_way -= 1
            self._slow.under_way += 1
            self._move(entry)

    def end(self, entry: Entry) -> None:
        """Count one as under way no more."""
        entry.lane.under_way -= 1
        entry.lane.total -= 1

    def _move(self, entry: Entry) -> None:
        self._quick.total -= 1
        self._slow.total += 1
        entry.lane = self._slow
