"""The engine calls of an operator's retry. The task's document has the retry first, as an outbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from bridge.domain.errors import EngineRejected, EngineUnavailable, LeaseLost, TaskConflict, TaskGone
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import message
from bridge.domain.task import Task
from bridge.flow.deliver.sender import INCIDENT_CHECK_AFTER
from bridge.flow.unreadable import read_or_set_aside
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore

OFFER_WITHIN: Final = timedelta(seconds=60)
"""How long until another process finishes a retry that its own process did not."""


class Offer:
    """Lets the engine offer a task again, by its `pending_retry`. `end_of` returns the end of a task that is gone."""

    def __init__(
        self,
        engine: Engine,
        store: TaskStore,
        clock: Clock,
        journal: Journal,
        end_of: Callable[[Task], Awaitable[Move | None]],
    ) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._journal = journal
        self._end_of = end_of

    async def set_variables(self, task: Task) -> None:
        """Set the edited variables where the task sees them. Raises `EngineError`."""
        pending = task.pending_retry
        if pending is not None and pending.variables:
            edited = {name: task.variables[name] for name in pending.variables}
            await self._engine.set_variables(task.scope, edited)

    async def make(self, task: Task) -> Move:
        """Give the task its retries, and return the move to write then. All of its engine calls are safe to repeat.

        Raises `TaskConflict` where another worker holds a task whose retry is for later, and `EngineError`.
        """
        found = await self._engine.get(task.id)
        now = self._clock.now()
        if found.retries == 0 and found.lock_until is not None and found.lock_until > now:
            # Without retries no other worker can hold the task, so this releases only the lock that the failure left.
            await self._engine.unlock(task.id)
        at = now if task.pending_retry is None else max(now, task.pending_retry.at)
        if at > now:
            # Until then the lock keeps all workers away. It comes first: with retries the task is free at once.
            try:
                await self._engine.lock(task.id, task.worker_id, at - now)
            except LeaseLost as error:
                raise TaskConflict(message("task.held", task=task.id)) from error
        await self._engine.set_retries(task.id, task.retries)
        changes = {"pending_retry": None, "next_at": at, "updated_at": self._clock.now()}
        return Move(task.id, Event.TAKE, task.epoch, changes=changes)

    async def finish(self, task_id: str) -> Move | None:
        """Finish an operator's retry whose process ended; return the move to write.

        None while the engine is away, or where the task has moved on, or can't be read.
        """
        task = await read_or_set_aside(self._store, task_id, self._clock.now())
        if task is None or not task.is_retry_pending:
            return None
        try:
            await self.set_variables(task)
            move = await self.make(task)
        except TaskGone:
            return await self._end_of(task)
        except EngineUnavailable as error:
            self._journal.write("retry_postponed", task=task, level=Level.WARNING, error=str(error))
            return None
        except (EngineRejected, TaskConflict) as error:
            self._journal.write("retry_refused", task=task, level=Level.WARNING, error=str(error))
            now = self._clock.now()
            changes = {"pending_retry": None, "retries": 0, "error": message("task.retry_refused", error=error.message)}
            times = {"updated_at": now, "finished_at": now, "next_at": now + INCIDENT_CHECK_AFTER}
            return Move(task.id, Event.EXHAUSTED, task.epoch, changes={**changes, **times})
        self._journal.write("task_revived", task=task, retries=task.retries, kept=True)
        return move
