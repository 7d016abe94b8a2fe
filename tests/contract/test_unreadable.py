"""A document that this version can't read: of both stores, in memory and on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.adapters.mongo.store import MongoStore
from bridge.documents.raw import Raw
from bridge.domain.errors import TaskUnreadable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import UNREADABLE_LOOK, Completion, State, Task, UnreadableTask
from bridge.ports.dashboard import DashboardStore, Found
from bridge.ports.reader import TaskFilter
from bridge.search.grammar import parse
from bridge.search.page import Sort
from tests.contract.stores import MINUTE, NOW, claim, lease, mongo_store, task

SPOILT: dict[str, Raw] = {
    "a state that this version lacks": {"state": "paused"},
    "a source that this version lacks": {"source": "mailed"},
    "an outcome of an unknown kind": {"outcome": {"kind": "postponement"}},
    "a number for a text": {"worker_id": 7},
    "a text for a moment": {"lease_until": "soon"},
    "a text for a number": {"retries": "three"},
    "a moment of an attempt that is none": {
        "history": [{"number": 1, "claim_id": "c", "replica": "r", "ended": "lost", "started_at": 1, "ended_at": 2}]
    },
    "variables in another form": {"variables": {"a": 1}},
    "a variable without a type": {"variables": [{"name": "a", "value": 1}]},
    "a field that is missing": {"lease_until": None},
}
LIGHT = [name for name in SPOILT if name.split()[-1] not in {"kind", "none", "form", "type"}]
"""Those that a list without payload can't read either."""


@dataclass(frozen=True, slots=True)
class Shop:
    """A store, and what operators see of it."""

    store: MemoryStore | MongoStore
    dashboard_store: DashboardStore
    told: list[UnreadableTask]

    async def spoil(self, task_id: str, fields: Raw) -> None:
        """Write to the document as another version would have; None: the field is missing."""
        if isinstance(self.store, MemoryStore):
            self.store.spoiled[task_id] = dict(fields)
            return
        update = {"$set": {name: value for name, value in fields.items() if value is not None}}
        update["$unset"] = {name: "" for name, value in fields.items() if value is None}
        await self.store._tasks.update_one({"_id": task_id}, {how: part for how, part in update.items() if part})

    async def mend(self, task_id: str, was: Task) -> None:
        """Have the document as this version would have written it."""
        if isinstance(self.store, MemoryStore):
            del self.store.spoiled[task_id]
            return
        fields = {"state": was.state.value, "worker_id": was.worker_id, "lease_until": was.lease_until}
        await self.store._tasks.update_one({"_id": task_id}, {"$set": fields})

    async def listed(self, text: str = "") -> list[Task | UnreadableTask]:
        found = await self.dashboard_store.search(parse(text), Sort(), 50, now=NOW + MINUTE)
        assert isinstance(found, Found)
        return list(found.tasks)


@pytest.fixture(params=["memory", "mongo"])
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    told: list[UnreadableTask] = []
    if request.param == "memory":
        store = MemoryStore()
        store.on_unreadable = told.append
        yield Shop(store, MemoryDashboardStore(store), told)
        return
    servers: dict[str, str] = request.getfixturevalue("servers")
    async with (
        mongo_store(servers["MONGODB_URI"]) as mongo,
        MongoDashboardStore(mongo._uri, mongo._database) as dashboard_store,
    ):
        mongo.on_unreadable = told.append
        yield Shop(mongo, dashboard_store, told)


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_one_that_can_not_be_read_spoils_no_other(shop: Shop, spoilt: str) -> None:
    await shop.store.accept([task("a"), task("b", outcome=Completion()), task("c")])
    await shop.spoil("b", SPOILT[spoilt])
    with pytest.raises(TaskUnreadable, match="task b is kept and can't be read") as caught:
        await shop.store.get("b")
    assert (caught.value.found.id, caught.value.found.topic) == ("b", "orders")
    assert next(iter(SPOILT[spoilt])) in caught.value.found.reason
    assert {one.id for one in await shop.store.get_many(["a", "b", "c"])} == {"a", "c"}
    page = (await shop.store.page(TaskFilter(), 10)).tasks
    assert [(one.id, isinstance(one, Task)) for one in page] == [("c", True), ("b", spoilt not in LIGHT), ("a", True)]
    assert {one.id for one in shop.told} == {"b"}
    listed = {one.id: isinstance(one, Task) for one in await shop.listed()}
    assert listed == {"a": True, "b": spoilt not in LIGHT, "c": True}


@pytest.mark.parametrize("spoilt", [name for name in SPOILT if "state" not in name])
async def test_of_claims_that_go_together_only_its_own_is_given_back(shop: Shop, spoilt: str) -> None:
    await shop.store.accept([task(name) for name in ("a", "b", "c")])
    await shop.spoil("b", SPOILT[spoilt])
    claims = [claim(name, f"c-{name}") for name in ("a", "b", "c")]
    assert [one and one.state for one in await shop.store.claim(claims)] == [State.RUNNING, None, State.RUNNING]
    assert [one and one.state for one in await shop.store.claim([claim("b", "again")])] == [None]
    with pytest.raises(TaskUnreadable) as caught:
        await shop.store.get("b")
    kept = caught.value.found.document
    assert (kept["state"], kept.get("claim_id"), kept["attempts"], kept["lost_claims"]) == ("received", None, 0, 0)
    assert kept["next_at"] == NOW + UNREADABLE_LOOK
    assert (await shop.dashboard_store.counts(parse(""), now=NOW)).unreadable == 1


@pytest.mark.parametrize("spoilt", LIGHT)
async def test_what_is_due_and_can_not_be_read_is_set_aside_until_it_can(shop: Shop, spoilt: str) -> None:
    was, other = task("a", next_at=NOW), task("b", next_at=NOW)
    await shop.store.accept([was, other])
    await shop.spoil("a", SPOILT[spoilt])
    state = None if "state" in SPOILT[spoilt] else State.RECEIVED
    due = await shop.store.due(state, NOW, 10)
    assert [one.id for one in due.unreadable] == ["a"]
    assert [one.id for one in due.tasks] == ([] if state is None else ["b"])
    await shop.store.set_aside(due.unreadable, NOW + MINUTE)
    assert not (await shop.store.due(state, NOW, 10)).unreadable
    assert (await shop.dashboard_store.counts(parse(""), now=NOW)).unreadable == 1
    assert [one.id for one in await shop.listed("state:unreadable")] == ["a"]
    assert [one.id for one in await shop.listed("state:unreadable topic:orders")] == ["a"]
    assert {one.id for one in await shop.listed("state:unreadable,received topic:orders")} >= {"a", "b"}
    assert await shop.dashboard_store.rows(["a", "b"]) == (
        await shop.dashboard_store.rows(["b"]) if state is None else await shop.dashboard_store.rows(["a", "b"])
    )
    await shop.store.set_aside(due.unreadable, NOW + 5 * MINUTE)
    assert len((await shop.store.due(state, NOW + MINUTE, 10)).unreadable) == 1, "what changed meanwhile is left"
    if "retries" in SPOILT[spoilt] or "source" in SPOILT[spoilt]:
        return
    await shop.mend("a", was)
    due = await shop.store.due(State.RECEIVED, NOW + MINUTE, 10)
    assert ([one.id for one in due.tasks], due.unreadable) == (["b", "a"], ())
    assert (await shop.dashboard_store.counts(parse(""), now=NOW)).unreadable == 0
    assert await shop.listed("state:unreadable") == []


async def test_what_is_unreadable_for_its_payload_stays_aside_though_it_is_due_without(shop: Shop) -> None:
    await shop.store.accept([task("a")])
    await shop.spoil("a", SPOILT["variables in another form"])
    assert await shop.store.claim([claim("a")]) == [None]
    due = await shop.store.due(State.RECEIVED, NOW + UNREADABLE_LOOK, 10)
    assert ([one.id for one in due.unreadable], due.tasks) == (["a"], ())


@pytest.mark.parametrize("created_at", ["once", 7, None])
async def test_the_oldest_is_found_beside_one_whose_moment_can_not_be_read(shop: Shop, created_at: object) -> None:
    await shop.store.accept([task("a"), task("b", created_at=NOW - MINUTE)])
    await shop.spoil("b", {"created_at": created_at})
    assert await shop.store.oldest(State.RECEIVED) == NOW
    page = (await shop.store.page(TaskFilter(), 10)).tasks
    assert {one.id: isinstance(one, Task) for one in page} == {"a": True, "b": False}


@pytest.mark.parametrize("result", [7, {"a": 1}, [{"name": "a"}]])
async def test_a_former_result_that_can_not_be_read_is_told(shop: Shop, result: object) -> None:
    await shop.store.accept([task("a", state=State.COMPLETED), task("b")])
    await shop.spoil("a", {"result": result, "outcome": None})
    with pytest.raises(TaskUnreadable, match="result"):
        await shop.store.get("a")
    assert [one.id for one in await shop.store.get_many(["a", "b"])] == ["b"]


async def test_a_lease_on_one_that_can_not_be_read_spoils_no_other(shop: Shop) -> None:
    await shop.store.accept([task("a"), task("b")])
    await shop.spoil("a", {"state": "paused"})
    answers = await shop.store.accept([lease("a"), lease("b")])
    assert [one and one.epoch for one in answers] == [None, 2]


async def test_due_is_without_payload_but_for_what_is_delivered(shop: Shop) -> None:
    outcome = Completion()
    await shop.store.accept([task("a", outcome=outcome, state=State.FAILED, next_at=NOW)])
    await shop.store.accept([task("b", outcome=outcome, state=State.REPORTING, next_at=NOW)])
    (light,) = (await shop.store.due(State.FAILED, NOW, 10)).tasks
    (whole,) = (await shop.store.due(State.REPORTING, NOW, 10)).tasks
    assert (light.id, light.outcome, whole.id, whole.outcome) == ("a", None, "b", outcome)


async def test_what_a_later_version_keeps_besides_is_left_aside(shop: Shop) -> None:
    await shop.store.accept([task("a")])
    row: dict[str, Any] = {"number": 1, "claim_id": "c", "replica": "r", "ended": "lost"}
    await shop.spoil("a", {"history": [{**row, "started_at": NOW, "ended_at": NOW, "host": "h"}], "colour": "red"})
    kept = await shop.store.get("a")
    assert kept is not None
    assert [attempt.ended for attempt in kept.history] == ["lost"]
    assert await shop.store.move([Move("a", Event.CONFIRM, 1, changes={"next_at": NOW})]) == [True]
