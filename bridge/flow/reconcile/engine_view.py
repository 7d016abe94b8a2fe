"""The engine's state of tasks that wait for it: by one list for many tasks, and by a call for each task not listed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from bridge.domain.errors import EngineError, TaskGone
from bridge.domain.lifecycle import Move
from bridge.domain.task import Task
from bridge.ports.engine import Engine, EngineTask
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore

_WHOLE: Final = 50
"""How many tasks are in memory with their payloads at once."""


class EngineView:
    """Asks the engine about tasks that were read without their outcomes; `end_of` returns the end of a gone task."""

    def __init__(
        self,
        engine: Engine,
        store: TaskStore,
        journal: Journal,
        slots: asyncio.Semaphore,
        end_of: Callable[[Task], Awaitable[Move | None]],
    ) -> None:
        self._engine = engine
        self._store = store
        self._journal = journal
        self._slots = slots
        self._end_of = end_of

    async def of(self, tasks: Sequence[Task], unanswered: str) -> Mapping[str, EngineTask | None]:
        """Return the engine's tasks by id; None where the engine itself says that there is no such task.

        A task without an answer is left out, and logged as the event `unanswered`.
        """
        if not tasks:
            return {}
        try:
            listed = await self._engine.get_many([task.id for task in tasks])
        except EngineError as error:
            self._journal.write(unanswered, level=Level.WARNING, tasks=len(tasks), error=str(error))
            return {}
        found: dict[str, EngineTask | None] = {task.id: task for task in listed}
        # An answer that lists nothing is no proof: only the engine's own 404 is.
        await asyncio.gather(*(self._ask(task, found, unanswered) for task in tasks if task.id not in found))
        return found

    async def _ask(self, task: Task, found: dict[str, EngineTask | None], unanswered: str) -> None:
        async with self._slots:
            try:
                found[task.id] = await self._engine.get(task.id)
            except TaskGone:
                found[task.id] = None
            except EngineError as error:
                self._journal.write(unanswered, task=task, level=Level.WARNING, error=str(error))

    async def ends_of(self, tasks: Sequence[Task]) -> list[Move]:
        """Return the moves that end tasks which the engine no longer has, where their end is known now."""
        moves: list[Move] = []
        for start in range(0, len(tasks), _WHOLE):
            known = {task.id: task for task in tasks[start : start + _WHOLE]}
            kept = await self._store.get_many(list(known))
            same = [now for now in kept if (now.epoch, now.state) == (known[now.id].epoch, known[now.id].state)]
            moves += [move for move in await asyncio.gather(*(self._end(task) for task in same)) if move is not None]
        return moves

    async def _end(self, task: Task) -> Move | None:
        async with self._slots:
            return await self._end_of(task)
