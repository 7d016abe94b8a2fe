"""What the API takes and gives, name for name as the older gateway had it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bridge.domain.dead_letter import DeadLetter
from bridge.domain.messages import message
from bridge.domain.redaction import mask_start
from bridge.domain.submission import Submission
from bridge.domain.task import Source, State, Task, UnreadableTask
from bridge.operations.health import Health, Readiness
from bridge.ports.reader import Statistics
from web.api.results import plain_result

TASK_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"
TASK_ID_EXACT = TASK_ID_PATTERN.removesuffix("$") + r"\Z"
"""The same to Python's `re`, whose `$` is before a last line's end as well; in JSON Schema and pydantic it is not."""
TOPIC_PATTERN = r"^[^\x00]{1,255}$"
WORKER_ID_PATTERN = r"^[^\x00-\x1f\x7f]{1,255}$"
MAX_DEPTH = 32
MAX_VARIABLES = 1000
MAX_NAME_LENGTH = 255
LONGEST_ERROR = 20_000
"""Characters of an error that are told."""

_TASK_ID = "5f0c9a4e-6f1b-11f1-9a55-0242ac110002"


class Answer(BaseModel):
    """What a route answers."""

    model_config = ConfigDict(frozen=True)


class SubmitRequest(BaseModel):
    """An external task that the client has locked in the engine and hands over to the gateway."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    task_id: Annotated[
        str,
        Field(
            pattern=TASK_ID_PATTERN,
            description="Id of the external task in the engine: letters, digits and _ . : - only, 64 at most.",
            examples=[_TASK_ID],
        ),
    ]
    worker_id: Annotated[
        str,
        Field(
            pattern=WORKER_ID_PATTERN,
            description="The worker id under which the task is locked in the engine.",
            examples=["order-service-1"],
        ),
    ]
    topic: Annotated[
        str, Field(pattern=TOPIC_PATTERN, description="Topic of the external task.", examples=["charge_card"])
    ]
    variables: Annotated[
        dict[str, Any],
        Field(
            default_factory=dict,
            description="Process variables: plain JSON values, or Camunda's typed form with `value` and `type`.",
            examples=[{"order_id": "A-17", "amount": {"value": 4200, "type": "Long"}}],
            json_schema_extra={
                "maxProperties": MAX_VARIABLES,
                "propertyNames": {"minLength": 1, "maxLength": MAX_NAME_LENGTH},
            },
        ),
    ]

    @field_validator("variables")
    @classmethod
    def _bound(cls, variables: dict[str, Any]) -> dict[str, Any]:
        if len(variables) > MAX_VARIABLES:
            raise ValueError(message("submission.too_many_variables", most=MAX_VARIABLES))
        for name in variables:
            if not 0 < len(name) <= MAX_NAME_LENGTH:
                raise ValueError(message("submission.variable_name", most=MAX_NAME_LENGTH))
        if depth_exceeds(variables, MAX_DEPTH):
            raise ValueError(message("submission.too_deep", most=MAX_DEPTH))
        return variables

    def to_submission(self, trace: str | None = None, size: int = 0) -> Submission:
        """Return the submission that this body of `size` bytes asks for, as a part of the caller's `trace`."""
        return Submission(self.task_id, self.worker_id, self.topic, self.variables, trace, size)


def depth_exceeds(value: object, limit: int) -> bool:
    """Return whether JSON containers are nested more than `limit` deep, without recursion."""
    level: list[object] = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not any(isinstance(item, dict | list) for item in level):
            return False
    return True


class Accepted(Answer):
    """The gateway has taken over the task."""

    task_id: Annotated[str, Field(description="Id of the external task.", examples=[_TASK_ID])]
    status: Annotated[State, Field(description="Where the task is in its life now.")]

    @classmethod
    def of(cls, task: Task) -> Accepted:
        """Describe `task` as just accepted."""
        return cls(task_id=task.id, status=task.state)


class TaskSummary(Answer):
    """A task as a listing shows it."""

    task_id: Annotated[str, Field(description="Id of the external task.", examples=[_TASK_ID])]
    topic: Annotated[str, Field(examples=["charge_card"])]
    status: Annotated[State, Field(description="Where the task is in its life.")]
    attempts: Annotated[int, Field(description="How often the work was begun.", examples=[1])]
    retries: Annotated[int, Field(description="How many retries are left.", examples=[3])]
    worker_id: Annotated[str, Field(description="Holder of the task's lock in the engine.", examples=["gateway-1"])]
    source: Annotated[Source, Field(description="`polled` from the engine, or `pushed` over this API.")]
    business_key: Annotated[str | None, Field(examples=["order-17"])]
    process_instance_id: Annotated[str | None, Field(examples=["6b1c7a11-6f1b-11f1-9a55-0242ac110002"])]
    created_at: Annotated[datetime, Field(description="When the gateway first saw the task (UTC).")]
    updated_at: Annotated[datetime, Field(description="When the task last changed (UTC).")]
    error: Annotated[
        str | None, Field(description="The last failure, if the work has not succeeded since; secrets in it are `***`.")
    ]

    @classmethod
    def of(cls, task: Task, also: Collection[str] = ()) -> TaskSummary:
        """Describe `task` without its result; `also` names what its topic keeps secret."""
        return cls(**shared_fields(task, also))


class TaskStatus(TaskSummary):
    """A task with its result."""

    result: Annotated[
        dict[str, Any] | None,
        Field(
            description="The variables that the work gave to the engine, as plain JSON: bytes are base64, a file is "
            "its name and type. Null until there is a result.",
            examples=[{"receipt": "R-2026-17"}],
        ),
    ]

    @classmethod
    def of(cls, task: Task, also: Collection[str] = ()) -> TaskStatus:
        """Describe `task` with its result decoded to plain JSON; `also` names what its topic keeps secret."""
        return cls(**shared_fields(task, also), result=plain_result(task.result))


def shared_fields(task: Task, also: Collection[str]) -> dict[str, Any]:
    """Return the fields of a `TaskSummary`; `also` names what the topic keeps secret."""
    return {
        "task_id": task.id,
        "topic": task.topic,
        "status": task.state,
        "attempts": task.attempts,
        "retries": task.retries,
        "worker_id": task.worker_id,
        "source": task.source,
        "business_key": task.business_key,
        "process_instance_id": task.process_instance_id,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "error": None if task.error is None else mask_start(task.error, LONGEST_ERROR, also),
    }


class UnreadableEntry(Answer):
    """A task whose document this version of the gateway can't read: it waits for a version that can."""

    task_id: Annotated[str, Field(description="Id of the external task.", examples=[_TASK_ID])]
    topic: Annotated[str | None, Field(description="Null where it can't be read.", examples=["charge_card"])]
    status: Annotated[Literal["unreadable"], Field(examples=["unreadable"])] = "unreadable"
    reason: Annotated[str, Field(description="What can't be read.", examples=["state: 'x' is not a valid State"])]

    @classmethod
    def of(cls, found: UnreadableTask, also: Collection[str] = ()) -> UnreadableEntry:
        """Describe `found` without what it holds; `also` names what its topic keeps secret."""
        return cls(task_id=found.id, topic=found.topic, reason=mask_start(found.reason, LONGEST_ERROR, also))


class TaskList(Answer):
    """A page of tasks, newest first."""

    tasks: Annotated[list[TaskSummary], Field(description="Newest first.")]
    unreadable: Annotated[
        list[UnreadableEntry], Field(description="Those of the page that this version of the gateway can't read.")
    ] = []
    next: Annotated[str | None, Field(description="Pass it as `after` to get the next page; null at the end.")]


class TaskStatistics(Answer):
    """How many tasks the gateway keeps."""

    total: Annotated[int, Field(examples=[1204])]
    by_status: Annotated[dict[str, int], Field(examples=[{"completed": 1200, "failed": 4}])]
    by_topic: Annotated[dict[str, int], Field(examples=[{"charge_card": 800, "ship": 404}])]
    counted_at: Annotated[
        datetime | None,
        Field(
            description="When the tasks were counted (UTC), where more than 20,000 are kept; null: for this answer.",
            examples=[None],
        ),
    ] = None

    @classmethod
    def of(cls, statistics: Statistics) -> TaskStatistics:
        """Describe `statistics` as the API names them."""
        return cls(
            total=statistics.total,
            by_status=dict(statistics.by_state),
            by_topic=dict(statistics.by_topic),
            counted_at=statistics.counted_at,
        )


class DeadLetterEntry(Answer):
    """A message that led to no task."""

    id: str
    topic: Annotated[str, Field(description="Topic of the queue that it was in.", examples=["charge_card"])]
    reason: Annotated[str, Field(description="Why it is here.", examples=["the body is not JSON"])]
    body: Annotated[str, Field(description="The beginning of it, or the id of the task that it names.")]
    task_id: Annotated[str | None, Field(description="The task that it names; none is kept under that id.")]
    found_at: Annotated[datetime, Field(description="When it was found last (UTC).")]


class DeadLetterList(Answer):
    """Messages that led to no task, the latest first."""

    dead_letters: list[DeadLetterEntry]

    @classmethod
    def of(cls, letters: Sequence[DeadLetter], secrets_of: Callable[[str | None], Collection[str]]) -> DeadLetterList:
        """Describe dead letters; `secrets_of` names what a topic keeps secret."""

        def masked(letter: DeadLetter) -> dict[str, str]:
            also = secrets_of(letter.topic)
            return {name: mask_start(getattr(letter, name), LONGEST_ERROR, also) for name in ("reason", "body")}

        return cls(dead_letters=[DeadLetterEntry(**(asdict(letter) | masked(letter))) for letter in letters])


class ComponentStatus(Answer):
    """One of the parts that the gateway rests on."""

    status: Annotated[Literal["healthy", "unhealthy"], Field(examples=["healthy"])]
    version: Annotated[str | None, Field(description="What the part says it is.", examples=["7.24.0"])] = None
    error: Annotated[str | None, Field(description="Why the part is unhealthy.")] = None
    warnings: Annotated[
        tuple[str, ...],
        Field(
            description="What is wrong though the part answers: rights that are missing there, or another in its place."
        ),
    ] = ()


class HealthStatus(Answer):
    """The gateway and the parts it rests on."""

    status: Annotated[Literal["healthy", "unhealthy"], Field(description="`healthy` when every component is.")]
    version: Annotated[str, Field(description="The gateway's version.", examples=["1.0.0"])]
    components: Annotated[dict[str, ComponentStatus], Field(description="By name: engine, mongodb, rabbitmq.")]

    @classmethod
    def of(cls, health: Health, version: str) -> HealthStatus:
        """Describe `health` of a gateway of `version`."""
        return cls(
            status=_healthy(health.ok),
            version=version,
            components={
                part.name: ComponentStatus(
                    status=_healthy(part.ok),
                    version=part.version,
                    error=None if part.error is None else mask_start(part.error, LONGEST_ERROR),
                    warnings=part.warnings,
                )
                for part in health.components
            },
        )


def _healthy(ok: bool) -> Literal["healthy", "unhealthy"]:
    return "healthy" if ok else "unhealthy"


class ReadyStatus(Answer):
    """Whether this process may be sent work."""

    status: Annotated[Literal["ready", "not ready"], Field(examples=["ready"])]
    reasons: Annotated[list[str], Field(description="Why the process is not ready; empty when it is.")]

    @classmethod
    def of(cls, readiness: Readiness) -> ReadyStatus:
        """Describe `readiness`."""
        return cls(status="ready" if readiness.ok else "not ready", reasons=list(readiness.reasons))


class LiveStatus(Answer):
    """The process runs its loop."""

    status: Annotated[Literal["alive"], Field(examples=["alive"])] = "alive"


class FieldProblem(Answer):
    """What is wrong with one field of the request."""

    field: Annotated[str, Field(description="Path of the field, its parts separated by dots.", examples=["worker_id"])]
    where: Annotated[str, Field(description="`body`, `query` or `path`.", examples=["body"])]
    message: Annotated[str, Field(description="What is wrong; in English.", examples=["Field required"])]
    code: Annotated[
        str | None,
        Field(description="Identifies what is wrong; stable. Left out where it has none.", examples=["input.missing"]),
    ] = None
    position: Annotated[
        int | None, Field(description="At which character of a search the fault is, from 0. Left out elsewhere.")
    ] = None


class Problem(Answer):
    """An error (RFC 9457, `application/problem+json`)."""

    type: Annotated[str, Field(description="Identifies the kind of problem; stable.")]
    title: Annotated[str, Field(description="The kind of problem in words.")]
    status: Annotated[int, Field(description="The HTTP status.", examples=[404])]
    detail: Annotated[str, Field(description="What happened, and what to do; in English.")]
    code: Annotated[
        str, Field(description="Identifies what happened, finer than `type`; stable.", examples=["task.unknown"])
    ]
    errors: Annotated[list[FieldProblem] | None, Field(description="The fields at fault, if it is about fields.")] = (
        None
    )
