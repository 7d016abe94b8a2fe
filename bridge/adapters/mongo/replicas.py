"""The gateway's processes as MongoDB keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection

from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.documents.messages import from_code, to_code
from bridge.documents.raw import Raw
from bridge.domain.replica import KEPT, Load, Replica

MOST: Final = 1000
"""How many replicas are read at most."""


class ReplicaDocument(Document):
    """A process of the gateway, as it last described itself; forgotten a day after its last heartbeat."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    version: str
    roles: list[str]
    started_at: datetime
    seen_at: datetime
    loads: list[dict[str, Any]]
    reporting: int = 0
    lag: float = 0.0
    foreign_answer: str | None = None
    foreign_answer_message: dict[str, Any] | None = None
    exchange: str | None = None

    class Settings:
        """Read by Beanie."""

        name = "replicas"
        indexes: ClassVar = [
            IndexModel([("seen_at", ASCENDING)], name="seen", expireAfterSeconds=int(KEPT.total_seconds()))
        ]


class ReplicaStore(StoreReader):
    """`bridge.ports.store.Replicas` on MongoDB."""

    models: ClassVar = (*StoreReader.models, ReplicaDocument)

    async def heartbeat(self, replica: Replica) -> None:
        document = to_replica(replica)
        with translated("heartbeat"):
            await self._replicas.replace_one({"_id": {"$eq": replica.id}}, document, upsert=True)

    async def replicas(self, since: datetime) -> Sequence[Replica]:
        with translated("replicas"):
            found = self._replicas.find({"seen_at": {"$gte": since}}, max_time_ms=self._max_time_ms)
            return [from_replica(document) for document in await found.sort("_id", ASCENDING).limit(MOST).to_list()]

    async def leave(self, replica_id: str) -> None:
        with translated("leave"):
            await self._replicas.delete_one({"_id": {"$eq": replica_id}})

    @property
    def _replicas(self) -> AsyncCollection[Raw]:
        return self._collection(ReplicaDocument.Settings.name)


def to_replica(replica: Replica) -> Raw:
    """Return a replica as its document; topics are values there, as their names may contain dots."""
    return {
        "_id": replica.id,
        "version": replica.version,
        "roles": list(replica.roles),
        "started_at": replica.started_at,
        "seen_at": replica.seen_at,
        "loads": [
            {
                "topic": topic,
                "slots": load.slots,
                "running": load.running,
                "seconds": load.seconds,
                "occupied": load.occupied,
                "stuck": load.stuck,
            }
            for topic, load in replica.loads.items()
        ],
        "reporting": replica.reporting,
        "lag": replica.lag,
        "foreign_answer": replica.foreign_answer,
        "foreign_answer_message": to_code(replica.foreign_answer),
        "exchange": replica.exchange,
    }


def from_replica(document: Mapping[str, Any]) -> Replica:
    """Return the replica that a document describes."""
    return Replica(
        id=document["_id"],
        version=document["version"],
        roles=tuple(document["roles"]),
        started_at=document["started_at"],
        seen_at=document["seen_at"],
        loads={
            # A replica of a version before doesn't tell how long its slots are occupied, nor of stuck threads.
            row["topic"]: Load(
                int(row["slots"]), int(row["running"]), row["seconds"], row.get("occupied"), int(row.get("stuck", 0))
            )
            for row in document["loads"]
        },
        reporting=int(document["reporting"]),
        lag=float(document["lag"]),
        foreign_answer=from_code(document.get("foreign_answer"), document.get("foreign_answer_message")),
        exchange=document.get("exchange"),
    )
