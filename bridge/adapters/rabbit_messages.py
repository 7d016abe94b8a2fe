"""A message on RabbitMQ: which task, under which lease, in which trace; nothing of the task itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from aio_pika import DeliveryMode
from aiormq import spec

from bridge.task import TaskKey

TRACE_HEADER: Final = "traceparent"
_LONGEST_EPOCH: Final = 2**63 - 1


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
    """Read a key; raise `Undecodable` for what `to_message` can't have written. A strange trace is left out."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Undecodable("the body is not JSON") from None
    if not isinstance(content, dict):
        raise Undecodable("the body is not a JSON object")
    task_id, epoch = content.get("id"), content.get("epoch")
    if not isinstance(task_id, str) or not task_id:
        raise Undecodable("the body has no id")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 < epoch <= _LONGEST_EPOCH:
        raise Undecodable("the body has no epoch")
    trace = headers.get(TRACE_HEADER)
    return TaskKey(task_id, epoch, trace if isinstance(trace, str) else None)
