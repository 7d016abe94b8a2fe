"""A mark differs when what it stands for has changed, and stays when it hasn't; in memory and on MongoDB alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.lifecycle import Event, Move
from bridge.domain.operation import Item, Operation, OperationKind, OperationState
from bridge.domain.records import AuditEntry, Pause
from bridge.domain.replica import Replica
from bridge.domain.statistics import Failures
from bridge.ports.changes import Changes
from tests.contract.dashboard_stores import Lab, memory_lab, mongo_lab
from tests.contract.stores import MINUTE, NOW, task

KINDS = {"tasks", "topics", "failures", "workers", "operations", "audit"}
LATER = NOW + MINUTE


@pytest.fixture(params=["memory", "mongo"])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """A dashboard store; the test runs once in memory and once on a real server."""
    if request.param == "memory":
        yield memory_lab()
        return
    servers: dict[str, str] = request.getfixturevalue("servers")
    async with mongo_lab(servers["MONGODB_URI"]) as found:
        yield found


async def change_task(lab: Lab) -> None:
    await lab.store.accept([task("t1")])


async def move_task(lab: Lab) -> None:
    await lab.store.accept([task("t1")])
    await lab.store.move([Move("t1", Event.CONFIRM, 1, changes={"updated_at": LATER})])


async def fail(lab: Lab) -> None:
    await lab.dashboard_store.add({}, [Failures("f1", "orders", "E", "no", NOW, NOW, 1)])


async def pause(lab: Lab) -> None:
    await lab.dashboard_store.pause(Pause("orders", "ada", "moving", NOW))


async def heartbeat(lab: Lab) -> None:
    assert isinstance(lab.store, MemoryStore | MongoStore)
    await lab.store.heartbeat(Replica("r1", "1", ("web",), NOW, NOW))


async def operate(lab: Lab) -> None:
    await lab.dashboard_store.create(Operation("o1", OperationKind.RETRY, "q", "why", "ada", 1, NOW), [Item("t1", 1)])


async def switch(lab: Lab) -> None:
    await operate(lab)
    await lab.dashboard_store.switch("o1", {OperationState.RUNNING}, OperationState.PAUSED, LATER)


async def write(lab: Lab) -> None:
    await lab.dashboard_store.write(AuditEntry("a1", NOW, "ada", "admin", "::1", "pause", "topic:orders"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_task, {"tasks", "topics"}),
        (move_task, {"tasks", "topics"}),
        (fail, {"failures"}),
        (pause, {"topics"}),
        (heartbeat, {"workers"}),
        (operate, {"operations"}),
        (switch, {"operations"}),
        (write, {"audit"}),
    ],
)
async def test_what_changed_is_told_and_nothing_else(
    lab: Lab, change: Callable[[Lab], Awaitable[None]], told: set[str]
) -> None:
    changes: Changes = lab.changes
    before = await changes.change_tokens()
    assert set(before) == KINDS
    assert await changes.change_tokens() == before
    await change(lab)
    after = await changes.change_tokens()
    assert {name for name in KINDS if before[name] != after[name]} == told
    assert await changes.change_tokens() == after


async def test_each_change_of_a_kind_is_told(lab: Lab) -> None:
    await change_task(lab)
    before = await lab.changes.change_tokens()
    await lab.store.move([Move("t1", Event.CONFIRM, 1, changes={"updated_at": LATER})])
    assert (await lab.changes.change_tokens())["tasks"] != before["tasks"]
    await operate(lab)
    before = await lab.changes.change_tokens()
    await lab.dashboard_store.switch("o1", {OperationState.RUNNING}, OperationState.CANCELLED, LATER)
    assert (await lab.changes.change_tokens())["operations"] != before["operations"]


async def test_numbers_that_came_after_their_tasks_are_told(lab: Lab) -> None:
    await change_task(lab)
    before = await lab.changes.change_tokens()
    await lab.dashboard_store.refresh_counts(LATER)
    after = await lab.changes.change_tokens()
    assert {name for name in KINDS if before[name] != after[name]} == {"tasks", "topics"}
    await lab.dashboard_store.refresh_counts(LATER + MINUTE)
    assert await lab.changes.change_tokens() == after
