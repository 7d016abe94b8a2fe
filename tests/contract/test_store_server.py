"""What only the store on a real server has to show."""

from __future__ import annotations

import gc
import time
import warnings
from datetime import UTC, timedelta

import pytest

from bridge.adapters.mongo.documents import TaskDocument
from bridge.adapters.mongo.store import MongoStore
from bridge.documents.task_codec import from_document, size_of, to_document
from bridge.domain.errors import SetupError, StoreUnavailable, TaskTooLarge
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Completion, Failure, Source, State, Task, TaskKey, TypedValue
from sandbox.ports import LOOPBACK
from tests.contract.stores import (
    MINUTE,
    NOW,
    OUTCOMES,
    VARIABLES,
    Store,
    attempt,
    claim,
    decide,
    flaky,
    lease,
    mongo_store,
    task,
)


async def kept(store: Store, task_id: str = "t1") -> Task:
    found = await store.get(task_id)
    assert found is not None
    return found


async def test_what_beanie_declares_is_what_is_written(mongo: MongoStore) -> None:
    whole = task(variables=VARIABLES, outcome=OUTCOMES[2], history=(attempt(1),), claimed_at=NOW)
    assert from_document(to_document(whole)) == whole
    await mongo.accept([whole])
    found = await TaskDocument.get("t1")
    assert found is not None
    assert found.state is State.RECEIVED
    own = {"revision_id", "tokens", "expire_at", "unreadable", "error_message"}
    assert TaskDocument.model_fields.keys() - own == set(Task.__struct_fields__)
    assert to_document(whole).keys() - {"_id"} <= TaskDocument.model_fields.keys()


async def test_moments_are_cut_to_what_the_server_keeps(mongo: MongoStore) -> None:
    (found,) = await mongo.accept([task(created_at=NOW.replace(microsecond=678999))])
    assert found == await kept(mongo) == task()


async def test_text_that_is_not_unicode_does_not_stop_an_outcome(mongo: MongoStore) -> None:
    await mongo.accept([task()])
    await mongo.claim([claim()])
    assert await mongo.move([decide(Failure("OSError", "\udcff", "", 0))]) == [True]
    assert (await kept(mongo)).outcome == Failure("OSError", "?", "", 0)


async def test_a_task_that_is_too_large_is_refused_before_anything_is_written(servers: dict[str, str]) -> None:
    large = {"text": TypedValue("String", "x" * 20_000)}
    assert size_of(task(variables=large)) > 20_000
    async with mongo_store(servers["MONGODB_URI"], document_limit=10_000) as store:
        with pytest.raises(TaskTooLarge, match="t2"):
            await store.accept([task(), task("t2", variables=large)])
        assert await store.get("t1") is None


async def test_a_result_that_a_version_before_kept_is_delivered_again(mongo: MongoStore) -> None:
    done = task(state=State.COMPLETED, outcome=Completion(VARIABLES), finished_at=NOW, next_at=None)
    await mongo.accept([done])
    rows = to_document(done)["outcome"]["variables"]
    await TaskDocument.get_pymongo_collection().update_one({"_id": "t1"}, {"$set": {"result": rows, "outcome": None}})
    assert await kept(mongo) == done
    assert done.result == VARIABLES
    (again,) = await mongo.accept([lease()])
    assert again is not None
    assert (again.state, again.outcome) == (State.REPORTING, Completion(VARIABLES))


async def test_an_outcome_that_bursts_the_document_is_refused_before_anything_is_written(mongo: MongoStore) -> None:
    half = {"text": TypedValue("String", "x" * 9_000_000)}
    await mongo.accept([task(variables=half)])
    await mongo.accept([task("t2")])
    await mongo.claim([claim(), claim("t2", "c2")])
    with pytest.raises(TaskTooLarge, match="t1"):
        await mongo.move([decide(Completion(), "t2", "c2"), decide(Completion(half))])
    assert [(await kept(mongo, name)).state for name in ("t1", "t2")] == [State.RUNNING] * 2
    assert await mongo.move([decide(Completion(half), "t2", "c2"), decide(Completion())]) == [True, True]
    assert await mongo.move([Move("t2", Event.DELIVERED_COMPLETION, 1, changes={"finished_at": NOW})]) == [True]


@pytest.mark.parametrize("retention", [None, MINUTE])
async def test_only_what_ended_expires(servers: dict[str, str], retention: timedelta | None) -> None:
    # The future, because a server deletes what has expired.
    ended = {"finished_at": NOW + timedelta(days=36500)}
    async with mongo_store(servers["MONGODB_URI"], retention=retention) as store:
        await store.accept([task(name, state=State.REPORTING) for name in ("t1", "t2")])
        await store.move([Move("t1", Event.DELIVERED_COMPLETION, 1, changes=ended)])
        await store.move([Move("t2", Event.DELIVERED_INCIDENT, 1, changes=ended)])
        documents = [await TaskDocument.get(name) for name in ("t1", "t2")]
        expiry = [None if document is None else document.expire_at for document in documents]
    assert [moment and moment.astimezone(UTC) for moment in expiry] == [
        retention and ended["finished_at"] + retention,
        None,
    ]


async def test_a_server_that_is_away_is_told_in_bounded_time() -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await MongoStore(f"mongodb://{LOOPBACK}:1/", "test").open()
    assert time.monotonic() - began < 6
    with pytest.raises(StoreUnavailable, match="not open"):
        await MongoStore(f"mongodb://{LOOPBACK}:1/", "test").get("t1")
    # PyMongo 4.20 leaves a socket to the collector where its monitor is cancelled while it connects.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.mark.parametrize("sent", [True, False])
async def test_a_write_whose_answer_is_lost_happens_once(servers: dict[str, str], sent: bool) -> None:
    """The connection breaks before the write reaches the server, or after that and before its answer."""
    async with flaky(servers["MONGODB_URI"]) as proxy, mongo_store(proxy.uri) as store:
        two, pushed = [task("a"), task("b")], [task("p", source=Source.PUSHED), task("q", source=Source.PUSHED)]
        proxy.cut("insert", sent)
        assert await store.accept(two) == two
        proxy.cut("insert", sent)
        assert await store.accept(pushed) == pushed
        proxy.cut("update", sent)
        again = await store.accept(two)
        assert [found and found.epoch for found in again] == [2, 2]
        proxy.cut("update", sent)
        await store.confirm([TaskKey("a", 2)], NOW, NOW)
        assert (await kept(store, "a")).state is State.QUEUED
        proxy.cut("findAndModify", sent)
        (won,) = await store.claim([claim("a", "c1", epoch=2)])
        assert won is not None
        assert won.attempts == 1
        proxy.cut("update", sent)
        claims = [claim("b", "c2", 2), claim("p", "c3"), claim("a", "c4", 2)]
        assert [found and found.attempts for found in await store.claim(claims)] == [1, 1, None]
        proxy.cut("update", sent)
        moves = [Move(name, Event.LOSE_CLAIM, None, by) for name, by in (("a", "c1"), ("b", "c2"), ("p", "c9"))]
        assert await store.move(moves) == [True, True, False]
        assert [(await kept(store, name)).lost_claims for name in "abp"] == [1, 1, 0]
        proxy.cut("update", sent)
        assert await store.move([Move("p", Event.GIVE_UP, 1, "c3")]) == [True]
        proxy.cut("insert", sent)
        assert await store.put_once("invoice", "1", {}) == ("1", True)
        alike = [Move(name, Event.GONE, None, changes={"finished_at": NOW}) for name in ("q", "b", "absent")]
        proxy.cut("update", sent)
        assert await store.move(alike) == [True, True, False]
        assert proxy.cuts == 10


@pytest.mark.parametrize("uri", ["http://x", "mongodb://x:port/", "mongodb://"])
async def test_an_address_that_cannot_be_read_is_a_matter_of_setup(uri: str) -> None:
    with pytest.raises(SetupError, match="MONGODB_URI"):
        await MongoStore(uri, "test").open()


async def test_version(mongo: MongoStore) -> None:
    assert await mongo.version()
