"""All that a file in `topics/` imports from the gateway.

from bridge.topic import topic, Context, Retry, Fail, BpmnError

@topic("charge_card", timeout=30, concurrency=8, retries=3)
async def charge_card(order: Order, context: Context) -> Receipt: ...
"""

from __future__ import annotations

from bridge.domain.results import CamundaType, Local, LocalResult, Transient, Variable
from bridge.domain.signals import BpmnError, Fail, Retry
from bridge.domain.topic import Context, File, Log, Topic, topic

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
