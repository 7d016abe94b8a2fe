"""The consumer on RabbitMQ, by FastStream: it acknowledges by hand, and sees when nothing is delivered any more."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final

from aio_pika import IncomingMessage
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitMessage

from bridge.adapters.rabbit_connection import LOGGER, PARTING, RabbitConnection, translated
from bridge.adapters.rabbit_messages import Undecodable, from_message
from bridge.adapters.rabbit_repair import redeclare
from bridge.adapters.rabbit_topology import QueueRules, Topology, refused
from bridge.errors import BrokerError
from bridge.ports import Handle
from bridge.task import TaskKey
from bridge.topic import Topic

MOST_PATIENCE: Final = 120.0
"""Seconds after which at the latest a consumer that gets nothing is connected anew."""

OnUndecodable = Callable[[str, str], None]


class _Delivery:
    """`bridge.ports.Verdict` on one message; only the first verdict counts."""

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


def _log_undecodable(topic: str, reason: str) -> None:
    logging.getLogger(LOGGER).error("message on %s sent to the dead letters: %s", topic, reason)


class RabbitConsumer:
    """`bridge.ports.Consumer` on RabbitMQ: for each topic a channel whose prefetch is its concurrency and `reserve`.

    `handle` runs in tasks of its own: losing the connection does not cancel it, only its verdict fails then. A message
    on which it gave no verdict is requeued. `stop` stops deliveries; `close` then waits up to `graceful` for what
    runs, cancels the rest, and ends the connection. `on_undecodable` is told the topic and the reason of a message
    that went to the dead letters.

    A topic that is detached, or holds nothing and gets nothing though messages are ready, is connected anew when that
    lasts `stalled_after` and somebody asks for `consuming`; after `repair_after` times its queue is deleted and
    declared anew, too (None: never). The store still has the tasks.
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
    ) -> None:
        for topic in topics:
            rules.check(topic.name, topic.timeout)
        self._topology = Topology(exchange, rules)
        self._channels = {topic.name: Channel(prefetch_count=topic.concurrency + reserve) for topic in topics}
        self._url, self._timeout, self._graceful = url, timeout, graceful
        self._stalled_after = self._patience = stalled_after.total_seconds()
        self._repair_after = repair_after
        self._on_undecodable = on_undecodable
        self._link: RabbitConnection | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._held: Counter[str] = Counter()
        self._lame_since: dict[str, float] = {}
        self._renewals: Counter[str] = Counter()
        self._stopping = False

    async def start(self, handle: Handle) -> None:
        """Connect, declare and subscribe; raise `BrokerUnavailable`, or `SetupError` where the queues differ."""
        link = RabbitConnection(self._url, "gateway consumer", self._timeout)
        self._stopping = False
        for topic in self._channels:
            self._subscribe(link, topic, handle)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(link.close)
            await link.open()
            async with link.call("subscribe"):
                await self._topology.declare(await link.channel(), tuple(self._channels))
                with refused():
                    await link.broker.start()
                for which in self._channels.values():
                    await link.renew_when_cancelled(which)
            undo.pop_all()
        self._link = link

    async def stop(self) -> None:
        self._stopping = True
        if self._link is not None:
            await asyncio.gather(*(self._detach(self._link, topic) for topic in self._channels))

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

        Ask every few seconds: while connected, a topic that is detached or starved for long is connected anew.
        """
        link = self._link
        if link is None or self._stopping:
            return dict.fromkeys(self._channels, False)
        consumers = {topic: await link.consumers(which) for topic, which in self._channels.items()}
        attached = {topic: any(tags.values()) for topic, tags in consumers.items()}
        if not link.connected:
            self._lame_since.clear()
            return attached
        try:
            starved = {topic for topic in attached if attached[topic] and await self._is_hungry(link, topic)}
        except BrokerError:
            return dict.fromkeys(self._channels, False)
        stalled = self._stalled(starved | {topic for topic in attached if not attached[topic]})
        if stalled:
            logging.getLogger(LOGGER).warning("RabbitMQ delivers nothing of %s: connecting anew", ", ".join(stalled))
            # Subscriptions are made one by one: what has none yet may only wait for one that is never answered.
            at_fault = [topic for topic in stalled if topic in starved or consumers[topic]]
            link.renew(partial(self._repair, link, [topic for topic in at_fault if self._is_beyond(topic)]))
        return {topic: attached[topic] and topic not in stalled for topic in attached}

    async def _is_hungry(self, link: RabbitConnection, topic: str) -> bool:
        if self._held[topic]:
            return False
        async with link.ask(f"depth of {topic}") as channel:
            answer = await channel.queue_declare(self._topology.queue_name(topic), passive=True)
        return bool(answer.message_count) and not self._held[topic]

    def _is_beyond(self, topic: str) -> bool:
        return self._repair_after is not None and self._renewals[topic] > self._repair_after

    async def _repair(self, link: RabbitConnection, topics: Sequence[str]) -> None:
        for topic in topics:
            await redeclare(link, self._topology, topic)

    def _stalled(self, lame: set[str]) -> list[str]:
        now = asyncio.get_running_loop().time()
        self._renewals = Counter({topic: self._renewals[topic] for topic in lame})
        self._lame_since = {topic: self._lame_since.get(topic, now) for topic in sorted(lame)}
        stalled = [topic for topic, since in self._lame_since.items() if now - since >= self._patience]
        if stalled:
            # Connecting anew takes all topics' deliveries back, so a topic that it doesn't help must not repeat it.
            self._lame_since.clear()
            self._renewals.update(stalled)
            self._patience = min(2 * self._patience, MOST_PATIENCE)
        elif not lame:
            self._patience = self._stalled_after
        return stalled

    def _subscribe(self, link: RabbitConnection, topic: str, handle: Handle) -> None:
        async def deliver(message: RabbitMessage) -> None:
            await self._deliver(topic, message, handle)

        link.broker.subscriber(
            self._topology.queue(topic),
            self._topology.exchange,
            channel=self._channels[topic],
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            parser=_parsed,
            decoder=_whole,
        )(deliver)

    async def _deliver(self, topic: str, message: RabbitMessage, handle: Handle) -> None:
        with suppress(BrokerError), translated("deliver"):
            if self._stopping:
                await message.nack(requeue=True)
                return
            try:
                key = from_message(message.body, message.headers)
            except Undecodable as error:
                await message.reject(requeue=False)
                self._on_undecodable(topic, str(error))
                return
            # Not in this task: aiormq cancels its consumer tasks when the channel closes.
            task = asyncio.create_task(_run(handle, topic, key, _Delivery(message)))
            self._running.add(task)
            self._held[topic] += 1
            self._lame_since.pop(topic, None)
            task.add_done_callback(partial(self._ended, topic))

    def _ended(self, topic: str, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._held[topic] -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logging.getLogger(LOGGER).error("a delivery's handler failed; the message is requeued", exc_info=error)

    async def _detach(self, link: RabbitConnection, topic: str) -> None:
        which = self._channels[topic]
        with suppress(BrokerError):
            async with link.call("unsubscribe", at_most=PARTING):
                if not any((await link.consumers(which)).values()):
                    # Nothing is to be acknowledged by it any more, and it must not be subscribed again.
                    await (await link.channel(which)).close()
                    return
                queue = await link.broker.config.declarer.declare_queue(self._topology.queue(topic), channel=which)
                for tag in await link.consumers(which):
                    await queue.cancel(tag)


async def _parsed(message: IncomingMessage) -> RabbitMessage:
    # FastStream's own parser would make up a correlation id for each.
    return RabbitMessage(message, message.body, headers=message.headers, correlation_id=message.message_id)


async def _whole(message: RabbitMessage) -> RabbitMessage:
    return message


async def _run(handle: Handle, topic: str, key: TaskKey, delivery: _Delivery) -> None:
    try:
        await handle(topic, key, delivery)
    finally:
        with suppress(BrokerError):
            await delivery.requeue()
