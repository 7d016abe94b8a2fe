"""A task as its page shows it: its states, its runs, and the possible actions. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from bridge.domain.redaction import mask_start
from bridge.domain.task import Attempt, BpmnFault, Failure, State, Task
from bridge.domain.trace_context import trace_id
from bridge.operations.actions import Action, reasons
from web.api.schemas import LONGEST_ERROR

ENDS: Final = (
    State.COMPLETED, State.RETRYING, State.FAILED, State.CANCELLED, State.SUPERSEDED, State.UNKNOWN,
)  # fmt: skip
_STRAIGHT: Final = (State.RECEIVED, State.QUEUED, State.RUNNING, State.REPORTING)


class Reach(StrEnum):
    """Whether a task is in a state, has been there, or may still come there."""

    NOW = "now"
    PASSED = "passed"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Node:
    """A state of the way."""

    state: State
    reach: Reach
    at: datetime | None = None
    times: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """The states that every run goes through, and the branches at their end."""

    straight: tuple[Node, ...]
    ends: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the handler as it is shown: text with secrets masked. `waited` is the time before it."""

    number: int
    replica: str
    started_at: datetime
    ended_at: datetime | None
    ended: str
    error: str | None = None
    message: str | None = None
    details: str | None = None
    waited: timedelta | None = None

    @property
    def took(self) -> timedelta | None:
        return None if self.ended_at is None else self.ended_at - self.started_at


@dataclass(frozen=True, slots=True)
class Choice:
    """An action, and why it isn't possible."""

    action: Action
    why_not: str | None


def way_of(task: Task) -> Way:
    """Return the states that the task has been in, as far as they are known."""
    first = task.history[0].started_at if task.history else task.claimed_at
    ended = task.history[-1].ended_at if task.history else None
    moments = {State.RECEIVED: task.created_at, State.RUNNING: task.claimed_at or first, State.REPORTING: ended}
    passed = {State.RECEIVED}
    if task.attempts:
        passed |= {State.QUEUED, State.RUNNING}
    if any(attempt.ended != "lost" for attempt in task.history) or task.outcome is not None:
        passed.add(State.REPORTING)
    if task.state is State.QUEUED:
        passed.add(State.QUEUED)
    counts = {State.RUNNING: task.attempts, State.RETRYING: sum(a.ended == "failed" for a in task.history[:-1])}
    if counts[State.RETRYING] or task.epoch > 1:
        passed.add(State.RETRYING)

    def node(state: State) -> Node:
        if state is task.state:
            return Node(state, Reach.NOW, task.finished_at or task.updated_at, counts.get(state, 0))
        reach = Reach.PASSED if state in passed else Reach.OPEN
        return Node(state, reach, moments.get(state) if reach is Reach.PASSED else None, counts.get(state, 0))

    return Way(tuple(map(node, _STRAIGHT)), tuple(map(node, ENDS)))


def runs_of(task: Task, also: Collection[str]) -> tuple[Run, ...]:
    """Return the runs, the latest first; one under way is among them."""
    found: list[Run] = []
    before = task.created_at
    for attempt in task.history:
        found.append(_run(attempt, also, attempt.started_at - before))
        before = attempt.ended_at
    under_way = task.state is State.RUNNING and task.claimed_at is not None
    if under_way and task.claimed_at is not None:
        waited = task.claimed_at - before
        found.append(Run(task.attempts, task.replica or "", task.claimed_at, None, "running", waited=waited))
    return tuple(reversed(found))


def without_type(message: str, error: str | None) -> str:
    """Return the message without the error's type before it, where the page names that already."""
    return message.removeprefix(f"{error}: ") if error else message


def _run(attempt: Attempt, also: Collection[str], waited: timedelta) -> Run:
    def masked(text: str | None) -> str | None:
        return None if text is None else mask_start(text, LONGEST_ERROR, also)

    return Run(
        attempt.number,
        attempt.replica,
        attempt.started_at,
        attempt.ended_at,
        attempt.ended,
        attempt.error,
        None if attempt.message is None else masked(without_type(attempt.message, attempt.error)),
        masked(attempt.details),
        max(timedelta(0), waited),
    )


def choices_of(task: Task) -> Mapping[str, str | None]:
    """Return for each action, by name, why it is not possible; None where it is."""
    return {action.value: why for action, why in reasons(task).items()}


def undelivered(task: Task, also: Collection[str]) -> str | None:
    """Return a line about an outcome that is on its way to the engine."""
    match task.outcome:
        case Failure(name, message):
            return f"{name}: {mask_start(message, LONGEST_ERROR, also)}"
        case BpmnFault(code, message):
            return f"{code}: {mask_start(message, LONGEST_ERROR, also)}" if message else code
        case _:
            return None


def trace_link(jaeger_url: str | None, task: Task) -> str | None:
    """Return where the task's trace is shown."""
    found = trace_id(task.trace)
    return None if jaeger_url is None or found is None else f"{jaeger_url}/trace/{found}"


def cockpit_link(cockpit_url: str | None, task: Task) -> str | None:
    """Return where Cockpit shows the task's process instance."""
    if cockpit_url is None or task.process_instance_id is None:
        return None
    return f"{cockpit_url}/#/process-instance/{quote(task.process_instance_id, safe='')}"
