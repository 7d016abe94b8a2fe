"""A trial delivery: one message by the exchange to a queue that is this connection's own, and is gone with it."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import uuid4

from bridge.adapters.rabbitmq.connection import RabbitConnection
from bridge.adapters.rabbitmq.topology import Topology, refused

_WITHIN: Final = 5.0
_BODY: Final = b"trial"


async def try_delivery(link: RabbitConnection, topology: Topology) -> None:
    """Declare, bind, publish, consume and acknowledge as the gateway does; no topic's queue is touched.

    Raises `BrokerUnavailable`, which tells what RabbitMQ refused, or that the message did not come, and
    `QueueMismatch` where the exchange is of another type.
    """
    name = f"{topology.name}.trial-{uuid4().hex}"
    came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with link.ask("trial delivery") as channel:

        async def take(message: Any) -> None:
            await channel.basic_ack(message.delivery.delivery_tag)
            if not came.done():
                came.set_result(None)

        with refused():
            await channel.exchange_declare(topology.name, exchange_type="direct", durable=True)
        await channel.queue_declare(name, exclusive=True, auto_delete=True)
        await channel.queue_bind(name, topology.name, routing_key=name)
        await channel.basic_consume(name, take)
        await channel.basic_publish(_BODY, exchange=topology.name, routing_key=name)
        async with asyncio.timeout(_WITHIN):
            await came
