"""The collection that counts keys finds what is there, and goes over no more keys than an index would."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import eq, ge, lt
from typing import Any

import pytest

from bench.errors import BenchError
from bench.walked import OPEN, TOPICS, Tasks, Walked
from bridge.domain.task import State

NOW = datetime(2026, 1, 31, tzinfo=UTC)
TASKS = Tasks(3000, NOW)
NEWEST = [("updated_at", -1), ("_id", -1)]
CREATED = [("created_at", -1), ("_id", -1)]
EVERY = [state.value for state in State]


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": eq,
    "$in": lambda value, values: value in values,
    "$gte": ge,
    "$lt": lt,
}


def fits(number: int, wanted: dict[str, Any]) -> bool:
    document = TASKS.document(number)
    return all(
        _TESTS[operator](document[name], value) for name, test in wanted.items() for operator, value in test.items()
    )


@pytest.mark.parametrize(
    ("wanted", "order", "most"),
    [
        ({}, NEWEST, 11),
        ({}, CREATED, 11),
        ({"state": {"$eq": "failed"}}, NEWEST, 11),
        ({"state": {"$in": ["failed", "queued"]}}, NEWEST, 12),
        ({"topic": {"$eq": TOPICS[0]}, "state": {"$in": EVERY}}, NEWEST, 20),
        ({"topic": {"$in": list(TOPICS[:2])}}, CREATED, 12),
        ({"updated_at": {"$gte": NOW - timedelta(days=20), "$lt": NOW - timedelta(days=9)}}, NEWEST, 11),
        ({"state": {"$eq": "completed"}}, CREATED, 3000),
        ({"state": {"$eq": "running"}}, CREATED, 51),
    ],
)
async def test_a_page_is_what_is_there_by_few_keys(wanted: Any, order: list[tuple[str, int]], most: int) -> None:
    walked = Walked(TASKS)
    found = await walked.find(wanted).sort(order).limit(10).to_list()
    by = order[0][0]
    there = sorted((n for n in range(3000) if fits(n, wanted)), key=lambda n: (-TASKS.values[by][n], n))[:10]
    assert [document["_id"] for document in found] == [f"{number:08}" for number in there]
    assert len(found) == 10
    assert walked.keys <= most
    assert walked.documents >= 10


async def test_counts_are_of_all_that_is_there() -> None:
    walked = Walked(TASKS)
    match = {"topic": {"$in": list(TOPICS)}, "state": {"$in": [state.value for state in OPEN]}}
    group = {"_id": {"t": "$topic", "s": "$state"}, "n": {"$sum": 1}}
    rows = await (await walked.aggregate([{"$match": match}, {"$group": group}])).to_list()
    assert sum(row["n"] for row in rows) == sum(OPEN.values())
    assert walked.keys == sum(OPEN.values()) + len(TOPICS) * len(OPEN)
    assert await walked.count_documents({"state": {"$eq": "failed"}}, limit=100) == 100


async def test_what_no_index_answers_is_told() -> None:
    with pytest.raises(BenchError, match="no index serves"):
        await Walked(TASKS).count_documents({"state": {"$eq": "failed"}, "business_key": {"$eq": "k"}}, limit=1)
