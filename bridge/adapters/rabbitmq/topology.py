"""The exchanges and queues, declared alike by publishers and consumers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote

from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.abc import AbstractChannel

from bridge.domain.errors import QueueMismatch, SetupError
from bridge.domain.messages import message

_LONGEST: Final = 255
"""How many bytes a name of the broker may have (AMQP 0-9-1, "short string")."""
_LEAST_ROOM: Final = 50
_INEQUIVALENT: Final = re.compile(r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>\w+) '(?P<name>[^']+)'")


@dataclass(frozen=True, slots=True)
class QueueRules:
    """What every topic's queue is declared with. RabbitMQ refuses another declaration of a queue that exists.

    `consumer_timeout` is how long a delivery may stay unacknowledged before RabbitMQ (3.12+) closes its channel. It
    is one value for all topics, above any topic's timeout, so that changing a topic's timeout changes no queue.
    `delivery_limit` counts requeues and lost consumers; attempts are counted on the task. Dead letters are kept up to
    `dead_limit`, the newest: the tasks themselves are in the store.
    """

    consumer_timeout: timedelta = timedelta(hours=24)
    delivery_limit: int = 50
    dead_limit: int = 100_000

    def check(self, topic: str, timeout: timedelta | None) -> None:
        """Raise `SetupError` for a topic that may run longer than its delivery may stay unacknowledged."""
        if timeout is not None and timeout >= self.consumer_timeout:
            raise SetupError(
                f"topic {topic!r}: its timeout of {timeout.total_seconds():g} s must be below the"
                f" {self.consumer_timeout.total_seconds():g} s after which RabbitMQ takes a delivery back"
            )


@dataclass(frozen=True, slots=True)
class Topology:
    """The names and arguments that follow from the exchange's name and the rules."""

    name: str
    rules: QueueRules = QueueRules()

    def __post_init__(self) -> None:
        if self._limit < _LEAST_ROOM:
            raise SetupError(f"RABBITMQ_EXCHANGE is too long: with it no queue has a name of {_LONGEST} bytes at most")

    @property
    def dead(self) -> str:
        """The name of the dead letters' exchange and queue."""
        return f"{self.name}.dead"

    def queue_name(self, topic: str) -> str:
        """Return the name of the topic's queue: EXCHANGE.TOPIC, the topic as in `routing_key`."""
        return f"{self.name}.{self.routing_key(topic)}"

    def routing_key(self, topic: str) -> str:
        """Return the topic as names of the broker have it, each topic another.

        Letters, digits and `_ . : -` stay; any other sign is encoded as in a URL, but by `+`, as the client lets no `%`
        into a queue's name. What is then longer than a name may be keeps its beginning, and gets its hash after a `+@`,
        which no encoding has.
        """
        quoted = _quoted(topic)
        if len(quoted) <= self._limit:
            return quoted
        mark = f"+@{hashlib.sha256(topic.encode()).hexdigest()[:32]}"
        return quoted[: self._limit - len(mark)] + mark

    def repair_lock(self, topic: str) -> str:
        """Return the name of the queue that a connection has to itself while it repairs the topic's."""
        return f"{self.name}.@repair-{hashlib.sha256(topic.encode()).hexdigest()[:32]}"

    @property
    def _limit(self) -> int:
        """How many bytes of a queue's name are left for the topic."""
        return _LONGEST - len(f"{self.name}.".encode())

    @property
    def dead_arguments(self) -> dict[str, Any]:
        """What the dead letters' queue is declared with."""
        return {"x-queue-type": "quorum", "x-max-length": self.rules.dead_limit, "x-overflow": "drop-head"}

    def arguments(self) -> dict[str, Any]:
        """Return what a topic's queue is declared with."""
        return {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": self.dead,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": self.rules.delivery_limit,
            "x-consumer-timeout": int(self.rules.consumer_timeout.total_seconds() * 1000),
        }

    async def declare(self, channel: AbstractChannel, name: str) -> None:
        """Declare and bind the queue of this name, a topic's or the dead letters', with the exchanges that it needs."""
        with refused():
            await channel.exchange_declare(self.dead, exchange_type="fanout", durable=True)
            if name == self.dead:
                await channel.queue_declare(name, durable=True, arguments=self.dead_arguments)
                await channel.queue_bind(name, self.dead)
                return
            await channel.exchange_declare(self.name, exchange_type="direct", durable=True)
            await channel.queue_declare(name, durable=True, arguments=self.arguments())
            await channel.queue_bind(name, self.name, routing_key=name.removeprefix(f"{self.name}."))


def topic_of(routing_key: str) -> str:
    """Return the topic that a routing key names; of one that was too long only what is left of it."""
    return unquote(routing_key.replace("+", "%"))


@lru_cache(maxsize=1024)
def _quoted(topic: str) -> str:
    # A topic of the name of the dead letters' queue would be that queue.
    return "+64ead" if topic == "dead" else quote(topic, safe=":").replace("~", "%7E").replace("%", "+")


@contextmanager
def refused() -> Iterator[None]:
    """Turn RabbitMQ's refusal of another declaration into a `QueueMismatch` that says how to migrate."""
    try:
        yield
    except ChannelPreconditionFailed as error:
        text = " ".join(str(part) for part in error.args)
        found = _INEQUIVALENT.search(text)
        if found is None:
            raise QueueMismatch(message("broker.declaration_refused", error=text)) from error
        kind, name = found["kind"], found["name"]
        said = message("broker.other_arguments", kind=kind, name=name, argument=found["argument"], error=text)
        raise QueueMismatch(said) from error
