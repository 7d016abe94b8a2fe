"""The open external tasks of the engine in memory, with their locks and the rights of the engine's user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.adapters.memory.refusals import forbidden, refuse_lock, task_gone
from bridge.domain.rights import Right
from bridge.ports.clock import Clock
from bridge.ports.engine import EngineTask


class ExternalTasks:
    """Tasks by id. Locks expire by `clock`; `lacking` are the rights that the user hasn't."""

    def __init__(self, clock: Clock) -> None:
        self.lacking: set[Right] = set()
        self._clock = clock
        self._tasks: dict[str, EngineTask] = {}

    def add(self, task: EngineTask) -> None:
        self._tasks[task.id] = task

    def remove(self, task_id: str) -> None:
        del self._tasks[task_id]

    def change(self, task_id: str, **changes: str | int | bool | datetime | None) -> EngineTask:
        """Change fields of a task, and return it."""
        task = self._tasks[task_id] = replace(self.find(task_id), **changes)  # type: ignore[arg-type]  # by our own names
        return task

    def all(self) -> Sequence[EngineTask]:
        return tuple(self._tasks.values())

    def visible(self) -> Mapping[str, EngineTask]:
        """Return the tasks that lists have: none without the right to read."""
        return {} if Right.READ in self.lacking else self._tasks

    def find(self, task_id: str) -> EngineTask:
        """Return a task, whatever the user's rights are; raises `TaskGone`."""
        task = self._tasks.get(task_id)
        if task is None:
            raise task_gone(task_id)
        return task

    def require(self, right: Right) -> None:
        """Refuse as the real engine does, which says so only where it found the task; lists just leave it out."""
        if right in self.lacking:
            raise forbidden(right)

    def held(self, task_id: str, worker_id: str) -> EngineTask:
        """Return a task that the worker may report on: its lock may have expired, if no other worker took it."""
        task = self.find(task_id)
        if task.worker_id != worker_id:
            refuse_lock(f"External Task {task_id}: worker '{worker_id}' does not hold it, '{task.worker_id}' does.")
        self.require(Right.UPDATE)
        if task.suspended:
            refuse_lock(f"ExternalTask with id '{task_id}' is suspended.")
        return task

    def is_locked(self, task: EngineTask) -> bool:
        return task.lock_until is not None and task.lock_until > self._clock.now()

    def is_free(self, task: EngineTask) -> bool:
        """Return whether a fetch may lock the task, whatever topics it asks for."""
        return (
            not self.lacking & {Right.READ, Right.UPDATE}
            and not task.suspended
            and task.retries != 0
            and not self.is_locked(task)
        )
