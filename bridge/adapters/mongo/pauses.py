"""Paused topics on MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from beanie import Document
from pymongo import ASCENDING

from bridge.adapters.mongo.dashboard_documents import PauseDocument
from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.domain.records import Pause

MOST: Final = 1000
"""How many paused topics are listed at most."""


class PauseStore(StoreReader):
    """`bridge.ports.dashboard.Pauses` on MongoDB."""

    models: ClassVar[Sequence[type[Document]]] = (PauseDocument,)

    async def pause(self, pause: Pause) -> None:
        document = {"_id": pause.topic, "by": pause.by, "reason": pause.reason, "at": pause.at}
        with translated("pause"):
            pauses = self._collection(PauseDocument.Settings.name)
            await pauses.replace_one({"_id": {"$eq": pause.topic}}, document, upsert=True)

    async def resume(self, topic: str) -> bool:
        with translated("resume"):
            pauses = self._collection(PauseDocument.Settings.name)
            return (await pauses.delete_one({"_id": {"$eq": topic}})).deleted_count > 0

    async def pauses(self) -> Sequence[Pause]:
        found = self._collection(PauseDocument.Settings.name).find({}, max_time_ms=self._max_time_ms)
        with translated("pauses"):
            documents = await found.sort("_id", ASCENDING).limit(MOST).to_list()
        return [Pause(row["_id"], row["by"], row["reason"], row["at"]) for row in documents]
