"""From the store to the broker: a RECEIVED document is its own outbox entry, and leaves it when the broker confirms."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from bridge.domain.errors import StoreError
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import Message, message_of
from bridge.domain.task import Task, TaskKey
from bridge.ports.broker import Publisher
from bridge.ports.clock import Clock
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore
from bridge.ports.tracer import NoTracer, Tracer
from bridge.runtime.batch import Batch

_FAILING: Final = 2
"""A topic counts as failing for so many times `again_after` after a publish that failed."""


class Relay:
    """Publishes tasks with confirms; a task without a confirm stays RECEIVED, and is published again when it is due.

    Each topic has batches of its own, so that a queue that takes nothing holds up no other. Confirms are written to
    the store `linger` later. Most tasks are claimed by then, here or by another process, and the write would only be
    in the way of their claims; for tasks claimed here, which `begun` records, nothing is written. At most `put_limit`
    tasks of a topic are `put` at a time: the outbox is the store, not this process's memory.
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
        linger: timedelta = timedelta(0),
        put_limit: int = 500,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._journal = journal
        self._again_after = again_after
        self._look_after = look_after
        self._tracer = tracer
        self._batches: dict[str, Batch[Sequence[Task], Sequence[Task]]] = {}
        self._confirms = Batch(self._confirm, alone=self._confirm_again, limit=500, linger=linger)
        self._awaited: set[tuple[str, int]] = set()
        self._put_limit = put_limit
        self._put: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._full: set[str] = set()
        self._failed: dict[str, tuple[datetime, Message]] = {}
        self.unconfirmed: Counter[str] = Counter()

    def put(self, task: Task) -> None:
        """Begin to publish a task, without waiting; a task that fails stays in the outbox, and is published when due.

        While too many tasks of the topic wait for the broker, further ones are left in the outbox at once.
        """
        sent = self._put[task.topic]
        if len(sent) >= self._put_limit:
            if task.topic not in self._full:
                self._full.add(task.topic)
                self._journal.write("publishes_postponed", level=Level.WARNING, topic=task.topic, waiting=len(sent))
            return
        sending = asyncio.create_task(self._send(task))
        sent.add(sending)
        sending.add_done_callback(partial(self._sent, task.topic))

    def _sent(self, topic: str, sending: asyncio.Task[None]) -> None:
        self._put[topic].discard(sending)
        if not self._put[topic]:
            self._full.discard(topic)

    def begun(self, task: Task) -> None:
        """Record that the task was claimed here."""
        self._awaited.discard((task.id, task.epoch))

    def is_failing(self, topic: str) -> bool:
        """Return whether, by the last publishes, the broker takes no message of the topic."""
        failed = self._failed.get(topic)
        # Fetching must go on some time: there may be nothing left to publish but tasks that are not fetched yet.
        return failed is not None and self._clock.now() - failed[0] < _FAILING * self._again_after

    def faults(self) -> Mapping[str, Message]:
        """Return the topics of which, by the last publishes, the broker takes no message, with what it says."""
        return {topic: said for topic, (_, said) in self._failed.items() if self.is_failing(topic)}

    async def drain(self) -> None:
        """Wait for all tasks that were `put`."""
        await asyncio.gather(*(sending for sent in self._put.values() for sending in sent))

    async def _send(self, task: Task) -> None:
        try:
            await self.publish([task])
        except StoreError as error:
            self._journal.write("publish_not_recorded", task=task, level=Level.WARNING, error=str(error))

    async def publish(self, tasks: Sequence[Task]) -> int:
        """Publish the tasks together with others that wait; return how many were confirmed, once that is stored."""
        by_topic: defaultdict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            by_topic[task.topic].append(task)
        publishes = [self._publish(topic, some) for topic, some in by_topic.items()]
        if len(publishes) == 1:
            return await publishes[0]
        confirmed = 0
        for end in await asyncio.gather(*publishes, return_exceptions=True):
            if isinstance(end, BaseException):
                raise end
            confirmed += end
        return confirmed

    async def _publish(self, topic: str, tasks: Sequence[Task]) -> int:
        batch = self._batches.get(topic)
        if batch is None:
            batch = self._batches[topic] = Batch(partial(self._flush, topic), limit=500, max_concurrent=2)
        confirmed = await batch.put(tasks)
        if confirmed:
            self._awaited.update((task.id, task.epoch) for task in confirmed)
            await self._confirms.put(confirmed)
        return len(confirmed)

    async def _confirm(self, groups: Sequence[Sequence[Task]]) -> Sequence[None]:
        """Write down that the broker has the messages, and the next check: before the first of their locks ends."""
        tasks = [task for group in groups for task in group if (task.id, task.epoch) in self._awaited]
        self._awaited.difference_update((task.id, task.epoch) for task in tasks)
        if tasks:
            await self._write_confirms(tasks)
        return [None] * len(groups)

    async def _confirm_again(self, group: Sequence[Task]) -> None:
        # Nothing waits for these writes; a task that was claimed meanwhile is not matched.
        await self._write_confirms(group)

    async def _write_confirms(self, tasks: Sequence[Task]) -> None:
        now = self._clock.now()
        soonest = min(task.lease_until for task in tasks)
        look = min(now + self._look_after, max(now, soonest - self._look_after))
        await self._store.confirm([TaskKey(task.id, task.epoch) for task in tasks], now, look)

    async def _flush(self, topic: str, groups: Sequence[Sequence[Task]]) -> Sequence[Sequence[Task]]:
        tasks = [task for group in groups for task in group]
        keys = [TaskKey(task.id, task.epoch, task.trace) for task in tasks]
        self.unconfirmed[topic] += len(tasks)
        try:
            with self._tracer.publish(topic, tasks) as publishing:
                errors = await self._publisher.publish(topic, keys)
                publishing.confirmed(errors)
        finally:
            self.unconfirmed[topic] -= len(tasks)
        good = {task.id for task, error in zip(tasks, errors, strict=True) if error is None}
        bad = [task for task, error in zip(tasks, errors, strict=True) if error is not None]
        if good:
            self._failed.pop(topic, None)
        if bad:
            now = self._clock.now()
            first = next(error for error in errors if error is not None)
            if not good:
                self._failed[topic] = now, message_of(first)
            self._journal.write(
                "publish_failed", level=Level.WARNING, topic=topic, tasks=len(bad), error=str(first) or repr(first)
            )
            again = now + self._again_after
            await self._store.move([Move(t.id, Event.RENEW, t.epoch, changes={"next_at": again}) for t in bad])
        return [[task for task in group if task.id in good] for group in groups]
