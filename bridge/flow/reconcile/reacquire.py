"""A due retry that no fetch brings: a submitted task may be one that its topic's filters leave out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from bridge.domain.errors import EngineError
from bridge.domain.lifecycle import Event, Move
from bridge.domain.replica import new_worker_id
from bridge.domain.task import Source, Task
from bridge.domain.topic import Topic
from bridge.flow.intake import Intake
from bridge.flow.lease import Lease
from bridge.flow.scope import read_inputs
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine, EngineTask
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore


class Reacquire:
    """Locks a task by its id and gives it a new lease, as a fetch would. Topics that are `paused` wait.

    Only submitted tasks are locked so: a fetched task comes by a fetch again, as soon as its topic has capacity.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        store: TaskStore,
        intake: Intake,
        lease: Lease,
        topics: Mapping[str, Topic[Any, Any]],
        paused: Callable[[], Awaitable[frozenset[str]]],
        clock: Clock,
        journal: Journal,
        replica: str,
    ) -> None:
        self._engine = engine
        self._store = store
        self._intake = intake
        self._lease = lease
        self._topics = topics
        self._paused = paused
        self._clock = clock
        self._journal = journal
        self._replica = replica

    async def try_once(self, task: Task, found: EngineTask) -> None:
        """Lock a task that is free in the engine; a lock that the engine refuses is tried again at the next check.

        Raises `StoreUnavailable`.
        """
        topic = self._topics.get(task.topic)
        if task.source is not Source.PUSHED or topic is None or found.suspended or found.topic != task.topic:
            return
        if task.topic in await self._paused():
            return
        worker_id = new_worker_id(self._replica)
        # Written before the lock: if this process ends after it, the next check finds the lock to be the task's own.
        (ours,) = await self._store.move([Move(task.id, Event.TAKE, task.epoch, changes={"worker_id": worker_id})])
        if not ours:
            return
        asked_at = self._clock.now()
        try:
            await self._engine.lock(task.id, worker_id, self._lease.duration(task.topic))
            variables = await read_inputs(self._engine, topic, found.execution_id or task.scope)
        except EngineError as error:
            self._journal.write("retry_not_reacquired", task=task, level=Level.WARNING, error=str(error))
            return
        lease = replace(found, variables=variables)
        await self._intake.accept([lease], worker_id, self._lease.expiry(task.topic, asked_at))
        self._journal.write("retry_reacquired", task=task)
