"""The audit on MongoDB."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

from bridge.adapters.mongo.dashboard_documents import AuditDocument
from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.adapters.mongo.search_filter import joined
from bridge.documents.raw import Raw
from bridge.domain.records import AuditEntry, AuditFilter

AUDIT_KEPT: Final = timedelta(days=400)


class AuditStore(StoreReader):
    """`bridge.ports.dashboard.Audit` on MongoDB."""

    models: ClassVar[Sequence[type[Document]]] = (AuditDocument,)
    _audit_kept = AUDIT_KEPT

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
            found = await newest(audit, "at", clauses, limit, after=after, max_time=self._max_time_ms)
        return [_entry(document) for document in found]


async def newest(
    rows: AsyncCollection[Raw],
    moment: str,
    clauses: Sequence[Raw],
    limit: int,
    *,
    after: tuple[datetime, str] | None,
    max_time: int,
) -> list[Raw]:
    """Return documents that match all clauses, the newest first, behind the one with that time and id."""
    bounds: list[list[Raw]] = [[]]
    if after is not None:
        bounds = [[{moment: {"$eq": after[0]}}, {"_id": {"$lt": after[1]}}], [{moment: {"$lt": after[0]}}]]
    found: list[Raw] = []
    for bound in bounds:
        if len(found) < limit:
            some = rows.find(joined([*clauses, *bound]), max_time_ms=max_time)
            found += await some.sort([(moment, DESCENDING), ("_id", DESCENDING)]).limit(limit - len(found)).to_list()
    return found


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
