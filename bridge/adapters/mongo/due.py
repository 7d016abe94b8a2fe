"""Due tasks on MongoDB: one query a state, so that many tasks in one state hold up none in another."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from bridge.adapters.mongo.documents import BEGINNING, BY_ID
from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.documents.payload import WITHOUT_PAYLOAD
from bridge.documents.raw import Raw
from bridge.domain.task import State, Task, UnreadableTask
from bridge.ports.store import Due


class DueStore(StoreReader):
    """`ports.store.TaskStore`'s part of the reconciler, of messages without a match, and of what can't be read."""

    async def due(self, state: State | None, now: datetime, limit: int) -> Due:
        if limit <= 0:
            return Due()
        which: Raw = {"$nin": [known.value for known in State]} if state is None else {"$eq": state.value}
        overdue = {"state": which, "next_at": {"$gt": BEGINNING, "$lte": now}}
        shown = None if state is State.REPORTING else WITHOUT_PAYLOAD
        with translated("due"):
            found = self._tasks.find(overdue, shown, max_time_ms=self._max_time_ms).sort([("next_at", 1), ("_id", 1)])
            documents = await found.limit(limit).to_list()
            # What was set aside may be so for its payload.
            marked = [] if shown is None else [each["_id"] for each in documents if each.get("unreadable")]
            whole = {each["_id"]: each for each in await self._whole(marked)} if marked else {}
            read = [self._read(whole.get(each["_id"], each)) for each in documents]
            tasks = tuple(each for each in read if isinstance(each, Task))
            await self._restore(whole[task.id] for task in tasks if task.id in whole)
        return Due(tasks, tuple(each for each in read if isinstance(each, UnreadableTask)))

    async def topic_of(self, task_id: str) -> str | None:
        with translated("topic_of"):
            found = await self._tasks.find_one({"_id": {"$eq": task_id}}, {"topic": 1}, max_time_ms=self._max_time_ms)
        topic = None if found is None else found.get("topic")
        return topic if isinstance(topic, str) else None

    async def set_aside(self, found: Sequence[UnreadableTask], until: datetime) -> None:
        marks = [
            UpdateOne(
                {"_id": {"$eq": each.document["_id"]}, "next_at": {"$eq": each.document["next_at"]}},
                {"$set": {"next_at": until, "unreadable": True}},
                hint=BY_ID,
            )
            for each in found
        ]
        with translated("set_aside"):
            await self._tasks.bulk_write(marks, ordered=False)

    async def _readable(self, documents: Collection[Raw]) -> list[Task]:
        """Return the tasks of the documents that can be read, each by itself."""
        tasks = [task for task in map(self._read, documents) if isinstance(task, Task)]
        if any(document.get("unreadable") for document in documents):
            readable = {task.id for task in tasks}
            await self._restore(document for document in documents if document["_id"] in readable)
        return tasks

    async def _restore(self, documents: Iterable[Raw]) -> None:
        """Remove the mark from documents that a version set aside which could not read them."""
        marked: list[Any] = [document["_id"] for document in documents if document.get("unreadable")]
        if marked:
            await self._tasks.update_many({"_id": {"$in": marked}}, {"$unset": {"unreadable": ""}}, hint=BY_ID)

    async def _whole(self, ids: Sequence[Any]) -> list[Raw]:
        found = self._tasks.find({"_id": {"$in": list(ids)}}, max_time_ms=self._max_time_ms)
        return await found.limit(len(ids)).to_list()
