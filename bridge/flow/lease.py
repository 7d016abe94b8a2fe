"""The engine's locks on our tasks: renewal, release, and the move that follows from a lost lock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bridge.domain.errors import EngineUnavailable, LeaseLost, LeaseStolen, TaskGone, TaskSuspended
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import message
from bridge.domain.task import Task
from bridge.domain.topic import Topic
from bridge.domain.trace_context import traced
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.tracer import NoTracer, Tracer

MARGIN = timedelta(seconds=1)
"""How much earlier than in the engine a lock counts as ended: for the call's way back, and clocks that drift."""
RELEASE_WITHIN = timedelta(seconds=3)
"""The timeout of an unlock: it only lets others have the task sooner, and must not hold up the end of a process."""


async def unlock(engine: Engine, task_id: str, within: timedelta = RELEASE_WITHIN) -> None:
    """Have the engine unlock a task. Raises `EngineError`, also where the engine is slow to answer."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            await engine.unlock(task_id)
    except TimeoutError as error:
        raise EngineUnavailable(
            message("engine.timeout", operation="unlock", seconds=f"{within.total_seconds():g}")
        ) from error


class Lease:
    """The engine's locks; `lock` is the duration for topics without a duration of their own."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        topics: Mapping[str, Topic[Any, Any]],
        lock: timedelta,
        tracer: Tracer = NoTracer(),
        *,
        release_within: timedelta = RELEASE_WITHIN,
    ) -> None:
        self._release_within = release_within
        self._engine = engine
        self._clock = clock
        self._topics = topics
        self._lock = lock
        self._tracer = tracer

    def duration(self, topic: str) -> timedelta:
        """Return how long a lock on the topic's tasks is made."""
        known = self._topics.get(topic)
        return self._lock if known is None or known.lock is None else known.lock

    def expiry(self, topic: str, asked_at: datetime) -> datetime:
        """Return until when a lock certainly holds that was requested at that moment."""
        duration = self.duration(topic)
        return asked_at + duration - min(MARGIN, duration / 4)

    def reported_expiry(self, topic: str, held_for: timedelta, asked_at: datetime) -> datetime:
        """Return until when a lock holds, by the remaining time that the engine gave at that moment.

        At most as long as a lock of the topic can hold: the answer's clock may be a proxy's, and wrong.
        """
        held = min(held_for, self.duration(topic))
        return asked_at + held - min(MARGIN, held / 4)

    def needs_renewal(self, task: Task, lease_until: datetime) -> bool:
        """Return whether a third of the lock's time has passed: two renewals may then fail before its end."""
        return lease_until - self._clock.now() < self.duration(task.topic) * 2 / 3

    async def extend(self, task: Task) -> datetime:
        """Extend the lock and return until when it holds; lock the task again where the lock ran out and it is free.

        Raises `LeaseStolen`, `TaskGone` and `TaskSuspended` where the lock is certainly lost; any other `EngineError`
        leaves the lock as it was.
        """
        asked_at = self._clock.now()
        duration = self.duration(task.topic)
        try:
            await self._engine.extend_lock(task.id, task.worker_id, duration)
        except LeaseLost as error:
            await self._reacquire(task, duration, error)
        return self.expiry(task.topic, asked_at)

    async def _reacquire(self, task: Task, duration: timedelta, error: LeaseLost) -> None:
        found = await self._engine.get(task.id)
        if found.worker_id not in {None, task.worker_id}:
            raise LeaseStolen(message("lock.held", worker=found.worker_id), status=error.status) from error
        if found.suspended:
            raise TaskSuspended(message("lock.suspended"), status=error.status) from error
        try:
            await self._engine.lock(task.id, task.worker_id, duration)
        except LeaseLost as taken:
            raise LeaseStolen(message("lock.taken"), status=taken.status) from taken

    async def release(self, task: Task, lease_until: datetime) -> None:
        """Unlock a released task, only while the lock is ours: the engine does not check the worker id of an unlock.

        A lock that ends soon is left to end: a slow engine would free the lock of a worker that has fetched the task
        since. Raises `EngineError`, also where the engine is slow to answer: the lock then ends by itself.
        """
        soon = min(self._release_within, self.duration(task.topic) / 4)
        if lease_until <= self._clock.now() + soon:
            return
        await unlock(self._engine, task.id, self._release_within)

    def lost(self, task: Task, error: LeaseStolen | TaskGone) -> Move:
        """Return the move that follows from the loss of a lock."""
        now = self._clock.now()
        event = Event.GONE if isinstance(error, TaskGone) else Event.SUPERSEDE
        why = message("ending.gone") if isinstance(error, TaskGone) else error.message
        self._tracer.lost(task, event)
        changes = {"updated_at": now, "finished_at": now, "error": why}
        return traced(task, Move(task.id, event, task.epoch, changes=changes))
