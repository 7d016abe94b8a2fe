"""How the gateway's processes tell of each other, and what a leaving one had not begun: in memory and on MongoDB."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from bridge.adapters.mongo.store import MongoStore
from bridge.domain.errors import StoreUnavailable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import Message, message
from bridge.domain.replica import Load, Replica
from bridge.domain.task import State, TaskKey
from sandbox.ports import LOOPBACK
from tests.contract.stores import MINUTE, NOW, Store, claim, task


def replica(name: str = "r1", seen_at: datetime = NOW, **fields: object) -> Replica:
    """Return a process that started an hour ago."""
    return Replica(name, "1.0", ("intake", "work"), NOW - 60 * MINUTE, seen_at, **fields)  # type: ignore[arg-type]


async def names(store: Store, since: datetime = NOW - MINUTE) -> list[str]:
    return [one.id for one in await store.replicas(since)]


# heartbeats


async def test_a_replica_is_seen_as_it_described_itself(store: Store) -> None:
    loads = {"orders": Load(4, 2, 0.25), "a.b:c-$d": Load(0), "idle": Load(1, 0, None), "mail": Load(2, 1, 0.5, 0.75)}
    told = replica(loads=loads, reporting=2**40, lag=0.125, foreign_answer="answers 401", exchange="e at /")
    await store.heartbeat(told)
    assert list(await store.replicas(NOW)) == [told]
    said = message("engine.due.file")
    await store.heartbeat(replica(foreign_answer=said))
    (found,) = await store.replicas(NOW)
    assert isinstance(found.foreign_answer, Message)
    assert (found.foreign_answer, found.foreign_answer.code) == (said, "engine.due.file")


async def test_a_replica_without_topics_is_seen_too(store: Store) -> None:
    await store.heartbeat(replica())
    (found,) = await store.replicas(NOW)
    assert found.loads == {}


async def test_nobody_is_seen_where_nobody_is(store: Store) -> None:
    assert list(await store.replicas(NOW - 1000 * MINUTE)) == []


async def test_a_beat_goes_over_the_last_one_as_a_whole(store: Store) -> None:
    await store.heartbeat(replica(loads={"orders": Load(4)}, reporting=3))
    later = replica(seen_at=NOW + MINUTE, loads={"mail": Load(1)})
    await store.heartbeat(later)
    assert list(await store.replicas(NOW)) == [later]


async def test_only_those_seen_since_then_are_returned(store: Store) -> None:
    milli = timedelta(milliseconds=1)
    for name, seen_at in (("before", NOW - milli), ("just", NOW), ("after", NOW + milli)):
        await store.heartbeat(replica(name, seen_at))
    assert await names(store, NOW) == ["after", "just"]
    assert await names(store, NOW + 2 * milli) == []


async def test_replicas_are_returned_in_the_order_of_their_names(store: Store) -> None:
    for name in ("c", "a", "b"):
        await store.heartbeat(replica(name))
    assert await names(store) == ["a", "b", "c"]


async def test_many_beat_at_once(store: Store) -> None:
    await asyncio.gather(*(store.heartbeat(replica(f"r{number % 10}", reporting=number)) for number in range(50)))
    assert await names(store) == [f"r{number}" for number in range(10)]


async def test_who_leaves_is_forgotten_and_nobody_else(store: Store) -> None:
    await store.heartbeat(replica("r1"))
    await store.heartbeat(replica("r2"))
    await store.leave("r1")
    assert await names(store) == ["r2"]
    await store.leave("r1")
    await store.leave("never seen")
    assert await names(store) == ["r2"]
    await store.heartbeat(replica("r1"))
    assert await names(store) == ["r1", "r2"], "it may come back"


@pytest.mark.parametrize("name", ["$ne", '{"$ne": null}', "a.b", ""])
async def test_a_name_is_never_an_operator(store: Store, name: str) -> None:
    await store.heartbeat(replica("r1"))
    await store.heartbeat(replica(name))
    await store.leave(name)
    assert await names(store) == ["r1"]


async def test_a_store_that_is_not_open_takes_no_sign_of_life() -> None:
    away = MongoStore(f"mongodb://{LOOPBACK}:1/", "test")
    for call in (away.heartbeat(replica()), away.replicas(NOW), away.leave("r1"), away.unstarted("r1", 1)):
        with pytest.raises(StoreUnavailable, match="not open"):
            await call


async def test_a_replica_that_was_killed_is_forgotten_by_the_server_in_the_end(mongo: MongoStore) -> None:
    await mongo.heartbeat(replica())
    indexes = await mongo._replicas.index_information()
    assert indexes["seen"]["expireAfterSeconds"] == 86_400


# what nobody had begun


async def unstarted(store: Store, name: str = "r1", limit: int = 100) -> set[str]:
    return {one.id for one in await store.unstarted(name, limit)}


async def test_what_waits_to_be_published_or_to_be_begun_was_not_started(store: Store) -> None:
    for state in State:
        await store.accept([task(state.value, state=state, replica="r1")])
    assert await unstarted(store) == {"received", "queued"}


async def test_it_is_listed_under_the_replica_that_fetched_it_last(store: Store) -> None:
    await store.accept([task("mine", replica="r1"), task("others", replica="r2"), task("nobodys")])
    assert await unstarted(store) == {"mine"}
    await store.accept([task("mine", worker_id="w2", replica="r2")])
    assert (await unstarted(store), await unstarted(store, "r2")) == (set(), {"mine", "others"})


async def test_what_was_claimed_is_not_listed_any_more_and_what_lost_its_claim_is_again(store: Store) -> None:
    await store.accept([task(replica="replica-1")])
    await store.confirm([TaskKey("t1", 1)], NOW, NOW)
    assert await unstarted(store, "replica-1") == {"t1"}
    await store.claim([claim()])
    assert await unstarted(store, "replica-1") == set()
    await store.move([Move("t1", Event.LOSE_CLAIM, 1, "c1")])
    assert await unstarted(store, "replica-1") == {"t1"}


async def test_what_was_given_back_is_not_listed_any_more(store: Store) -> None:
    await store.accept([task(replica="r1")])
    (found,) = await store.unstarted("r1", 1)
    assert (found.id, found.epoch, found.lease_until) == ("t1", 1, NOW + MINUTE)
    assert await store.move([Move("t1", Event.RELEASE, found.epoch)]) == [True]
    assert await unstarted(store) == set()


async def test_no_more_are_listed_than_asked_for(store: Store) -> None:
    await store.accept([task(str(number), replica="r1") for number in range(5)])
    assert len(await store.unstarted("r1", 3)) == 3
    assert len(await store.unstarted("r1", 100)) == 5


@pytest.mark.parametrize("name", ["$ne", '{"$ne": null}', ""])
async def test_a_replica_to_list_for_is_never_an_operator(store: Store, name: str) -> None:
    await store.accept([task(replica="r1")])
    assert await unstarted(store, name) == set()
