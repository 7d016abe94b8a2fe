"""All that a file in `topics/` imports from the gateway.

from bridge.topic import topic, Context, Retry, Fail, BpmnError

@topic("charge_card", timeout=30, concurrency=8, retries=3)
async def charge_card(order: Order, context: Context) -> Receipt: ...
"""

from __future__ import annotations

from bridge.domain.topic import (
    BpmnError,
    CamundaType,
    Context,
    Fail,
    File,
    Local,
    LocalResult,
    Log,
    Retry,
    Topic,
    Transient,
    Variable,
    topic,
)

__all__ = [
    "BpmnError",
    "CamundaType",
    "Context",
    "Fail",
    "File",
    "Local",
    "LocalResult",
    "Log",
    "Retry",
    "Topic",
    "Transient",
    "Variable",
    "topic",
]
