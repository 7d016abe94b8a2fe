"""The counts that the metrics are made of, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bridge.adapters.store import MongoStore
from bridge.task import State
from tests.contract.stores import NOW, mongo_store, task


@pytest.fixture
async def mongo(servers: dict[str, str]) -> AsyncIterator[MongoStore]:
    async with mongo_store(servers["MONGODB_URI"]) as store:
        yield store


async def test_counts_and_the_oldest_of_a_state(mongo: MongoStore) -> None:
    assert await mongo.count_of(State.QUEUED) == 0
    assert await mongo.oldest(State.QUEUED) is None
    ages = {"a": 1, "b": 5, "c": 3}
    await mongo.accept([task(name, created_at=NOW - timedelta(minutes=age)) for name, age in ages.items()])
    assert await mongo.count_of(State.RECEIVED) == 3
    assert await mongo.oldest(State.RECEIVED) == NOW - timedelta(minutes=5)
    assert await mongo.count_of(State.FAILED) == 0
