"""A collection of tasks that answers as MongoDB does by its indexes, and counts the index keys that it goes over.

No server with indexes can be had from the package registries, and the sandbox's looks at every document. So the keys
are kept here as the declared indexes have them: by their leading fields, in the order of their moment. A question is
answered by the index that has its fields for equality, then its order, then its range; what no index has is looked for
along an order, or in memory where that takes fewer keys, as MongoDB finds out by trying both.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from typing import Any, Final

from bench.errors import BenchError
from bridge.documents.raw import Raw
from bridge.documents.task_codec import to_document
from bridge.domain.task import State, Task

TOPICS: Final = ("charge_card", "send_mail", "nova_publicacao", "say_hello")
OPEN: Final = {State.RECEIVED: 50, State.QUEUED: 400, State.RUNNING: 50, State.RETRYING: 300, State.FAILED: 1200}
"""How many tasks are open, however many are kept: the rest ended."""

_INDEXES: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("topic", "state"): ("updated_at",),
    ("state",): ("updated_at",),
    ("topic",): ("created_at",),
    (): ("updated_at", "created_at"),
}
"""Of the declared ones those by which pages go: their leading fields, and the moments that they are ordered by."""

_Key = tuple[int, int]
"""A moment in milliseconds before the epoch, so that the newest comes first, and the task's number."""


@dataclass(slots=True)
class Tasks:
    """So many synthetic tasks of a month; the open ones are of the last day."""

    count: int
    now: datetime
    values: dict[str, list[Any]] = field(default_factory=dict)
    indexes: dict[tuple[tuple[str, ...], str], dict[tuple[Any, ...], list[_Key]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chance = random.Random(7)
        states: list[str] = [state.value for state, many in OPEN.items() for _ in range(many)]
        states += chance.choices([State.COMPLETED.value, State.CANCELLED.value], [97, 3], k=self.count - len(states))
        now = int(self.now.timestamp() * 1000)
        days = [1 if place < sum(OPEN.values()) else 30 for place in range(self.count)]
        updated = [now - chance.randrange(many * 86_400_000) for many in days]
        self.values = {
            "state": states,
            "topic": chance.choices(TOPICS, k=self.count),
            "updated_at": updated,
            "created_at": [moment - chance.randrange(60_000) for moment in updated],
        }
        for fields, orders in _INDEXES.items():
            for order in orders:
                keys: defaultdict[tuple[Any, ...], list[_Key]] = defaultdict(list)
                for number in range(self.count):
                    keys[tuple(self.values[name][number] for name in fields)].append(
                        (-self.values[order][number], number)
                    )
                for some in keys.values():
                    some.sort()
                self.indexes[fields, order] = dict(keys)
        self.indexes[("unreadable",), "updated_at"] = {}  # there are none

    def document(self, number: int) -> Raw:
        """Return a task as its document."""
        created, updated = self.moment("created_at", number), self.moment("updated_at", number)
        topic, state = self.values["topic"][number], State(self.values["state"][number])
        return to_document(Task(f"{number:08}", topic, "bridge", updated, created, updated, retries=3, state=state))

    def moment(self, name: str, number: int) -> datetime:
        """Return one of a task's moments."""
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self.values[name][number])


@dataclass(frozen=True, slots=True)
class _Question:
    equal: Mapping[str, Sequence[Any]]
    ranges: Mapping[str, tuple[int, int]]
    """By a moment's name the lowest and the highest of its keys, both included."""
    below: str | None
    """Only tasks whose id is below this one."""


class Walked:
    """As much of a collection as the pages and the counting use; `keys` has been gone over, `documents` were read."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self.keys = 0
        self.documents = 0

    def with_options(self, *_options: object, **_named: object) -> Walked:
        return self

    def find(self, wanted: Raw, *_shown: object, **_options: object) -> Cursor:
        return Cursor(self, _question(wanted))

    async def aggregate(self, pipeline: Sequence[Raw], **_options: object) -> Rows:
        """Count by state, or by topic and state: `$match`, perhaps `$limit`, `$group`."""
        question = _question(pipeline[0]["$match"])
        limit = next((stage["$limit"] for stage in pipeline if "$limit" in stage), None)
        group = pipeline[-1]["$group"]["_id"]
        name = "n" if isinstance(group, dict) else "count"
        counts: Counter[Any] = Counter()
        for number in islice(self._covered(question, "updated_at"), limit):
            state, topic = self._tasks.values["state"][number], self._tasks.values["topic"][number]
            counts[(topic, state) if isinstance(group, dict) else state] += 1
        rows = [{"_id": {"t": key[0], "s": key[1]} if name == "n" else key, name: many} for key, many in counts.items()]
        return Rows(rows)

    async def count_documents(self, wanted: Raw, limit: int, **_options: object) -> int:
        return sum(1 for _ in islice(self._covered(_question(wanted), "updated_at"), limit))

    async def distinct(self, name: str, **_options: object) -> list[str]:
        """Go from one value to the next in an index that begins with it."""
        found = sorted({prefix[0] for prefix in self._tasks.indexes[(name,), "created_at"]})
        self.keys += len(found)
        return found

    def in_order(self, question: _Question, order: str, limit: int) -> list[int]:
        """Return the numbers of a page, newest first."""
        if self._serves(question, order) is not None:
            return list(islice(self._covered(question, order), limit))
        walked, sorted_ = Walked(self._tasks), Walked(self._tasks)
        along = list(islice(walked._along(question, order), limit))
        there = sorted(sorted_._covered(question, "updated_at"), key=lambda number: -self._tasks.values[order][number])
        tried, found = (walked, along) if walked.keys <= sorted_.keys else (sorted_, there[:limit])
        self.keys += tried.keys
        self.documents += tried.keys - len(found)  # each is read to be looked at, and those found are counted there
        return found

    def _along(self, question: _Question, order: str) -> Iterator[int]:
        for _, number in self._tasks.indexes[(), order][()]:
            self.keys += 1
            if all(self._tasks.values[name][number] in among for name, among in question.equal.items()):
                yield number

    def _covered(self, question: _Question, order: str) -> Iterator[int]:
        """Give the numbers that an index finds, in its order; each is a key, and so is the begin of each part."""
        index = self._serves(question, order)
        if index is None:
            raise BenchError(f"no index serves {question} by {order}")
        fields, keys = index
        parts = [keys.get(values, []) for values in product(*(question.equal.get(name, ()) for name in fields))]
        self.keys += len(parts)
        for key in heapq.merge(*(_within(part, question.ranges.get(order)) for part in parts)):
            self.keys += 1
            if question.below is None or f"{key[1]:08}" < question.below:
                yield key[1]

    def _serves(
        self, question: _Question, order: str
    ) -> tuple[tuple[str, ...], Mapping[tuple[Any, ...], list[_Key]]] | None:
        if question.ranges.keys() - {order}:
            return None
        for (fields, moment), keys in self._tasks.indexes.items():
            rare = {"unreadable"} & question.equal.keys()
            if moment == order and set(fields) == (rare or set(question.equal)):
                return fields, keys
        return None

    def read(self, numbers: Iterable[int]) -> list[Raw]:
        """Return documents."""
        found = [self._tasks.document(number) for number in numbers]
        self.documents += len(found)
        return found


class Cursor:
    """A `find` that is put together."""

    def __init__(self, walked: Walked, question: _Question) -> None:
        self._walked, self._question = walked, question
        self._order, self._limit = "updated_at", 0

    def sort(self, order: Sequence[tuple[str, int]]) -> Cursor:
        self._order = order[0][0]
        return self

    def limit(self, limit: int) -> Cursor:
        self._limit = limit
        return self

    async def to_list(self) -> list[Raw]:
        return self._walked.read(self._walked.in_order(self._question, self._order, self._limit))


@dataclass(frozen=True, slots=True)
class Rows:
    """What an `aggregate` answers."""

    rows: list[Raw]

    async def to_list(self) -> list[Raw]:
        return self.rows


def _within(part: list[_Key], bounds: tuple[int, int] | None) -> Iterator[_Key]:
    first, last = (0, len(part)) if bounds is None else _places(part, bounds)
    return (part[place] for place in range(first, last))


def _places(part: list[_Key], bounds: tuple[int, int]) -> tuple[int, int]:
    return bisect_left(part, (bounds[0], -1)), bisect_right(part, (bounds[1], 1 << 62))


def _question(wanted: Raw) -> _Question:
    equal: dict[str, Sequence[Any]] = {}
    ranges: dict[str, tuple[int, int]] = {}
    below = None
    for name, test in _flat(wanted):
        for operator, value in test.items():
            match operator, value:
                case "$eq", datetime():
                    ranges[name] = (_key(value), _key(value))
                case (("$gte" | "$gt" | "$lt" | "$lte"), datetime()):
                    low, high = ranges.get(name, (-(1 << 62), 0))
                    at, exact = _key(value), int(operator.endswith("e"))
                    is_least = operator.startswith("$g")
                    ranges[name] = (low, min(high, at - 1 + exact)) if is_least else (max(low, at + 1 - exact), high)
                case "$lt", str():
                    below = value
                case "$eq", _:
                    equal[name] = [value]
                case "$in", _:
                    equal[name] = value
                case _:
                    raise BenchError(f"a test of another kind: {name} {test}")
    return _Question(equal, ranges, below)


def _flat(wanted: Raw) -> Iterator[tuple[str, Raw]]:
    for name, test in wanted.items():
        if name == "$and":
            for part in test:
                yield from _flat(part)
        elif name == "$or":  # the pages behind the first of the older list: a moment and below
            moments = [part for part in test if "created_at" in part and "_id" not in part]
            yield from _flat(moments[0])
        else:
            yield name, test


def _key(moment: datetime) -> int:
    return -int(moment.timestamp() * 1000)
