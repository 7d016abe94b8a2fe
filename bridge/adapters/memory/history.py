"""What the engine in memory keeps of tasks, and its history of those that ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from bridge.ports.engine import EngineActivity, EngineLogEntry, EngineTask


class HistoryLevel(StrEnum):
    """How much is kept: nothing, activities, or the external task log as well. A user without rights sees nothing."""

    NONE = "none"
    ACTIVITY = "activity"
    FULL = "full"


class History:
    """The external task log and the activity instances, as far as `level` goes."""

    def __init__(self) -> None:
        self.level = HistoryLevel.FULL
        self._log: dict[str, list[EngineLogEntry]] = defaultdict(list)
        self._activities: dict[str, EngineActivity] = {}

    def log(self, task_id: str) -> Sequence[EngineLogEntry]:
        return tuple(self._log.get(task_id, ())) if self.level is HistoryLevel.FULL else ()

    def activity(self, activity_instance_id: str) -> EngineActivity | None:
        return None if self.level is HistoryLevel.NONE else self._activities.get(activity_instance_id)

    def created(self, task: EngineTask, at: datetime) -> None:
        self._write(task, at, created=True)
        self._activities[task.activity_instance_id or ""] = EngineActivity(None, cancelled=False)

    def failed(self, task: EngineTask, at: datetime, message: str) -> None:
        self._write(task, at, failed=True, message=message)

    def ended(self, task: EngineTask, at: datetime, *, succeeded: bool, interrupted: bool) -> None:
        """Keep an end; an uncaught BPMN error deletes the task, and doesn't interrupt its activity."""
        self._write(task, at, succeeded=succeeded, deleted=not succeeded)
        self._activities[task.activity_instance_id or ""] = EngineActivity(at, cancelled=interrupted)

    def _write(
        self,
        task: EngineTask,
        at: datetime,
        *,
        created: bool = False,
        succeeded: bool = False,
        failed: bool = False,
        deleted: bool = False,
        message: str | None = None,
    ) -> None:
        entry = EngineLogEntry(task.worker_id, created, succeeded, failed, deleted, at, task.retries, message)
        self._log[task.id].append(entry)
