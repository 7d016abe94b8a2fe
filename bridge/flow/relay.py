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
    """Publishes tasks with confirms; one that gets none stays RECEIVED and is published again when it is due.

    What was confirmed is written down `delay` later. Most tasks are claimed by then, here or by another process, and
    have moved on by themselves: that write would only be in the way of their claims. Of those that were claimed here,
    which `begun` tells, there is nothing to write at all.
    """

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
        delay: timedelta = timedelta(0),
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._journal = journal
        self._again_after = again_after
        self._look_after = look_after
        self._tracer = tracer
        self._batch = Batch(self._flush, limit=500, lanes=2)
        self._confirms = Batch(self._confirm, limit=500, delay=delay)
        self._awaited: set[tuple[str, int]] = set()
        self.unconfirmed: Counter[str] = Counter()
        self._put: set[asyncio.Task[None]] = set()

    def put(self, task: Task) -> None:
        """Begin to publish a task, and don't wait: what fails stays in its outbox and is found there."""
        sending = asyncio.create_task(self._send(task))
        self._put.add(sending)
        sending.add_done_callback(self._put.discard)

    def begun(self, task: Task) -> None:
        """Know that the task was claimed here."""
        self._awaited.discard((task.id, task.epoch))

    async def drain(self) -> None:
        """Wait for all that was `put`."""
        await asyncio.gather(*self._put)

    async def _send(self, task: Task) -> None:
        try:
            await self.publish([task])
        except StoreError as error:
            self._journal.write("publish_unrecorded", task=task, level=Level.WARNING, error=str(error))

    async def publish(self, tasks: Sequence[Task]) -> int:
        """Publish the tasks together with whatever else waits; return how many were confirmed, once that is stored."""
        confirmed = (await self._batch.put(tasks)) if tasks else []
        if confirmed:
            self._awaited.update((task.id, task.epoch) for task in confirmed)
            await self._confirms.put(confirmed)
        return len(confirmed)

    async def _flush(self, groups: Sequence[Sequence[Task]]) -> Sequence[Sequence[Task]]:
        tasks = [task for group in groups for task in group]
        by_topic: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            by_topic[task.topic].append(task)
        # Side by side: one task of a topic must not wait for a hundred of another's.
        publishes = (self._publish(topic, some) for topic, some in by_topic.items())
        confirmed: set[str] = set()
        for end in await asyncio.gather(*publishes, return_exceptions=True):
            if isinstance(end, BaseException):
                raise end
            confirmed |= end
        return [[task for task in group if task.id in confirmed] for group in groups]

    async def _confirm(self, groups: Sequence[Sequence[Task]]) -> Sequence[None]:
        """Write down that the broker has them, and when to look at them: before the first of their locks ends."""
        now = self._clock.now()
        tasks = [task for group in groups for task in group if (task.id, task.epoch) in self._awaited]
        self._awaited.difference_update((task.id, task.epoch) for task in tasks)
        if not tasks:
            return [None] * len(groups)
        soonest = min(task.lease_until for task in tasks)
        look = min(now + self._look_after, max(now, soonest - self._look_after))
        await self._store.confirm([TaskKey(task.id, task.epoch) for task in tasks], now, look)
        return [None] * len(groups)

    async def _publish(self, topic: str, tasks: Sequence[Task]) -> set[str]:
        self.unconfirmed[topic] += len(tasks)
        try:
            errors = await self._tracer.publish(topic, tasks, self._publisher.publish)
        finally:
            self.unconfirmed[topic] -= len(tasks)
        good = {task.id for task, error in zip(tasks, errors, strict=True) if error is None}
        bad = [task for task, error in zip(tasks, errors, strict=True) if error is not None]
        if bad:
            first = next(error for error in errors if error is not None)
            self._journal.write(
                "publish_failed", level=Level.WARNING, topic=topic, tasks=len(bad), error=str(first) or repr(first)
            )
            again = self._clock.now() + self._again_after
            await self._store.move([Move(t.id, Event.RENEW, t.epoch, changes={"next_at": again}) for t in bad])
        return good
