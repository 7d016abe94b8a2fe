"""What of a failure is kept on its task, so that failures of one cause can be found together."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from bridge.fingerprint import cause_of
from bridge.task import Failure, Outcome, Task
from bridge.topic import Topic


def cause_fields(topic: Topic[Any, Any] | None, task: Task, outcome: Outcome) -> dict[str, Any]:
    """Return the fields of a task that an outcome changes; none where it succeeded and had never failed."""
    if not isinstance(outcome, Failure):
        return {} if task.error_fp is None else {"error_type": None, "error_fp": None}
    code = None if topic is None else getattr(topic.handler, "__code__", None)
    own = None if code is None else str(PurePath(code.co_filename).parent)
    cause = cause_of(task.topic, outcome.name, outcome.message, outcome.details, own)
    return {"error_type": cause.error, "error_fp": cause.fingerprint}
