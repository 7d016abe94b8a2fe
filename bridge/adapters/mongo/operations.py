"""Bulk operations on MongoDB: one document an operation, and one for each thousand of its items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from bridge.adapters.mongo.audit import newest
from bridge.adapters.mongo.dashboard_documents import OperationChunkDocument, OperationDocument
from bridge.adapters.mongo.documents import BEGINNING
from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.documents.messages import from_code, to_code
from bridge.documents.raw import Raw
from bridge.domain.operation import CHUNK, MOST, Chunk, Item, Operation, OperationKind, OperationState, Result, Totals

KEPT: Final = timedelta(days=90)

_COUNTS: Final = ("pending", "requeued", "skipped", "failed", "waiting")
_ENDED: Final = frozenset({OperationState.CANCELLED, OperationState.DONE})


class OperationStore(StoreReader):
    """`bridge.ports.dashboard.Operations` on MongoDB."""

    models: ClassVar[Sequence[type[Document]]] = (OperationDocument, OperationChunkDocument)

    async def create(self, operation: Operation, items: Sequence[Item]) -> bool:
        expire_at = operation.created_at + KEPT
        chunks = [
            _from_chunk(operation.id, place // CHUNK, items[place : place + CHUNK], expire_at)
            for place in range(0, len(items), CHUNK)
        ]
        with translated("create"):
            # One by one, since a chunk may take half a megabyte. Those without an operation are deleted in the end.
            try:
                for chunk in chunks:
                    await self._chunks.insert_one(chunk)
                await self._operations.insert_one(_from_operation(operation, expire_at))
            except DuplicateKeyError:
                return False
        return True

    async def operation(self, operation_id: str) -> Operation | None:
        with translated("operation"):
            found = await self._operations.find_one({"_id": {"$eq": operation_id}}, max_time_ms=self._max_time_ms)
            return None if found is None else (await self._with_totals([found]))[0]

    async def operations(self, limit: int, before: tuple[datetime, str] | None = None) -> Sequence[Operation]:
        with translated("operations"):
            found = await newest(self._operations, "created_at", [], limit, after=before, max_time=self._max_time_ms)
            return await self._with_totals(found)

    async def items(
        self, operation_id: str, result: Result | None, limit: int, after: int = -1
    ) -> Sequence[tuple[int, Item]]:
        """As the port says; reads one chunk after the other until there are enough."""
        found: list[tuple[int, Item]] = []
        number = (after + 1) // CHUNK
        while len(found) < limit:
            wanted: Raw = {"operation": {"$eq": operation_id}, "number": {"$gte": number}}
            if result is not None:
                wanted[result.value] = {"$gt": 0}
            with translated("items"):
                chunk = await self._first_chunk(wanted)
            if chunk is None:
                break
            places = ((chunk.number * CHUNK + place, item) for place, item in enumerate(chunk.items))
            found += [(place, item) for place, item in places if place > after and result in {None, item.result}]
            number = chunk.number + 1
        return found[:limit]

    async def switch(
        self, operation_id: str, sources: Collection[OperationState], to: OperationState, now: datetime
    ) -> bool:
        wanted = {"_id": {"$eq": operation_id}, "state": {"$in": [state.value for state in sources]}}
        changes: Raw = {"state": to.value, "next_at": now}
        if to in _ENDED:
            changes["ended_at"] = now
        with translated("switch"):
            return (await self._operations.update_one(wanted, {"$set": changes})).matched_count > 0

    async def take(self, now: datetime, until: datetime) -> Operation | None:
        wanted = {"state": {"$eq": OperationState.RUNNING.value}, "next_at": {"$lte": now}}
        with translated("take"):
            found = await self._operations.find_one_and_update(
                wanted,
                {"$set": {"next_at": until}},
                sort=[("next_at", ASCENDING)],
                return_document=ReturnDocument.AFTER,
                maxTimeMS=self._max_time_ms,
            )
        return None if found is None else _operation(found, Totals())

    async def postpone(self, operation_id: str, taken_until: datetime, next_at: datetime) -> None:
        wanted = {"_id": {"$eq": operation_id}, "next_at": {"$eq": taken_until}}
        with translated("rest"):
            await self._operations.update_one(wanted, {"$set": {"next_at": next_at}})

    async def next_chunk(self, operation_id: str) -> Chunk | None:
        with translated("next_chunk"):
            return await self._first_chunk({"operation": {"$eq": operation_id}, "pending": {"$gt": 0}})

    async def record(self, chunk: Chunk, results: Mapping[int, tuple[Result, str | None]], look_at: datetime) -> bool:
        changes: Raw = {}
        counts: Counter[str] = Counter(pending=-len(results))
        for place, (result, detail) in results.items():
            changes[f"items.{place}.result"] = result.value
            changes[f"items.{place}.detail"] = detail
            changes[f"items.{place}.message"] = to_code(detail)
            counts[result.value] += 1
            counts["waiting"] += result is Result.REQUEUED
        if counts["waiting"]:
            changes["look_at"] = look_at
        return await self._change(chunk, changes, counts)

    async def take_unsettled(self, now: datetime, until: datetime) -> Chunk | None:
        with translated("take_unsettled"):
            found = await self._chunks.find_one_and_update(
                {"look_at": {"$gt": BEGINNING, "$lte": now}},
                {"$set": {"look_at": until}},
                sort=[("look_at", ASCENDING)],
                return_document=ReturnDocument.AFTER,
                maxTimeMS=self._max_time_ms,
            )
        return None if found is None else _chunk(found)

    async def settle(self, chunk: Chunk, outcomes: Mapping[int, str]) -> bool:
        open_ = sum(item.result is Result.REQUEUED and item.outcome is None for item in chunk.items)
        counts: Counter[str] = Counter(waiting=-len(outcomes))
        counts.update(f"outcomes.{outcome}" for outcome in outcomes.values())
        changes: Raw = {f"items.{place}.outcome": outcome for place, outcome in outcomes.items()}
        if len(outcomes) == open_:
            changes["look_at"] = None
        return await self._change(chunk, changes, counts)

    async def _change(self, chunk: Chunk, changes: Raw, counts: Mapping[str, int]) -> bool:
        wanted = {"_id": {"$eq": _key(chunk.operation, chunk.number)}, "version": {"$eq": chunk.version}}
        update: Raw = {"$inc": {"version": 1, **counts}}
        if changes:
            update["$set"] = changes
        with translated("record"):
            return (await self._chunks.update_one(wanted, update)).matched_count > 0

    async def _first_chunk(self, wanted: Raw) -> Chunk | None:
        found = self._chunks.find(wanted, max_time_ms=self._max_time_ms).sort("number", ASCENDING).limit(1)
        for document in await found.to_list():
            return _chunk(document)
        return None

    async def _with_totals(self, documents: Sequence[Raw]) -> list[Operation]:
        if not documents:
            return []
        wanted = {"operation": {"$in": [document["_id"] for document in documents]}}
        shown = dict.fromkeys((*_COUNTS, "operation", "outcomes"), 1)
        most = len(documents) * (MOST // CHUNK)
        found = self._chunks.find(wanted, shown, max_time_ms=self._max_time_ms).limit(most)
        chunks: dict[str, list[Raw]] = {}
        for chunk in await found.to_list():
            chunks.setdefault(chunk["operation"], []).append(chunk)
        return [_operation(document, _totals(chunks.get(document["_id"], []))) for document in documents]

    @property
    def _operations(self) -> AsyncCollection[Raw]:
        return self._collection(OperationDocument.Settings.name)

    @property
    def _chunks(self) -> AsyncCollection[Raw]:
        return self._collection(OperationChunkDocument.Settings.name)


def _key(operation: str, number: int) -> str:
    return f"{operation}|{number:04d}"


def _from_operation(operation: Operation, expire_at: datetime) -> Raw:
    names = ("query", "reason", "by", "rate", "created_at", "ineligible", "ended_at")
    return {
        "_id": operation.id,
        **{name: getattr(operation, name) for name in names},
        "kind": operation.kind.value,
        "state": operation.state.value,
        "next_at": operation.created_at,
        "expire_at": expire_at,
    }


def _operation(document: Mapping[str, Any], totals: Totals) -> Operation:
    return Operation(
        id=document["_id"],
        kind=OperationKind(document["kind"]),
        query=document["query"],
        reason=document["reason"],
        by=document["by"],
        rate=int(document["rate"]),
        created_at=document["created_at"],
        state=OperationState(document["state"]),
        ineligible=int(document["ineligible"]),
        ended_at=document["ended_at"],
        totals=totals,
    )


def _from_chunk(operation: str, number: int, items: Sequence[Item], expire_at: datetime) -> Raw:
    return {
        "_id": _key(operation, number),
        "operation": operation,
        "number": number,
        "version": 0,
        **dict.fromkeys(_COUNTS, 0),
        "pending": len(items),
        "outcomes": {},
        "items": [{"id": item.task_id, "epoch": item.epoch, "result": Result.PENDING.value} for item in items],
        "expire_at": expire_at,
    }


def _detail(row: Mapping[str, Any]) -> str | None:
    return from_code(row.get("detail"), row.get("message"))


def _chunk(document: Mapping[str, Any]) -> Chunk:
    items = (
        Item(row["id"], int(row["epoch"]), Result(row["result"]), _detail(row), row.get("outcome"))
        for row in document["items"]
    )
    return Chunk(document["operation"], int(document["number"]), int(document["version"]), tuple(items))


def _totals(chunks: Sequence[Raw]) -> Totals:
    outcomes: Counter[str] = Counter()
    for chunk in chunks:
        outcomes.update({name: int(count) for name, count in chunk["outcomes"].items()})
    return Totals(**{name: sum(int(chunk[name]) for chunk in chunks) for name in _COUNTS}, outcomes=dict(outcomes))
