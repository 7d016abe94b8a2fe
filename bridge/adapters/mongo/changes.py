"""Change tokens on MongoDB, from the ends of indexes: nothing is counted, and no task is read."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import DESCENDING

from bridge.adapters.mongo.dashboard_documents import (
    AuditDocument,
    FailureGroupDocument,
    OperationChunkDocument,
    OperationDocument,
    PauseDocument,
    TopicCountDocument,
)
from bridge.adapters.mongo.documents import BEGINNING, TaskDocument
from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.adapters.mongo.replicas import ReplicaDocument
from bridge.documents.raw import Raw

_HEARTBEATS: Final = timedelta(seconds=10)
"""Heartbeats are reported at most so often: they come every two seconds, and rarely change anything."""
_LATEST_OPERATIONS: Final = 10
_MOST: Final = 200


class ChangeTokenStore(StoreReader):
    """`bridge.ports.changes.Changes` on MongoDB."""

    models: ClassVar[Sequence[type[Document]]] = ()

    async def change_tokens(self) -> Mapping[str, str]:
        tasks, counts, failures, audit, operations, chunks, pauses, replicas = await asyncio.gather(
            self._newest(TaskDocument.Settings.name, "updated_at", "_id"),
            self._newest(TopicCountDocument.Settings.name, "changed_at"),
            self._newest(FailureGroupDocument.Settings.name, "last_seen", "total"),
            self._newest(AuditDocument.Settings.name, "at", "_id"),
            self._newest(
                OperationDocument.Settings.name,
                "created_at",
                "_id",
                "state",
                "next_at",
                most=_LATEST_OPERATIONS,
            ),
            self._newest(OperationChunkDocument.Settings.name, "look_at", "_id", above=BEGINNING),
            self._newest(PauseDocument.Settings.name, "_id", "at", "reason", most=_MOST),
            self._newest(ReplicaDocument.Settings.name, "seen_at", "_id", most=_MOST),
        )
        seen = sorted((row["_id"], row["seen_at"].timestamp() // _HEARTBEATS.total_seconds()) for row in replicas)
        return {
            "tasks": _token([tasks, counts]),
            "topics": _token([tasks, counts, pauses]),
            "failures": _token(failures),
            "workers": _token(seen),
            "operations": _token([operations, chunks]),
            "audit": _token(audit),
        }

    async def _newest(
        self, collection: str, by: str, *fields: str, most: int = 1, above: datetime | None = None
    ) -> list[Raw]:
        wanted: Raw = {} if above is None else {by: {"$gt": above}}
        shown: dict[str, Any] = dict.fromkeys((by, *fields), 1)
        with translated("change_tokens"):
            found = self._collection(collection).find(wanted, {"_id": 0, **shown}, max_time_ms=self._max_time_ms)
            return await found.sort(by, DESCENDING).limit(most).to_list()


def _token(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]
