"""The dashboard store on each adapter, with the task store that it searches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.ports.changes import Changes
from bridge.ports.dashboard import DashboardStore
from tests.contract.stores import Store, mongo_store


@dataclass(frozen=True, slots=True)
class Lab:
    """A dashboard store, and the store that keeps the tasks."""

    dashboard_store: DashboardStore
    store: Store
    changes: Changes


def memory_lab() -> Lab:
    store = MemoryStore()
    dashboard_store = MemoryDashboardStore(store)
    return Lab(dashboard_store, store, dashboard_store)


@asynccontextmanager
async def mongo_lab(uri: str) -> AsyncIterator[Lab]:
    """Give both on a fresh database, which is dropped in the end."""
    async with mongo_store(uri) as store, MongoDashboardStore(uri, store._database) as dashboard_store:
        yield Lab(dashboard_store, store, dashboard_store)
