"""A message on RabbitMQ: the task's id, its lease's epoch and its trace; no data of the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from aio_pika import DeliveryMode
from aiormq import spec

from bridge.adapters.rabbitmq.frames import UNREADABLE_PROPERTIES
from bridge.domain.task import ID_LIMIT, TaskKey

TRACE_HEADER: Final = "traceparent"
BODY_LIMIT: Final = 4_000
"""How many bytes a message of ours has at most, and how many are kept of one that can't be read."""
_LONGEST_EPOCH: Final = 2**63 - 1
_LONGEST_TRACE: Final = 512
_DEATH: Final[Mapping[str, type]] = {"queue": str, "reason": str, "exchange": str, "count": int, "routing-keys": list}
"""What RabbitMQ's entries in `x-death` have, each of its type."""


class Undecodable(Exception):
    """A message that isn't one of ours; the text says why, without its content."""


def to_message(key: TaskKey) -> tuple[bytes, spec.Basic.Properties]:
    """Write a key as a persistent message: its body and its properties."""
    properties = spec.Basic.Properties(
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT.value,
        message_id=f"{key.id}:{key.epoch}",
        headers=None if key.trace is None else {TRACE_HEADER: key.trace},
    )
    return orjson.dumps({"id": key.id, "epoch": key.epoch}), properties


def from_message(body: bytes, headers: Mapping[str, Any]) -> TaskKey:
    """Read a key; raise `Undecodable` for what `to_message` can't have written. A strange trace is left out.

    As well for an `x-death` that RabbitMQ has not written: where it dead-letters such a message itself, as after too
    many deliveries, the process that does so for the node dies of it, again and again (seen with 3.10).
    """
    if UNREADABLE_PROPERTIES in headers:
        raise Undecodable(f"its properties can't be decoded: {headers[UNREADABLE_PROPERTIES]}")
    if not _is_of_rabbitmq(headers.get("x-death", [])):
        raise Undecodable("its x-death header is not RabbitMQ's own")
    if len(body) > BODY_LIMIT:
        raise Undecodable(f"the body has {len(body)} bytes")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Undecodable("the body is not JSON") from None
    if not isinstance(content, dict):
        raise Undecodable("the body is not a JSON object")
    task_id, epoch = content.get("id"), content.get("epoch")
    if not isinstance(task_id, str) or not task_id:
        raise Undecodable("the body has no id")
    if len(task_id) > ID_LIMIT:
        raise Undecodable(f"the body has an id of {len(task_id)} characters")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 < epoch <= _LONGEST_EPOCH:
        raise Undecodable("the body has no epoch")
    trace = headers.get(TRACE_HEADER)
    return TaskKey(task_id, epoch, trace if isinstance(trace, str) and len(trace) <= _LONGEST_TRACE else None)


def _is_of_rabbitmq(deaths: object) -> bool:
    """Return whether this is an `x-death` header as RabbitMQ writes it."""
    return isinstance(deaths, list) and all(
        isinstance(death, Mapping) and all(isinstance(death.get(name), kind) for name, kind in _DEATH.items())
        for death in deaths
    )
