"""Messages that led to no task, as MongoDB keeps them for people to see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from beanie import Document
from pymongo import DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection

from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.documents.raw import Raw
from bridge.domain.dead_letter import DeadLetter


class DeadLetterDocument(Document):
    """A dead letter; kept for thirty days."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    topic: str
    reason: str
    body: str
    task_id: str | None = None
    found_at: datetime

    class Settings:
        """Read by Beanie."""

        name = "dead_letters"
        indexes: ClassVar = [IndexModel([("found_at", DESCENDING)], name="found", expireAfterSeconds=30 * 86_400)]


class DeadLetterStore(StoreReader):
    """`bridge.ports.DeadLetterStore` on MongoDB."""

    async def keep_dead_letter(self, letter: DeadLetter) -> None:
        document = {
            "_id": letter.id,
            "topic": letter.topic,
            "reason": letter.reason,
            "body": letter.body,
            "task_id": letter.task_id,
            "found_at": letter.found_at,
        }
        with translated("keep_dead_letter"):
            await self._dead_letters.replace_one({"_id": {"$eq": letter.id}}, document, upsert=True)

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        with translated("dead_letters"):
            found = self._dead_letters.find({}, max_time_ms=self._max_time_ms).sort([("found_at", DESCENDING)])
            documents = await found.limit(limit).to_list()
        return [
            DeadLetter(row["_id"], row["topic"], row["reason"], row["body"], row.get("task_id"), row["found_at"])
            for row in documents
        ]

    @property
    def _dead_letters(self) -> AsyncCollection[Raw]:
        return self._collection(DeadLetterDocument.Settings.name)
