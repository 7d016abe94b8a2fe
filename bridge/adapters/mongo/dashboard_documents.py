"""The collections of the dashboard and their indexes. Each list that a page shows is in the order of one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel

from bridge.adapters.mongo.documents import BEGINNING

_DAY: Final = 86_400
STATISTICS_KEPT: Final = 8 * _DAY
"""Seconds: a week, and the day that has begun."""
GROUPS_KEPT: Final = 90 * _DAY

_EXPIRE: Final = IndexModel([("expire_at", ASCENDING)], name="expire", expireAfterSeconds=0)


class RollupDocument(Document):
    """What happened to a topic in one step of time; `waiting` and `running` count by the bucket's number."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    step: str
    at: datetime
    topic: str
    counts: dict[str, int]
    waiting: dict[str, int]
    running: dict[str, int]

    class Settings:
        """Read by Beanie."""

        name = "rollups"
        indexes: ClassVar = [
            IndexModel([("step", ASCENDING), ("at", ASCENDING)], name="step"),
            IndexModel([("step", ASCENDING), ("topic", ASCENDING), ("at", ASCENDING)], name="topic"),
            IndexModel([("at", ASCENDING)], name="expire", expireAfterSeconds=STATISTICS_KEPT),
        ]


class FailureGroupDocument(Document):
    """Failures of one cause; `_id` is its fingerprint."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    topic: str
    error: str
    sample: str
    first_seen: datetime
    last_seen: datetime
    total: int

    class Settings:
        """Read by Beanie."""

        name = "failure_groups"
        indexes: ClassVar = [
            IndexModel([("last_seen", ASCENDING)], name="last_seen", expireAfterSeconds=GROUPS_KEPT),
            IndexModel([("topic", ASCENDING), ("last_seen", ASCENDING)], name="topic"),
        ]


class FailureHourDocument(Document):
    """How often a cause failed in an hour, and in each five minutes of it."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    fingerprint: str
    hour: datetime
    total: int
    slots: dict[str, int]

    class Settings:
        """Read by Beanie."""

        name = "failure_hours"
        indexes: ClassVar = [
            IndexModel([("fingerprint", ASCENDING), ("hour", ASCENDING)], name="fingerprint"),
            IndexModel([("hour", ASCENDING)], name="expire", expireAfterSeconds=STATISTICS_KEPT),
        ]


class TopicCountDocument(Document):
    """How many tasks of a topic are kept, by state; `_id` is its name.

    `settled` counts those that ended before `through`, `recent` those that ended since, `open` all that have not.
    """

    id: str  # type: ignore[assignment]  # Beanie allows any type
    through: datetime
    settled: dict[str, int]
    recent: dict[str, int]
    open: dict[str, int]
    changed_at: datetime

    class Settings:
        """Read by Beanie."""

        name = "topic_counts"
        indexes: ClassVar = [IndexModel([("changed_at", DESCENDING)], name="changed")]


class CountingTurnDocument(Document):
    """The replica that holds a turn, and until when; `_id` names the turn.

    `counted_at` is when tasks were counted last.
    """

    id: str  # type: ignore[assignment]  # Beanie allows any type
    owner: str
    until: datetime
    counted_at: datetime | None = None

    class Settings:
        """Read by Beanie."""

        name = "counting_turns"


class ViewDocument(Document):
    """A search that operators share."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    name: str
    query: str
    owner: str
    created_at: datetime

    class Settings:
        """Read by Beanie."""

        name = "saved_views"
        indexes: ClassVar = [IndexModel([("name", ASCENDING), ("_id", ASCENDING)], name="name")]


class AuditDocument(Document):
    """An operator's action; `before` and `after` are JSON text, as their keys are not limited."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    at: datetime
    who: str
    role: str
    origin: str
    action: str
    target: str
    reason: str
    before: str
    after: str
    trace: str | None = None
    expire_at: datetime

    class Settings:
        """Read by Beanie."""

        name = "audit"
        indexes: ClassVar = [
            IndexModel([("at", DESCENDING), ("_id", DESCENDING)], name="newest"),
            IndexModel([("target", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)], name="target"),
            IndexModel([("who", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)], name="who"),
            IndexModel([("action", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)], name="action"),
            _EXPIRE,
        ]


class PauseDocument(Document):
    """A paused topic; `_id` is its name. Topics that aren't paused have no document."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    by: str
    reason: str
    at: datetime

    class Settings:
        """Read by Beanie."""

        name = "topic_pauses"


class OperationDocument(Document):
    """A bulk operation. Its totals are those of its chunks, so that they always add up."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    kind: str
    query: str
    reason: str
    by: str
    rate: int
    created_at: datetime
    state: str
    ineligible: int
    next_at: datetime
    ended_at: datetime | None = None
    expire_at: datetime

    class Settings:
        """Read by Beanie."""

        name = "operations"
        indexes: ClassVar = [
            IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="newest"),
            IndexModel([("state", ASCENDING), ("next_at", ASCENDING)], name="due"),
            _EXPIRE,
        ]


class OperationChunkDocument(Document):
    """A thousand items of an operation, with their counts: one write changes both, so they always agree."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    operation: str
    number: int
    version: int
    pending: int
    requeued: int
    skipped: int
    failed: int
    waiting: int
    outcomes: dict[str, int]
    look_at: datetime | None = None
    items: list[dict[str, Any]]
    expire_at: datetime

    class Settings:
        """Read by Beanie."""

        name = "operation_chunks"
        indexes: ClassVar = [
            IndexModel([("operation", ASCENDING), ("number", ASCENDING)], name="number", unique=True),
            IndexModel(
                [("look_at", ASCENDING)],
                name="unsettled",
                partialFilterExpression={"look_at": {"$gt": BEGINNING}},
            ),
            _EXPIRE,
        ]
