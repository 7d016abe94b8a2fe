"""A broker that keeps messages in this process: for tests, and for trying a topic without any server."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

from bridge.domain.dead_letter import DeadMessage
from bridge.domain.errors import BrokerError, BrokerUnavailable, BrokerUnroutable, QueueMismatch
from bridge.domain.messages import Message
from bridge.domain.task import TaskKey
from bridge.domain.topic import Topic
from bridge.ports.broker import Depth, Handle
from bridge.ports.dead_letters import Examination

DELIVERY_LIMIT: Final = 50

Operation = Literal["publish", "depth", "version", "start", "ack", "requeue"]


@dataclass(slots=True, eq=False)
class _Message:
    key: TaskKey
    returns: int = 0


@dataclass(slots=True, eq=False)
class _Queue:
    ready: deque[_Message] = field(default_factory=deque)
    bound: bool = True
    differs: bool = False


class MemoryBroker:
    """`ports.broker.Publisher` on lists, and what its `MemoryConsumer`s take from (`tests/contract/test_broker.py`).

    `published` has every confirmed key with its topic in order, `dead` what was returned more than `DELIVERY_LIMIT`
    times.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self.published: list[tuple[str, TaskKey]] = []
        self.dead: list[tuple[str, TaskKey]] = []
        self._queues = {topic: _Queue() for topic in topics}
        self._consumers: list[MemoryConsumer] = []
        self._faults: dict[Operation, deque[tuple[BaseException, bool]]] = defaultdict(deque)
        self._lost = False

    async def open(self) -> None:
        """Do nothing; the real broker's client has a connection to make."""

    async def close(self) -> None:
        """Do nothing; the real broker's client has a connection to close."""

    async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
        return [self._publish(topic, key) for key in keys]

    async def depth(self, topic: str) -> Depth:
        self.answer("depth")
        queue = self._queues.get(topic)
        if queue is None:
            raise BrokerUnroutable(f"depth of {topic}: there is no queue")
        return Depth(len(queue.ready), sum(consumer.attached(topic) for consumer in self._consumers))

    async def depths(self, topics: Sequence[str]) -> Mapping[str, Depth]:
        return {topic: await self.depth(topic) for topic in topics if topic in self._queues}

    async def take(self, limit: int, examine: Examination) -> int:
        """Have the dead letters examined, as `bridge.ports.DeadLetters` says."""
        taken = 0
        while self.dead and taken < limit:
            topic, key = self.dead[0]
            await examine(DeadMessage(topic, "delivery_limit", key))
            self.dead.pop(0)
            taken += 1
        return taken

    async def try_delivery(self) -> None:
        """Do nothing: what is published here is delivered."""

    async def version(self) -> str:
        self.answer("version")
        return "memory"

    def fail_next(self, operation: Operation, error: BaseException, *, after: bool = False) -> None:
        """Let the next call of `operation` fail by `error`: instead of its effect, or `after` it (the answer is lost).

        `publish` counts each key as a call.
        """
        self._faults[operation].append((error, after))

    def drop(self) -> None:
        """Lose all connections: what is unacknowledged returns to its queue, and nothing answers until `restore`."""
        self._lost = True
        for consumer in self._consumers:
            consumer.lose()

    def restore(self) -> None:
        """Answer again; consumers are attached again by themselves."""
        self._lost = False
        self._deliver_all()

    def unbind(self, topic: str) -> None:
        """Delete the binding of a topic's queue: what is published is returned."""
        self._queues[topic].bound = False

    def differ(self, topic: str) -> None:
        """Have a topic's queue stand with other arguments than ours: nothing is published to it, nor taken from it."""
        self._queues[topic].differs = True

    def agree(self, topic: str) -> None:
        """Have the queue as it is to be again."""
        self._queues[topic].differs = False
        self.deliver(topic)

    def faults(self) -> Mapping[str, Message]:
        return {topic: _mismatch(topic).message for topic, queue in self._queues.items() if queue.differs}

    def bind(self, topic: str) -> None:
        """Bind a topic's queue again."""
        self._queues[topic].bound = True

    def waiting(self) -> Mapping[str, Sequence[TaskKey]]:
        """Return the messages that are ready to be delivered, by topic."""
        return {topic: [message.key for message in queue.ready] for topic, queue in self._queues.items()}

    def deliver_again(self, topic: str, key: TaskKey) -> None:
        """Put a duplicate of a message into the queue, as after a lost confirm or acknowledgement."""
        self._queues[topic].ready.append(_Message(key))
        self.deliver(topic)

    @property
    def lost(self) -> bool:
        """Whether connections were dropped and not restored."""
        return self._lost

    def answer(self, operation: Operation) -> BaseException | None:
        """Raise what a call of `operation` is to fail by now; return what it is to fail by after its effect."""
        if self._lost:
            raise BrokerUnavailable(f"{operation}: the connection is lost")
        if not self._faults[operation]:
            return None
        error, after = self._faults[operation].popleft()
        if not after:
            raise error
        return error

    def attach(self, consumer: MemoryConsumer) -> None:
        """Let a consumer take part."""
        if consumer not in self._consumers:
            self._consumers.append(consumer)
        self._deliver_all()

    def requeue(self, topic: str, message: _Message) -> None:
        """Return a message to the head of its queue, or to `dead` when that happened too often."""
        message.returns += 1
        if message.returns > DELIVERY_LIMIT:
            self.dead.append((topic, message.key))
        else:
            self._queues[topic].ready.appendleft(message)
        self.deliver(topic)

    def deliver(self, topic: str) -> None:
        """Hand out what is ready to consumers that have room, in turn."""
        queue = self._queues[topic]
        while queue.ready and not self._lost:
            taker = next((consumer for consumer in self._consumers if consumer.has_capacity(topic)), None)
            if taker is None:
                return
            self._consumers.remove(taker)
            self._consumers.append(taker)
            taker.take(topic, queue.ready.popleft())

    def _deliver_all(self) -> None:
        for topic in self._queues:
            self.deliver(topic)

    def _publish(self, topic: str, key: TaskKey) -> BaseException | None:
        try:
            late = self.answer("publish")
        except BaseException as error:  # noqa: BLE001 - what a test injects is an answer, of whatever type
            return error
        queue = self._queues.get(topic)
        if queue is not None and queue.differs:
            return _mismatch(topic)
        if queue is None or not queue.bound:
            return BrokerUnroutable(f"publish to {topic}: no queue is bound for {topic!r}")
        queue.ready.append(_Message(key))
        if late is None:
            self.published.append((topic, key))
        self.deliver(topic)
        return late


def _mismatch(topic: str) -> QueueMismatch:
    return QueueMismatch(f"the queue of {topic!r} stands with other arguments")


class MemoryConsumer:
    """`bridge.ports.broker.Consumer` on a `MemoryBroker`; prefetch is a topic's concurrency and `reserve`."""

    def __init__(
        self,
        broker: MemoryBroker,
        topics: Sequence[Topic[Any, Any]],
        *,
        graceful: timedelta = timedelta(seconds=5),
        reserve: int = 0,
    ) -> None:
        self._broker = broker
        self._capacity = {topic.name: topic.concurrency + reserve for topic in topics}
        self._graceful = graceful
        self._handle: Handle | None = None
        self._unsettled: dict[str, list[_Delivery]] = {topic.name: [] for topic in topics}
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, handle: Handle) -> None:
        self._broker.answer("start")
        if self._capacity and self._capacity.keys() <= self._broker.faults().keys():
            raise _mismatch(next(iter(self._capacity)))
        self._handle = handle
        self._broker.attach(self)

    async def stop(self) -> None:
        self._handle = None

    async def close(self) -> None:
        """Stop, wait for running handlers as long as may be, and return what is unacknowledged."""
        await self.stop()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._graceful.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self.lose()

    async def consuming(self) -> Mapping[str, bool]:
        return {topic: self.attached(topic) for topic in self._capacity}

    def faults(self) -> Mapping[str, Message]:
        return {topic: fault for topic, fault in self._broker.faults().items() if topic in self._capacity}

    def attached(self, topic: str) -> bool:
        """Return whether the topic's messages come here."""
        here = self._handle is not None and topic in self._capacity
        return here and not self._broker.lost and topic not in self._broker.faults()

    def has_capacity(self, topic: str) -> bool:
        """Return whether one more message of the topic may be delivered."""
        return self.attached(topic) and len(self._unsettled[topic]) < self._capacity[topic]

    def take(self, topic: str, message: _Message) -> None:
        """Handle a message in a task of its own."""
        if self._handle is None:
            raise RuntimeError("a consumer that was not started has no room")
        delivery = _Delivery(self._broker, topic, message, self._unsettled[topic])
        task = asyncio.create_task(_run(self._handle, topic, message.key, delivery))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def lose(self) -> None:
        """Return all that is unacknowledged; acknowledging it fails from now on."""
        for topic, unsettled in self._unsettled.items():
            for delivery in reversed(unsettled.copy()):
                delivery.lose()
            self._broker.deliver(topic)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logging.getLogger(__name__).error("a delivery's handler failed; the message is requeued", exc_info=error)


class _Delivery:
    """`bridge.ports.broker.Acknowledger` on one message; only the first answer counts."""

    def __init__(self, broker: MemoryBroker, topic: str, message: _Message, unsettled: list[_Delivery]) -> None:
        self._broker, self._topic, self._message, self._unsettled = broker, topic, message, unsettled
        self._given = self._lost = False
        unsettled.append(self)

    async def ack(self) -> None:
        self._settle("ack", requeue=False)

    async def requeue(self) -> None:
        self._settle("requeue", requeue=True)

    def lose(self) -> None:
        """Return the message because its connection is gone."""
        self._lost = True
        self._unsettled.remove(self)
        self._broker.requeue(self._topic, self._message)

    def _settle(self, operation: Literal["ack", "requeue"], *, requeue: bool) -> None:
        if self._given:
            return
        self._given = True
        if self._lost:
            raise BrokerUnavailable(f"{operation}: the connection it came by is gone")
        try:
            late = self._broker.answer(operation)
        except BrokerError:
            # The real one fails only with its connection, and then the message comes again.
            self.lose()
            raise
        self._unsettled.remove(self)
        if requeue:
            self._broker.requeue(self._topic, self._message)
        else:
            self._broker.deliver(self._topic)
        if late is not None:
            raise late


async def _run(handle: Handle, topic: str, key: TaskKey, delivery: _Delivery) -> None:
    try:
        await handle(topic, key, delivery)
    finally:
        with suppress(BrokerError):
            await delivery.requeue()
