"""How many tasks are kept, by topic and state. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bridge.domain.task import FINAL, State

SETTLED: Final = FINAL | {State.SUPERSEDED}
"""The states in which tasks pile up until their retention is over: these are counted once, when they have come in."""
OPEN: Final = frozenset(State) - SETTLED
"""The states that tasks leave again; all tasks in them are counted each time."""


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """What was counted by `at`: by topic, and of it by state, without zeros."""

    by_topic: Mapping[str, Mapping[State, int]]
    at: datetime

    def total(self, topics: frozenset[str] | None = None) -> int:
        """Return how many tasks of these topics, or of all (None), are kept."""
        return sum(self.by_state(topics).values())

    def by_state(self, topics: frozenset[str] | None = None) -> Counter[State]:
        """Return how many tasks of these topics, or of all (None), are in each state."""
        found: Counter[State] = Counter()
        for topic, counts in self.by_topic.items():
            if topics is None or topic in topics:
                found.update(counts)
        return found
