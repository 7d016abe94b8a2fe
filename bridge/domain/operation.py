"""Bulk operations: their tasks are fixed at confirmation, and the result of each is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from bridge.domain.access import Principal
from bridge.domain.task import State, Task

CHUNK: Final = 1000
"""How many items one document has."""
MOST: Final = 100_000
"""How many items an operation may have."""


class OperationKind(StrEnum):
    """The action on each task."""

    RETRY = "retry"


class OperationState(StrEnum):
    """The state of an operation."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"


SWITCHED_FROM: Final[Mapping[OperationState, frozenset[OperationState]]] = {
    OperationState.PAUSED: frozenset({OperationState.RUNNING}),
    OperationState.RUNNING: frozenset({OperationState.PAUSED}),
    OperationState.CANCELLED: frozenset({OperationState.RUNNING, OperationState.PAUSED}),
}
"""The states from which a person may bring an operation into another."""


class Result(StrEnum):
    """What the operation did to an item. `skipped`: it was no longer what had been confirmed."""

    PENDING = "pending"
    REQUEUED = "requeued"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Item:
    """One task of an operation, under the lease that it had at confirmation; `outcome` is the state it then ended in.

    `outcome` None while that is open; `gone` where the task is no longer kept.
    """

    task_id: str
    epoch: int
    result: Result = Result.PENDING
    detail: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Always `total == requeued + skipped + failed + pending`; the outcomes are those of the requeued."""

    requeued: int = 0
    skipped: int = 0
    failed: int = 0
    pending: int = 0
    waiting: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.requeued + self.skipped + self.failed + self.pending


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done to many tasks, at most `rate` a second. `ineligible` matched the query and were left out."""

    id: str
    kind: OperationKind
    query: str
    reason: str
    by: str
    rate: int
    created_at: datetime
    state: OperationState = OperationState.RUNNING
    ineligible: int = 0
    ended_at: datetime | None = None
    totals: Totals = Totals()


def may_see(principal: Principal, operation: Operation) -> bool:
    """Return whether somebody may see an operation: it may cover any topic; who is limited to some sees their own."""
    return principal.topics is None or operation.by == principal.name


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some of an operation's items; `version` fences what is written to it."""

    operation: str
    number: int
    version: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """The fields of a task that decide whether an operation may change it."""

    id: str
    state: State
    topic: str
    epoch: int
    error_type: str | None = None
    error_fp: str | None = None

    @classmethod
    def of(cls, task: Task) -> Row:
        return cls(task.id, task.state, task.topic, task.epoch, task.error_type, task.error_fp)


@dataclass(frozen=True, slots=True)
class Preview:
    """The tasks that an operation would change, exactly; `capped`: there are more than `total`, which are left out."""

    total: int
    capped: bool
    eligible: int
    by_state: Mapping[State, int]
    by_topic: Mapping[str, int]
    by_error: Mapping[str, int]
    samples: tuple[Row, ...]
    unknown: int = 0

    @property
    def ineligible(self) -> int:
        """How many tasks are left out: only failed tasks can be retried."""
        return self.total - self.eligible
