"""Searching tasks that are kept in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from bridge.adapters.memory.store import MemoryStore
from bridge.domain.operation import Row
from bridge.domain.task import State, Task
from bridge.ports.dashboard import COUNT_CAP, Counts, Found, Selection, TooSlow
from bridge.search.match import matches
from bridge.search.page import SORTED_BY, Position, Sort, read_cursor, write_cursor
from bridge.search.query import Query

_ROW = frozenset({"state", "topic", "epoch"})


class MemorySearch:
    """`ports.dashboard.TaskSearch` on the tasks of a `MemoryStore`; `too_slow` is answered instead where it's set."""

    def __init__(self, store: MemoryStore) -> None:
        self.too_slow: TooSlow | None = None
        self._store = store

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
        position = None if cursor is None else read_cursor(cursor, wanted, sort)
        if self.too_slow is not None:
            return self.too_slow
        found = [task for task in self._ordered(wanted, sort, now) if _is_behind(task, sort, position)]
        tasks = tuple(self._store.read(task, light=not whole) for task in found[:limit])
        if len(found) <= limit:
            return Found(tasks, None)
        last = Position(getattr(found[limit - 1], SORTED_BY[sort.key]), found[limit - 1].id)
        return Found(tasks, write_cursor(wanted, sort, last))

    async def counts(self, wanted: Query, *, now: datetime) -> Counts:
        found = [task for task in self._store.tasks.values() if self._matches(wanted, task, now)]
        if self.too_slow is not None:
            return Counts(dict.fromkeys(State), None)
        states = Counter(self._store.state_of(task) for task in found)
        aside = sum(task.id in self._store.aside for task in found)
        return Counts({state: min(COUNT_CAP + 1, states[state.value]) for state in State}, aside)

    async def select(self, wanted: Query, limit: int, *, now: datetime) -> Selection | TooSlow:
        if self.too_slow is not None:
            return self.too_slow
        found = self._ordered(wanted, Sort(), now)
        return Selection(tuple(self._rows(found[:limit])), len(found) > limit)

    async def rows(self, ids: Sequence[str]) -> Sequence[Row]:
        return self._rows(self._store.tasks[each] for each in dict.fromkeys(ids) if each in self._store.tasks)

    def _rows(self, tasks: Iterable[Task]) -> list[Row]:
        spoiled = self._store.spoiled
        return [Row.of(task) for task in tasks if _ROW.isdisjoint(spoiled.get(task.id, ()))]

    def _matches(self, wanted: Query, task: Task, now: datetime) -> bool:
        aside = task.id in self._store.aside
        return matches(wanted, task, now, aside=aside)

    def _ordered(self, wanted: Query, sort: Sort, now: datetime) -> list[Task]:
        name = SORTED_BY[sort.key]
        found = [
            t for t in self._store.tasks.values() if getattr(t, name) is not None and self._matches(wanted, t, now)
        ]
        return sorted(found, key=lambda task: (getattr(task, name), task.id), reverse=sort.descending)


def _is_behind(task: Task, sort: Sort, position: Position | None) -> bool:
    if position is None:
        return True
    here, there = (getattr(task, SORTED_BY[sort.key]), task.id), (position.value, position.task_id)
    return bool(here < there if sort.descending else here > there)
