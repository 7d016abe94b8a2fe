"""The task, its lease and its outcomes: frozen values without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct, structs

ID_LIMIT: Final = 64
"""How many characters of a task's id the engine's tables hold. Source: Camunda 7.24, ACT_RU_EXT_TASK.ID_."""


class State(StrEnum):
    """Where a task is in its life; `bridge.domain.lifecycle` alone decides how it gets there."""

    RECEIVED = "received"
    QUEUED = "queued"
    RUNNING = "running"
    REPORTING = "reporting"
    COMPLETED = "completed"
    RETRYING = "retrying"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"


FINAL = frozenset({State.COMPLETED, State.CANCELLED, State.UNKNOWN})
"""What ends a task, as long as the engine agrees; UNKNOWN: it ended, and whether by our outcome can't be told."""
LIVE = frozenset({State.RECEIVED, State.QUEUED, State.RUNNING, State.REPORTING, State.RETRYING})


class Source(StrEnum):
    """How the task came: fetched from the engine, or submitted over HTTP."""

    POLLED = "polled"
    PUSHED = "pushed"


@dataclass(frozen=True, slots=True)
class TypedValue:
    """One process variable as the engine's REST interface writes it (`VariableValueDto`).

    `local`: as a result it is set in the task's own scope (`localVariables`) instead of the process instance's.
    """

    type: str
    value: Any = None
    value_info: Mapping[str, Any] = field(default_factory=dict)
    local: bool = False


Variables = Mapping[str, TypedValue]


@dataclass(frozen=True, slots=True)
class Completion:
    """The handler succeeded; `variables` are what the engine is to store."""

    variables: Variables = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """The handler failed. `retries` is the absolute number left; 0 raises an incident in the engine."""

    name: str
    message: str
    details: str
    retries: int
    retry_after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class BpmnFault:
    """The handler asks the engine to throw a BPMN error at the task's activity."""

    code: str
    message: str = ""
    variables: Variables = field(default_factory=dict)


Outcome = Completion | Failure | BpmnFault


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of the handler, kept on the task; `error` is None when it completed."""

    number: int
    claim_id: str
    replica: str
    started_at: datetime
    ended_at: datetime
    ended: str
    error: str | None = None
    message: str | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody changed of a task's variables under the lease `epoch`: a fingerprint of each value, by name."""

    epoch: int
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PendingRetry:
    """What an operator asked for under the lease `epoch` and the engine may not know yet.

    The task is to be tried again `at` that moment; `variables` names those of its variables that they edited.
    """

    epoch: int
    at: datetime
    variables: tuple[str, ...] = ()


class Task(Struct, frozen=True):
    """An external task as the gateway keeps it.

    A struct and no dataclass: with so many fields one that is frozen takes ten times as long to make, and each task is
    rebuilt four times on its way.

    `worker_id` is the fencing token of the current lease and `epoch` counts leases. `lease_until` is the end of
    the engine's lock as far as we may rely on it. `next_at` is when somebody must look at the task again if nothing
    happens before: every live task has one. `retries` is what is left, counted by us.
    `execution_id` names the scope in which the task sees its variables, `activity_instance_id` its run of the activity,
    `engine_created_at` is when the engine made it, and `properties` are the extension properties of its activity.
    `outcome` is what the engine is to be told, and of a task that ended what it was told: it may ask for it again.
    `given` is what a submitter sent with it: a new lease brings the engine's variables anew, and never touches that.
    `reports` counts the deliveries of the current outcome that did not succeed, `refusals` those of them that the
    engine answered with an error of its own. Until `in_flight_until` the engine may be at work on a delivery that it
    has not answered, and the outcome is not sent again. `error_type` and `error_fp` are the last failure's type and
    group, gone once the handler succeeds; `operation` is the last bulk operation that had the task tried again. `edit`
    is what was last edited of its variables, to be compared with what the engine sends then. `pending_retry` is an
    operator's retry until the engine has been asked for it.
    """

    id: str
    topic: str
    worker_id: str
    lease_until: datetime
    created_at: datetime
    updated_at: datetime
    retries: int
    variables: Variables = {}
    given: Variables | None = None
    state: State = State.RECEIVED
    source: Source = Source.POLLED
    epoch: int = 1
    next_at: datetime | None = None
    business_key: str | None = None
    process_instance_id: str | None = None
    process_definition_key: str | None = None
    process_definition_id: str | None = None
    activity_id: str | None = None
    activity_instance_id: str | None = None
    execution_id: str | None = None
    tenant_id: str | None = None
    priority: int = 0
    engine_created_at: datetime | None = None
    properties: Mapping[str, str] | None = None
    verified: bool = True
    fingerprint: str | None = None
    replica: str | None = None
    attempts: int = 0
    lost_claims: int = 0
    claim_id: str | None = None
    claimed_at: datetime | None = None
    outcome: Outcome | None = None
    reports: int = 0
    refusals: int = 0
    in_flight_until: datetime | None = None
    error: str | None = None
    error_type: str | None = None
    error_fp: str | None = None
    operation: str | None = None
    edit: Edit | None = None
    pending_retry: PendingRetry | None = None
    finished_at: datetime | None = None
    trace: str | None = None
    history: tuple[Attempt, ...] = ()

    def changed(self, **fields: Any) -> Task:
        """Return the task with these fields instead of its own."""
        return structs.replace(self, **fields)

    @property
    def is_retry_pending(self) -> bool:
        """Whether an operator's retry waits for the engine to be asked; a new lease makes it void."""
        pending = self.pending_retry
        return self.state is State.RETRYING and pending is not None and pending.epoch == self.epoch

    @property
    def scope(self) -> str:
        """The execution whose variables the task sees; its process instance, where that was not kept."""
        return self.execution_id or self.process_instance_id or ""

    @property
    def result(self) -> Variables | None:
        """What the engine took as the task's result; None before that, and where it took a failure."""
        if self.state is not State.COMPLETED or self.outcome is None or isinstance(self.outcome, Failure):
            return None
        return self.outcome.variables

    @property
    def inputs(self) -> Variables:
        """What the handler is given: the engine's variables, and before them what a submitter sent."""
        return self.variables if not self.given else {**self.variables, **self.given}


UNREADABLE: Final = "unreadable"
"""What pages and the API call a kept document that this version can't read; no document has it as its state."""


UNREADABLE_LOOK: Final = timedelta(minutes=5)
"""After how long a document that can't be read is looked at again: a version that can read it may run by then."""


@dataclass(frozen=True, slots=True)
class UnreadableTask:
    """A kept document that this version of the gateway can't read as a task.

    `reason` says what it can't read, `fields` are those that it can, by their names in `Task`. `document` is all that
    was read of it, as it is stored.
    """

    id: str
    reason: str
    fields: Mapping[str, Any]
    document: Mapping[str, Any]

    @property
    def topic(self) -> str | None:
        """Its topic; None where that is what can't be read."""
        topic = self.fields.get("topic")
        return topic if isinstance(topic, str) else None

    @property
    def stored_state(self) -> str:
        """Its state as it is stored, whatever it is."""
        return str(self.document.get("state"))


@dataclass(frozen=True, slots=True)
class TaskKey:
    """What a message on the broker carries: which task, under which lease, in which trace."""

    id: str
    epoch: int
    trace: str | None = None
