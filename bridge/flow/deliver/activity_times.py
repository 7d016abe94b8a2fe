"""Slow activities: those after which the engine's transaction takes long, measured by deliveries of outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bridge.domain.task import Task

_ACTIVITIES: Final = 1000
"""How many slow activities are remembered, the latest."""
_QUICK: Final = 20
"""After so many quick deliveries in a row an activity counts as quick again: its model was changed."""


@dataclass(slots=True)
class _Slow:
    longest: timedelta
    quick: int = 0


class ActivityTimes:
    """Keeps the longest delivery of each slow activity, by process definition key; slow is longer than `slow`."""

    def __init__(self, slow: timedelta) -> None:
        self._slow = slow
        self._activities: dict[tuple[str | None, str | None], _Slow] = {}

    def longest(self, task: Task) -> timedelta | None:
        """Return the longest time that the engine took for an outcome of the activity; None for a quick activity."""
        known = self._activities.get(_activity(task)) if self._activities else None
        return None if known is None else known.longest

    def learn(self, task: Task, took: timedelta) -> bool:
        """Record the duration of a delivery; return whether it is the first slow delivery of its activity."""
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
