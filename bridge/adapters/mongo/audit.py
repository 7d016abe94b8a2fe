"""Views, the audit and paused topics on MongoDB."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

from bridge.adapters.mongo.dashboard_documents import AuditDocument, PauseDocument, ViewDocument
from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.adapters.mongo.search_filter import joined
from bridge.documents.raw import Raw
from bridge.domain.records import AuditEntry, AuditFilter, Pause, View

MOST: Final = 1000
"""How many views or paused topics are listed at most."""
AUDIT_KEPT: Final = timedelta(days=400)


class LedgerStore(StoreReader):
    """`bridge.ports.dashboard.Views`, `Audit` and `Pauses` on MongoDB."""

    models: ClassVar[Sequence[type[Document]]] = (ViewDocument, AuditDocument, PauseDocument)
    _audit_kept = AUDIT_KEPT

    async def views(self) -> Sequence[View]:
        order = [("name", ASCENDING), ("_id", ASCENDING)]
        found = self._collection(ViewDocument.Settings.name).find({}, max_time_ms=self._patience)
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

    async def write(self, entry: AuditEntry) -> None:
        with translated("audit"):
            audit = self._collection(AuditDocument.Settings.name)
            await audit.insert_one(_from_entry(entry, entry.at + self._audit_kept))

    async def entries(
        self, wanted: AuditFilter, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[AuditEntry]:
        clauses: list[Raw] = [
            {name: {"$eq": value}}
            for name in ("who", "action", "target")
            if (value := getattr(wanted, name)) is not None
        ]
        clauses += [{"at": {"$gte": wanted.since}}] if wanted.since is not None else []
        clauses += [{"at": {"$lt": wanted.until}}] if wanted.until is not None else []
        audit = self._collection(AuditDocument.Settings.name)
        with translated("audit"):
            found = await newest(audit, "at", clauses, limit, after=after, patience=self._patience)
        return [_entry(document) for document in found]

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
        found = self._collection(PauseDocument.Settings.name).find({}, max_time_ms=self._patience)
        with translated("pauses"):
            documents = await found.sort("_id", ASCENDING).limit(MOST).to_list()
        return [Pause(row["_id"], row["by"], row["reason"], row["at"]) for row in documents]


async def newest(
    rows: AsyncCollection[Raw],
    moment: str,
    clauses: Sequence[Raw],
    limit: int,
    *,
    after: tuple[datetime, str] | None,
    patience: int,
) -> list[Raw]:
    """Return documents that match all clauses, the newest first, behind the one with that time and id."""
    bounds: list[list[Raw]] = [[]]
    if after is not None:
        bounds = [[{moment: {"$eq": after[0]}}, {"_id": {"$lt": after[1]}}], [{moment: {"$lt": after[0]}}]]
    found: list[Raw] = []
    for bound in bounds:
        if len(found) < limit:
            some = rows.find(joined([*clauses, *bound]), max_time_ms=patience)
            found += await some.sort([(moment, DESCENDING), ("_id", DESCENDING)]).limit(limit - len(found)).to_list()
    return found


def _view(document: Mapping[str, Any]) -> View:
    return View(document["_id"], document["name"], document["query"], document["owner"], document["created_at"])


def _from_entry(entry: AuditEntry, expire_at: datetime) -> Raw:
    return {
        "_id": entry.id,
        **{name: getattr(entry, name) for name in ("at", "who", "role", "origin", "action", "target", "reason")},
        "before": json.dumps(dict(entry.before), default=str),
        "after": json.dumps(dict(entry.after), default=str),
        "trace": entry.trace,
        "expire_at": expire_at,
    }


def _entry(document: Mapping[str, Any]) -> AuditEntry:
    names = ("at", "who", "role", "origin", "action", "target", "reason", "trace")
    return AuditEntry(
        id=document["_id"],
        before=json.loads(document["before"]),
        after=json.loads(document["after"]),
        **{name: document[name] for name in names},
    )
