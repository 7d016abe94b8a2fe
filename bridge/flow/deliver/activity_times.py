"""After which activities the engine's transaction takes long, as deliveries of their outcomes showed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bridge.domain.task import Task

_ACTIVITIES: Final = 1000
"""How many slow activities are remembered, the latest."""
_QUICK: Final = 20
"""After how many quick deliveries in a row an activity is no longer taken for a slow one: its model was mended."""


@dataclass(slots=True)
class _Slow:
    longest: timedelta
    quick: int = 0


class ActivityTimes:
    """The longest delivery of each activity that has one longer than `slow`, by process definition key."""

    def __init__(self, slow: timedelta) -> None:
        self._slow = slow
        self._activities: dict[tuple[str | None, str | None], _Slow] = {}

    def longest(self, task: Task) -> timedelta | None:
        """Return how long the engine took for an outcome of the activity at the most; None where it is quick."""
        known = self._activities.get(_activity(task)) if self._activities else None
        return None if known is None else known.longest

    def learn(self, task: Task, took: timedelta) -> bool:
        """Take in a delivery that has taken so long; return whether it is the first slow one of its activity."""
        key = _activity(task)
        known = self._activities.get(key)
        if took >= self._slow:
            self._activities[key] = _Slow(took if known is None else max(took, known.longest))
            if len(self._activities) > _ACTIVITIES:
                del self._activities[next(iter(self._activities))]
            return known is None
        if known is not None:
            known.quick += 1
            if known.quick >= _QUICK:
                del self._activities[key]
        return False


def _activity(task: Task) -> tuple[str | None, str | None]:
    return task.process_definition_key, task.activity_id
