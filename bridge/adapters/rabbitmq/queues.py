"""The queues that a publisher needs: each is declared on a channel of its own, so that each fails alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Final

from bridge.adapters.rabbitmq.connection import RabbitConnection
from bridge.adapters.rabbitmq.topology import Topology
from bridge.domain.errors import BrokerError, GatewayError, QueueMismatch, SetupError
from bridge.domain.messages import Message
from bridge.runtime.loop import delay_after

FIRST_DELAY: Final = timedelta(milliseconds=200)
MOST_DELAY: Final = timedelta(seconds=5)
MISMATCH_DELAYS: Final = (timedelta(seconds=1), timedelta(seconds=15))
"""The first and the longest for a queue with other arguments: only a person mends it."""

OnFault = Callable[[str, GatewayError], None]
"""Called with the topic, or the dead letters' queue, and the error that names the queue."""


def pause_after(failures: int, error: GatewayError, chance: random.Random) -> float:
    """Return the seconds to wait before a queue is tried again, after so many failures in a row."""
    first, most = MISMATCH_DELAYS if isinstance(error, QueueMismatch) else (FIRST_DELAY, MOST_DELAY)
    return delay_after(failures, first, most, chance).total_seconds()


async def declare(link: RabbitConnection, topology: Topology, queue: str) -> None:
    """Declare and bind one queue; raise `QueueMismatch` or `BrokerUnavailable`, either of which names it."""
    async with link.ask(f"declare queue {queue}") as channel:
        await topology.declare(channel, queue)


class DeclaredQueues:
    """Declares the topics' queues and the dead letters', and again after each new connection.

    One that fails is tried again by itself, after a growing delay, as long as it takes; `on_fault` is called each time.
    """

    def __init__(self, link: RabbitConnection, topology: Topology, topics: Collection[str], on_fault: OnFault) -> None:
        self._link = link
        self._topology = topology
        self._queues = {topic: topology.queue_name(topic) for topic in topics} | {topology.dead: topology.dead}
        self._on_fault = on_fault
        self._missing = set(self._queues)
        self._faults: dict[str, GatewayError] = {}
        self._declaring: asyncio.Task[None] | None = None

    @property
    def faults(self) -> Mapping[str, Message]:
        """Why queues can't be used now, by topic (the dead letters' by its own name)."""
        return {topic: error.message for topic, error in self._faults.items()}

    async def open(self) -> None:
        """Declare all; raise the first topic's error where no topic's queue could be declared."""
        self._missing = set(self._queues)
        await self._declare_missing()
        topics = [topic for topic in self._queues if topic != self._topology.dead]
        if topics and all(topic in self._faults for topic in topics):
            raise self._faults[topics[0]]
        self._begin()

    async def ready(self, topic: str) -> None:
        """Return when the topic's queue stands, or raise why it does not: at once where that is known."""
        if topic in self._faults:
            raise self._faults[topic]
        if topic in self._missing:
            await self._declare(topic)
            if topic in self._faults:
                raise self._faults[topic]

    def renew(self) -> None:
        """Declare all again: they may be gone, with the connection or with RabbitMQ's data."""
        self._missing = set(self._queues)
        self._begin()

    async def close(self) -> None:
        if self._declaring is not None:
            self._declaring.cancel()
            await asyncio.gather(self._declaring, return_exceptions=True)

    def _begin(self) -> None:
        if self._missing and (self._declaring is None or self._declaring.done()):
            self._declaring = asyncio.create_task(self._keep_declaring())

    async def _keep_declaring(self) -> None:
        failures, chance = 0, random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        while self._missing:
            if self._faults:
                failures += 1
                await asyncio.sleep(min(pause_after(failures, error, chance) for error in self._faults.values()))
            await self._declare_missing()

    async def _declare_missing(self) -> None:
        await asyncio.gather(*(self._declare(topic) for topic in tuple(self._missing)))

    async def _declare(self, topic: str) -> None:
        try:
            await declare(self._link, self._topology, self._queues[topic])
        except (BrokerError, SetupError) as error:
            self._faults[topic] = error
            self._on_fault(topic, error)
        else:
            self._missing.discard(topic)
            self._faults.pop(topic, None)
