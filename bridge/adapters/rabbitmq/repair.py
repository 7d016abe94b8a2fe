"""A queue that is out of order, and how it is rebuilt."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from bridge.adapters.rabbitmq.connection import LOGGER, RabbitConnection
from bridge.adapters.rabbitmq.topology import Topology

DELETED_FOR: Final = 1.0
"""Seconds between deleting a queue and declaring it anew: RabbitMQ 3.10 tells a consumer of a deletion only when the
queue stays away for more than about 50 ms. Else it goes on counting messages as delivered to it, and sends none."""
DELETION: Final = 15.0
"""Seconds that a deletion has at least, however short other calls are bounded.

RabbitMQ looks for the leader of a quorum queue for 5 s before it deletes one without. A second deletion that is asked
for meanwhile meets the queue that was declared anew, and so the supervisor of RabbitMQ 3.10's dead letters ended once:
no queue of that node took a message then, until the node was started again.
"""


async def redeclare(link: RabbitConnection, topology: Topology, topic: str) -> None:
    """Delete the topic's queue with all its messages, and declare it anew; raises as `RabbitConnection.ask` does."""
    name, operation = topology.queue_name(topic), f"repair of {topic}"
    logging.getLogger(LOGGER).warning("queue %s is out of order: it is deleted, and declared anew", name)
    async with link.own_channel(operation) as channel, link.call(operation, at_least=DELETION):
        await channel.queue_delete(name)
    await asyncio.sleep(DELETED_FOR)
    async with link.ask(operation) as channel:
        await topology.declare(channel, name)
