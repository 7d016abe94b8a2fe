"""What a person does to a task: so far, to try a failed one again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from bridge.errors import TaskConflict, TaskGone, UnknownTask
from bridge.flow.lease import Lease
from bridge.lifecycle import Event, Move
from bridge.ports import Clock, Engine, Journal, TaskStore
from bridge.task import State, Task
from bridge.topic import Topic

_REASONS: Mapping[State, str] = {
    State.RECEIVED: "it waits to be published and will be worked without that",
    State.QUEUED: "it waits in its topic's queue and will be worked without that",
    State.RUNNING: "its handler runs now: wait for its outcome",
    State.REPORTING: "its outcome is on its way to the engine: wait for that",
    State.RETRYING: "it is going to be tried again without that",
    State.COMPLETED: "it is completed",
    State.CANCELLED: "it is gone from the engine",
    State.SUPERSEDED: "another worker holds it: retry it there, or wait until its lock ends",
}


class Operate:
    """Changes tasks at a person's wish. `nudge` has a topic fetched at once."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: TaskStore,
        lease: Lease,
        topics: Mapping[str, Topic[Any, Any]],
        nudge: Callable[[Collection[str]], None],
        clock: Clock,
        journal: Journal,
        retry_limit: int,
    ) -> None:
        self._engine = engine
        self._store = store
        self._lease = lease
        self._topics = topics
        self._nudge = nudge
        self._clock = clock
        self._journal = journal
        self._retry_limit = retry_limit

    async def retry(self, task_id: str) -> Task:
        """Resolve the incident of a failed task and have it tried again now; return it as it stands then.

        Raises `UnknownTask`, `TaskConflict` with the reason, `EngineError` or `StoreUnavailable`. Safe to repeat.
        """
        task = await self._store.get(task_id)
        if task is None:
            raise UnknownTask(f"no task {task_id} is kept here; check the id")
        if task.state is not State.FAILED:
            raise TaskConflict(f"task {task_id} can't be tried again: {_REASONS[task.state]}")
        retries = self._retries(task)
        try:
            await self._offer_again(task, retries)
        except TaskGone as error:
            await self._store.move([self._lease.lost(task, error)])
            raise TaskConflict(f"task {task_id} can't be tried again: it is gone from the engine") from error
        now = self._clock.now()
        changes = {"next_at": now, "updated_at": now, "finished_at": None, "retries": retries, "reports": 0}
        (happened,) = await self._store.move([Move(task_id, Event.REVIVE, task.epoch, changes=changes)])
        self._nudge({task.topic})
        self._journal.write("task_revived", task=task, retries=retries, kept=happened)
        # Where another was faster, or the fetch already was, the task has moved on as it was meant to.
        return await self._store.get(task_id) or task

    async def _offer_again(self, task: Task, retries: int) -> None:
        found = await self._engine.get(task.id)
        if found.retries == 0 and found.lock_until is not None and found.lock_until > self._clock.now():
            # While it has no retries nobody else can hold it, so this frees only what the failure left locked.
            await self._engine.unlock(task.id)
        await self._engine.set_retries(task.id, retries)

    def _retries(self, task: Task) -> int:
        known = self._topics.get(task.topic)
        limit = self._retry_limit if known is None or known.retries is None else known.retries
        return max(1, limit)
