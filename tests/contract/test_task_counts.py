"""Numbers of the tasks kept: what no request counts, asked of the store in memory and of MongoDB's alike."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from pymongo import AsyncMongoClient

from bridge.adapters.mongo import reader as store_reader
from bridge.adapters.mongo import task_counts as count_store
from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.adapters.mongo.store import MongoStore
from bridge.documents.raw import Raw
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import State
from bridge.domain.task_counts import SETTLED
from bridge.ports.dashboard import COUNT_CAP, Turn
from bridge.search.grammar import parse
from tests.contract.coverage import Commands, Cover, cover, declared
from tests.contract.dashboard_stores import Lab
from tests.contract.stores import MINUTE, NOW, mongo_store, task

SECOND = timedelta(seconds=1)


async def counted(dashboard_lab: Lab) -> dict[str, dict[State, int]]:
    kept = await dashboard_lab.dashboard_store.task_counts()
    assert kept is not None
    return {topic: dict(counts) for topic, counts in kept.by_topic.items()}


async def complete(dashboard_lab: Lab, task_id: str, minutes: float) -> None:
    at = NOW + minutes * MINUTE
    move = Move(task_id, Event.DELIVERED_COMPLETION, epoch=None, changes={"updated_at": at, "finished_at": at})
    assert await dashboard_lab.store.move([move]) == [True]


async def test_nothing_is_known_before_the_first_count(dashboard_lab: Lab) -> None:
    assert await dashboard_lab.dashboard_store.task_counts() is None
    await dashboard_lab.dashboard_store.refresh_counts(NOW)
    kept = await dashboard_lab.dashboard_store.task_counts()
    assert kept is not None
    assert (kept.total(), kept.at) == (0, NOW)


async def test_tasks_are_counted_by_topic_and_state(dashboard_lab: Lab) -> None:
    await dashboard_lab.store.accept(
        [
            task("a"),
            task("b", topic="mail.$x", state=State.FAILED),
            task("c", state=State.COMPLETED, updated_at=NOW - 60 * MINUTE),
            task("d", state=State.COMPLETED),
            task("e", state=State.SUPERSEDED),
        ]
    )
    await dashboard_lab.dashboard_store.refresh_counts(NOW + SECOND)
    assert await counted(dashboard_lab) == {
        "orders": {State.RECEIVED: 1, State.COMPLETED: 2, State.SUPERSEDED: 1},
        "mail.$x": {State.FAILED: 1},
    }


async def test_each_end_is_counted_once_whenever_it_comes(dashboard_lab: Lab) -> None:
    names = [f"t{number}" for number in range(12)]
    await dashboard_lab.store.accept([task(name, state=State.REPORTING) for name in names])
    await dashboard_lab.dashboard_store.refresh_counts(NOW)
    for number, name in enumerate(names):
        # Twenty seconds apart, so that each lies on another side of what is settled.
        await complete(dashboard_lab, name, number / 3)
        await dashboard_lab.dashboard_store.refresh_counts(NOW + (number / 3) * MINUTE)
        left = {State.REPORTING: 11 - number} if number < 11 else {}
        assert await counted(dashboard_lab) == {"orders": {State.COMPLETED: number + 1, **left}}
    for later in (10, 20, 30):
        await dashboard_lab.dashboard_store.refresh_counts(NOW + later * MINUTE)
        assert await counted(dashboard_lab) == {"orders": {State.COMPLETED: 12}}


async def test_two_that_count_at_once_count_nothing_twice(dashboard_lab: Lab) -> None:
    await dashboard_lab.store.accept([task("a", state=State.REPORTING)])
    await dashboard_lab.dashboard_store.refresh_counts(NOW)
    await complete(dashboard_lab, "a", 1)
    for _ in range(2):
        await dashboard_lab.dashboard_store.refresh_counts(NOW + 5 * MINUTE)
    assert await counted(dashboard_lab) == {"orders": {State.COMPLETED: 1}}
    assert await dashboard_lab.dashboard_store.recount("orders", State.COMPLETED, NOW + 6 * MINUTE) == 0


async def test_a_recount_finds_what_has_left_its_state(dashboard_lab: Lab) -> None:
    await dashboard_lab.store.accept(
        [task(name, state=State.SUPERSEDED, updated_at=NOW - 60 * MINUTE) for name in "abc"]
    )
    await dashboard_lab.dashboard_store.refresh_counts(NOW)
    await dashboard_lab.store.accept([task("a")])  # fetched again
    await dashboard_lab.dashboard_store.refresh_counts(NOW + MINUTE)
    assert await counted(dashboard_lab) == {"orders": {State.SUPERSEDED: 3, State.RECEIVED: 1}}
    assert await dashboard_lab.dashboard_store.recount("orders", State.SUPERSEDED, NOW + MINUTE) == -1
    assert await counted(dashboard_lab) == {"orders": {State.SUPERSEDED: 2, State.RECEIVED: 1}}
    assert await dashboard_lab.dashboard_store.recount("orders", State.SUPERSEDED, NOW + MINUTE) == 0
    assert await dashboard_lab.dashboard_store.recount("nothing", State.SUPERSEDED, NOW + MINUTE) == 0


async def test_one_replica_counts_until_its_turn_is_over(dashboard_lab: Lab) -> None:
    assert await dashboard_lab.dashboard_store.take_turn(Turn.TASK_COUNTS, "one", NOW, NOW + MINUTE)
    assert not await dashboard_lab.dashboard_store.take_turn(Turn.TASK_COUNTS, "other", NOW + SECOND, NOW + 2 * MINUTE)
    assert await dashboard_lab.dashboard_store.take_turn(Turn.TASK_COUNTS, "one", NOW + SECOND, NOW + 2 * MINUTE)
    assert not await dashboard_lab.dashboard_store.take_turn(Turn.TASK_COUNTS, "other", NOW + MINUTE, NOW + 3 * MINUTE)
    assert await dashboard_lab.dashboard_store.take_turn(Turn.TASK_COUNTS, "other", NOW + 2 * MINUTE, NOW + 3 * MINUTE)
    assert not await dashboard_lab.dashboard_store.take_turn(
        Turn.TASK_COUNTS, "one", NOW + 2 * MINUTE, NOW + 3 * MINUTE
    )


async def test_turns_of_different_work_are_taken_apart(dashboard_lab: Lab) -> None:
    assert await dashboard_lab.dashboard_store.take_turn(Turn.TASK_COUNTS, "one", NOW, NOW + MINUTE)
    assert await dashboard_lab.dashboard_store.take_turn(Turn.ENGINE_BACKLOG, "other", NOW, NOW + MINUTE)
    assert not await dashboard_lab.dashboard_store.take_turn(Turn.ENGINE_BACKLOG, "one", NOW, NOW + MINUTE)


# what only MongoDB's has


async def test_what_retention_deletes_is_found_by_a_recount(mongo_dashboard_lab: Lab) -> None:
    assert isinstance(mongo_dashboard_lab.store, MongoStore)
    old = [task(name, state=State.COMPLETED, updated_at=NOW - 60 * MINUTE) for name in "abc"]
    await mongo_dashboard_lab.store.accept([*old, task("d", topic="mail", state=State.COMPLETED)])
    await mongo_dashboard_lab.dashboard_store.refresh_counts(NOW)
    await mongo_dashboard_lab.store._tasks.delete_many({"_id": {"$in": ["a", "b", "d"]}})
    await mongo_dashboard_lab.dashboard_store.refresh_counts(NOW + MINUTE)
    assert await counted(mongo_dashboard_lab) == {"orders": {State.COMPLETED: 3}}, (
        "a topic without tasks is forgotten at once"
    )
    assert await mongo_dashboard_lab.dashboard_store.recount("orders", State.COMPLETED, NOW + MINUTE) == -2
    assert await counted(mongo_dashboard_lab) == {"orders": {State.COMPLETED: 1}}


async def test_many_tasks_are_told_of_and_not_counted(
    mongo_dashboard_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(mongo_dashboard_lab.store, MongoStore)
    await mongo_dashboard_lab.store.accept([task("a"), task("b", topic="mail", state=State.COMPLETED)])
    await mongo_dashboard_lab.dashboard_store.refresh_counts(NOW)
    await mongo_dashboard_lab.store.accept([task("c"), task("d", topic="other")])
    exact = await mongo_dashboard_lab.store.statistics()
    assert (exact.total, exact.by_state, exact.counted_at) == (4, {"received": 3, "completed": 1}, None)
    assert (await mongo_dashboard_lab.dashboard_store.counts(parse(""), now=NOW)).by_state[State.RECEIVED] == 3

    monkeypatch.setattr(count_store, "COUNTED_AT_ONCE", 0)
    told = await mongo_dashboard_lab.store.statistics()
    assert (told.total, told.by_topic, told.by_state, told.counted_at) == (
        2,
        {"orders": 1, "mail": 1},
        {"received": 1, "completed": 1},
        NOW,
    )
    by_state = (await mongo_dashboard_lab.dashboard_store.counts(parse(""), now=NOW)).by_state
    assert by_state == {**dict.fromkeys(State, 0), State.RECEIVED: 1, State.COMPLETED: 1}
    by_state = (await mongo_dashboard_lab.dashboard_store.counts(parse("topic:mail"), now=NOW)).by_state
    assert by_state == {**dict.fromkeys(State, 0), State.COMPLETED: 1}
    # Of a topic that was never counted, and of what narrows a topic further, it is counted now.
    assert (await mongo_dashboard_lab.dashboard_store.counts(parse("topic:other"), now=NOW)).by_state[
        State.RECEIVED
    ] == 1
    assert (await mongo_dashboard_lab.dashboard_store.counts(parse("topic:orders id:c"), now=NOW)).by_state[
        State.RECEIVED
    ] == 1


async def test_a_document_that_is_no_task_spoils_no_count(mongo_dashboard_lab: Lab) -> None:
    assert isinstance(mongo_dashboard_lab.store, MongoStore)
    await mongo_dashboard_lab.store.accept([task("a")])
    odd: list[Raw] = [
        {"_id": "odd"},
        {"_id": "new", "topic": "orders", "state": "paused"},
        {"_id": "number", "topic": 7},
    ]
    await mongo_dashboard_lab.store._tasks.insert_many(odd)
    await mongo_dashboard_lab.dashboard_store.refresh_counts(NOW)
    assert await counted(mongo_dashboard_lab) == {"orders": {State.RECEIVED: 1}}
    found = await mongo_dashboard_lab.store.statistics()
    assert (found.total, found.by_topic["orders"], found.by_state["paused"]) == (4, 2, 1)


async def test_what_is_shown_stops_at_the_cap(mongo_dashboard_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(mongo_dashboard_lab.dashboard_store, MongoDashboardStore)
    await mongo_dashboard_lab.store.accept([task("a", state=State.COMPLETED, updated_at=NOW - 60 * MINUTE)])
    await mongo_dashboard_lab.dashboard_store.refresh_counts(NOW)
    await mongo_dashboard_lab.dashboard_store._topics.update_one(
        {"_id": "orders"}, {"$set": {"settled.completed": 1_000_000}}
    )
    assert (await mongo_dashboard_lab.dashboard_store.counts(parse(""), now=NOW)).by_state[
        State.COMPLETED
    ] == COUNT_CAP + 1


async def test_counting_reads_no_task(servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command is one that an index alone answers; `distinct` goes from topic to topic in one."""
    commands = Commands()
    monkeypatch.setattr(store_reader, "AsyncMongoClient", partial(AsyncMongoClient, event_listeners=[commands]))
    indexes = declared({*MongoStore.models, *MongoDashboardStore.models})
    async with (
        mongo_store(servers["MONGODB_URI"]) as store,
        MongoDashboardStore(store._uri, store._database) as dashboard_store,
    ):
        await store.accept([task(state, state=state, updated_at=NOW - 60 * MINUTE) for state in State])
        commands.sent.clear()
        for minute in range(3):
            await dashboard_store.refresh_counts(NOW + minute * MINUTE)
        for state in SETTLED:
            await dashboard_store.recount("orders", state, NOW)
        await dashboard_store.take_turn(Turn.TASK_COUNTS, "r", NOW, NOW)
        grouped = [command for command in commands.sent if "aggregate" in command]
        assert len(grouped) >= 8
        for command in grouped:
            assert (command["hint"], cover(command, indexes)) == ("topic_state_latest", Cover.COVERED), command
        reads = [command for command in commands.sent if command.get("find") == "tasks"]
        assert reads == []
        assert [c["key"] for c in commands.sent if "distinct" in c] == ["topic"] * 3
