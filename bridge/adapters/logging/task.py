"""The fields that a log line about a task has."""

from __future__ import annotations

from typing import Any

from bridge.domain.task import Task
from bridge.domain.trace_context import trace_id


def task_fields(task: Task) -> dict[str, Any]:
    """Return the fields of a log line about a task; those without a value are left out."""
    fields: dict[str, Any] = {"task_id": task.id, "topic": task.topic}
    if task.business_key is not None:
        fields["business_key"] = task.business_key
    if task.process_instance_id is not None:
        fields["process_instance_id"] = task.process_instance_id
    fields["epoch"] = task.epoch
    fields["attempt"] = task.attempts
    fields["state"] = task.state.value
    found = trace_id(task.trace)
    if found is not None:
        fields["trace_id"] = found
    return fields
