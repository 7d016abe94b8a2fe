"""Searching tasks on MongoDB. Every command has a limit, and a time after which the server gives it up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pymongo.errors import ExecutionTimeout

from bridge.adapters.mongo import task_counts as count_store
from bridge.adapters.mongo.reader import translated
from bridge.adapters.mongo.search_filter import behind, clauses_of, joined, order_of, ordered, windows, with_states
from bridge.adapters.mongo.task_counts import CountStore
from bridge.documents.raw import Raw
from bridge.domain.operation import Row
from bridge.domain.task import UNREADABLE, State
from bridge.ports.dashboard import COUNT_CAP, Counts, Found, Selection, TooSlow
from bridge.search.page import MOMENTS, SORTED_BY, Position, Sort, read_cursor, write_cursor
from bridge.search.query import Among, Field, Query, all_of, among, conditions

_HEAVY: Final = ("variables", "given", "result", "outcome", "history", "tokens")
"""What a list doesn't show."""
_WINDOWS: Final = (timedelta(minutes=10), timedelta(hours=3), timedelta(days=2))
_GROUPED: Final = 25_000
"""Up to so many tasks are counted in one pass; what is more is counted state by state, as far as is told of it."""
_ROW: Final = ("state", "topic", "epoch", "error_type", "error_fp")
_STATES: Final = frozenset(state.value for state in State)


class _TimeIsUp(Exception):
    """The server gave the command up."""


class SearchStore(CountStore):
    """`bridge.ports.dashboard.TaskSearch` on MongoDB.

    `max_time` is how long the server may work on one command; counts get a fifth of it, as there are ten of them.
    """

    async def search(
        self,
        wanted: Query,
        sort: Sort,
        limit: int,
        cursor: str | None = None,
        *,
        now: datetime,
        whole: bool = False,
    ) -> Found | TooSlow:
        clauses = ordered(wanted, clauses_of(wanted, now), sort)
        position = None if cursor is None else read_cursor(cursor, wanted, sort)
        shown = None if whole else dict.fromkeys(_HEAVY, 0)
        try:
            begin = now if position is None or isinstance(position.value, int) else position.value
            pieces = windows(wanted, sort, begin, _WINDOWS)
            documents = await self._behind(clauses, sort, limit + 1, position, shown=shown, pieces=pieces)
        except _TimeIsUp:
            return TooSlow(timedelta(milliseconds=self._max_time_ms))
        tasks = tuple(self._read(document) for document in documents[:limit])
        last = _last_position(documents[:limit], sort) if len(documents) > limit else None
        return Found(tasks, None if last is None else write_cursor(wanted, sort, last))

    async def counts(self, wanted: Query, *, now: datetime) -> Counts:
        return Counts(await self._by_state(wanted, now), await self._count(wanted, UNREADABLE, now))

    async def _by_state(self, wanted: Query, now: datetime) -> Mapping[State, int | None]:
        if (topics := _topics_of(wanted)) is not None:
            kept = await self.task_counts()
            if kept is not None and kept.total(topics.names) > count_store.COUNTED_AT_ONCE:
                by_state = kept.by_state(topics.names)
                return {state: min(COUNT_CAP + 1, by_state[state]) for state in State}
        grouped = await self._count_all(wanted, now)
        if grouped is not None:
            return {state: min(COUNT_CAP + 1, grouped.get(state.value, 0)) for state in State}
        counted = await asyncio.gather(*(self._count(wanted, state, now) for state in State))
        return dict(zip(State, counted, strict=True))

    async def select(self, wanted: Query, limit: int, *, now: datetime) -> Selection | TooSlow:
        sort = Sort()
        clauses = ordered(wanted, clauses_of(wanted, now), sort)
        try:
            documents = await self._find(clauses, sort, limit + 1, dict.fromkeys(_ROW, 1))
        except _TimeIsUp:
            return TooSlow(timedelta(milliseconds=self._max_time_ms))
        return Selection(tuple(_rows(documents[:limit])), len(documents) > limit)

    async def rows(self, ids: Sequence[str]) -> Sequence[Row]:
        if not ids:
            return []
        wanted = {"_id": {"$in": list(ids)}}
        with translated("rows"):
            found = self._tasks.find(wanted, dict.fromkeys(_ROW, 1), max_time_ms=self._max_time_ms, batch_size=len(ids))
            return _rows(await found.limit(len(ids)).to_list())

    async def _behind(
        self,
        clauses: list[Raw],
        sort: Sort,
        limit: int,
        position: Position | None,
        *,
        shown: Mapping[str, int] | None,
        pieces: Sequence[Sequence[Raw]],
    ) -> list[Raw]:
        found: list[Raw] = []
        if position is not None:
            same, others = behind(sort, position)
            found = await self._find([*clauses, *same], sort, limit, shown)
            clauses = [*clauses, *others]
        for piece in pieces:
            if len(found) < limit:
                found += await self._find([*clauses, *piece], sort, limit - len(found), shown)
        return found

    async def _find(self, clauses: list[Raw], sort: Sort, limit: int, shown: Mapping[str, int] | None) -> list[Raw]:
        with translated("search"), _timed():
            found = self._tasks.find(joined(clauses), shown, max_time_ms=self._max_time_ms)
            return await found.sort(order_of(sort)).limit(limit).to_list()

    async def _count_all(self, wanted: Query, now: datetime) -> Mapping[str, int] | None:
        """Count in one pass by state; None where there are too many, or it takes too long."""
        pipeline: list[Raw] = [
            {"$match": joined(with_states(wanted, clauses_of(wanted, now)))},
            {"$limit": _GROUPED + 1},
            {"$group": {"_id": "$state", "count": {"$sum": 1}}},
        ]
        try:
            with translated("counts"), _timed():
                found = await self._tasks.aggregate(pipeline, maxTimeMS=max(1, self._max_time_ms // 5))
                grouped = {row["_id"]: int(row["count"]) for row in await found.to_list()}
        except _TimeIsUp:
            return None
        return None if sum(grouped.values()) > _GROUPED else grouped

    async def _count(self, wanted: Query, state: str, now: datetime) -> int | None:
        for term in conditions(wanted):
            if isinstance(term, Among) and term.field is Field.STATE and state not in term.values:
                return 0
        clauses = clauses_of(all_of([among(Field.STATE, [state]), wanted]), now)
        try:
            with translated("counts"), _timed():
                return await self._tasks.count_documents(
                    joined(clauses), limit=COUNT_CAP + 1, maxTimeMS=max(1, self._max_time_ms // 5)
                )
        except _TimeIsUp:
            return None


@dataclass(frozen=True, slots=True)
class _Topics:
    """All tasks of these topics, or of every one (None)."""

    names: frozenset[str] | None


def _topics_of(wanted: Query) -> _Topics | None:
    """Return of which topics a query wants all tasks; None where it wants only some of them."""
    names: frozenset[str] | None = None
    for term in conditions(wanted):
        if not isinstance(term, Among) or term.field is not Field.TOPIC:
            return None
        given = frozenset(map(str, term.values))
        names = given if names is None else names & given
    return _Topics(names)


@contextmanager
def _timed() -> Iterator[None]:
    try:
        yield
    except ExecutionTimeout as error:
        raise _TimeIsUp from error


def _rows(documents: Iterable[Raw]) -> list[Row]:
    """Return what can be operated on: there is nothing to do to a document that this version can't read."""
    found: list[Row] = []
    for document in documents:
        match document:
            case {"_id": str(task_id), "state": str(state), "topic": str(topic), "epoch": int(epoch)} if (
                state in _STATES
            ):
                kind, group = document.get("error_type"), document.get("error_fp")
                found.append(Row(task_id, State(state), topic, int(epoch), kind, group))
            case _:
                pass
    return found


def _last_position(documents: Sequence[Raw], sort: Sort) -> Position | None:
    """Return the position of the last document that has a value to sort by: one that can't be read may have none."""
    wanted = datetime if sort.key in MOMENTS else int
    for document in reversed(documents):
        value = document.get(SORTED_BY[sort.key])
        if isinstance(value, wanted):
            return Position(value, str(document["_id"]))
    return None
