"""The doors to the outside. `bridge.adapters` has each for real and in memory; both pass the same tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from bridge.engine_identity import EngineIdentity
from bridge.lifecycle import Move
from bridge.replica import Replica
from bridge.rights import MissingRight
from bridge.task import State, Task, TaskKey, UnreadableTask, Variables


@dataclass(frozen=True, slots=True)
class TopicPoll:
    """What to ask of one topic in a fetch. `lock` is the lock's duration; `variables` None asks for all of them.

    `local_variables` asks only for those of the task's own scope, `include_extension_properties` for `properties`.
    The rest narrows which tasks are fetched; None asks for nothing.
    """

    topic: str
    lock: timedelta
    variables: tuple[str, ...] | None = None
    process_definition_keys: tuple[str, ...] | None = None
    tenant_ids: tuple[str, ...] | None = None
    local_variables: bool = False
    include_extension_properties: bool = False
    business_key: str | None = None
    process_variables: Mapping[str, str | bool | int | float] | None = None
    process_definition_ids: tuple[str, ...] | None = None
    process_definition_version_tag: str | None = None
    without_tenant_id: bool = False


@dataclass(frozen=True, slots=True)
class EngineTask:
    """An external task as the engine describes it. `retries` None means that it never failed (it is not 0).

    `held_for` is how long its lock holds yet, by the engine's own clock; None where nobody holds it, or it isn't told.
    """

    id: str
    topic: str
    worker_id: str | None
    lock_until: datetime | None
    retries: int | None
    suspended: bool = False
    variables: Variables = field(default_factory=dict)
    business_key: str | None = None
    process_instance_id: str | None = None
    process_definition_key: str | None = None
    process_definition_id: str | None = None
    activity_id: str | None = None
    activity_instance_id: str | None = None
    execution_id: str | None = None
    tenant_id: str | None = None
    priority: int = 0
    created_at: datetime | None = None
    properties: Mapping[str, str] | None = None
    error: str | None = None
    held_for: timedelta | None = None


@dataclass(frozen=True, slots=True)
class EngineLogEntry:
    """A line of the engine's external task log (needs history level `full`)."""

    worker_id: str | None
    created: bool
    succeeded: bool
    failed: bool
    deleted: bool
    at: datetime
    retries: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class EngineActivity:
    """An activity instance in the engine's history (from level `activity` on); `cancelled` tells it was interrupted."""

    ended_at: datetime | None
    cancelled: bool


class Engine(Protocol):
    """The engine's external task service.

    Only what the engine itself wrote counts. Every call raises `EngineUnavailable` when no answer came: `EngineTimeout`
    when the engine had the request and the deadline ran out, `ForeignAnswer` when something else answered in its place
    (`PayloadRefused`: for the request's size). Of the engine's own errors `TaskGone` is its 404, `LeaseLost` says that
    the lock is another's or the task is suspended, `EngineForbidden` that its user lacks a right, and `EngineRejected`
    is any other. Source: Camunda 7.24 REST reference, "External Task".
    """

    async def fetch_and_lock(
        self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll], wait: timedelta
    ) -> Sequence[EngineTask]:
        """Lock up to `max_tasks` tasks for `worker_id`; with nothing to do the engine holds the call for `wait`."""
        ...

    async def complete(self, task_id: str, worker_id: str, variables: Variables) -> None: ...

    async def fail(
        self, task_id: str, worker_id: str, *, message: str, details: str, retries: int, retry_timeout: timedelta
    ) -> None:
        """Report a failure. The lock is kept for `retry_timeout`; `retries` 0 raises an incident."""
        ...

    async def raise_bpmn_error(
        self, task_id: str, worker_id: str, *, code: str, message: str, variables: Variables
    ) -> None: ...

    async def lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        """Lock a task that is free, expired, or already ours; for ours this renews."""
        ...

    async def extend_lock(self, task_id: str, worker_id: str, duration: timedelta) -> None: ...

    async def unlock(self, task_id: str) -> None:
        """Free the lock, whoever holds it; this wakes waiting polls at once."""
        ...

    async def set_retries(self, task_id: str, retries: int) -> None: ...

    async def get(self, task_id: str) -> EngineTask:
        """Describe one task, without its variables."""
        ...

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[EngineTask]:
        """Describe those of the tasks that the engine has, in any order and without variables, with `held_for`."""
        ...

    async def read_variables(self, execution_id: str, *, local: bool = False) -> Variables:
        """Return the variables that an execution sees, inner scopes over outer ones; `local`: only those of its own.

        `TaskGone` when the execution has ended.
        """
        ...

    async def set_variables(self, execution_id: str, variables: Variables) -> None:
        """Set each variable in the scope where the execution sees it, and a new one on the process instance.

        `TaskGone` when the execution has ended.
        """
        ...

    async def read_file(self, execution_id: str, variable: str) -> bytes:
        """Return the content of a File or Bytes variable that the execution sees."""
        ...

    async def locked_by(self, worker_id: str) -> Sequence[EngineTask]:
        """List the tasks that `worker_id` holds now."""
        ...

    async def count(self, topic: str | None = None) -> int: ...

    async def history(self, task_id: str) -> Sequence[EngineLogEntry]:
        """Return the task's log, oldest first; empty where the engine keeps none, or its user may not read it."""
        ...

    async def activity(self, activity_instance_id: str) -> EngineActivity | None:
        """Return what history has of an activity instance; None where that is nothing, or may not be read."""
        ...

    async def throwing_activities(self, process_definition_id: str) -> Collection[str]:
        """Return the ids of its activities at which the model may throw a BPMN error in place of an outcome.

        They have a `camunda:errorEventDefinition`. `ModelUnreadable` where its BPMN can't be read.
        """
        ...

    async def version(self) -> str: ...

    async def written_moments(self) -> Sequence[datetime]:
        """Return moments as the engine wrote them, each in the offset that it wrote, the latest first.

        They are those of its deployments, as an engine has these before it has a task; empty where there are none.
        """

    async def missing_rights(self, definitions: Collection[str] = ()) -> Sequence[MissingRight]:
        """Return what the engine's user lacks for these process definitions, by key; with none for all that they see.

        Empty where the engine checks no rights: authorization is off, or it lets everybody in without a login.
        """
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A subscriber's wish to run a task under the lease that its message named. No two for a task have the same id.

    `topic` is the subscriber's: a message that names a task of another topic claims nothing.
    """

    topic: str
    key: TaskKey
    claim_id: str
    replica: str
    now: datetime
    until: datetime


class EngineIdentityStore(Protocol):
    """Where it is kept which engine the tasks are of."""

    async def engine_identity(self) -> EngineIdentity | None:
        """Return it; None before an engine was ever met."""
        ...

    async def keep_engine_identity(self, identity: EngineIdentity) -> None: ...


@dataclass(frozen=True, slots=True)
class Due:
    """What is due in a state, the longest overdue first: tasks, and documents that can't be read as tasks.

    Except in REPORTING the tasks come without variables, outcome and history.
    """

    tasks: tuple[Task, ...] = ()
    unreadable: tuple[UnreadableTask, ...] = ()


class TaskStore(Protocol):
    """Where tasks are kept. Every write is a compare-and-set by `bridge.lifecycle`.

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

    async def claim(self, claims: Sequence[Claim]) -> Sequence[Task | None]:
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
        """Return tasks that the replica fetched and nobody has begun: RECEIVED or QUEUED."""
        ...


class Replicas(Protocol):
    """Where the gateway's processes tell each other that they live, and what they can do."""

    async def beat(self, replica: Replica) -> None:
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


@dataclass(frozen=True, slots=True)
class Depth:
    """A topic's queue: messages ready to be delivered, and consumers attached."""

    ready: int
    consumers: int


class Publisher(Protocol):
    """The publishing side of the broker."""

    async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
        """Publish each key persistently and wait for its confirm; return the error of each that got none."""
        ...

    async def depth(self, topic: str) -> Depth: ...

    async def depths(self, topics: Sequence[str]) -> Mapping[str, Depth]:
        """Return the depths of many topics at once; one without a queue, or whose queue doesn't answer, is left out."""
        ...

    def faults(self) -> Mapping[str, str]:
        """Return why topics' queues can't be published to now, by topic; each text names the queue."""
        ...


class Verdict(Protocol):
    """How a delivery ends: acknowledged, or given back to the queue."""

    async def ack(self) -> None: ...

    async def requeue(self) -> None: ...


Handle = Callable[[str, TaskKey, Verdict], Awaitable[None]]


class Consumer(Protocol):
    """The consuming side of the broker: one subscriber a topic, each with its own prefetch."""

    async def start(self, handle: Handle) -> None:
        """Attach every topic; one that fails is tried again by itself. Raises where none can be attached."""
        ...

    async def stop(self) -> None:
        """Stop taking messages; those already being handled go on."""
        ...

    async def consuming(self) -> Mapping[str, bool]:
        """Tell for each topic whether its subscriber is attached now."""
        ...

    def faults(self) -> Mapping[str, str]:
        """Return why topics' subscribers are not attached, by topic; each text names the queue."""
        ...


class Clock(Protocol):
    """Time that all replicas share, so that a replica whose own clock is wrong harms nobody."""

    def now(self) -> datetime:
        """Return the shared time, aware, in UTC."""
        ...


class Level(StrEnum):
    """How much an event matters to who reads the log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Journal(Protocol):
    """Where the gateway tells what happened, one event a line."""

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        """Tell of `event`; `task` adds its id, topic, instance and trace. `stack` takes an exception."""
        ...


class Probe(Protocol):
    """A part whose health is asked for: returns its version, or raises a `GatewayError`."""

    def __call__(self) -> Awaitable[str]: ...
