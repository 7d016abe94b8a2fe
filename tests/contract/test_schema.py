"""The version of what is kept: a gateway that is too old for a store does not start on it, and one that runs ends."""

from __future__ import annotations

import pytest

from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.access import MongoAccessStore
from bridge.adapters.mongo.schema import read_schema
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.errors import StoreTooNew
from bridge.domain.schema import LEAST, SCHEMA, SchemaVersion
from tests.contract.misconfigured import new_name
from tests.contract.stores import task

NEXT = SchemaVersion(SCHEMA + 1, SCHEMA)
AFTER_NEXT = SchemaVersion(SCHEMA + 2, SCHEMA + 1)


async def open_as(uri: str, database: str, schema: SchemaVersion) -> SchemaVersion | None:
    """Open a store as a gateway of a schema does; return what is kept then."""
    store = MongoStore(uri, database)
    store.schema = schema
    async with store:
        return await read_schema(store._connected()[database])


def test_two_releases_in_a_row_may_work_side_by_side() -> None:
    assert LEAST <= SCHEMA
    NEXT.require(SchemaVersion())
    SchemaVersion().require(NEXT)
    with pytest.raises(StoreTooNew, match=f"schema {SCHEMA + 2}, of a newer gateway.*has {SCHEMA}: start a newer"):
        SchemaVersion().require(AFTER_NEXT)


async def test_the_highest_that_worked_on_a_store_is_kept(servers: dict[str, str]) -> None:
    uri, database = servers["MONGODB_URI"], new_name()
    assert await open_as(uri, database, SchemaVersion()) == SchemaVersion()
    assert await open_as(uri, database, NEXT) == NEXT
    assert await open_as(uri, database, SchemaVersion()) == NEXT
    assert await open_as(uri, database, AFTER_NEXT) == AFTER_NEXT
    with pytest.raises(StoreTooNew):
        await MongoStore(uri, database).open()
    with pytest.raises(StoreTooNew):
        await MongoAccessStore(uri, database).open()
    assert await open_as(uri, database, NEXT) == AFTER_NEXT


async def test_a_store_of_two_versions_loses_nothing_and_ends_the_one_that_is_too_old(servers: dict[str, str]) -> None:
    async with MongoStore(servers["MONGODB_URI"], new_name()) as older:
        newer = MongoStore(servers["MONGODB_URI"], older._database)
        newer.schema = NEXT
        async with newer:
            assert await older.accept([task("of the older")])
            assert await newer.accept([task("of the newer")])
            await older.check_schema()
            for store in (older, newer):
                assert {found.id for found in await store.get_many(["of the older", "of the newer"])} == {
                    "of the older",
                    "of the newer",
                }
        await open_as(servers["MONGODB_URI"], older._database, AFTER_NEXT)
        with pytest.raises(StoreTooNew):
            await older.check_schema()


async def test_the_store_in_memory_refuses_as_well() -> None:
    store = MemoryStore()
    await store.check_schema()
    store.kept_schema = AFTER_NEXT
    with pytest.raises(StoreTooNew):
        await store.check_schema()


async def test_what_a_newer_gateway_made_is_not_foreign(servers: dict[str, str]) -> None:
    async with MongoStore(servers["MONGODB_URI"], new_name()) as store:
        await open_as(servers["MONGODB_URI"], store._database, NEXT)
        await store._tasks.create_index("of_the_newer", unique=True, sparse=True)
        await open_as(servers["MONGODB_URI"], store._database, SchemaVersion())
