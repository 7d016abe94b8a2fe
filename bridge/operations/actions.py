"""What a person may do to a task, and why not. Pure: pages disable an action by the reason that would refuse it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bridge.domain.errors import TaskConflict
from bridge.domain.task import State, Task


class Action(StrEnum):
    """What can be done to a task."""

    RETRY = "retry"
    RETRY_AT = "retry_at"
    EDIT = "edit"
    SET_RETRIES = "set_retries"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """The task as its page showed it when a person decided; what is None is not compared."""

    state: State
    epoch: int
    updated_at: datetime | None = None

    @classmethod
    def of(cls, task: Task) -> ShownVersion:
        return cls(task.state, task.epoch, task.updated_at)

    def check(self, task: Task) -> None:
        """Raise `TaskConflict` saying what changed, if the task is no longer what was shown."""
        if task.state is not self.state:
            change = f"it was {self.state} and is {task.state} now"
        elif task.epoch != self.epoch:
            change = f"it was fetched again, and is {task.state} once more"
        elif self.updated_at is not None and task.updated_at != self.updated_at:
            change = f"it changed at {task.updated_at.isoformat(timespec='seconds')}"
        else:
            return
        raise TaskConflict(f"task {task.id} is not as it was shown: {change}; look at it again")


RETRY_REASONS: Final[Mapping[State, str]] = {
    State.RECEIVED: "it waits to be published and will be worked without that",
    State.QUEUED: "it waits in its topic's queue and will be worked without that",
    State.RUNNING: "its handler runs now: wait for its outcome",
    State.REPORTING: "its outcome is on its way to the engine: wait for that",
    State.RETRYING: "it is going to be tried again without that",
    State.COMPLETED: "it is completed",
    State.CANCELLED: "it is gone from the engine",
    State.UNKNOWN: "it ended in the engine",
    State.SUPERSEDED: "another worker holds it: retry it there, or wait until its lock ends",
}
_RELEASE_REASONS: Final[Mapping[State, str]] = {
    **dict.fromkeys(
        (State.RECEIVED, State.QUEUED, State.RUNNING, State.REPORTING),
        "the gateway itself works under its lock: without it another worker would do the same work again",
    ),
    State.FAILED: "it has no retries left, so nobody is kept from it by a lock: retry it",
    State.COMPLETED: RETRY_REASONS[State.COMPLETED],
    State.CANCELLED: RETRY_REASONS[State.CANCELLED],
    State.UNKNOWN: RETRY_REASONS[State.UNKNOWN],
}
_VERBS: Final[Mapping[Action, str]] = {
    Action.RETRY: "be tried again",
    Action.RETRY_AT: "be tried again",
    Action.EDIT: "be tried again with other variables",
    Action.SET_RETRIES: "be given retries",
    Action.RELEASE: "have its lock released",
}


def reason_against(action: Action, task: Task) -> str | None:
    """Return why the action is not possible as the task stands; None if it is."""
    match action:
        case Action.RELEASE:
            return _RELEASE_REASONS.get(task.state)
        case Action.SET_RETRIES if task.state is State.RETRYING:
            return None
        case Action.EDIT if task.state is State.FAILED and task.process_instance_id is None:
            return "the engine named no process instance whose variables could be set"
        case _:
            return RETRY_REASONS.get(task.state)


def reasons(task: Task) -> Mapping[Action, str | None]:
    """Return for every action why it is not possible as the task stands, or None."""
    return {action: reason_against(action, task) for action in Action}


def check(action: Action, task: Task, shown: ShownVersion | None) -> None:
    """Raise `TaskConflict` if the task is no longer what was shown, or the action is not possible."""
    if shown is not None:
        shown.check(task)
    reason = reason_against(action, task)
    if reason is not None:
        raise TaskConflict(f"task {task.id} can't {_VERBS[action]}: {reason}")
