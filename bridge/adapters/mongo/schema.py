"""Whether a database is this gateway's, and of a version that it may work on. Looked at before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from beanie import Document
from pymongo.asynchronous.database import AsyncDatabase

from bridge.adapters.mongo.documents import BY_ID
from bridge.documents.raw import Raw
from bridge.domain.errors import StoreNotOurs
from bridge.domain.messages import message
from bridge.domain.schema import SchemaVersion

COLLECTION: Final = "schema"
_ONE: Final = "schema"
_TASKS: Final = "tasks"
_OF_TASKS: Final = frozenset({"epoch", "state", "topic"})
"""Fields that each task has, of whatever version."""


async def read_schema(database: AsyncDatabase[Raw]) -> SchemaVersion | None:
    """Return the version that is kept; None in a database that is empty, or of before versions were kept."""
    found = await database[COLLECTION].find_one({"_id": {"$eq": _ONE}})
    return None if found is None else SchemaVersion(int(found["version"]), int(found["least"]))


async def require_ours(database: AsyncDatabase[Raw], models: Sequence[type[Document]], own: SchemaVersion) -> None:
    """Raise `StoreTooNew`, or `StoreNotOurs` for a database whose collections of our names are another program's.

    Such a collection refuses tasks by its own unique index without a word: a duplicate is a task that is known.
    """
    kept = await read_schema(database)
    if kept is not None:
        own.require(kept)
        if kept.number > own.number:
            return  # a newer gateway may have made what this one does not know
    rules = {found["name"] async for found in await database.list_collections() if _has_rules(found)}
    for model in models:
        name = model.Settings.name
        if name in rules:
            raise StoreNotOurs(message("store.foreign_rule", database=database.name, collection=name))
        await _require_indexes(database, name, model)
    if kept is None:
        await _require_tasks(database)


async def write_schema(database: AsyncDatabase[Raw], own: SchemaVersion) -> None:
    """Keep the higher of what is kept and `own`."""
    highest = {"version": own.number, "least": own.least}
    update = {"$max": highest, "$setOnInsert": {"since": datetime.now(UTC)}}
    await database[COLLECTION].update_one({"_id": {"$eq": _ONE}}, update, upsert=True, hint=BY_ID)


async def _require_indexes(database: AsyncDatabase[Raw], name: str, model: type[Document]) -> None:
    declared = {index.document["name"] for index in getattr(model.Settings, "indexes", ())}
    dropped = set(getattr(model.Settings, "dropped", ()))
    found = await database[name].index_information()
    for index, kept in found.items():
        is_hard = kept.get("unique") or "expireAfterSeconds" in kept
        if index not in declared | dropped | {"_id_"} and is_hard:
            fields = ", ".join(_fields(kept))
            said = message("store.foreign_index", database=database.name, index=index, fields=fields, collection=name)
            raise StoreNotOurs(said)


async def _require_tasks(database: AsyncDatabase[Raw]) -> None:
    found = await database[_TASKS].find_one({}, dict.fromkeys(_OF_TASKS, 1))
    if found is not None and not found.keys() & _OF_TASKS == _OF_TASKS:
        raise StoreNotOurs(message("store.foreign_documents", database=database.name, collection=_TASKS))


def _fields(index: Mapping[str, Any]) -> Iterable[str]:
    return (str(field) for field, _ in index["key"])


def _has_rules(collection: Mapping[str, Any]) -> bool:
    options = collection.get("options", {})
    return collection.get("type") == "view" or any(options.get(rule) for rule in ("validator", "capped", "timeseries"))
