"""The publisher on RabbitMQ: it waits for confirms, and has a queue repaired that gives none."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Final, cast

import aiormq
from aio_pika import RobustChannel
from aio_pika.exceptions import ChannelInvalidStateError, ChannelNotFoundEntity, DeliveryError
from faststream.exceptions import IncorrectState

from bridge.adapters.rabbitmq.connection import LOGGER, RabbitConnection, translated
from bridge.adapters.rabbitmq.dead_letters import RabbitDeadLetters
from bridge.adapters.rabbitmq.messages import to_message
from bridge.adapters.rabbitmq.queues import DeclaredQueues, OnFault
from bridge.adapters.rabbitmq.repair import redeclare
from bridge.adapters.rabbitmq.topology import QueueRules, Topology
from bridge.adapters.rabbitmq.trial import try_delivery
from bridge.domain.errors import BrokerError, BrokerUnavailable, BrokerUnroutable, GatewayError, SetupError
from bridge.domain.messages import Message, message
from bridge.domain.task import TaskKey
from bridge.ports.broker import Depth

AT_ONCE: Final = 100
"""How many publishes of a batch wait for their confirms together."""

ANSWER_WITHIN: Final = 2.0
"""Seconds within which RabbitMQ is to tell one queue's depth."""
SILENT_FOR: Final = 10.0
"""Seconds for which a queue is not asked about again that gave no answer."""
REFUSED_FOR: Final = 15.0
"""Seconds after which a queue that refuses all, and has neither messages nor consumers, is out of order."""


def _log_fault(topic: str, error: GatewayError) -> None:
    logging.getLogger(LOGGER).warning("queue of %s: %s", topic, error)


class RabbitPublisher:
    """`bridge.ports.broker.Publisher` on RabbitMQ; `open` it before use and `close` it after.

    `timeout` bounds a batch as a whole, and every other call. A lost connection comes back by itself; a publish waits
    for it within its time. Each topic's queue is declared by itself: where one can't be, what is published to it fails
    by an error that names it, until it can, and the other topics' are used meanwhile.

    Where all publishes to one topic go unconfirmed `repair_after` batches in a row, though RabbitMQ answers otherwise,
    `repair` is called; None leaves that to the caller. It is called as well where RabbitMQ refuses all for
    `refused_for` seconds, and the queue has neither messages nor consumers: one that is full has messages.
    `on_fault` is called for queues that can't be declared.
    """

    def __init__(
        self,
        url: str,
        exchange: str,
        topics: Sequence[str],
        *,
        timeout: timedelta,
        rules: QueueRules = QueueRules(),
        repair_after: int | None = 3,
        refused_for: float = REFUSED_FOR,
        on_fault: OnFault = _log_fault,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._topology = Topology(exchange, rules)
        self._channel: RobustChannel | None = None
        self._link = RabbitConnection(url, "gateway publisher", timeout, tls)
        self._queues = DeclaredQueues(self._link, self._topology, topics, on_fault)
        self._repair_after = repair_after
        self._refused_for = refused_for
        self._unconfirmed: Counter[str] = Counter()
        self._refused_since: dict[str, float] = {}
        self._silent_until: dict[str, float] = {}
        self._repairing: set[str] = set()

    async def open(self) -> None:
        """Connect and declare; raise `BrokerUnavailable`, or where no topic's queue can be declared its error."""
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._link.close)
            await self._link.open()
            async with self._link.call("open a channel"):
                channel = await self._link.channel()
                channel.reopen_callbacks.add(self._reopened)
            await self._queues.open()
            self._channel = channel
            undo.pop_all()

    async def close(self) -> None:
        self._channel = None
        await self._queues.close()
        await self._link.close()

    async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
        """As the port says. A publish that went unconfirmed may still arrive later: messages are repeatable."""
        deadline = asyncio.get_running_loop().time() + self._link.timeout
        # RabbitMQ's returns are told apart by message id: the same key twice at once would be taken for one another.
        unique = list({(key.id, key.epoch): key for key in keys}.values())
        try:
            async with asyncio.timeout_at(deadline):
                if self._channel is not None:
                    await self._queues.ready(topic)
        except (BrokerError, SetupError) as error:
            return [error] * len(keys)
        except TimeoutError:
            text = message("broker.not_declared", queue=self._topology.queue_name(topic))
            return [BrokerUnavailable(text)] * len(keys)
        errors: dict[tuple[str, int], BrokerError | None] = {}
        for start in range(0, len(unique), AT_ONCE):
            batch = unique[start : start + AT_ONCE]
            ends = await self._publish(topic, batch, deadline)
            errors.update(((key.id, key.epoch), end) for key, end in zip(batch, ends, strict=True))
        await self._watch(topic, list(errors.values()))
        return [errors[key.id, key.epoch] for key in keys]

    def faults(self) -> Mapping[str, Message]:
        return self._queues.faults

    def _reopened(self, _channel: object) -> None:
        self._queues.renew()

    async def depth(self, topic: str) -> Depth:
        """Return the topic's depth now; `BrokerUnroutable` when it has no queue."""
        name = self._topology.queue_name(topic)
        async with self._link.ask(f"depth of {topic}") as channel:
            try:
                answer = await channel.queue_declare(name, passive=True)
            except ChannelNotFoundEntity as error:
                raise BrokerUnroutable(message("broker.no_queue", topic=topic, queue=repr(name))) from error
            return Depth(ready=answer.message_count or 0, consumers=answer.consumer_count or 0)

    async def depths(self, topics: Sequence[str]) -> Mapping[str, Depth]:
        """As the port says, over one channel: it is asked several times a second while there is much to do.

        A queue of which RabbitMQ doesn't answer is left out, too, and left alone for `SILENT_FOR` seconds.
        """
        depths: dict[str, Depth] = {}
        now = asyncio.get_running_loop().time()
        rest = [topic for topic in topics if self._silent_until.get(topic, 0.0) <= now]
        while rest:
            async with self._link.ask("depths") as channel:
                while rest:
                    topic = rest.pop()
                    try:
                        async with asyncio.timeout(min(ANSWER_WITHIN, self._link.timeout / 2)):
                            answer = await channel.queue_declare(self._topology.queue_name(topic), passive=True)
                    except ChannelNotFoundEntity:
                        break  # the refusal has closed the channel; the rest is asked on another
                    except TimeoutError as error:
                        if not await self._answers():
                            raise BrokerUnavailable(message("broker.no_answer", operation="depths")) from error
                        self._silent_until[topic] = now + SILENT_FOR
                        break
                    depths[topic] = Depth(ready=answer.message_count or 0, consumers=answer.consumer_count or 0)
        return depths

    async def version(self) -> str:
        """Return RabbitMQ's version, after it has answered a question."""
        async with self._link.ask("version") as channel:
            await channel.exchange_declare(self._topology.name, passive=True)
            return str(channel.connection.server_properties.get("version", "unknown"))

    async def try_delivery(self) -> None:
        """Publish and consume one message on a queue of this connection's own; raises `BrokerUnavailable`."""
        await try_delivery(self._link, self._topology)

    def dead_letters(self) -> RabbitDeadLetters:
        """Return the reader of the dead letters; it works while this publisher is open."""
        return RabbitDeadLetters(self._link, self._topology)

    async def repair(self, topic: str) -> None:
        """Delete the topic's queue with all its messages, and declare it anew.

        For a quorum queue that takes or delivers no more messages, which becomes of one that was declared within some
        seconds before its node was killed: it has no leader then, or no files. The store still has the tasks, whose
        messages are published again as stale.
        """
        await redeclare(self._link, self._topology, topic)

    async def _publish(self, topic: str, keys: Sequence[TaskKey], deadline: float) -> Sequence[BrokerError | None]:
        """Send all at once, and wait for their confirms.

        Below FastStream, which asks for the exchange again for each message, and aio-pika, which drains the connection
        after each: together they take twice as long.
        """
        operation = f"publish to queue {self._topology.queue_name(topic)}"
        try:
            with translated(operation):
                async with asyncio.timeout_at(deadline):
                    if self._channel is None:
                        raise IncorrectState("not open")
                    channel = cast("aiormq.Channel", await self._channel.get_underlay_channel())
        except BrokerError as error:
            return [error] * len(keys)
        sent = [asyncio.create_task(self._send(channel, topic, key)) for key in keys]
        try:
            await asyncio.wait(sent, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        finally:
            late = {task for task in sent if not task.done() and task.cancel()}
        if late:
            await asyncio.wait(late)
        return [_end_of(task, operation, late=task in late) for task in sent]

    async def _send(self, channel: aiormq.Channel, topic: str, key: TaskKey) -> None:
        body, properties = to_message(key)
        name, to = self._topology.name, self._topology.routing_key(topic)
        await channel.basic_publish(
            body, exchange=name, routing_key=to, properties=properties, mandatory=True, wait=False
        )

    async def _watch(self, topic: str, ends: Sequence[BrokerError | None]) -> None:
        """Count batches of which nothing was confirmed while RabbitMQ answered otherwise; repair after too many.

        An outage must not count: the queue that comes back with RabbitMQ is whole, and holds what was published.
        """
        await self._watch_refusals(topic, ends)
        silent = bool(ends) and all(end is not None and isinstance(end.__cause__, TimeoutError) for end in ends)
        if not silent or self._repair_after is None or not await self._answers():
            del self._unconfirmed[topic]
            return
        self._unconfirmed[topic] += 1
        if self._unconfirmed[topic] >= self._repair_after:
            with suppress(BrokerError):
                await self._repair_once(topic)
                del self._unconfirmed[topic]

    async def _watch_refusals(self, topic: str, ends: Sequence[BrokerError | None]) -> None:
        """Repair a queue that has refused everything for a while, as one does whose files are gone."""
        # Of a message without a queue RabbitMQ says so (`PublishError`); this is its nack.
        if not ends or not all(end is not None and type(end.__cause__) is DeliveryError for end in ends):
            self._refused_since.pop(topic, None)
            return
        now = asyncio.get_running_loop().time()
        since = self._refused_since.setdefault(topic, now)
        if self._repair_after is None or now - since < self._refused_for:
            return
        with suppress(BrokerError):
            if await self.depth(topic) == Depth(ready=0, consumers=0):
                await self._repair_once(topic)
            self._refused_since.pop(topic, None)

    async def _repair_once(self, topic: str) -> None:
        """Repair, unless another batch's repair is under way: the second would delete what the first declared."""
        if topic in self._repairing:
            return
        self._repairing.add(topic)
        try:
            await self.repair(topic)
        finally:
            self._repairing.discard(topic)

    async def _answers(self) -> bool:
        """Return whether RabbitMQ answers on the connection that was there; one that is lost or blocked doesn't."""
        if not self._link.connected:
            return False
        with suppress(BrokerError):
            await self.version()
            return True
        return False


def _end_of(publish: asyncio.Task[None], operation: str, *, late: bool) -> BrokerError | None:
    try:
        with translated(operation):
            if publish.cancelled():
                # aiormq cancels what waits on a channel that closes; the rest we gave up ourselves.
                raise TimeoutError if late else ChannelInvalidStateError("the channel was closed")
            publish.result()
    except BrokerError as error:
        return error
    return None
