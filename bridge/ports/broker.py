"""The broker: publish and consume. Two adapters, `rabbitmq` and `memory`, pass the same tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.domain.messages import Message
from bridge.domain.task import TaskKey


@dataclass(frozen=True, slots=True)
class Depth:
    """A topic's queue: messages ready to be delivered, and consumers attached."""

    ready: int
    consumers: int


class Publisher(Protocol):
    """The publishing side of the broker."""

    async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
        """Publish each key persistently and wait for its confirm; return the error of each that got none."""
        ...

    async def depth(self, topic: str) -> Depth: ...

    async def depths(self, topics: Sequence[str]) -> Mapping[str, Depth]:
        """Return the depths of many topics at once; one without a queue, or whose queue doesn't answer, is left out."""
        ...

    def faults(self) -> Mapping[str, Message]:
        """Return why topics' queues can't be published to now, by topic; each text names the queue."""
        ...


class Acknowledger(Protocol):
    """Ends a delivery: acknowledges or requeues it."""

    async def ack(self) -> None: ...

    async def requeue(self) -> None: ...


Handle = Callable[[str, TaskKey, Acknowledger], Awaitable[None]]


class Consumer(Protocol):
    """The consuming side of the broker: one subscriber a topic, each with its own prefetch."""

    async def start(self, handle: Handle) -> None:
        """Attach every topic; a topic that fails is attached later by itself. Raises where no topic can be attached."""
        ...

    async def stop(self) -> None:
        """Stop taking messages; those already being handled go on."""
        ...

    async def consuming(self) -> Mapping[str, bool]:
        """Return for each topic whether its subscriber is attached now."""
        ...

    def faults(self) -> Mapping[str, Message]:
        """Return why topics' subscribers are not attached, by topic; each text names the queue."""
        ...
