"""One topic's subscriber on RabbitMQ: attached, and attached again, whatever becomes of the other topics'."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

import aiormq
from aio_pika import IncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitMessage, RabbitQueue

from bridge.adapters.rabbitmq.connection import LOGGER, PARTING, RabbitConnection
from bridge.adapters.rabbitmq.queues import OnFault, declare, pause_after
from bridge.adapters.rabbitmq.repair import redeclare
from bridge.adapters.rabbitmq.topology import Topology
from bridge.domain.errors import BrokerError, BrokerUnavailable, GatewayError, SetupError
from bridge.domain.messages import message

MAX_STALL: Final = 120.0
"""Seconds after which at the latest a consumer that gets nothing is attached again."""


class Subscription:
    """Attaches one topic's subscriber, on a channel of its own, and again whenever that channel or its queue is gone.

    What fails is tried again by itself, after a growing delay; `on_fault` is called each time, and `fault` is the last.
    The queue is declared each time on another channel, as a refusal closes the one that it comes by.

    A subscriber that holds nothing and gets nothing though messages are ready for `stalled_after` seconds, and longer
    each time, is attached on a new channel; after `repair_after` times its queue is deleted and declared again, too
    (None: never), as it is where RabbitMQ leaves as many questions about this queue unanswered.
    """

    def __init__(
        self,
        link: RabbitConnection,
        topology: Topology,
        topic: str,
        prefetch: int,
        deliver: Callable[[RabbitMessage], Awaitable[None]],
        *,
        stalled_after: float,
        repair_after: int | None,
        on_fault: OnFault,
    ) -> None:
        self.held = 0
        self.fault: GatewayError | None = None
        self._link = link
        self._topology = topology
        self._topic = topic
        self._queue = topology.queue_name(topic)
        self._prefetch = prefetch
        self._channel = Channel(prefetch_count=prefetch)
        self._stalled_after = self._stall_limit = stalled_after
        self._repair_after = repair_after
        self._on_fault = on_fault
        # Not robust: aio-pika would subscribe all topics again in one go, and give up at the first that is refused.
        self._subscriber = link.broker.subscriber(
            RabbitQueue(self._queue, declare=False, robust=False, durable=True),
            channel=self._channel,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            parser=_parsed,
            decoder=_whole,
        )
        self._subscriber(deliver)
        self._raw: aiormq.Channel | None = None
        self._watched = self._stopped = False
        self._attaching: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._silent = self._renewals = 0
        self._stalled_since: float | None = None

    @property
    def attached(self) -> bool:
        """Whether RabbitMQ has the subscription, as far as is known."""
        raw = self._raw
        return self._link.connected and raw is not None and not raw.is_closed and bool(raw.consumers)

    async def begin(self) -> None:
        """Attach, and go on trying; return after the first time, whatever came of it."""
        self._start(self._keep_attaching)
        await self._tried.wait()

    async def detach(self) -> None:
        """Take no more messages, and don't come back; what was delivered can still be acknowledged."""
        self._stopped = True
        if self._attaching is not None:
            self._attaching.cancel()
            await asyncio.gather(self._attaching, return_exceptions=True)
        raw = self._raw
        if raw is None or raw.is_closed:
            return
        with suppress(BrokerError):
            async with self._link.call(f"unsubscribe from queue {self._queue}", at_most=PARTING):
                for tag in tuple(raw.consumers):
                    await raw.basic_cancel(tag)

    async def check(self) -> bool:
        """Return whether messages come; begin to attach again where none have come for long though some are ready."""
        if not self.attached:
            self._stalled_since = None
            if self._link.connected:
                self._start(self._keep_attaching)
            return False
        try:
            stalled = await self._is_stalled()
        except BrokerError:
            return False
        if not stalled:
            self._stalled_since, self._stall_limit, self._renewals = None, self._stalled_after, 0
            return True
        now = asyncio.get_running_loop().time()
        if self._stalled_since is None:
            self._stalled_since = now
        if now - self._stalled_since < self._stall_limit:
            return True
        self._stalled_since, self._stall_limit = None, min(2 * self._stall_limit, MAX_STALL)
        self._renewals += 1
        logging.getLogger(LOGGER).warning("RabbitMQ delivers nothing of queue %s: attaching anew", self._queue)
        self._start(partial(self._attach_anew, repair=self._is_beyond(self._renewals)))
        return False

    def delivered(self) -> None:
        """Know that a message came."""
        self.held += 1
        self._stalled_since = None

    async def _is_stalled(self) -> bool:
        if self.held:
            return False
        async with self._link.ask(f"depth of queue {self._queue}") as channel:
            answer = await channel.queue_declare(self._queue, passive=True)
        return bool(answer.message_count) and not self.held

    def _is_beyond(self, times: int) -> bool:
        return self._repair_after is not None and times > self._repair_after

    def _start(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if not self._stopped and (self._attaching is None or self._attaching.done()):
            self._attaching = asyncio.create_task(step())

    async def _attach_anew(self, *, repair: bool) -> None:
        """Let go of the channel, which returns what it holds: RabbitMQ's end may remember what it delivered before."""
        if repair:
            await self._repair()
        raw, self._raw = self._raw, None
        if raw is not None and not raw.is_closed:
            try:
                async with self._link.call(f"leave queue {self._queue}", at_most=PARTING):
                    await raw.close(ChannelInvalidStateError("attached anew"))
            except BrokerError:
                # What it holds stays with it as long as the connection does.
                self._link.renew()
        await self._keep_attaching()

    async def _keep_attaching(self) -> None:
        failures, chance = 0, random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        while not self.attached and not self._stopped:
            try:
                await self._attach()
            except Exception as error:  # noqa: BLE001 - a topic that is not attached again is not worked any more
                failures += 1
                fault = self._failed(error)
                if self._is_beyond(self._silent):
                    self._silent = 0
                    await self._repair()
                await asyncio.sleep(pause_after(failures, fault, chance))
            else:
                self.fault, self._silent = None, 0
                self._tried.set()

    def _failed(self, error: Exception) -> GatewayError:
        unknown = BrokerUnavailable(message("broker.not_subscribed", queue=self._queue, error=repr(error)))
        self.fault = error if isinstance(error, GatewayError) else unknown
        # An outage must not count: the queue that comes back with RabbitMQ is whole.
        silent = self._link.connected and isinstance(error.__cause__, TimeoutError)
        self._silent = self._silent + 1 if silent else 0
        self._on_fault(self._topic, self.fault)
        self._tried.set()
        return self.fault

    async def _attach(self) -> None:
        await declare(self._link, self._topology, self._queue)
        async with self._link.call(f"subscribe to queue {self._queue}"):
            channel = await self._link.channel(self._channel)
            if not self._watched:
                self._watched = True
                channel.reopen_callbacks.add(self._reopened)
            await channel.restore()
            try:
                await channel.set_qos(prefetch_count=self._prefetch)
            except ChannelInvalidStateError:
                # A call on it went unanswered: aiormq has closed it, and aio-pika waits for RabbitMQ to say so, which
                # one that can't close it never does.
                await channel.reopen()
                await channel.set_qos(prefetch_count=self._prefetch)
            raw = cast("aiormq.Channel", await channel.get_underlay_channel())
            raw.on_consumer_cancel_callbacks.add(self._cancelled)
            await self._subscriber.start()
            self._raw = raw

    async def _repair(self) -> None:
        try:
            await redeclare(self._link, self._topology, self._topic)
        except (BrokerError, SetupError) as error:
            self._on_fault(self._topic, error)

    def _reopened(self, _channel: object) -> None:
        self._start(self._keep_attaching)

    def _cancelled(self, _frame: object) -> None:
        self._start(partial(self._attach_anew, repair=False))


async def _parsed(message: IncomingMessage) -> RabbitMessage:
    # FastStream's own parser would make up a correlation id for each.
    return RabbitMessage(message, message.body, headers=message.headers, correlation_id=message.message_id)


async def _whole(message: RabbitMessage) -> RabbitMessage:
    return message
