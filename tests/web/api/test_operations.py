"""Bulk operations by the API: shown exactly, confirmed by their number, started once, and audited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from bridge.domain.access import Scope
from bridge.domain.operation import Result
from bridge.domain.task import State
from tests.web.conftest import Stub
from tests.web.dashboard.operations_lab import OPERATION, OperationsLab, audited, entries_of
from web.app import create_app

FAILED = {"query": "state:failed", "expected": 3, "reason": "mended"}


@pytest.fixture
def lab() -> OperationsLab:
    return audited()


def app_on(lab: OperationsLab) -> Litestar:
    """Return the API on what is behind the pages."""
    stub = Stub(store=lab.dashboard_store, bulk=lab.bulk).dependencies(lab.access.dependencies)
    return create_app(replace(stub, reader=lab.store, now=lab.clock.now))


@pytest.fixture
async def client(lab: OperationsLab) -> AsyncIterator[AsyncTestClient[Litestar]]:
    key = await lab.access.key(Scope.OPERATE, Scope.READ)
    async with AsyncTestClient(app_on(lab), raise_server_exceptions=False) as client:
        client.headers["x-api-key"] = key
        yield client


async def test_the_preview_counts_and_changes_nothing(client: Any, lab: OperationsLab) -> None:
    await lab.fail_many(3)
    lab.parts.task("done", state=State.COMPLETED)
    before = dict(lab.store.tasks)
    shown = (await client.get("/operations/preview", params={"q": "attempts:>=0"})).json()
    assert (shown["found"], shown["eligible"], shown["ineligible"], shown["capped"]) == (4, 3, 1, False)
    assert shown["by_status"] == {"failed": 3, "completed": 1}
    assert len(shown["samples"]) == 3
    assert lab.store.tasks == before
    assert await lab.dashboard_store.operations(10) == []


async def test_what_was_confirmed_is_started_once_and_followed_to_its_end(client: Any, lab: OperationsLab) -> None:
    await lab.fail_many(3)
    body = {**FAILED, "id": OPERATION, "rate": 100}
    started = await client.post("/operations", json=body)
    assert started.status_code == 202, started.text
    assert (await client.post("/operations", json=body)).json() == started.json()
    assert (started.json()["id"], started.json()["totals"]["pending"]) == (OPERATION, 3)
    assert started.json()["by"].startswith("courier (")
    (entry,) = await entries_of(lab, "operation.start")
    assert (entry.who, entry.reason, entry.after) == (
        started.json()["by"],
        "mended",
        {"query": "state:failed", "tasks": 3, "rate": 100},
    )
    assert await lab.bulk.run_once() == 3
    told = (await client.get(f"/operations/{OPERATION}")).json()
    assert told["totals"] | {"outcomes": {}} == {
        "total": 3, "requeued": 3, "skipped": 0, "failed": 0, "pending": 0, "waiting": 3, "outcomes": {},
    }  # fmt: skip
    first = (await client.get(f"/operations/{OPERATION}/items?limit=2")).json()
    rest = (await client.get(f"/operations/{OPERATION}/items?limit=2&after={first['next']}")).json()
    assert [item["place"] for item in first["items"] + rest["items"]] == [0, 1, 2]
    assert {item["result"] for item in first["items"]} == {Result.REQUEUED}
    assert rest["next"] is None
    assert (await client.get(f"/operations/{OPERATION}/items?result=skipped")).json()["items"] == []


async def test_another_number_than_the_confirmed_starts_nothing(
    client: Any, lab: OperationsLab, check_problem: Any
) -> None:
    await lab.fail_many(2)
    document = check_problem(await client.post("/operations", json=FAILED), 409, "operation-conflict")
    assert document["code"] == "operation.changed"
    assert await lab.dashboard_store.operations(10) == []
    assert await entries_of(lab, "operation") == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"query": "staet:failed"}, "query"),
        ({"query": " "}, "query"),
        ({"query": ""}, "query"),
        ({"expected": 0}, "expected"),
        ({"expected": "3"}, "expected"),
        ({"reason": "  "}, "reason"),
        ({"rate": 501}, "rate"),
        ({"id": "x"}, "id"),
        ({"all": True}, "all"),
    ],
)
async def test_a_start_names_the_field_at_fault(
    client: Any, lab: OperationsLab, check_problem: Any, change: dict[str, Any], field: str
) -> None:
    document = check_problem(await client.post("/operations", json=FAILED | change), 400, "invalid-request")
    assert [(error["field"], error["where"]) for error in document["errors"]] == [(field, "body")]
    assert await lab.dashboard_store.operations(10) == []


@pytest.mark.parametrize("query", ["", "%20"])
async def test_a_preview_of_nothing_is_not_one_of_everything(client: Any, check_problem: Any, query: str) -> None:
    document = check_problem(await client.get(f"/operations/preview?q={query}"), 400, "invalid-request")
    assert [error["field"] for error in document["errors"]] == ["q"]


async def test_it_is_paused_resumed_and_cancelled_for_a_reason(
    client: Any, lab: OperationsLab, check_problem: Any
) -> None:
    await lab.begin(OPERATION)
    why = {"reason": "wait"}
    for action, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        answer = await client.post(f"/operations/{OPERATION}/{action}", json=why)
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    for action in ("pause", "resume", "cancel"):
        document = check_problem(
            await client.post(f"/operations/{OPERATION}/{action}", json=why), 409, "operation-conflict"
        )
        assert document["code"] == f"operation.cannot_{action}"
    check_problem(await client.post(f"/operations/{OPERATION}/pause", json={}), 400, "invalid-request")
    check_problem(await client.post("/operations/o2/pause", json=why), 404, "unknown-operation")
    kept = await entries_of(lab, "operation.")
    assert {(entry.action, entry.reason) for entry in kept} == {
        ("operation.pause", "wait"),
        ("operation.resume", "wait"),
        ("operation.cancel", "wait"),
    }


async def test_pages_of_the_list_follow_each_other(client: Any, lab: OperationsLab, check_problem: Any) -> None:
    for number in range(3):
        lab.access.clock.pass_(seconds=1)
        await lab.begin(f"o{number}")
    first = (await client.get("/operations?limit=2")).json()
    rest = (await client.get(f"/operations?limit=2&after={first['next']}")).json()
    assert [one["id"] for one in first["operations"] + rest["operations"]] == ["o2", "o1", "o0"]
    assert rest["next"] is None
    document = check_problem(await client.get("/operations?after=x"), 400, "invalid-request")
    assert [(error["field"], error["code"]) for error in document["errors"]] == [("after", "parameter.no_cursor")]


async def test_a_key_of_one_topic_retries_and_sees_its_own(lab: OperationsLab, check_problem: Any) -> None:
    await lab.fail_many(2)
    await lab.parts.failed("theirs", topic="ship")
    await lab.begin(OPERATION)
    key = await lab.access.key(Scope.OPERATE, Scope.READ, topics=["charge_card"])
    async with AsyncTestClient(app_on(lab), raise_server_exceptions=False) as client:
        client.headers["x-api-key"] = key
        shown = (await client.get("/operations/preview?q=state:failed")).json()
        assert (shown["eligible"], shown["by_topic"]) == (2, {"charge_card": 2})
        started = (await client.post("/operations", json={**FAILED, "expected": 2})).json()
        assert started["query"] == "state:failed topic:charge_card"
        assert [one["id"] for one in (await client.get("/operations")).json()["operations"]] == [started["id"]]
        for method, path in (("GET", ""), ("GET", "/items"), ("POST", "/cancel")):
            body = {"reason": "x"} if method == "POST" else None
            hidden = await client.request(method, f"/operations/{OPERATION}{path}", json=body)
            check_problem(hidden, 404, "unknown-operation")
        foreign = await client.post("/operations", json={**FAILED, "expected": 2, "id": OPERATION})
        check_problem(foreign, 404, "unknown-operation")
