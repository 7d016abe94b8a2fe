"""A publisher that may write to RabbitMQ, and means no good: bodies, headers and properties that no gateway writes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aio_pika
import orjson
from aiormq import spec


@dataclass(frozen=True, slots=True)
class Hostile:
    """A message. `properties` are the bytes of its flags and properties, where no library would write them.

    `reason` is part of why it can't be read; one that `is_readable` is worked as if it were ours.
    """

    name: str
    body: bytes
    headers: Mapping[str, Any] = field(default_factory=dict)
    properties: bytes | None = None
    reason: str = ""
    is_readable: bool = False

    def __str__(self) -> str:
        return self.name


_TASK: Final = orjson.dumps({"id": "task", "epoch": 3})
# The flags of properties, by bit (AMQP 0-9-1, 4.2.6.1): content type 15, headers 13, timestamp 6.
_HEADERS, _TIMESTAMP, _TYPE = 1 << 13, 1 << 6, 1 << 15
_UNDECODABLE: Final = "properties can't be decoded"


def _table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


def _flags(*flags: int) -> bytes:
    return struct.pack(">H", sum(flags))


def _nested(depth: int) -> bytes:
    table = b""
    for _ in range(depth):
        table = b"\x01tF" + _table(table)
    return _table(table)


HOSTILE: Final = (
    Hostile("a timestamp beyond the calendar", _TASK, properties=_flags(_TIMESTAMP) + b"\xff" * 8, reason=_UNDECODABLE),
    Hostile(
        "a header with such a timestamp", _TASK,
        properties=_flags(_HEADERS) + _table(b"\x01tT" + b"\xff" * 8), reason=_UNDECODABLE,
    ),
    Hostile(
        "a header's name that is not UTF-8", _TASK,
        properties=_flags(_HEADERS) + _table(b"\x02\xff\xfet\x01"), reason=_UNDECODABLE,
    ),
    Hostile("headers in headers, a thousand deep", _TASK, properties=_flags(_HEADERS) + _nested(1000),
            reason=_UNDECODABLE),
    Hostile("a content type that is not UTF-8", _TASK, properties=_flags(_TYPE) + b"\x02\xff\xfe", is_readable=True),
    Hostile("a number for x-death", _TASK, {"x-death": 5}, reason="x-death"),
    Hostile("a number in x-death", _TASK, {"x-death": [5]}, reason="x-death"),
    Hostile("an empty entry in x-death", _TASK, {"x-death": [{}]}, reason="x-death"),
    Hostile("a number for a queue in x-death", _TASK, {"x-death": [{"queue": 5, "reason": "rejected"}]},
            reason="x-death"),
    Hostile("a trace that is a table", _TASK, {"traceparent": {"a": [1]}}, is_readable=True),
    Hostile("a trace of 100 kB", _TASK, {"traceparent": "0" * 100_000}, is_readable=True),
)  # fmt: skip


class _Properties(spec.Basic.Properties):
    """Properties that are written as they are."""

    def __init__(self, written: bytes) -> None:
        super().__init__()
        self.written = written

    def marshal(self) -> bytes:
        return self.written


async def publish_hostile(
    exchange: str,
    message: Hostile,
    channel: aio_pika.abc.AbstractChannel,
    *,
    routing_key: str = "alpha",
    to_the_dead: bool = False,
) -> None:
    """Send it to a topic's queue, or to the dead letters."""
    raw = await channel.get_underlay_channel()
    properties = (
        spec.Basic.Properties(headers=dict(message.headers) or None)
        if message.properties is None
        else _Properties(message.properties)
    )
    where = f"{exchange}.dead" if to_the_dead else exchange
    await raw.basic_publish(message.body, exchange=where, routing_key=routing_key, properties=properties)
