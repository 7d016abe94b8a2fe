"""Keeps the engine's lock on a task of ours, and tells what it means where that fails."""

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
"""By how much earlier than the engine we take a lock to end: for the call's way back, and clocks that drift."""
RELEASE_WITHIN = timedelta(seconds=3)
"""How long an unlock is waited for: it is a courtesy to others, and the end of a process must not hang on it."""


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
    """The engine's locks; `lock` is the duration where a topic has none of its own."""

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
        """Return until when a lock holds for sure that was asked for at that moment."""
        duration = self.duration(topic)
        return asked_at + duration - min(MARGIN, duration / 4)

    def reported_expiry(self, topic: str, held_for: timedelta, asked_at: datetime) -> datetime:
        """Return until when a lock holds of which the engine, asked at that moment, told how long it holds.

        No longer than a lock of the topic can hold: what is told rests on a clock that may be a proxy's, and wrong.
        """
        held = min(held_for, self.duration(topic))
        return asked_at + held - min(MARGIN, held / 4)

    def needs_renewal(self, task: Task, lease_until: datetime) -> bool:
        """Return whether a third of the lock's time has passed: two renewals may then fail before its end."""
        return lease_until - self._clock.now() < self.duration(task.topic) * 2 / 3

    async def extend(self, task: Task) -> datetime:
        """Extend the lock and return until when it holds; one that ran out and that no worker took is locked again.

        Raises `LeaseStolen`, `TaskGone` and `TaskSuspended` for what is certain; any other `EngineError` leaves the
        lock as it was.
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
        """Unlock a released task. The engine does not check the worker id for that, so only while the lock is ours.

        One that ends soon is left to end: a slow engine would free the lock of a worker that has fetched the task
        since. Raises `EngineError`, also where the engine is slow to answer: the lock ends by itself then.
        """
        soon = min(self._release_within, self.duration(task.topic) / 4)
        if lease_until <= self._clock.now() + soon:
            return
        await unlock(self._engine, task.id, self._release_within)

    def lost(self, task: Task, error: LeaseStolen | TaskGone) -> Move:
        """Return the move that follows when the task is no longer ours."""
        now = self._clock.now()
        event = Event.GONE if isinstance(error, TaskGone) else Event.SUPERSEDE
        why = "the task is gone from the engine" if isinstance(error, TaskGone) else str(error)
        self._tracer.lost(task, event)
        changes = {"updated_at": now, "finished_at": now, "error": why}
        return traced(task, Move(task.id, event, task.epoch, changes=changes))
