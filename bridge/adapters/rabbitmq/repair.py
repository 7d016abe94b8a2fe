"""A queue that is out of order, and how it is rebuilt."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiormq.exceptions import ChannelLockedResource

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
    """Delete the topic's queue with all its messages, and declare it anew, unless another connection is about it.

    Raises as `RabbitConnection.ask` does.
    """
    log, name, operation = logging.getLogger(LOGGER), topology.queue_name(topic), f"repair of {topic}"
    if not await _lock(link, topology.repair_lock(topic), operation):
        log.info("queue %s is out of order: another process declares it anew, or did so just now", name)
        return
    log.warning("queue %s is out of order: it is deleted, and declared anew", name)
    async with link.own_channel(operation) as channel, link.call(operation, at_least=DELETION):
        await channel.queue_delete(name)
    await asyncio.sleep(DELETED_FOR)
    async with link.ask(operation) as channel:
        await topology.declare(channel, name)


async def _lock(link: RabbitConnection, lock: str, operation: str) -> bool:
    """Return whether this connection has the lock: an exclusive queue, which ends with the connection or by itself.

    All processes see the same queue out of order at about the same time. The lock outlives the repair by the time of a
    publish, as one that began before tells nothing of the new queue.
    """
    held_for = max(DELETION, link.timeout) + DELETED_FOR + 2 * link.timeout
    async with link.ask(operation) as channel:
        try:
            await channel.queue_declare(lock, exclusive=True, arguments={"x-expires": round(held_for * 1000)})
        except ChannelLockedResource:
            return False
    return True
