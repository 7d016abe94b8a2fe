"""What the desk's suites need besides its ports: a desk, and the store whose tasks it searches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bridge.adapters.memory.dashboard import MemoryDesk
from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.dashboard import MongoDesk
from bridge.ports.changes import Changes
from bridge.ports.dashboard import Desk
from tests.contract.stores import Store, mongo_store


@dataclass(frozen=True, slots=True)
class Lab:
    """A desk, and the store that keeps the tasks."""

    desk: Desk
    store: Store
    changes: Changes


def memory_lab() -> Lab:
    store = MemoryStore()
    desk = MemoryDesk(store)
    return Lab(desk, store, desk)


@asynccontextmanager
async def mongo_lab(uri: str) -> AsyncIterator[Lab]:
    """Give both on a fresh database, which is dropped in the end."""
    async with mongo_store(uri) as store, MongoDesk(uri, store._database) as desk:
        yield Lab(desk, store, desk)
