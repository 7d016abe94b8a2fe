"""Tasks as MongoDB keeps them: the collections and their indexes. Beanie defines and creates the collections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import BaseModel, Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from bridge.domain.task import Source, State

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every `next_at`. A query must name it, for MongoDB to see that the partial index covers the query."""
BY_ID: Final = [("_id", ASCENDING)]
"""The index of the flow's writes, named so that no planner tries another: each names its tasks by their ids."""
BY_TOPIC: Final = "by_topic"
BY_TOPIC_STATE: Final = "topic_state_latest"

_NEWEST: Final = (("created_at", DESCENDING), ("_id", DESCENDING))
_LATEST: Final = (("updated_at", DESCENDING), ("_id", DESCENDING))


class VariableRecord(BaseModel):
    """A variable. `json_value` holds a value that isn't kept in `value`; `info` is JSON text."""

    name: str
    type: str
    value: str | int | float | bool | None = None
    json_value: str | None = None
    info: str | None = None
    local: bool = False


class OutcomeRecord(BaseModel):
    """An outcome; `kind` tells which of the other fields it has."""

    kind: str
    variables: list[VariableRecord] | None = None
    name: str | None = None
    message: str | None = None
    details: str | None = None
    retries: int | None = None
    retry_after: float | None = None
    code: str | None = None


class AttemptRecord(BaseModel):
    """A run of the handler."""

    number: int
    claim_id: str
    replica: str
    started_at: datetime
    ended_at: datetime
    ended: str
    error: str | None = None
    message: str | None = None
    details: str | None = None


class TaskDocument(Document):
    """A task; `_id` is the engine's id of it, so no task can be kept twice.

    `tokens` names the latest writes: a writer whose answer was lost, or was given only for its whole batch, reads
    there which of its writes happened. After `expire_at` MongoDB deletes the document. `unreadable` marks one that was
    due or claimed and could not be read; a version that can read it takes the mark away.
    """

    id: str  # type: ignore[assignment]  # Beanie allows any type
    topic: str
    worker_id: str
    lease_until: datetime
    created_at: datetime
    updated_at: datetime
    retries: int
    variables: list[VariableRecord]
    given: list[VariableRecord] | None = None
    state: State
    source: Source
    epoch: int
    next_at: datetime | None = None
    business_key: str | None = None
    process_instance_id: str | None = None
    process_definition_key: str | None = None
    process_definition_id: str | None = None
    activity_id: str | None = None
    activity_instance_id: str | None = None
    execution_id: str | None = None
    tenant_id: str | None = None
    priority: int
    engine_created_at: datetime | None = None
    properties: str | None = None
    verified: bool
    fingerprint: str | None = None
    replica: str | None = None
    attempts: int
    lost_claims: int
    claim_id: str | None = None
    claimed_at: datetime | None = None
    outcome: OutcomeRecord | None = None
    reports: int
    refusals: int = 0
    in_flight_until: datetime | None = None
    error: str | None = None
    error_message: dict[str, Any] | None = None
    error_type: str | None = None
    error_fp: str | None = None
    operation: str | None = None
    edit: str | None = None
    pending_retry: str | None = None
    finished_at: datetime | None = None
    trace: str | None = None
    history: list[AttemptRecord]
    tokens: list[int] = Field(default_factory=list)
    expire_at: datetime | None = None
    unreadable: bool | None = None

    class Settings:
        """Read by Beanie."""

        name = "tasks"
        dropped: ClassVar = ("by_state", "due")
        indexes: ClassVar = [
            IndexModel(
                [("state", ASCENDING), ("next_at", ASCENDING), ("_id", ASCENDING)],
                name="due_by_state",
                partialFilterExpression={"next_at": {"$gt": BEGINNING}},
            ),
            IndexModel([("topic", ASCENDING), *_NEWEST], name=BY_TOPIC),
            IndexModel([*_NEWEST], name="newest"),
            IndexModel([("business_key", ASCENDING)], name="business_key", sparse=True),
            IndexModel([("process_instance_id", ASCENDING)], name="process_instance", sparse=True),
            IndexModel([("expire_at", ASCENDING)], name="expire", expireAfterSeconds=0, sparse=True),
            # What follows is for the dashboard. The first three are written to by every write of a task, as each sets
            # `updated_at`: they are the list's own order, by which any search is bounded; its tabs; and the filter
            # most used. With the state in the middle the third also counts and lists a topic's states; a list of the
            # whole topic names all states, which MongoDB merges in order.
            IndexModel([*_LATEST], name="latest"),
            IndexModel([("state", ASCENDING), *_LATEST], name="state_latest"),
            IndexModel([("topic", ASCENDING), ("state", ASCENDING), *_LATEST], name=BY_TOPIC_STATE),
            # Only tasks that failed and have not succeeded since are in these two.
            IndexModel(
                [("error_fp", ASCENDING), *_LATEST],
                name="group_latest",
                partialFilterExpression={"error_fp": {"$gt": ""}},
            ),
            IndexModel(
                [("error_type", ASCENDING), *_LATEST],
                name="error_latest",
                partialFilterExpression={"error_type": {"$gt": ""}},
            ),
            # Only tasks that a bulk operation had tried again are in this one.
            IndexModel(
                [("operation", ASCENDING), *_LATEST],
                name="operation_latest",
                partialFilterExpression={"operation": {"$gt": ""}},
            ),
            # Only documents that were set aside are in these two.
            IndexModel(
                [("unreadable", ASCENDING), *_LATEST],
                name="unreadable_latest",
                partialFilterExpression={"unreadable": {"$eq": True}},
            ),
            IndexModel(
                [("unreadable", ASCENDING), ("topic", ASCENDING), *_LATEST],
                name="unreadable_topic_latest",
                partialFilterExpression={"unreadable": {"$eq": True}},
            ),
            # Orders: written once at the end, once a run, and once at all.
            IndexModel(
                [("finished_at", DESCENDING), ("_id", DESCENDING)],
                name="finished",
                partialFilterExpression={"finished_at": {"$gt": BEGINNING}},
            ),
            IndexModel([("attempts", DESCENDING), ("_id", DESCENDING)], name="attempts"),
            IndexModel([("priority", DESCENDING), ("_id", DESCENDING)], name="priority"),
        ]


class RecordDocument(Document):
    """What a topic stored once under a key of its own."""

    kind: str
    key: str
    record: dict[str, Any]

    class Settings:
        """Read by Beanie."""

        name = "records"
        indexes: ClassVar = [IndexModel([("kind", ASCENDING), ("key", ASCENDING)], name="key", unique=True)]
