"""Each port in memory and for real, under one name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.store import MongoStore
from tests.conftest import engine_login, engine_session
from tests.contract.brokers import RabbitLab
from tests.contract.dashboard_stores import Lab, memory_lab, mongo_lab
from tests.contract.engines import CamundaLab, EngineLab, MemoryLab
from tests.contract.stores import Store, mongo_store


@pytest.fixture(params=["memory", pytest.param("camunda", marks=pytest.mark.engine)])
async def engine_lab(request: pytest.FixtureRequest) -> AsyncIterator[EngineLab]:
    """An engine and a process to work on; the test runs once in memory and once on a real engine."""
    if request.param == "memory":
        yield MemoryLab()
        return
    servers: dict[str, str] = request.getfixturevalue("servers")
    async with engine_session() as session:
        lab = CamundaLab(servers["CAMUNDA_URL"], session, engine_login())
        await lab.engine.open()
        try:
            yield lab
        finally:
            await lab.close()


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid4().hex}"


@pytest.fixture
async def rabbit(servers: dict[str, str]) -> AsyncIterator[RabbitLab]:
    made = RabbitLab(servers["RABBITMQ_URL"])
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def mongo_dashboard_lab(servers: dict[str, str]) -> AsyncIterator[Lab]:
    async with mongo_lab(servers["MONGODB_URI"]) as lab:
        yield lab


@pytest.fixture(params=["memory", "mongo"])
def dashboard_lab(request: pytest.FixtureRequest) -> Lab:
    """A dashboard store; the test runs once in memory and once on a real server."""
    if request.param == "memory":
        return memory_lab()
    found: Lab = request.getfixturevalue("mongo_dashboard_lab")
    return found


@pytest.fixture
async def mongo(servers: dict[str, str]) -> AsyncIterator[MongoStore]:
    async with mongo_store(servers["MONGODB_URI"]) as store:
        yield store


@pytest.fixture(params=["memory", "mongo"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store; the test runs once in memory and once on a real server."""
    if request.param == "memory":
        return MemoryStore()
    found: MongoStore = request.getfixturevalue("mongo")
    return found
