"""What spans say of a task, of the engine's calls, and of how a task ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.adapters.telemetry.spans import Attributes
from bridge.domain.lifecycle import Event
from bridge.domain.redaction import mask_text
from bridge.domain.submission import Submission
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, Task
from bridge.domain.trace_context import VARIABLE

OPERATIONS: Final[Mapping[type[Outcome], str]] = {Completion: "complete", Failure: "fail", BpmnFault: "bpmn_error"}
RESULTS: Final[Mapping[Event, str]] = {
    Event.DELIVERED_COMPLETION: "completed",
    Event.ENDED_BY_US: "completed",
    Event.DELIVERED_INCIDENT: "failed",
    Event.UNDELIVERABLE: "failed",
    Event.EXHAUSTED: "failed",
    Event.SUPERSEDE: "superseded",
    Event.GONE: "cancelled",
    Event.END_UNKNOWN: "unknown",
}


def trace_given_by(submission: Submission) -> str | None:
    """Return the trace that a submission carries among its variables, plain or in the engine's form."""
    given = submission.variables.get(VARIABLE)
    value = given.get("value") if isinstance(given, Mapping) else given
    return value if isinstance(value, str) else None


def describe(task: Task) -> Attributes:
    """Return what a task is searched by: on its own span, and on those of faults, which may be written hours before."""
    found: Attributes = {"task.id": task.id, "task.topic": task.topic}
    if task.epoch > 1:
        found["task.epoch"] = task.epoch
    if task.business_key:
        found["task.business_key"] = mask_text(task.business_key)
    if task.process_instance_id is not None:
        found["process.instance.id"] = task.process_instance_id
    return found
