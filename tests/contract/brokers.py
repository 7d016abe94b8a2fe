"""What the broker suite needs besides the ports: a handler that tells what came, and both brokers to work on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol
from uuid import uuid4

import aio_pika
from pydantic import BaseModel

from bridge.adapters.memory.broker import MemoryBroker, MemoryConsumer
from bridge.adapters.rabbitmq.consumer import RabbitConsumer
from bridge.adapters.rabbitmq.publisher import RabbitPublisher
from bridge.domain.dead_letter import DeadMessage
from bridge.domain.errors import BrokerError
from bridge.domain.task import TaskKey
from bridge.ports.broker import Acknowledger, Consumer, Publisher
from bridge.topic import Topic, topic
from tests.pause import pause

TOPICS = ("alpha", "beta")
SHORT = timedelta(seconds=5)
BRIEF = timedelta(milliseconds=300)
AT_ONCE = timedelta(milliseconds=50)


class Empty(BaseModel):
    pass


def make_topic(name: str, concurrency: int = 4, timeout: float | None = None) -> Topic[Any, Any]:
    @topic(name, concurrency=concurrency, timeout=timeout)
    async def handle(_: Empty) -> Empty:
        return Empty()

    return handle


ALPHA = make_topic("alpha")
KEY = TaskKey("task", 3, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Delivery:
    """A message as it came to a consumer; its handler goes on when it is acknowledged or requeued here."""

    def __init__(self, topic: str, key: TaskKey, acknowledger: Acknowledger) -> None:
        self.topic, self.key = topic, key
        self._acknowledger = acknowledger
        self._done = asyncio.Event()

    async def ack(self) -> None:
        try:
            await self._acknowledger.ack()
        finally:
            self._done.set()

    async def requeue(self) -> None:
        try:
            await self._acknowledger.requeue()
        finally:
            self._done.set()

    def leave(self) -> None:
        """End the handler without either."""
        self._done.set()

    async def done(self) -> None:
        await self._done.wait()


class Inbox:
    """A handler that lays out what comes, in order, and waits with each until the test decides."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[Delivery] = asyncio.Queue()

    async def __call__(self, topic: str, key: TaskKey, acknowledger: Acknowledger) -> None:
        delivery = Delivery(topic, key, acknowledger)
        self.arrived.put_nowait(delivery)
        await delivery.done()

    async def next(self) -> Delivery:
        async with asyncio.timeout(20):
            return await self.arrived.get()

    async def take(self, count: int) -> list[Delivery]:
        return [await self.next() for _ in range(count)]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return when the condition holds; its own question to the broker is what is waited on."""
    async with asyncio.timeout(30):
        while not await condition():
            await pause()


class ClosableConsumer(Consumer, Protocol):
    async def close(self) -> None: ...


class BrokerLab(Protocol):
    """A broker with queues of its own for `TOPICS`."""

    @property
    def publisher(self) -> Publisher: ...

    def consumer(
        self, *topics: Topic[Any, Any], graceful: timedelta = AT_ONCE, reserve: int = 0
    ) -> ClosableConsumer: ...

    async def unbind(self, topic: str) -> None: ...

    async def differ(self, topic: str) -> None:
        """Have the topic's queue stand with other arguments, as a gateway finds it that starts now."""
        ...

    async def agree(self, topic: str) -> None:
        """Mend that, as an operator does."""
        ...

    async def close(self) -> None: ...


class MemoryBrokerLab:
    """The broker in memory."""

    def __init__(self) -> None:
        self.publisher = MemoryBroker(TOPICS)
        self._consumers: list[MemoryConsumer] = []

    def consumer(self, *topics: Topic[Any, Any], graceful: timedelta = AT_ONCE, reserve: int = 0) -> MemoryConsumer:
        consumer = MemoryConsumer(self.publisher, topics, graceful=graceful, reserve=reserve)
        self._consumers.append(consumer)
        return consumer

    async def unbind(self, topic: str) -> None:
        self.publisher.unbind(topic)

    async def differ(self, topic: str) -> None:
        self.publisher.differ(topic)

    async def agree(self, topic: str) -> None:
        self.publisher.agree(topic)

    async def close(self) -> None:
        for consumer in self._consumers:
            await consumer.close()


class RabbitLab:
    """A running RabbitMQ; the exchange and queues are this lab's alone, and are removed in the end."""

    def __init__(self, url: str, *, timeout: timedelta = SHORT) -> None:
        self.url = url
        self.exchange = f"test.{uuid4().hex}"
        self.publisher = RabbitPublisher(url, self.exchange, TOPICS, timeout=timeout)
        self.undecodable: asyncio.Queue[DeadMessage] = asyncio.Queue()
        self._consumers: list[RabbitConsumer] = []

    async def open(self) -> None:
        await self.publisher.open()

    def consumer(self, *topics: Topic[Any, Any], graceful: timedelta = AT_ONCE, reserve: int = 0) -> RabbitConsumer:
        consumer = RabbitConsumer(
            self.url,
            self.exchange,
            topics,
            graceful=graceful,
            timeout=SHORT,
            reserve=reserve,
            on_undecodable=self.undecodable.put,
        )
        self._consumers.append(consumer)
        return consumer

    async def unbind(self, topic: str) -> None:
        async def unbind(channel: aio_pika.abc.AbstractChannel) -> None:
            queue = await channel.get_queue(f"{self.exchange}.{topic}")
            await queue.unbind(self.exchange, topic)

        await self.admin(unbind)

    async def differ(self, topic: str) -> None:
        name = f"{self.exchange}.{topic}"

        async def replace(channel: aio_pika.abc.AbstractChannel) -> None:
            await channel.queue_delete(name)
            await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})

        await self.publisher.close()
        await self.admin(replace)
        await self.publisher.open()

    async def agree(self, topic: str) -> None:
        async def delete(channel: aio_pika.abc.AbstractChannel) -> None:
            await channel.queue_delete(f"{self.exchange}.{topic}")

        await self.admin(delete)

    async def admin(self, act: Callable[[aio_pika.abc.AbstractChannel], Awaitable[None]]) -> None:
        """Do something to the broker past the adapter, on a connection of its own."""
        connection = await aio_pika.connect(self.url)
        async with connection:
            await act(await connection.channel())

    async def close(self) -> None:
        for consumer in self._consumers:
            await consumer.close()
        await self.publisher.close()
        await self.admin(self.remove)

    async def remove(self, channel: aio_pika.abc.AbstractChannel) -> None:
        for queue in (*(f"{self.exchange}.{name}" for name in TOPICS), f"{self.exchange}.dead"):
            await channel.queue_delete(queue)
        for exchange in (self.exchange, f"{self.exchange}.dead"):
            await channel.exchange_delete(exchange)


def keys(count: int, prefix: str = "task") -> list[TaskKey]:
    return [TaskKey(f"{prefix}-{number}", 1) for number in range(count)]


def kinds(answers: Sequence[BaseException | None]) -> list[type[BaseException] | None]:
    return [None if answer is None else type(answer) for answer in answers]


async def publish_until_confirmed(publisher: Publisher, topic: str, key: TaskKey) -> None:
    """Publish as a relay does: again, after each failure."""

    async def confirmed() -> bool:
        (answer,) = await publisher.publish(topic, [key])
        assert answer is None or isinstance(answer, BrokerError)
        return answer is None

    await until(confirmed)
