"""The collections' indexes: builds missing ones, and waits for as long as their builds take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import pymongo
from beanie import Document
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

OnBuild = Callable[[str], None]
"""Called now and then with the progress of a build, as text."""

_LONGEST: Final = timedelta(days=1)
_INDEX_NOT_FOUND: Final = 27


async def create_indexes(
    client: AsyncMongoClient[dict[str, Any]],
    database: str,
    models: Sequence[type[Document]],
    *,
    on_build: OnBuild,
    every: timedelta,
) -> None:
    """Create the indexes that the models declare, then drop those named as `dropped`. Raises the driver's errors.

    MongoDB answers once they are built, which takes minutes where a collection is large, longer than a socket is
    waited for otherwise. Meanwhile the server is asked `every` so often how far it is: where it doesn't answer that,
    there is an outage. A process that ends in between leaves the build to the server.
    """
    for model in models:
        name = model.get_collection_name()
        indexes = getattr(model.Settings, "indexes", ())
        if not indexes:
            continue
        began = time.monotonic()
        building = asyncio.create_task(_create(client, database, name, indexes))
        try:
            while not (await asyncio.wait({building}, timeout=every.total_seconds()))[0]:
                on_build(await _progress(client, database, name, began))
            await building
        finally:
            building.cancel()
            await asyncio.gather(building, return_exceptions=True)
        await _drop(client, database, name, getattr(model.Settings, "dropped", ()))


async def _create(
    client: AsyncMongoClient[dict[str, Any]], database: str, name: str, indexes: Sequence[pymongo.IndexModel]
) -> None:
    with pymongo.timeout(_LONGEST.total_seconds()):
        await client[database][name].create_indexes(list(indexes))


async def _drop(client: AsyncMongoClient[dict[str, Any]], database: str, name: str, dropped: Collection[str]) -> None:
    """Drop indexes that a version before had declared; of several processes that start at once one does so."""
    if not dropped:
        return
    collection = client[database][name]
    for index in sorted((await collection.index_information()).keys() & set(dropped)):
        try:
            await collection.drop_index(index)
        except OperationFailure as error:
            if error.code != _INDEX_NOT_FOUND:
                raise


async def _progress(client: AsyncMongoClient[dict[str, Any]], database: str, name: str, began: float) -> str:
    builds = await _running(client, f"{database}.{name}")
    shares = [f"{done * 100 // total} %" for build in builds for done, total in _shares(build)]
    words = [f"collection {name}", *shares[:1], f"since {time.monotonic() - began:.0f} s"]
    return ", ".join(words)


async def _running(client: AsyncMongoClient[dict[str, Any]], namespace: str) -> Sequence[Mapping[str, Any]]:
    """Return the server's operations on the collection that tell of progress; none where we may not see them."""
    pipeline: list[Mapping[str, Any]] = [
        {"$currentOp": {"allUsers": True}},
        {"$match": {"ns": {"$eq": namespace}, "progress": {"$exists": True}}},
        {"$limit": 10},
    ]
    try:
        return await (await client.admin.aggregate(pipeline)).to_list()
    except OperationFailure:
        await client.admin.command("ping")
        return []


def _shares(build: Mapping[str, Any]) -> Sequence[tuple[int, int]]:
    progress = build["progress"]
    done, total = int(progress.get("done", 0)), int(progress.get("total", 0))
    return [(done, total)] if total > 0 else []
