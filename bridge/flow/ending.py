"""Looks back at a task that the engine no longer has: what the engine's history tells of how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from bridge.errors import EngineRejected
from bridge.ports import Engine, EngineActivity, EngineLogEntry
from bridge.task import BpmnFault, Completion, Failure, Outcome, Task

GONE: Final = "the task is gone from the engine"
FAILURE_AS_ERROR: Final = "the model's errorEventDefinition turned this failure into a BPMN error"
UNTOLD: Final = (
    "the task ended in the engine, and whether with this outcome can't be told: the engine's history has nothing of it "
    "(history level none, cleaned up, or the gateway's user has no READ_HISTORY)"
)
INTERRUPTED: Final = (
    "the task ended in the engine, and whether with this outcome can't be told: its activity was interrupted, by a "
    "BPMN error or by a cancellation (history level full tells more)"
)
BY_SOMEBODY: Final = (
    "the task ended in the engine, and whether with this outcome can't be told: its activity was completed after our "
    "lock had run out (history level full tells by whom)"
)


class How(Enum):
    """How a task ended."""

    BY_US = "by us"
    OTHERWISE = "otherwise"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended, and what is to be said of that."""

    how: How
    why: str | None = None


_OURS: Final = Ending(How.BY_US)
_AS_ERROR: Final = Ending(How.BY_US, FAILURE_AS_ERROR)


async def look_back(engine: Engine, task: Task, outcome: Outcome) -> Ending:
    """Tell whether `outcome` ended the task, the engine's answer having been lost.

    First by the external task log, which history level `full` keeps; then by the activity's history, from level
    `activity` on. What the engine refuses to tell is untold. Raises `EngineUnavailable`.
    """
    try:
        log = await engine.history(task.id)
    except EngineRejected:
        log = ()
    if log and (log[-1].succeeded or log[-1].deleted):
        return _by_log(log[-1], task, outcome)
    activity = None
    if task.activity_instance_id is not None:
        try:
            activity = await engine.activity(task.activity_instance_id)
        except EngineRejected:
            activity = None
    return Ending(How.UNTOLD, UNTOLD) if activity is None else _by_activity(activity, task, outcome)


def _by_log(last: EngineLogEntry, task: Task, outcome: Outcome) -> Ending:
    if last.worker_id != task.worker_id:
        return Ending(How.OTHERWISE, GONE)
    if last.succeeded:
        return _OURS
    match outcome:
        case BpmnFault():
            # The engine logs a thrown BPMN error only as a deletion by whoever held the lock.
            return _OURS
        case Failure(retries=retries) if last.retries != retries:
            # It was deleted in place of the failure: one that is taken sets the retries first.
            return _AS_ERROR
        case _:
            return Ending(How.OTHERWISE, GONE)


def _by_activity(activity: EngineActivity, task: Task, outcome: Outcome) -> Ending:
    """Tell by the activity, whose history doesn't say who ended it: while our lock held it was nobody else."""
    if activity.cancelled:
        return Ending(How.OTHERWISE, GONE) if isinstance(outcome, Completion) else Ending(How.UNTOLD, INTERRUPTED)
    if activity.ended_at is None or activity.ended_at > task.lease_until:
        return Ending(How.UNTOLD, BY_SOMEBODY)
    return _AS_ERROR if isinstance(outcome, Failure) else _OURS
