"""The consumer on RabbitMQ, by FastStream: it acknowledges by hand, and sees when nothing is delivered any more."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final

from faststream.rabbit import RabbitMessage

from bridge.adapters.rabbitmq.connection import LOGGER, RabbitConnection, translated
from bridge.adapters.rabbitmq.messages import BODY_LIMIT, Undecodable, from_message
from bridge.adapters.rabbitmq.queues import OnFault, declare
from bridge.adapters.rabbitmq.subscription import Subscription
from bridge.adapters.rabbitmq.topology import QueueRules, Topology
from bridge.domain.dead_letter import DeadMessage
from bridge.domain.errors import BrokerError, GatewayError, SetupError, StoreError
from bridge.domain.messages import Message
from bridge.domain.task import TaskKey
from bridge.domain.topic import Topic
from bridge.ports.broker import Handle
from bridge.runtime.loop import delay_after

OnUndecodable = Callable[[DeadMessage], Awaitable[None]]
"""Keeps a message that can't be read; a `StoreError` says that it could not."""

_KEEP_DELAYS: Final = (timedelta(milliseconds=200), timedelta(seconds=5))
"""The first and the longest pause before a message that can't be read is to be kept again."""


class _Delivery:
    """`bridge.ports.broker.Acknowledger` on one message; only the first answer counts."""

    def __init__(self, message: RabbitMessage) -> None:
        self._message = message
        self.given = False

    async def ack(self) -> None:
        """Acknowledge; `BrokerUnavailable` when the connection it came by is gone, and so it will come again."""
        if not self.given:
            self.given = True
            with translated("ack"):
                await self._message.ack()

    async def requeue(self) -> None:
        """Give the message back at once, which counts towards the queue's delivery limit."""
        if not self.given:
            self.given = True
            with translated("requeue"):
                await self._message.nack(requeue=True)


async def _log_undecodable(message: DeadMessage) -> None:
    logging.getLogger(LOGGER).error("message on %s is not kept: %s", message.topic, message.reason)


def _log_fault(topic: str, error: GatewayError) -> None:
    logging.getLogger(LOGGER).warning("topic %s is not attached: %s", topic, error)


class RabbitConsumer:
    """`ports.broker.Consumer` on RabbitMQ: for each topic a channel whose prefetch is its concurrency and `reserve`.

    `handle` runs in tasks of its own: losing the connection does not cancel it, only its acknowledgement fails then. A
    message that it neither acknowledged nor requeued is requeued. `stop` stops deliveries; `close` then waits up to
    `graceful` for what runs, cancels the rest, and ends the connection. `on_undecodable` keeps a message that can't be
    read, which is acknowledged then and not rejected: RabbitMQ can't dead-letter every one. `on_fault` gets the
    topic of a subscription that failed, and the error.

    Each topic is attached by itself (`Subscription`): one whose queue differs, or is out of order, stops no other. One
    without deliveries though messages are ready is attached again when that lasts `stalled_after` and
    somebody asks for `consuming`; after `repair_after` times its queue is deleted and declared again, too (None:
    never). The store still has the tasks.
    """

    def __init__(
        self,
        url: str,
        exchange: str,
        topics: Sequence[Topic[Any, Any]],
        *,
        graceful: timedelta,
        timeout: timedelta = timedelta(seconds=10),
        stalled_after: timedelta = timedelta(seconds=5),
        repair_after: int | None = 2,
        reserve: int = 0,
        rules: QueueRules = QueueRules(),
        on_undecodable: OnUndecodable = _log_undecodable,
        on_fault: OnFault = _log_fault,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        for topic in topics:
            rules.check(topic.name, topic.timeout)
        self._topology = Topology(exchange, rules)
        self._prefetch = {topic.name: topic.concurrency + reserve for topic in topics}
        self._url, self._timeout, self._graceful = url, timeout, graceful
        self._tls = tls
        self._stalled_after = stalled_after.total_seconds()
        self._repair_after = repair_after
        self._on_undecodable = on_undecodable
        self._on_fault = on_fault
        self._link: RabbitConnection | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self, handle: Handle) -> None:
        """Connect, and begin to attach each topic; raise `BrokerUnavailable`, or where none can be attached its error.

        A topic that fails is tried again by itself, and named by `faults` meanwhile.
        """
        link = RabbitConnection(self._url, "gateway consumer", self._timeout, self._tls)
        self._stopping = False
        subscriptions = {topic: self._subscription(link, topic, handle) for topic in self._prefetch}
        async with AsyncExitStack() as undo:
            undo.push_async_callback(link.close)
            await link.open()
            undo.push_async_callback(_detach, subscriptions.values())
            await asyncio.gather(self._declare_dead(link), *(one.begin() for one in subscriptions.values()))
            faults = [one.fault for one in subscriptions.values() if one.fault is not None]
            if faults and len(faults) == len(subscriptions):
                raise faults[0]
            undo.pop_all()
        self._link, self._subscriptions = link, subscriptions

    async def stop(self) -> None:
        self._stopping = True
        await _detach(self._subscriptions.values())

    async def close(self) -> None:
        """Stop, wait for running handlers as long as may be, and end the connection."""
        await self.stop()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._graceful.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
            self._link = None

    async def consuming(self) -> Mapping[str, bool]:
        """As the port says; False too where RabbitMQ does not answer, or leaves a consumer without what is ready.

        Ask every few seconds: while connected, a topic that is starved for long is attached again.
        """
        if self._link is None or self._stopping:
            return dict.fromkeys(self._prefetch, False)
        checks = await asyncio.gather(*(one.check() for one in self._subscriptions.values()))
        return dict(zip(self._subscriptions, checks, strict=True))

    def faults(self) -> Mapping[str, Message]:
        return {topic: one.fault.message for topic, one in self._subscriptions.items() if one.fault is not None}

    async def _declare_dead(self, link: RabbitConnection) -> None:
        try:
            await declare(link, self._topology, self._topology.dead)
        except (BrokerError, SetupError) as error:
            # The topics work without it: what the broker gives up on stays in their queues.
            self._on_fault(self._topology.dead, error)

    def _subscription(self, link: RabbitConnection, topic: str, handle: Handle) -> Subscription:
        async def deliver(message: RabbitMessage) -> None:
            await self._deliver(topic, made, message, handle)

        made = Subscription(
            link,
            self._topology,
            topic,
            self._prefetch[topic],
            deliver,
            stalled_after=self._stalled_after,
            repair_after=self._repair_after,
            on_fault=self._on_fault,
        )
        return made

    async def _deliver(self, topic: str, by: Subscription, message: RabbitMessage, handle: Handle) -> None:
        with suppress(BrokerError), translated("deliver"):
            if self._stopping:
                await message.nack(requeue=True)
                return
            try:
                key = from_message(message.body, message.headers)
            except Undecodable as error:
                unread = DeadMessage(topic, str(error), None, message.body[:BODY_LIMIT])
                self._begin(by, self._keep(unread, _Delivery(message)))
                return
            self._begin(by, _run(handle, topic, key, _Delivery(message)))

    def _begin(self, by: Subscription, work: Coroutine[Any, Any, None]) -> None:
        # Not in the caller's task: aiormq cancels its consumer tasks when the channel closes.
        task = asyncio.create_task(work)
        self._running.add(task)
        by.delivered()
        task.add_done_callback(partial(self._ended, by))

    async def _keep(self, message: DeadMessage, delivery: _Delivery) -> None:
        """Have a message kept that can't be read, and acknowledge it; while it can't be kept it stays unacknowledged.

        It is not given back for that: given back too often, RabbitMQ would dead-letter it.
        """
        failures, chance = 0, random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        try:
            while True:
                try:
                    await self._on_undecodable(message)
                    break
                except StoreError as error:
                    failures += 1
                    logging.getLogger(LOGGER).warning("message on %s can't be kept: %s", message.topic, error)
                    await asyncio.sleep(delay_after(failures, *_KEEP_DELAYS, chance).total_seconds())
            with suppress(BrokerError):
                await delivery.ack()
        finally:
            with suppress(BrokerError):
                await delivery.requeue()

    def _ended(self, by: Subscription, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        by.held -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logging.getLogger(LOGGER).error("a delivery's handler failed; the message is requeued", exc_info=error)


async def _detach(subscriptions: Iterable[Subscription]) -> None:
    await asyncio.gather(*(one.detach() for one in subscriptions))


async def _run(handle: Handle, topic: str, key: TaskKey, delivery: _Delivery) -> None:
    try:
        await handle(topic, key, delivery)
    finally:
        with suppress(BrokerError):
            await delivery.requeue()
