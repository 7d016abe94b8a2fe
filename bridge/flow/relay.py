"""From the store to the broker: a RECEIVED document is its own outbox entry, and leaves it when the broker confirms."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta

from bridge.batch import Batch
from bridge.errors import StoreError
from bridge.lifecycle import Event, Move
from bridge.ports import Clock, Journal, Level, Publisher, TaskStore
from bridge.ports_trace import NoTracer, Tracer
from bridge.task import Task, TaskKey


class Relay:
    """Publishes tasks with confirms; one that gets none stays RECEIVED and is published again when it is due."""

    def __init__(
        self,
        store: TaskStore,
        publisher: Publisher,
        clock: Clock,
        journal: Journal,
        *,
        again_after: timedelta,
        look_after: timedelta,
        tracer: Tracer = NoTracer(),
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._journal = journal
        self._again_after = again_after
        self._look_after = look_after
        self._tracer = tracer
        self._batch = Batch(self._flush, limit=500, lanes=2)
        self.unconfirmed: Counter[str] = Counter()
        self._put: set[asyncio.Task[None]] = set()

    def put(self, task: Task) -> None:
        """Begin to publish a task, and don't wait: what fails stays in its outbox and is found there."""
        sending = asyncio.create_task(self._send(task))
        self._put.add(sending)
        sending.add_done_callback(self._put.discard)

    async def drain(self) -> None:
        """Wait for all that was `put`."""
        await asyncio.gather(*self._put)

    async def _send(self, task: Task) -> None:
        try:
            await self.publish([task])
        except StoreError as error:
            self._journal.write("publish_unrecorded", task=task, level=Level.WARNING, error=str(error))

    async def publish(self, tasks: Sequence[Task]) -> int:
        """Publish the tasks together with whatever else waits; return how many were confirmed."""
        return (await self._batch.put(tasks)) if tasks else 0

    async def _flush(self, groups: Sequence[Sequence[Task]]) -> Sequence[int]:
        tasks = [task for group in groups for task in group]
        by_topic: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            by_topic[task.topic].append(task)
        confirmed: set[str] = set()
        for topic, some in by_topic.items():
            self.unconfirmed[topic] += len(some)
            try:
                confirmed |= await self._publish(topic, some)
            finally:
                self.unconfirmed[topic] -= len(some)
        return [sum(task.id in confirmed for task in group) for group in groups]

    async def _publish(self, topic: str, tasks: Sequence[Task]) -> set[str]:
        errors = await self._tracer.publish(topic, tasks, self._publisher.publish)
        now = self._clock.now()
        good = [task for task, error in zip(tasks, errors, strict=True) if error is None]
        bad = [task for task, error in zip(tasks, errors, strict=True) if error is not None]
        if good:
            look = min(now + self._look_after, max(now, min(task.lease_until for task in good) - self._look_after))
            await self._store.confirm([TaskKey(task.id, task.epoch) for task in good], now, look)
        if bad:
            first = next(error for error in errors if error is not None)
            self._journal.write(
                "publish_failed", level=Level.WARNING, topic=topic, tasks=len(bad), error=str(first) or repr(first)
            )
            again = now + self._again_after
            await self._store.move([Move(t.id, Event.RENEW, t.epoch, changes={"next_at": again}) for t in bad])
        return {task.id for task in good}
