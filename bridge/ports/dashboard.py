"""The dashboard's stores. `bridge.adapters` has each port on MongoDB and in memory; both pass the same tests.

Every call raises `StoreUnavailable` when the store did not answer. Every list is bounded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from bridge.domain.operation import Chunk, Item, Operation, OperationState, Result, Row
from bridge.domain.records import AuditEntry, AuditFilter, Pause, View
from bridge.domain.statistics import WEEK, FailureGroup, Failures, Rollup, Step
from bridge.domain.task import State, Task, UnreadableTask
from bridge.domain.task_counts import TaskCounts
from bridge.search.page import Sort
from bridge.search.query import Query

COUNT_CAP: Final = 10_000
"""Counts stop one above it: higher numbers are shown as "10,000+"."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of tasks; `next` is the cursor of the next page, None at the end."""

    tasks: tuple[Task | UnreadableTask, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Tasks that a query finds; `more` when there are further ones."""

    rows: tuple[Row, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class TooSlow:
    """The search was given up after that time: the query must be narrowed, by a state, a topic or a time."""

    within: timedelta


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks are in each state, up to one above `COUNT_CAP`; None where counting took too long.

    `unreadable` are those that were set aside; most of them count in the state that they are stored in as well.
    """

    by_state: Mapping[State, int | None]
    unreadable: int | None = 0


class TaskSearch(Protocol):
    """Finds tasks. `now` is the time from which durations in a query are counted back."""

    async def search(
        self,
        wanted: Query,
        sort: Sort,
        limit: int,
        cursor: str | None = None,
        *,
        now: datetime,
        whole: bool = False,
    ) -> Found | TooSlow:
        """Return a page. Tasks come without variables, results and attempts unless they are wanted `whole`.

        Raises `PositionError` for a cursor that isn't of this search and order.
        """
        ...

    async def counts(self, wanted: Query, *, now: datetime) -> Counts: ...

    async def select(self, wanted: Query, limit: int, *, now: datetime) -> Selection | TooSlow:
        """Return the fields that an operation needs of the found tasks, up to `limit`, those changed last first."""
        ...

    async def rows(self, ids: Sequence[str]) -> Sequence[Row]:
        """Return the same of tasks by their ids; unknown tasks are left out."""
        ...


class Turn(StrEnum):
    """What one replica does for all."""

    TASK_COUNTS = "task_counts"
    ENGINE_BACKLOG = "engine_backlog"


class Turns(Protocol):
    """Leases on work that one replica at a time is to do."""

    async def take_turn(self, turn: Turn, replica: str, now: datetime, until: datetime) -> bool:
        """Return whether this replica is the one that does it until then."""
        ...


class TaskCounters(Turns, Protocol):
    """Stored counts of tasks, which no request has to count. One replica keeps them up to date."""

    async def task_counts(self) -> TaskCounts | None:
        """Return the last counts; None before the first."""
        ...

    async def refresh_counts(self, now: datetime) -> None:
        """Count what can have changed since the last time."""
        ...

    async def recount(self, topic: str, state: State, now: datetime) -> int:
        """Count all tasks of a topic in a state of `SETTLED` again; return by how much the number kept was wrong."""
        ...


class Statistics(Protocol):
    """The stored statistics."""

    async def add(self, rollups: Mapping[Step, Sequence[Rollup]], failures: Sequence[Failures]) -> None:
        """Add counts to those kept. After a broken connection it is not known whether they were."""
        ...

    async def rollups(self, step: Step, since: datetime, topic: str | None = None) -> Sequence[Rollup]: ...

    async def failure_groups(
        self, since: datetime, now: datetime, topic: str | None = None, limit: int = 200, within: timedelta = WEEK
    ) -> Sequence[FailureGroup]:
        """Return the groups that failed since then, those that failed last first.

        Only hours that reach into the time `within` before now are read; earlier failures are not counted.
        """
        ...

    async def failure_group(self, fingerprint: str, now: datetime) -> FailureGroup | None: ...


class Views(Protocol):
    """Views that all operators see."""

    async def views(self) -> Sequence[View]:
        """Return them by name."""
        ...

    async def save_view(self, view: View) -> None:
        """Keep a view, over that with the same id."""
        ...

    async def delete_view(self, view_id: str) -> bool: ...


class Audit(Protocol):
    """The audit: actions of operators. No call changes or deletes an entry."""

    async def write(self, entry: AuditEntry) -> None: ...

    async def entries(
        self, wanted: AuditFilter, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[AuditEntry]:
        """Return entries, newest first, behind the one with that time and id."""
        ...


class Pauses(Protocol):
    """Paused topics, for which nothing is fetched."""

    async def pause(self, pause: Pause) -> None:
        """Pause a topic, or replace the reason of its pause."""
        ...

    async def resume(self, topic: str) -> bool:
        """Return whether the topic was paused."""
        ...

    async def pauses(self) -> Sequence[Pause]: ...


class Operations(Protocol):
    """Bulk operations. Every write is a compare-and-set, so any number of replicas may work on them."""

    async def create(self, operation: Operation, items: Sequence[Item]) -> bool:
        """Store a new operation with its items; no reader sees it before all of them are stored.

        False, without a change, where an operation with its id exists already, or is being stored.
        """
        ...

    async def operation(self, operation_id: str) -> Operation | None: ...

    async def operations(self, limit: int, before: tuple[datetime, str] | None = None) -> Sequence[Operation]:
        """Return operations, newest first."""
        ...

    async def items(
        self, operation_id: str, result: Result | None, limit: int, after: int = -1
    ) -> Sequence[tuple[int, Item]]:
        """Return items with their places, in order, behind the place `after`."""
        ...

    async def switch(
        self, operation_id: str, sources: Collection[OperationState], to: OperationState, now: datetime
    ) -> bool:
        """Change the state; False where the operation is in none of the sources."""
        ...

    async def take(self, now: datetime, until: datetime) -> Operation | None:
        """Take a running operation whose next step is due; until then no other replica takes it."""
        ...

    async def postpone(self, operation_id: str, taken_until: datetime, next_at: datetime) -> None:
        """Give back an operation that was taken until then; its next step is due at `next_at`."""
        ...

    async def next_chunk(self, operation_id: str) -> Chunk | None:
        """Return the first chunk that has pending items."""
        ...

    async def record(self, chunk: Chunk, results: Mapping[int, tuple[Result, str | None]], look_at: datetime) -> bool:
        """Write the results of the pending items at these places of the chunk, all or none.

        False where the chunk has changed since it was read. Outcomes of requeued tasks are read at `look_at`.
        """
        ...

    async def take_unsettled(self, now: datetime, until: datetime) -> Chunk | None:
        """Take a chunk with requeued items whose outcomes are due to be read."""
        ...

    async def settle(self, chunk: Chunk, outcomes: Mapping[int, str]) -> bool:
        """Write the outcomes of the requeued items at these places of the chunk, all or none."""
        ...


class DashboardStore(TaskSearch, TaskCounters, Statistics, Views, Audit, Pauses, Operations, Protocol):
    """All of the dashboard's stores in one."""
