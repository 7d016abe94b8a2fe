"""Counts by minute and topic, and by cause and hour, on MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from beanie import Document
from bson.codec_options import CodecOptions
from pymongo import ASCENDING, DESCENDING, UpdateOne

from bridge.adapters.mongo.dashboard_documents import FailureGroupDocument, FailureHourDocument, RollupDocument
from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.documents.raw import Raw
from bridge.domain.histogram import Buckets
from bridge.domain.statistics import SLOT, WEEK, Count, FailureGroup, Failures, Rollup, Step, counted, reach

MOST: Final = 50_000
"""How many rows are read at most."""
_COUNTS: Final = {count.value: count for count in Count}
_NAIVE: Final[CodecOptions[Raw]] = CodecOptions(tz_aware=False)
"""Thousands of moments are read here at once: moving each from UTC to UTC would cost more than to read it."""


class StatisticsStore(StoreReader):
    """`bridge.ports.dashboard.Statistics` on MongoDB."""

    models: ClassVar[Sequence[type[Document]]] = (RollupDocument, FailureGroupDocument, FailureHourDocument)

    async def add(self, rollups: Mapping[Step, Sequence[Rollup]], failures: Sequence[Failures]) -> None:
        writes: list[tuple[type[Any], list[UpdateOne]]] = [
            (RollupDocument, [_rollup_write(step, row) for step, rows in rollups.items() for row in rows]),
            # Groups are written last and read first: what a group counts is in its hours too, at any moment.
            (FailureHourDocument, [_hour_write(row) for row in failures]),
            (FailureGroupDocument, [_group_write(row) for row in failures]),
        ]
        with translated("statistics"):
            for model, updates in writes:
                if updates:
                    await self._collection(model.get_collection_name()).bulk_write(updates, ordered=False)

    async def rollups(self, step: Step, since: datetime, topic: str | None = None) -> Sequence[Rollup]:
        wanted: Raw = {"step": {"$eq": step.name}}
        if topic is not None:
            wanted["topic"] = {"$eq": topic}
        wanted["at"] = {"$gte": since}
        rows = self._collection(RollupDocument.Settings.name).with_options(_NAIVE)
        with translated("rollups"):
            found = rows.find(wanted, max_time_ms=self._max_time_ms, batch_size=5000).sort("at", ASCENDING).limit(MOST)
            return [_rollup(document) for document in await found.to_list()]

    async def failure_groups(
        self, since: datetime, now: datetime, topic: str | None = None, limit: int = 200, within: timedelta = WEEK
    ) -> Sequence[FailureGroup]:
        wanted: Raw = {"last_seen": {"$gte": since}}
        if topic is not None:
            wanted["topic"] = {"$eq": topic}
        groups = self._collection(FailureGroupDocument.Settings.name)
        with translated("failure_groups"):
            found = groups.find(wanted, max_time_ms=self._max_time_ms).sort("last_seen", DESCENDING).limit(limit)
            documents = await found.to_list()
            hours = await self._hours([document["_id"] for document in documents], reach(within, now))
        return [_group(document, hours.get(document["_id"], []), now) for document in documents]

    async def failure_group(self, fingerprint: str, now: datetime) -> FailureGroup | None:
        groups = self._collection(FailureGroupDocument.Settings.name)
        with translated("failure_group"):
            document = await groups.find_one({"_id": {"$eq": fingerprint}}, max_time_ms=self._max_time_ms)
            if document is None:
                return None
            hours = await self._hours([fingerprint], reach(WEEK, now))
        return _group(document, hours.get(fingerprint, []), now)

    async def _hours(self, fingerprints: Sequence[str], since: datetime) -> Mapping[str, list[Raw]]:
        by_group: dict[str, list[Raw]] = {}
        if fingerprints:
            wanted = {"fingerprint": {"$in": list(fingerprints)}, "hour": {"$gt": since}}
            rows = self._collection(FailureHourDocument.Settings.name).with_options(_NAIVE)
            found = rows.find(wanted, max_time_ms=self._max_time_ms, batch_size=5000).limit(MOST)
            for row in await found.to_list():
                by_group.setdefault(row["fingerprint"], []).append(row)
        return by_group


def _rollup_write(step: Step, row: Rollup) -> UpdateOne:
    counts = {f"counts.{count.value}": by for count, by in row.counts.items() if by}
    waiting = {f"waiting.{bucket}": by for bucket, by in row.waiting.items()}
    running = {f"running.{bucket}": by for bucket, by in row.running.items()}
    named = {"step": step.name, "at": row.at, "topic": row.topic}
    key = f"{step.name}|{row.at.isoformat()}|{row.topic}"
    return UpdateOne({"_id": {"$eq": key}}, _incremented(named, {**counts, **waiting, **running}), upsert=True)


def _group_write(row: Failures) -> UpdateOne:
    named = {"topic": row.topic, "error": row.error, "first_seen": row.first}
    update = {
        "$setOnInsert": named,
        "$set": {"sample": row.sample},
        "$max": {"last_seen": row.last},
        "$inc": {"total": row.count},
    }
    return UpdateOne({"_id": {"$eq": row.fingerprint}}, update, upsert=True)


def _hour_write(row: Failures) -> UpdateOne:
    hour = Step.HOUR.floor(row.first)
    named = {"fingerprint": row.fingerprint, "hour": hour}
    counts = {"total": row.count, f"slots.{(row.first - hour) // SLOT}": row.count}
    return UpdateOne(
        {"_id": {"$eq": f"{row.fingerprint}|{hour.isoformat()}"}}, _incremented(named, counts), upsert=True
    )


def _incremented(named: Raw, counts: Mapping[str, int]) -> Raw:
    return {"$setOnInsert": named, "$inc": dict(counts)} if counts else {"$setOnInsert": named}


def _rollup(document: Mapping[str, Any]) -> Rollup:
    return Rollup(
        at=document["at"].replace(tzinfo=UTC),
        topic=document["topic"],
        counts={_COUNTS[name]: int(count) for name, count in document.get("counts", {}).items()},
        waiting=_buckets(document.get("waiting", {})),
        running=_buckets(document.get("running", {})),
    )


def _buckets(found: Mapping[str, int]) -> Buckets:
    # A week of a few topics has a hundred thousand of these: the loop is left to the interpreter.
    return dict(zip(map(int, found), map(int, found.values()), strict=True))


def _group(document: Mapping[str, Any], rows: Sequence[Raw], now: datetime) -> FailureGroup:
    group = FailureGroup(
        fingerprint=document["_id"],
        topic=document["topic"],
        error=document["error"],
        sample=document["sample"],
        first_seen=document["first_seen"],
        last_seen=document["last_seen"],
        total=int(document["total"]),
    )
    slots = {
        row["hour"].replace(tzinfo=UTC) + int(slot) * SLOT: int(count)
        for row in rows
        for slot, count in row["slots"].items()
    }
    return counted(group, slots, now)
