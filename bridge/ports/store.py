"""The store of tasks, claims, replicas and records. Two adapters, `mongo` and `memory`, pass the same tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bridge.domain.engine_identity import EngineIdentity
from bridge.domain.lifecycle import Move
from bridge.domain.replica import Replica
from bridge.domain.task import State, Task, TaskKey, UnreadableTask


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A subscriber's request to run a task under the lease that its message named. No two for a task have the same id.

    `topic` is the subscriber's: a message that names a task of another topic claims nothing.
    """

    topic: str
    key: TaskKey
    claim_id: str
    replica: str
    now: datetime
    until: datetime


class EngineIdentityStore(Protocol):
    """The store of the engine's identity."""

    async def engine_identity(self) -> EngineIdentity | None:
        """Return the identity; None before the first engine answered."""
        ...

    async def keep_engine_identity(self, identity: EngineIdentity) -> None: ...


class SchemaStore(Protocol):
    """Keeps the version of what is kept."""

    async def check_schema(self) -> None:
        """Raise `StoreTooNew` where a gateway works on the store by now beside which this one must not."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """What is due in a state, the longest overdue first: tasks, and documents that can't be read as tasks.

    Except in REPORTING the tasks come without variables, outcome and history.
    """

    tasks: tuple[Task, ...] = ()
    unreadable: tuple[UnreadableTask, ...] = ()


class TaskStore(Protocol):
    """Where tasks are kept. Every write is a compare-and-set by `bridge.domain.lifecycle`.

    A document that this version can't read spoils no other: it is left out, and a claim of it is given back.
    Raises `StoreUnavailable` when the effect of a call is unknown.
    """

    async def accept(self, tasks: Sequence[Task]) -> Sequence[Task | None]:
        """Keep new tasks; give known ones their new lease (REFETCH, REOPEN, REPLACE). Return each as it now stands.

        None: the table refuses it (it ended after the lease was given, or changed meanwhile), or it is a pushed one
        whose id is already known.
        `TaskTooLarge` or `VariableError` for one that can't be kept; then none of the batch is to be relied on.
        """
        ...

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        """Make the moves, each on its own; tell for each whether it happened."""
        ...

    async def confirm(self, keys: Sequence[TaskKey], now: datetime, next_at: datetime) -> None:
        """CONFIRM many tasks; one that is no longer RECEIVED under its epoch stays as it is."""
        ...

    async def claim(self, claims: Sequence[ClaimRequest]) -> Sequence[Task | None]:
        """CLAIM tasks; None for one that can't be read, or doesn't wait under this lease and topic (a late message)."""
        ...

    async def topic_of(self, task_id: str) -> str | None:
        """Return the topic of a kept task, without reading its payload; None where none is kept, or it has none."""
        ...

    async def get(self, task_id: str) -> Task | None:
        """Return the task; None where none is kept. Raises `TaskUnreadable`."""
        ...

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[Task]:
        """Return those of the tasks that are kept and can be read, in any order."""
        ...

    async def due(self, state: State | None, now: datetime, limit: int) -> Due:
        """Return what is in the state and whose `next_at` has passed; None: in a state that this version lacks."""
        ...

    async def set_aside(self, found: Sequence[UnreadableTask], until: datetime) -> None:
        """Mark documents that can't be read, and look at them again `until` then; what changed meanwhile is left."""
        ...

    async def waiting(self) -> int:
        """Count tasks that are RECEIVED and not yet on the broker, up to 10,000."""
        ...

    async def waiting_by_topic(self) -> Mapping[str, int]:
        """Count the same by topic, up to 10,000 of all topics together."""
        ...

    async def unstarted(self, replica: str, limit: int) -> Sequence[Task]:
        """Return tasks that the replica fetched and that have not begun, RECEIVED or QUEUED, without their payloads."""
        ...


class Replicas(Protocol):
    """Where the gateway's processes tell each other that they live, and what they can do."""

    async def heartbeat(self, replica: Replica) -> None:
        """Write this process's state over its last one. Its success is proof that the store takes writes."""
        ...

    async def replicas(self, since: datetime) -> Sequence[Replica]:
        """Return the processes that were seen since then."""
        ...

    async def leave(self, replica_id: str) -> None:
        """Forget a process that ends in good order."""
        ...


class Records(Protocol):
    """A place where a topic keeps what must be stored once (see `bridge.topic.Records`)."""

    async def put_once(self, kind: str, key: str, record: Mapping[str, Any]) -> tuple[str, bool]: ...
