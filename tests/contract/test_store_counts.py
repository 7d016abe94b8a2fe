"""The counts that the metrics are made of."""

from __future__ import annotations

from datetime import timedelta

from bridge.adapters.mongo.documents import TaskDocument
from bridge.adapters.mongo.index_builds import create_indexes
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.task import State
from tests.contract.stores import NOW, Store, mongo_store, task


async def test_counts_and_the_oldest_of_a_state(store: Store) -> None:
    assert await store.count_of(State.QUEUED) == 0
    assert await store.oldest(State.QUEUED) is None
    ages = {"a": 1, "b": 5, "c": 3}
    await store.accept([task(name, created_at=NOW - timedelta(minutes=age)) for name, age in ages.items()])
    assert await store.count_of(State.RECEIVED) == 3
    assert await store.oldest(State.RECEIVED) == NOW - timedelta(minutes=5)
    assert await store.count_of(State.FAILED) == 0


async def test_incidents_are_counted_by_topic(store: Store) -> None:
    assert await store.incidents(["orders", "mail"]) == {}
    await store.accept(
        [
            *(task(name, state=State.FAILED) for name in "ab"),
            task("c", topic="mail", state=State.FAILED),
            task("d", topic="mail"),
            task("e", topic="another", state=State.FAILED),
        ]
    )
    assert await store.incidents(["orders", "mail"]) == {"orders": 2, "mail": 1}


async def test_the_oldest_is_found_though_it_was_published_again(mongo: MongoStore) -> None:
    await mongo.accept(
        [
            task("old", created_at=NOW - timedelta(hours=2), updated_at=NOW),
            task("new", created_at=NOW - timedelta(minutes=1), updated_at=NOW - timedelta(minutes=1)),
        ]
    )
    assert await mongo.oldest(State.RECEIVED) == NOW - timedelta(hours=2)


async def test_an_index_that_a_version_before_had_is_dropped(servers: dict[str, str]) -> None:
    async with mongo_store(servers["MONGODB_URI"]) as store:
        await store._tasks.create_index([("state", 1), ("created_at", -1), ("_id", -1)], name="by_state")
        for _ in range(2):
            await create_indexes(
                store._connected(), store._database, [TaskDocument], on_build=print, every=timedelta(seconds=5)
            )
            names = (await store._tasks.index_information()).keys()
            assert "by_state" not in names
            assert "state_latest" in names
