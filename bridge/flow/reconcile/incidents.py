"""Checks incidents at growing intervals: the engine sends no notice of a cancelled process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Task
from bridge.flow.deliver.sender import INCIDENT_CHECK_AFTER
from bridge.flow.reconcile.engine_view import EngineView
from bridge.ports.clock import Clock
from bridge.ports.engine import EngineTask
from bridge.ports.store import TaskStore

_MOST_SELDOM: Final = timedelta(hours=6)


class Incidents:
    """Ends incidents whose tasks are gone, and revives those that got retries in the engine."""

    def __init__(self, view: EngineView, store: TaskStore, clock: Clock) -> None:
        self._view = view
        self._store = store
        self._clock = clock

    @staticmethod
    def next_check(task: Task, now: datetime) -> timedelta:
        """Return the time until the next check: the incident's age, within bounds."""
        return min(max(now - (task.finished_at or now), INCIDENT_CHECK_AFTER), _MOST_SELDOM)

    async def check(self, tasks: Sequence[Task]) -> None:
        """Ask the engine about incidents that this replica has taken, by one call."""
        found = await self._view.of(tasks, "incident_not_checked")
        moves = await self._view.ends_of([task for task in tasks if task.id in found and found[task.id] is None])
        for task in tasks:
            description = found.get(task.id)
            if description is not None and description.retries != 0:
                moves.append(self._revived(task, description))
        if moves:
            await self._store.move(moves)

    def _revived(self, task: Task, found: EngineTask) -> Move:
        # Its retries were raised, here or in Cockpit. Fetching it goes from FAILED as well, but may never bring it.
        now = self._clock.now()
        changes = {"next_at": now, "updated_at": now, "finished_at": None, "reports": 0, "lost_claims": 0}
        retries = {} if found.retries is None else {"retries": found.retries}
        return Move(task.id, Event.REVIVE, task.epoch, changes={**changes, **retries})
