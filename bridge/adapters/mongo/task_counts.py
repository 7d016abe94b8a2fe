"""Counts of tasks on MongoDB: counted in the background, and only numbers that can have changed are counted again.

A document for each topic has the number of tasks that ended `settled` before the moment `through`; it grows by those
that ended since, whenever `through` moves on. Such a count misses tasks that leave: by their retention, or because the
engine offers them again. `recount` corrects that, one state of one topic at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

import pymongo
from beanie import Document
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from bridge.adapters.mongo.dashboard_documents import CountingTurnDocument, TopicCountDocument
from bridge.adapters.mongo.documents import BY_TOPIC_STATE
from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.documents.raw import Raw
from bridge.documents.task_codec import cut
from bridge.domain.task import State
from bridge.domain.task_counts import OPEN, SETTLED, TaskCounts
from bridge.ports.dashboard import Turn
from bridge.ports.reader import Statistics

COUNTED_AT_ONCE: Final = 20_000
"""Up to so many tasks are counted by the request itself; of more it tells what was counted beside it."""
MOST_TOPICS: Final = 5000

_LATE: Final = timedelta(seconds=15)
"""A task's end is in the store at most so long after its `updated_at`, but for outages; `recount` finds those."""
_STEP: Final = timedelta(seconds=30)
"""`through` moves on in steps of at least this: between them nothing is written where nothing happens."""
_LONGEST: Final = timedelta(seconds=60)
"""What the first count of a topic, and a recount, may take; no request waits for either."""
_OPEN: Final = sorted(state.value for state in OPEN)
_SETTLED: Final = sorted(state.value for state in SETTLED)

_ByTopic = Mapping[str, Mapping[str, int]]


class CountStore(StoreReader):
    """`bridge.ports.dashboard.TaskCounters` on MongoDB, and the reader's statistics that are made of it."""

    models: ClassVar[Sequence[type[Document]]] = (TopicCountDocument, CountingTurnDocument)

    async def statistics(self) -> Statistics:
        """Return what was counted beside the requests; where few tasks are kept they are counted now."""
        kept = await self.task_counts()
        if kept is not None and kept.total() > COUNTED_AT_ONCE:
            by_topic = {topic: sum(counts.values()) for topic, counts in kept.by_topic.items()}
            by_state = {state.value: count for state, count in kept.by_state().items()}
            return Statistics(kept.total(), by_state, by_topic, counted_at=kept.at)
        with translated("statistics"):
            return _statistics(await self._grouped({}))

    async def task_counts(self) -> TaskCounts | None:
        """Return what was counted last; None where nothing ever was."""
        with translated("task_counts"):
            turn = await self._turns.find_one(_lease(Turn.TASK_COUNTS), max_time_ms=self._max_time_ms)
            if turn is None or (at := turn.get("counted_at")) is None:
                return None
            return TaskCounts({row["_id"]: _sum(row) for row in await self._rows()}, at)

    async def take_turn(self, turn: Turn, replica: str, now: datetime, until: datetime) -> bool:
        """Return whether this replica has the turn until then."""
        free: Raw = {"$or": [{"until": {"$lte": now}}, {"owner": {"$eq": replica}}]}
        with translated("take_turn"):
            try:
                await self._turns.update_one(
                    {**_lease(turn), **free}, {"$set": {"owner": replica, "until": until}}, upsert=True
                )
            except DuplicateKeyError:
                return False
        return True

    async def refresh_counts(self, now: datetime) -> None:
        """Count the open tasks, and those that ended lately. What that costs doesn't grow with the tasks kept."""
        with translated("refresh_counts"):
            rows = await self._advanced(await self._known(now), cut(now))
            opened = await self._grouped(_of(rows, _OPEN))
            recent: dict[str, Mapping[str, int]] = {}
            for through, topics in _by_through(rows.values()).items():
                recent |= await self._grouped({**_of(topics, _SETTLED), "updated_at": {"$gte": through}})
            await self._write_rows(
                UpdateOne(
                    {"_id": {"$eq": topic}, "through": {"$eq": row["through"]}},
                    {"$set": {"open": opened.get(topic, {}), "recent": recent.get(topic, {}), "changed_at": now}},
                )
                for topic, row in rows.items()
                if (row["open"], row["recent"]) != (opened.get(topic, {}), recent.get(topic, {}))
            )
            await self._turns.update_one(
                _lease(Turn.TASK_COUNTS),
                {"$set": {"counted_at": now}, "$setOnInsert": {"owner": "", "until": now}},
                upsert=True,
            )

    async def recount(self, topic: str, state: State, now: datetime) -> int:
        """Count all tasks of a topic in a settled state again; return by how much the number kept was wrong."""
        with translated("recount"):
            row = await self._topics.find_one({"_id": {"$eq": topic}}, max_time_ms=self._max_time_ms)
            if row is None:
                return 0
            wanted = {**_of([topic], [state.value]), "updated_at": {"$lt": row["through"]}}
            with pymongo.timeout(_LONGEST.total_seconds()):
                found = await self._grouped(wanted, most=_LONGEST)
            wrong = found.get(topic, {}).get(state.value, 0) - int(row["settled"].get(state.value, 0))
            if wrong:
                # Added, not set: meanwhile another may have counted those that ended after `through`.
                change = {"$inc": {f"settled.{state.value}": wrong}, "$set": {"changed_at": now}}
                await self._topics.update_one({"_id": {"$eq": topic}}, change)
        return wrong

    async def _known(self, now: datetime) -> dict[str, Raw]:
        """Return the row of each topic that has tasks; one that is new is counted as a whole, once."""
        found = await self._tasks.distinct("topic", maxTimeMS=self._max_time_ms)
        topics = [topic for topic in found if isinstance(topic, str)]
        rows = {row["_id"]: row for row in await self._rows()}
        if gone := rows.keys() - set(topics):
            await self._topics.delete_many({"_id": {"$in": sorted(gone)}})
        fresh = [topic for topic in topics if topic not in rows]
        if fresh:
            through = cut(now - _LATE)
            with pymongo.timeout(_LONGEST.total_seconds()):
                settled = await self._grouped({**_of(fresh, _SETTLED), "updated_at": {"$lt": through}}, most=_LONGEST)
            for topic in fresh:
                row: Raw = {"through": through, "settled": settled.get(topic, {}), "open": {}, "recent": {}}
                await self._topics.update_one(
                    {"_id": {"$eq": topic}}, {"$setOnInsert": {**row, "changed_at": now}}, upsert=True
                )
            rows = {row["_id"]: row for row in await self._rows()}
        return {topic: row for topic, row in rows.items() if topic not in gone}

    async def _advanced(self, rows: dict[str, Raw], now: datetime) -> dict[str, Raw]:
        """Move `through` on where it lies far enough back; return the rows as they are then."""
        edge = now - _LATE
        old = [row for row in rows.values() if edge - row["through"] >= _STEP]
        for through, topics in _by_through(old).items():
            ended = await self._grouped({**_of(topics, _SETTLED), "updated_at": {"$gte": through, "$lt": edge}})
            await self._write_rows(
                UpdateOne(
                    # A replica that comes second finds another `through`, and adds nothing.
                    {"_id": {"$eq": topic}, "through": {"$eq": through}},
                    _increased("settled", ended.get(topic, {}), {"through": edge}),
                )
                for topic in topics
            )
        return {row["_id"]: row for row in await self._rows() if row["_id"] in rows} if old else rows

    async def _write_rows(self, writes: Iterable[UpdateOne]) -> None:
        if some := list(writes):
            await self._topics.bulk_write(some, ordered=False)

    async def _grouped(self, wanted: Raw, *, most: timedelta | None = None) -> dict[str, Mapping[str, int]]:
        """Count by topic and state from the index of both; no task is read."""
        pipeline = [{"$match": wanted}, {"$group": {"_id": {"t": "$topic", "s": "$state"}, "n": {"$sum": 1}}}]
        max_time = self._max_time_ms if most is None else int(most.total_seconds() * 1000)
        found = await self._tasks.aggregate(pipeline, hint=BY_TOPIC_STATE, maxTimeMS=max_time)
        counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for row in await found.to_list():
            # A document that can't be read as a task may lack either.
            counts[str(row["_id"].get("t", ""))][str(row["_id"].get("s", ""))] = int(row["n"])
        return dict(counts)

    async def _rows(self) -> Sequence[Raw]:
        return await self._topics.find({}, max_time_ms=self._max_time_ms).limit(MOST_TOPICS).to_list()

    @property
    def _topics(self) -> AsyncCollection[Raw]:
        return self._collection(TopicCountDocument.Settings.name)

    @property
    def _turns(self) -> AsyncCollection[Raw]:
        return self._collection(CountingTurnDocument.Settings.name)


def _lease(turn: Turn) -> Raw:
    return {"_id": {"$eq": turn.value}}


def _of(topics: Collection[str], states: Sequence[str]) -> Raw:
    return {"topic": {"$in": sorted(topics)}, "state": {"$in": list(states)}}


def _by_through(rows: Iterable[Raw]) -> Mapping[datetime, list[str]]:
    found: defaultdict[datetime, list[str]] = defaultdict(list)
    for row in rows:
        found[row["through"]].append(row["_id"])
    return found


def _increased(name: str, by: Mapping[str, int], changes: Mapping[str, Any]) -> Raw:
    update: Raw = {"$set": dict(changes)}
    if by:
        update["$inc"] = {f"{name}.{key}": count for key, count in by.items()}
    return update


def _sum(row: Raw) -> Mapping[State, int]:
    names = [*row["settled"], *row["recent"], *row["open"]]
    found = {
        name: sum(int(row[part].get(name, 0)) for part in ("settled", "recent", "open"))
        for name in dict.fromkeys(names)
    }
    # A count that is one too low may lead below zero, until the next recount.
    # A version after this one may have counted states that this one lacks.
    return {state: found[state.value] for state in State if found.get(state.value, 0) > 0}


def _statistics(found: _ByTopic) -> Statistics:
    by_state: defaultdict[str, int] = defaultdict(int)
    for counts in found.values():
        for state, count in counts.items():
            by_state[state] += count
    by_topic = {topic: sum(counts.values()) for topic, counts in found.items()}
    return Statistics(sum(by_topic.values()), dict(by_state), by_topic)
