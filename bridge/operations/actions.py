"""The actions on a task, and the reason where one is not possible: pages disable it by that reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bridge.domain.errors import TaskConflict
from bridge.domain.messages import Message, message
from bridge.domain.task import State, Task


class Action(StrEnum):
    """An action of a person on a task."""

    RETRY = "retry"
    RETRY_AT = "retry_at"
    EDIT = "edit"
    SET_RETRIES = "set_retries"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """The task as its page showed it when a person decided; fields that are None are not compared."""

    state: State
    epoch: int
    updated_at: datetime | None = None

    @classmethod
    def of(cls, task: Task) -> ShownVersion:
        return cls(task.state, task.epoch, task.updated_at)

    def check(self, task: Task) -> None:
        """Raise `TaskConflict` with the change, if the task is no longer as it was shown."""
        if task.state is not self.state:
            change = message("task.change.state", before=self.state, now=task.state)
        elif task.epoch != self.epoch:
            change = message("task.change.epoch", now=task.state)
        elif self.updated_at is not None and task.updated_at != self.updated_at:
            change = message("task.change.moment", at=task.updated_at.isoformat(timespec="seconds"))
        else:
            return
        raise TaskConflict(message("task.changed", task=task.id, change=change))


RETRY_REASONS: Final[Mapping[State, Message]] = {
    State.RECEIVED: message("task.reason.received"),
    State.QUEUED: message("task.reason.queued"),
    State.RUNNING: message("task.reason.running"),
    State.REPORTING: message("task.reason.reporting"),
    State.RETRYING: message("task.reason.retrying"),
    State.COMPLETED: message("task.reason.completed"),
    State.CANCELLED: message("task.reason.cancelled"),
    State.UNKNOWN: message("task.reason.unknown"),
    State.SUPERSEDED: message("task.reason.superseded"),
}
_RELEASE_REASONS: Final[Mapping[State, Message]] = {
    **dict.fromkeys(
        (State.RECEIVED, State.QUEUED, State.RUNNING, State.REPORTING),
        message("task.reason.locked_here"),
    ),
    State.FAILED: message("task.reason.no_retries"),
    State.COMPLETED: RETRY_REASONS[State.COMPLETED],
    State.CANCELLED: RETRY_REASONS[State.CANCELLED],
    State.UNKNOWN: RETRY_REASONS[State.UNKNOWN],
}
_REFUSALS: Final[Mapping[Action, str]] = {
    Action.RETRY: "task.cannot_retry",
    Action.RETRY_AT: "task.cannot_retry",
    Action.EDIT: "task.cannot_edit",
    Action.SET_RETRIES: "task.cannot_set_retries",
    Action.RELEASE: "task.cannot_release",
}


def reason_against(action: Action, task: Task) -> Message | None:
    """Return why the action is not possible in the task's state; None if it is."""
    match action:
        case Action.RELEASE:
            return _RELEASE_REASONS.get(task.state)
        case Action.SET_RETRIES if task.state is State.RETRYING:
            return None
        case Action.EDIT if task.state is State.FAILED and task.process_instance_id is None:
            return message("task.reason.no_instance")
        case _:
            return RETRY_REASONS.get(task.state)


def reasons(task: Task) -> Mapping[Action, Message | None]:
    """Return for every action why it is not possible in the task's state, or None."""
    return {action: reason_against(action, task) for action in Action}


def check(action: Action, task: Task, shown: ShownVersion | None) -> None:
    """Raise `TaskConflict` if the task is no longer as it was shown, or the action is not possible."""
    if shown is not None:
        shown.check(task)
    reason = reason_against(action, task)
    if reason is not None:
        raise TaskConflict(message(_REFUSALS[action], task=task.id, reason=reason))
