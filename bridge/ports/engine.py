"""The engine's calls that the flow needs. Two adapters, `camunda` and `memory`, pass the same tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from bridge.domain.engine_product import EngineProduct
from bridge.domain.rights import MissingRight
from bridge.domain.task import Variables


@dataclass(frozen=True, slots=True)
class TopicPoll:
    """One topic of a fetch. `lock` is the lock's duration; `variables` None asks for all variables.

    `local_variables` asks only for those of the task's own scope, `include_extension_properties` for `properties`.
    The other fields filter the tasks; None is no filter.
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

    `held_for` is how long its lock still holds, by the engine's clock; None where no worker holds it or it is unknown.
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

    Only answers of the engine itself count. Every call raises `EngineUnavailable` without an answer: `EngineTimeout`
    when the engine had the request and the deadline ran out, `ForeignAnswer` when something else answered in its place
    (`PayloadRefused`: for the request's size). Of the engine's own errors `TaskGone` is its 404, `LeaseLost` says that
    another worker has the lock or the task is suspended, `EngineForbidden` that the user lacks a right, and
    `EngineRejected` is any other. Source: Camunda 7.24 REST reference, "External Task".
    """

    async def fetch_and_lock(
        self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll], wait: timedelta
    ) -> Sequence[EngineTask]:
        """Lock up to `max_tasks` tasks for `worker_id`; without any the engine holds the call for `wait`."""
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
        """Lock a task that is free, whose lock has expired, or that is locked by `worker_id`, which renews the lock."""
        ...

    async def extend_lock(self, task_id: str, worker_id: str, duration: timedelta) -> None: ...

    async def unlock(self, task_id: str) -> None:
        """Release the lock of any worker; this wakes waiting polls at once."""
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

    async def count(self, topic: str | None = None, *, workable: bool = False) -> int:
        """Count the open tasks, locked or not, of a topic or of all.

        `workable` leaves out what no worker can get before a person acts: suspended tasks, and those without retries.
        """
        ...

    async def topic_names(self) -> Sequence[str]:
        """Return the topics of the open tasks that have retries left."""
        ...

    async def oldest(self, topic: str) -> datetime | None:
        """Return when the topic's oldest workable task that no worker holds was created.

        None where there is none, or the engine tells no times.
        """
        ...

    async def history(self, task_id: str) -> Sequence[EngineLogEntry]:
        """Return the task's log, oldest first; empty where the engine keeps none, or its user may not read it."""
        ...

    async def activity(self, activity_instance_id: str) -> EngineActivity | None:
        """Return an activity instance from the history; None where there is none, or it may not be read."""
        ...

    async def throwing_activities(self, process_definition_id: str) -> Collection[str]:
        """Return the ids of its activities at which the model may throw a BPMN error in place of an outcome.

        They have a `camunda:errorEventDefinition`. `ModelUnreadable` where its BPMN can't be read.
        """
        ...

    async def version(self) -> str: ...

    async def product(self) -> EngineProduct:
        """Return the engine's brand and version, as far as it tells them to its user."""
        ...

    async def written_moments(self) -> Sequence[datetime]:
        """Return times as the engine wrote them, each with its offset, the latest first.

        They are those of its deployments, as an engine has these before it has a task; empty where there are none.
        """

    async def keeps_log(self) -> bool | None:
        """Return whether the engine keeps the log that `history` reads; None where no open task tells that.

        A user who may not read the history sees none either: look at `missing_rights` first.
        """
        ...

    async def missing_rights(self, definitions: Collection[str] = ()) -> Sequence[MissingRight]:
        """Return what the engine's user lacks for these process definitions, by key; with none for all that they see.

        Empty where the engine checks no rights: authorization is off, or it lets everybody in without a login.
        """
        ...
