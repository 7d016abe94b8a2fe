"""No page sends a command that isn't served by a declared index, has no limit, or could run for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from bridge.adapters.mongo import reader as store_reader
from bridge.adapters.mongo import search as search_store
from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.adapters.mongo.index_builds import create_indexes
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.operation import Item, Operation, OperationKind, OperationState, Result
from bridge.domain.records import AuditEntry, AuditFilter, Pause, View
from bridge.domain.statistics import Count, Failures, Rollup, Step
from bridge.domain.task import State, TypedValue
from bridge.ports.dashboard import Found
from bridge.ports.reader import TaskFilter
from bridge.search.grammar import parse
from bridge.search.page import Sort, SortKey
from tests.contract.coverage import Commands, Cover, Index, cover, declared, merged, unbounded
from tests.contract.stores import MINUTE, NOW, mongo_store, task

INDEXES = declared({*MongoStore.models, *MongoDashboardStore.models})


@dataclass(frozen=True, slots=True)
class Wire:
    """A dashboard store and a store, and what they send."""

    store: MongoStore
    dashboard_store: MongoDashboardStore
    commands: Commands

    def worst(self) -> Cover:
        """Return how well the worst served command is; none may be unbounded."""
        assert self.commands.sent
        for command in self.commands.sent:
            assert unbounded(command) is None, command
        found = max(Cover.MERGED if merged(each, INDEXES) else cover(each, INDEXES) for each in self.commands.sent)
        self.commands.sent.clear()
        return found


@pytest.fixture
async def wire(servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    commands = Commands()
    monkeypatch.setattr(store_reader, "AsyncMongoClient", partial(AsyncMongoClient, event_listeners=[commands]))
    async with (
        mongo_store(servers["MONGODB_URI"]) as store,
        MongoDashboardStore(store._uri, store._database) as dashboard_store,
    ):
        given = {
            "variables": {"n": TypedValue("Integer", 1)},
            "error_type": "E",
            "error_fp": "f",
            "finished_at": NOW,
            "operation": "o",
        }
        await store.accept([task(f"t{n}", state=State.FAILED, updated_at=NOW + n * MINUTE, **given) for n in range(3)])
        commands.sent.clear()
        yield Wire(store, dashboard_store, commands)


SEARCHES = [
    # each tab, and each chip that a page offers, alone and with a tab
    *[(f"state:{state}", Cover.COVERED) for state in State],
    ("", Cover.COVERED),
    ("topic:orders", Cover.COVERED),
    ("topic:orders,mail state:failed,retrying", Cover.COVERED),
    ("error:E", Cover.COVERED),
    ("fp:f", Cover.COVERED),
    ("operation:o", Cover.COVERED),
    ("id:t1", Cover.COVERED),
    ("updated:>2026-01-01", Cover.COVERED),
    ("state:failed updated:2026-01-02", Cover.COVERED),
    ("topic:orders updated:>2026-01-01", Cover.COVERED),
    ("key:ORD-1 state:failed", Cover.SELECTIVE),
    ("instance:p1", Cover.SELECTIVE),
    ("ORD-1", Cover.MERGED),
    ("t1 state:failed", Cover.MERGED),
    # What no index can serve has an order and a time limit.
    ("fp:f state:failed", Cover.ANCHORED),
    ("error:E topic:orders", Cover.ANCHORED),
    ("process:p topic:orders", Cover.ANCHORED),
    ("attempts:>=3", Cover.ANCHORED),
    ("var.n:1", Cover.ANCHORED),
    ("var.n:1 state:failed", Cover.ANCHORED),
    ("-state:failed", Cover.ANCHORED),
    ("a OR var.n:1", Cover.ANCHORED),
    ("waiting:>5m", Cover.COVERED),
    ("created:2026-01-02 worker:w1", Cover.ANCHORED),
]


async def both_pages(wire: Wire, text: str, sort: Sort) -> None:
    page = await wire.dashboard_store.search(parse(text), sort, 1, now=NOW)
    assert isinstance(page, Found)
    if page.next is not None:
        await wire.dashboard_store.search(parse(text), sort, 1, page.next, now=NOW)


@pytest.mark.parametrize(("text", "expected"), SEARCHES)
async def test_a_list_is_served_by_an_index(wire: Wire, text: str, expected: Cover) -> None:
    await both_pages(wire, text, Sort())
    assert wire.worst() is expected
    await both_pages(wire, text, Sort(descending=False))
    assert wire.worst() is expected
    await wire.dashboard_store.select(parse(text), 10, now=NOW)
    assert wire.worst() is expected


@pytest.mark.parametrize("key", SortKey)
@pytest.mark.parametrize("text", ["", "state:failed", "topic:orders"])
async def test_every_order_is_an_indexs(wire: Wire, key: SortKey, text: str) -> None:
    for descending in (True, False):
        await both_pages(wire, text, Sort(key, descending))
        # A state's tasks in the order of creation are worth no index (decision 28).
        exact = not text or key is SortKey.UPDATED or (key is SortKey.CREATED and text.startswith("topic"))
        assert wire.worst() is (Cover.COVERED if exact else Cover.ANCHORED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Cover.COVERED),
        ("topic:orders", Cover.COVERED),
        ("updated:>2026-01-01", Cover.COVERED),
        ("topic:orders updated:>2026-01-01", Cover.COVERED),
        ("key:ORD-1", Cover.SELECTIVE),
        ("ORD", Cover.MERGED),
        ("var.n:1", Cover.ANCHORED),
    ],
)
@pytest.mark.parametrize("grouped", [25_000, 0])
async def test_counts_are_served_by_an_index(
    wire: Wire, text: str, expected: Cover, grouped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_store, "_GROUPED", grouped)
    await wire.dashboard_store.counts(parse(text), now=NOW)
    assert wire.worst() is expected


async def operate(dashboard_store: MongoDashboardStore) -> None:
    await dashboard_store.create(
        Operation("o", OperationKind.RETRY, "q", "why", "ana", 5, NOW), [Item("t", 1), Item("u", 1)]
    )
    await dashboard_store.operation("o")
    await dashboard_store.operations(1)
    await dashboard_store.operations(1, (NOW + MINUTE, "o"))
    await dashboard_store.items("o", None, 1)
    await dashboard_store.take(NOW, NOW + MINUTE)
    await dashboard_store.postpone("o", NOW + MINUTE, NOW)
    chunk = await dashboard_store.next_chunk("o")
    assert chunk is not None
    await dashboard_store.record(chunk, {0: (Result.REQUEUED, None)}, NOW)
    taken = await dashboard_store.take_unsettled(NOW, NOW + MINUTE)
    assert taken is not None
    await dashboard_store.settle(taken, {0: "completed"})
    await dashboard_store.switch("o", {OperationState.RUNNING}, OperationState.CANCELLED, NOW)


async def count(dashboard_store: MongoDashboardStore) -> None:
    await dashboard_store.add(
        {Step.MINUTE: [Rollup(NOW, "a", {Count.STARTED: 1})]}, [Failures("f", "a", "E", "s", NOW, NOW, 1)]
    )
    await dashboard_store.rollups(Step.MINUTE, NOW)
    await dashboard_store.rollups(Step.MINUTE, NOW, "a")
    await dashboard_store.failure_groups(NOW, NOW)
    await dashboard_store.failure_groups(NOW, NOW, "a")
    await dashboard_store.failure_group("f", NOW)


async def note(dashboard_store: MongoDashboardStore) -> None:
    await dashboard_store.save_view(View("v", "n", "q", "ana", NOW))
    await dashboard_store.views()
    await dashboard_store.delete_view("v")
    await dashboard_store.pause(Pause("t", "ana", "", NOW))
    await dashboard_store.pauses()
    await dashboard_store.resume("t")
    await dashboard_store.write(AuditEntry("e", NOW, "ana", "operator", "here", "retry", "task:t"))
    for wanted in (AuditFilter(), AuditFilter(who="ana"), AuditFilter(action="retry"), AuditFilter(target="task:t")):
        await dashboard_store.entries(wanted, 1)
        await dashboard_store.entries(wanted, 1, (NOW + timedelta(days=1), "e"))
    await dashboard_store.rows(["t1", "t2"])


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda store: store.page(TaskFilter(), 10), Cover.COVERED),
        (lambda store: store.page(TaskFilter(topics=("orders",)), 10), Cover.COVERED),
        (lambda store: store.page(TaskFilter(business_key="k"), 10), Cover.SELECTIVE),
        # In the order of creation: few tasks of a state are sorted, of many the first are soon met.
        (lambda store: store.page(TaskFilter(states=(State.FAILED,)), 10), Cover.ANCHORED),
        (lambda store: store.oldest(State.RECEIVED), Cover.COVERED),
        (lambda store: store.count_of(State.RECEIVED), Cover.COVERED),
        (lambda store: store.waiting(), Cover.COVERED),
        (lambda store: store.waiting_by_topic(), Cover.COVERED),
        (lambda store: store.incidents(["orders"]), Cover.COVERED),
        (lambda store: store.unstarted("r", 10), Cover.ANCHORED),
    ],
)
async def test_what_the_api_and_the_measures_ask_is_served_by_an_index(
    wire: Wire, ask: Callable[[MongoStore], Awaitable[object]], expected: Cover
) -> None:
    await ask(wire.store)
    assert wire.worst() is expected


async def test_lists_and_sweeps_read_no_payloads(wire: Wire) -> None:
    """A hundred tasks with theirs may be more than a gigabyte; only what an outcome waits in is swept whole."""
    for state in {*State, None} - {State.REPORTING}:
        await wire.store.due(state, NOW, 10)
    await wire.store.page(TaskFilter(), 10)
    await wire.store.unstarted("r", 10)
    await wire.store.oldest(State.RECEIVED)
    await both_pages(wire, "topic:orders", Sort())
    await wire.dashboard_store.select(parse("topic:orders"), 10, now=NOW)
    await wire.dashboard_store.rows(["t1", "t2"])
    finds = [command for command in wire.commands.sent if command.get("find") == "tasks"]
    assert len(finds) >= len(State) + 5
    for command in finds:
        shown = command["projection"]
        if 0 in shown.values():
            assert {"variables", "given", "outcome", "result", "history"} <= shown.keys()
        else:
            assert shown.keys().isdisjoint({"variables", "given", "outcome", "result", "history"})


@pytest.mark.parametrize(
    ("act", "expected"), [(count, Cover.COVERED), (note, Cover.COVERED), (operate, Cover.ANCHORED)]
)
async def test_everything_else_is_served_by_an_index(
    wire: Wire, act: Callable[[MongoDashboardStore], Awaitable[None]], expected: Cover
) -> None:
    await act(wire.dashboard_store)
    assert wire.worst() is expected


# the judge itself

BY_STATE = {"tasks": [Index((("_id", 1),), None), Index((("state", 1), ("updated_at", -1), ("_id", -1)), None)]}
NEWEST = {"updated_at": -1, "_id": -1}


@pytest.mark.parametrize(
    ("wanted", "sort", "expected"),
    [
        ({"state": {"$eq": "x"}}, NEWEST, Cover.COVERED),
        ({"state": {"$in": ["x", "y"]}}, {"updated_at": 1, "_id": 1}, Cover.COVERED),
        ({"state": {"$eq": "x"}, "updated_at": {"$lt": 1}}, NEWEST, Cover.COVERED),
        ({"$and": [{"state": {"$eq": "x"}}, {"topic": {"$eq": "y"}}]}, NEWEST, Cover.ANCHORED),
        ({"state": {"$eq": "x"}}, {"updated_at": -1, "_id": 1}, Cover.NONE),
        ({"state": {"$eq": "x"}}, {"created_at": -1}, Cover.NONE),
        ({"state": {"$gt": "x"}}, NEWEST, Cover.NONE),
        ({"topic": {"$eq": "y"}}, NEWEST, Cover.NONE),
        ({"topic": {"$eq": "y"}}, {}, Cover.NONE),
        ({"_id": {"$eq": "y"}}, {}, Cover.COVERED),
    ],
)
def test_the_judge_goes_by_equality_sort_and_range(wanted: Any, sort: Any, expected: Cover) -> None:
    assert cover({"find": "tasks", "filter": wanted, "sort": sort}, BY_STATE) is expected


def test_a_partial_index_serves_only_who_asks_for_what_is_in_it() -> None:
    indexes = {"tasks": [Index((("finished_at", -1), ("_id", -1)), "finished_at")]}
    command: dict[str, Any] = {"find": "tasks", "filter": {}, "sort": {"finished_at": -1, "_id": -1}}
    assert cover(command, indexes) is Cover.NONE
    assert cover({**command, "filter": {"finished_at": {"$gt": NOW}}}, indexes) is Cover.COVERED


@pytest.mark.parametrize(
    ("command", "lacks"),
    [
        ({"find": "tasks", "limit": 1}, "maxTimeMS"),
        ({"find": "tasks", "maxTimeMS": 1}, "limit"),
        ({"aggregate": "tasks", "pipeline": [{"$match": {}}]}, "$limit and maxTimeMS"),
        ({"findAndModify": "tasks"}, "maxTimeMS"),
        ({"find": "tasks", "limit": 1, "maxTimeMS": 1}, None),
    ],
)
def test_the_judge_asks_for_bounds(command: dict[str, Any], lacks: str | None) -> None:
    assert unbounded(command) == lacks


async def test_what_is_due_is_read_by_an_index_for_each_state(
    servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = Commands()
    monkeypatch.setattr(store_reader, "AsyncMongoClient", partial(AsyncMongoClient, event_listeners=[commands]))
    async with mongo_store(servers["MONGODB_URI"]) as store:
        await store.accept([task(f"t{n}", state=state, next_at=NOW) for n, state in enumerate(State)])
        for state in State:
            commands.sent.clear()
            assert len((await store.due(state, NOW, 10)).tasks) == 1
            (command,) = commands.sent
            assert (cover(command, INDEXES), unbounded(command)) == (Cover.COVERED, None)
            shown = command.get("projection", {})
            assert ("variables" in shown) is (state is not State.REPORTING), "only what is delivered is read whole"


async def test_the_index_of_a_version_before_is_dropped(servers: dict[str, str]) -> None:
    async with mongo_store(servers["MONGODB_URI"]) as store:
        tasks = store._tasks
        await tasks.create_index([("next_at", 1), ("_id", 1)], name="due")
        again = partial(
            create_indexes, store._connected(), store._database, store.models, on_build=lambda _: None, every=MINUTE
        )
        await asyncio.gather(again(), again())
        names = await tasks.index_information()
    assert "due" not in names
    assert "due_by_state" in names
