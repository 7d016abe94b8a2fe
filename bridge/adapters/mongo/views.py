"""Saved views on MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING

from bridge.adapters.mongo.dashboard_documents import ViewDocument
from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.domain.records import View

MOST: Final = 1000
"""How many views are listed at most."""


class ViewStore(StoreReader):
    """`bridge.ports.dashboard.Views` on MongoDB."""

    models: ClassVar[Sequence[type[Document]]] = (ViewDocument,)

    async def views(self) -> Sequence[View]:
        order = [("name", ASCENDING), ("_id", ASCENDING)]
        found = self._collection(ViewDocument.Settings.name).find({}, max_time_ms=self._max_time_ms)
        with translated("views"):
            return [_view(document) for document in await found.sort(order).limit(MOST).to_list()]

    async def save_view(self, view: View) -> None:
        document = {
            "_id": view.id,
            "name": view.name,
            "query": view.query,
            "owner": view.owner,
            "created_at": view.created_at,
        }
        with translated("save_view"):
            views = self._collection(ViewDocument.Settings.name)
            await views.replace_one({"_id": {"$eq": view.id}}, document, upsert=True)

    async def delete_view(self, view_id: str) -> bool:
        with translated("delete_view"):
            views = self._collection(ViewDocument.Settings.name)
            return (await views.delete_one({"_id": {"$eq": view_id}})).deleted_count > 0


def _view(document: Mapping[str, Any]) -> View:
    return View(document["_id"], document["name"], document["query"], document["owner"], document["created_at"])
