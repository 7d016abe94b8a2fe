"""Reads the queue of dead letters, so that messages that the broker gave up are handled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.adapters.rabbitmq.connection import RabbitConnection
from bridge.adapters.rabbitmq.messages import BODY_LIMIT, Undecodable, from_message
from bridge.adapters.rabbitmq.topology import Topology, topic_of
from bridge.domain.dead_letter import DeadMessage
from bridge.domain.topic import NAME_LIMIT
from bridge.ports.dead_letters import Examination

_REASON_LIMIT: Final = 200
_OPERATION: Final = "dead letters"


class RabbitDeadLetters:
    """`bridge.ports.DeadLetters` on RabbitMQ, over the connection of a publisher."""

    def __init__(self, link: RabbitConnection, topology: Topology) -> None:
        self._link = link
        self._queue = topology.dead

    async def take(self, limit: int, examine: Examination) -> int:
        """As the port says; what was not acknowledged when the connection breaks comes again.

        Raises `BrokerUnavailable`, and what `examine` raises; only RabbitMQ's own calls are bounded by its timeout.
        """
        taken = 0
        async with self._link.own_channel(_OPERATION) as channel:
            while taken < limit:
                async with self._link.call(_OPERATION):
                    message = await channel.basic_get(self._queue)
                if message.delivery_tag is None:
                    break
                await examine(_read(message.body, message.header.properties.headers or {}, message.routing_key or ""))
                async with self._link.call(_OPERATION):
                    await channel.basic_ack(message.delivery_tag)
                taken += 1
        return taken


def _read(body: bytes, headers: Mapping[str, Any], routing_key: str) -> DeadMessage:
    death = _last_death(headers)
    keys = death.get("routing-keys")
    topic = topic_of(str(keys[0]) if isinstance(keys, list) and keys else routing_key)[:NAME_LIMIT]
    try:
        return DeadMessage(topic, str(death.get("reason", "unknown"))[:_REASON_LIMIT], from_message(body, headers))
    except Undecodable as error:
        return DeadMessage(topic, str(error), None, body[:BODY_LIMIT])


def _last_death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    deaths = headers.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths else {}
    return first if isinstance(first, Mapping) else {}
