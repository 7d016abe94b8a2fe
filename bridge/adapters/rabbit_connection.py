"""One connection to RabbitMQ by FastStream, with bounded calls and our own errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Final, cast

import aiormq
from aio_pika import RobustChannel, RobustConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelInvalidStateError, PublishError
from faststream.exceptions import IncorrectState
from faststream.middlewares import AckPolicy
from faststream.rabbit import Channel, RabbitBroker
from yarl import URL

from bridge.errors import BrokerUnavailable, BrokerUnroutable

LOGGER: Final = "bridge.rabbit"
HEARTBEAT: Final = 10
"""Seconds; a broker that is connected and silent is given up after three of them. The URL's own value wins."""
RECONNECT_EVERY: Final = 1.0


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Raise `BrokerUnroutable` for a returned message, and `BrokerUnavailable` where no clear answer came."""
    try:
        yield
    except PublishError as error:
        raise BrokerUnroutable(f"{operation}: no queue is bound for {error.args[-1]!r}") from error
    except TimeoutError as error:
        raise BrokerUnavailable(f"{operation}: RabbitMQ did not answer in time") from error
    except asyncio.CancelledError as error:
        # aiormq cancels what waits on a channel that closes; that isn't our caller's wish to cancel.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailable(f"{operation}: the connection was lost") from error
    except (*CONNECTION_EXCEPTIONS, IncorrectState) as error:
        raise BrokerUnavailable(f"{operation}: {type(error).__name__}: {error}") from error


class RabbitConnection:
    """A FastStream broker whose connection comes back by itself; `open` it before use and `close` it after.

    `timeout` bounds opening, closing and each call made under `call`.
    """

    def __init__(self, url: str, name: str, timeout: timedelta) -> None:
        address = URL(url)
        self.timeout = timeout.total_seconds()
        self.broker = RabbitBroker(
            str(address.update_query({"name": name, "heartbeat": HEARTBEAT, **address.query})),
            timeout=self.timeout,
            reconnect_interval=RECONNECT_EVERY,
            default_channel=Channel(publisher_confirms=True, on_return_raises=True),
            ack_policy=AckPolicy.MANUAL,
            apply_types=False,
            logger=logging.getLogger(LOGGER),
            log_level=logging.DEBUG,
            app_id=None,
        )
        self._connection: RobustConnection | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._connection is not None and self._connection.connected.is_set()

    async def open(self) -> None:
        """Connect, or raise `BrokerUnavailable`."""
        with translated("connect"):
            self._connection = await self.broker.connect()

    async def close(self) -> None:
        """End the connection, whatever state it is in; what is unacknowledged returns to its queue."""
        log = logging.getLogger(LOGGER)
        try:
            async with asyncio.timeout(self.timeout):
                await self.broker.stop()
        except (ExceptionGroup, *CONNECTION_EXCEPTIONS) as error:
            log.info("RabbitMQ connection not closed in good order: %r", error)
        if self._connection is not None and not self._connection.is_closed:
            try:
                async with asyncio.timeout(self.timeout):
                    await self._connection.close()
            except CONNECTION_EXCEPTIONS as error:
                log.info("RabbitMQ connection not closed in good order: %r", error)
        self._connection = None

    @asynccontextmanager
    async def call(self, operation: str) -> AsyncIterator[None]:
        """Bound and translate what is done inside."""
        with translated(operation):
            async with asyncio.timeout(self.timeout):
                yield

    async def channel(self, which: Channel | None = None) -> RobustChannel:
        """Return a channel, the default one for None; it is opened at its first use and then reopened by itself."""
        return cast("RobustChannel", await self.broker.config.channel_manager.get_channel(which))

    async def raw(self, which: Channel) -> aiormq.Channel:
        """Return the protocol's own channel, when it is ready: for questions that aio-pika answers from memory."""
        channel = await self.channel(which)
        await channel.ready()
        return cast("aiormq.Channel", await channel.get_underlay_channel())

    async def consumes(self, which: Channel) -> bool:
        """Tell whether the channel is open and has a consumer that RabbitMQ has not cancelled."""
        if not self.connected:
            return False
        channel = await self.channel(which)
        if channel.is_closed:
            return False
        try:
            raw = cast("aiormq.Channel", await channel.get_underlay_channel())
        except ChannelInvalidStateError:
            return False
        return bool(raw.consumers) and not raw.is_closed
