"""One connection to RabbitMQ by FastStream, with bounded calls and our own errors."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final, cast

import aiormq
import aiormq.abc
from aio_pika import RobustChannel, RobustConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelInvalidStateError, PublishError
from faststream.exceptions import IncorrectState
from faststream.middlewares import AckPolicy
from faststream.rabbit import Channel, RabbitBroker
from faststream.security import BaseSecurity
from yarl import URL

from bridge.adapters.rabbitmq.frames import accept_any_properties
from bridge.domain.errors import BrokerError, BrokerUnavailable, BrokerUnroutable
from bridge.domain.messages import Message, message
from bridge.domain.tls_faults import tls_fault

LOGGER: Final = "bridge.rabbit"
HEARTBEAT: Final = 10
"""Seconds; a broker that is connected and silent is given up after three of them. The URL's own value wins."""
PARTING: Final = 3.0
"""Seconds at most for each step of taking leave of a broker that may not answer."""
RECONNECT_EVERY: Final = 1.0


class _Translation:
    """Raises `BrokerUnroutable` for a returned message, and `BrokerUnavailable` where no clear answer came."""

    # Not by `contextmanager`: each message passes here twice, and a generator costs ten times as much.
    __slots__ = ("_operation",)

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is not None and (ours := _translate(self._operation, error)) is not None:
            raise ours from error


def translated(operation: str) -> _Translation:
    """Return a context that raises the broker's errors as ours."""
    return _Translation(operation)


def _translate(operation: str, error: BaseException) -> BrokerError | None:
    """Return the error as ours; None for one that isn't the broker's."""
    match error:
        case PublishError():
            return BrokerUnroutable(message("broker.not_bound", operation=operation, key=repr(error.args[-1])))
        case TimeoutError():
            return BrokerUnavailable(message("broker.timeout", operation=operation))
        case asyncio.CancelledError():
            # aiormq cancels what waits on a channel that closes; that is no cancellation by our caller.
            task = asyncio.current_task()
            ours = task is None or task.cancelling()
            return None if ours else BrokerUnavailable(message("broker.lost", operation=operation))
        case ChannelInvalidStateError() | IncorrectState():
            is_channel = isinstance(error, ChannelInvalidStateError)
            return BrokerUnavailable(
                message("broker.channel_closed" if is_channel else "broker.disconnected", operation=operation)
            )
    if isinstance(error, CONNECTION_EXCEPTIONS):
        return BrokerUnavailable(_failure(operation, error))
    # aiormq throws this very class, without a word, into what waits on a connection that is closed.
    is_ours = type(error) is Exception
    return BrokerUnavailable(message("broker.connection_closed", operation=operation)) if is_ours else None


def _failure(operation: str, error: BaseException) -> Message:
    if isinstance(error, aiormq.exceptions.InvalidFrameError) and "Connection.OpenOk" in str(error):
        # The client reads no refusal of the virtual host: it keeps nothing of RabbitMQ's text.
        return message("broker.virtual_host", operation=operation)
    fault = tls_fault(str(error), "RABBITMQ")
    kind = type(error).__name__ if fault is None else "TLS"
    return message("broker.failed", operation=operation, kind=kind, error=fault or error)


class RabbitConnection:
    """A FastStream broker whose connection comes back by itself; `open` it before use and `close` it after.

    `timeout` bounds opening and each call made under `call`; closing takes `PARTING` for each of its steps. `tls` is
    for an own CA or a client certificate; an address with amqps:// uses TLS without it, too.
    """

    def __init__(self, url: str, name: str, timeout: timedelta, tls: ssl.SSLContext | None = None) -> None:
        address = URL(url)
        self.timeout = timeout.total_seconds()
        self.broker = RabbitBroker(
            str(address.update_query({"name": name, "heartbeat": HEARTBEAT, **address.query})),
            timeout=self.timeout,
            reconnect_interval=RECONNECT_EVERY,
            default_channel=Channel(publisher_confirms=True, on_return_raises=True),
            ack_policy=AckPolicy.MANUAL,
            apply_types=False,
            security=None if tls is None else BaseSecurity(ssl_context=tls),
            logger=logging.getLogger(LOGGER),
            log_level=logging.DEBUG,
            app_id=None,
        )
        self._connection: RobustConnection | None = None
        self._renewal: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._connection is not None and self._connection.connected.is_set()

    async def open(self) -> None:
        """Connect, or raise `BrokerUnavailable`."""
        accept_any_properties()
        with translated("connect"):
            self._connection = await self.broker.connect()

    async def close(self) -> None:
        """End the connection, whatever state it is in; what is unacknowledged returns to its queue."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._part(self.broker.stop())
        if self._connection is not None and not self._connection.is_closed:
            await self._part(self._connection.close())
        self._connection = None

    async def _part(self, step: Awaitable[None]) -> None:
        try:
            with translated("part"):
                async with asyncio.timeout(min(self.timeout, PARTING)):
                    await step
        except (ExceptionGroup, BrokerUnavailable) as error:
            logging.getLogger(LOGGER).info("the connection to RabbitMQ was not closed in good order: %r", error)

    @asynccontextmanager
    async def call(self, operation: str, at_most: float = math.inf, at_least: float = 0.0) -> AsyncIterator[None]:
        """Bound what is done inside, by `timeout` within these seconds, and translate its errors."""
        with translated(operation):
            async with asyncio.timeout(max(at_least, min(self.timeout, at_most))):
                yield

    async def channel(self, which: Channel | None = None) -> RobustChannel:
        """Return a channel, the default one for None; it is opened at its first use and then reopened by itself."""
        return cast("RobustChannel", await self.broker.config.channel_manager.get_channel(which))

    @asynccontextmanager
    async def ask(self, operation: str) -> AsyncIterator[aiormq.abc.AbstractChannel]:
        """Open a channel of the protocol's own for one question, which `timeout` bounds as a whole."""
        async with self.call(operation), self.own_channel(operation) as channel:
            yield channel

    @asynccontextmanager
    async def own_channel(self, operation: str) -> AsyncIterator[aiormq.abc.AbstractChannel]:
        """Open a channel of the protocol's own: a refusal closes the channel that it answers on.

        Opening it is bounded by `timeout`; what is done inside is not, and makes each of its calls under `call`.
        """
        async with self.call(operation):
            channel = await self._opened_channel()
        try:
            yield channel
        finally:
            # Else what it holds unacknowledged would stay with it as long as the connection.
            if not channel.is_closed:
                await self._part(channel.close())

    async def _opened_channel(self) -> aiormq.abc.AbstractChannel:
        if self._connection is None:
            raise IncorrectState("not open")
        await self._connection.ready()
        transport = self._connection.transport
        if transport is None:
            raise ConnectionError("lost")
        connection = cast("aiormq.Connection", transport.connection)
        # Where its queue is full aiormq drops the acknowledgement of a refusal, and gives the channel's number away
        # again: RabbitMQ sees it opened twice, and ends the connection. What waits there is bounded all the same,
        # by the confirms and the acknowledgements that are due.
        vars(connection.write_queue)["_maxsize"] = 0
        return await connection.channel(publisher_confirms=False)

    def renew(self) -> None:
        """Begin to reconnect, with all channels; not while that is under way."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        with suppress(BrokerUnavailable):
            async with self.call("reconnect"):
                if self._connection is not None:
                    await self._connection.reconnect()
