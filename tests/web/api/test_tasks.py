"""The routes of tasks, when all goes well and when the request is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from litestar.testing import AsyncTestClient

from bridge.domain.access import Scope
from bridge.domain.errors import StoreUnavailable, TaskConflict, TaskUnreadable
from bridge.domain.message_texts import TEXTS
from bridge.domain.records import AuditEntry
from bridge.domain.submission import Submission
from bridge.domain.task import Completion, Source, State, TypedValue, UnreadableTask
from tests.web.auth.access_lab import AccessLab, open_access
from tests.web.conftest import Stub
from web.app import create_app

BODY = {"task_id": "t1", "worker_id": "w1", "topic": "charge_card", "variables": {"amount": 42, "note": "ü"}}


async def test_submit_hands_the_body_over_as_written(client: Any, stub: Any) -> None:
    typed = {"amount": {"value": 42, "type": "Long"}, "$where": {"$ne": 1}}
    response = await client.post("/tasks/submit", json=BODY | {"variables": typed})
    assert response.status_code == 202
    assert response.json() == {"task_id": "t1", "status": "received"}
    assert stub.submitted == [Submission("t1", "w1", "charge_card", typed)]


async def test_submit_needs_no_variables(client: Any, stub: Any) -> None:
    body = {key: value for key, value in BODY.items() if key != "variables"}
    assert (await client.post("/tasks/submit", json=body)).status_code == 202
    assert stub.submitted[0].variables == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"task_id": ""}, "task_id"),
        ({"task_id": "a" * 65}, "task_id"),
        ({"task_id": "../x"}, "task_id"),
        ({"task_id": "a\n"}, "task_id"),
        ({"task_id": {"$ne": None}}, "task_id"),
        ({"task_id": 1}, "task_id"),
        ({"worker_id": ""}, "worker_id"),
        ({"worker_id": "a\x00"}, "worker_id"),
        ({"topic": ""}, "topic"),
        ({"topic": "t" * 256}, "topic"),
        ({"topic": "a\x00"}, "topic"),
        ({"topic": {"$ne": None}}, "topic"),
        ({"variables": []}, "variables"),
        ({"variables": None}, "variables"),
        ({"variables": {"": 1}}, "variables"),
        ({"variables": {"n" * 256: 1}}, "variables"),
        ({"variables": {f"v{number}": 1 for number in range(1001)}}, "variables"),
        ({"variables": {"deep": json.loads("[" * 40 + "]" * 40)}}, "variables"),
        ({"priority": 1}, "priority"),
    ],
)
async def test_submit_names_the_field_at_fault(
    client: Any, stub: Any, check_problem: Any, change: dict[str, Any], field: str
) -> None:
    document = check_problem(await client.post("/tasks/submit", json=BODY | change), 400, "invalid-request")
    assert [(error["field"], error["where"]) for error in document["errors"]] == [(field, "body")]
    assert {error["code"] for error in document["errors"]} <= TEXTS.keys()
    assert stub.submitted == []


async def test_submit_names_all_missing_fields(client: Any, check_problem: Any) -> None:
    document = check_problem(await client.post("/tasks/submit", json={}), 400, "invalid-request")
    assert {error["field"] for error in document["errors"]} == {"task_id", "worker_id", "topic"}
    assert {(error["message"], error["code"]) for error in document["errors"]} == {("Field required", "input.missing")}


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[1]", b'"x"', b"{", b'{"a": NaN}', b'{"a": "\xff"}', b"\xff", b"[" * 10_000]
)
async def test_submit_refuses_what_is_not_a_json_object(client: Any, check_problem: Any, content: bytes) -> None:
    response = await client.post("/tasks/submit", content=content, headers={"content-type": "application/json"})
    check_problem(response, 400, "invalid-request")


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data", "application/json; charset=latin-1"])
async def test_submit_refuses_other_media_types(client: Any, check_problem: Any, content_type: str) -> None:
    response = await client.post("/tasks/submit", content=b"{}", headers={"content-type": content_type})
    check_problem(response, 415, "not-json")


async def test_submit_bounds_the_body(client: Any, check_problem: Any) -> None:
    response = await client.post("/tasks/submit", json=BODY | {"variables": {"v": "x" * 30_000}})
    check_problem(response, 413, "body-too-large")


async def test_status_shows_every_field(client: Any, stub: Any, new_task: Callable[..., Any]) -> None:
    stub.reader.tasks = [
        new_task(
            state=State.COMPLETED,
            attempts=2,
            source=Source.PUSHED,
            business_key="order-17",
            process_instance_id="p1",
            outcome=Completion({"receipt": TypedValue("String", "R-1")}),
        )
    ]
    response = await client.get("/tasks/t1/status")
    assert response.status_code == 200
    moment = "2026-01-31T08:00:00.123000Z"
    assert response.json() == {
        "task_id": "t1",
        "topic": "charge_card",
        "status": "completed",
        "attempts": 2,
        "retries": 3,
        "worker_id": "w1",
        "source": "pushed",
        "business_key": "order-17",
        "process_instance_id": "p1",
        "created_at": moment,
        "updated_at": moment,
        "result": {"receipt": "R-1"},
        "error": None,
    }


async def test_one_that_can_not_be_read_is_a_problem_alone_and_no_other_in_a_list(
    client: Any, stub: Any, new_task: Callable[..., Any], check_problem: Any
) -> None:
    found = UnreadableTask("t2", "state: 'paused' is not a valid State", {"topic": "charge_card"}, {"state": "paused"})
    stub.reader.tasks, stub.reader.unreadable = [new_task()], (found,)
    answer = (await client.get("/tasks")).json()
    assert [task["task_id"] for task in answer["tasks"]] == ["t1"]
    assert answer["unreadable"] == [
        {"task_id": "t2", "topic": "charge_card", "status": "unreadable", "reason": found.reason}
    ]
    stub.reader.error = TaskUnreadable(found)
    document = check_problem(await client.get("/tasks/t2/status"), 409, "task-unreadable")
    assert found.reason in document["detail"]


async def test_status_of_an_unknown_task(client: Any, check_problem: Any) -> None:
    document = check_problem(await client.get("/tasks/nope/status"), 404, "unknown-task")
    assert "nope" in document["detail"]


@pytest.mark.parametrize("task_id", ["a%20b", "a" * 65, "%24ne", "%00"])
@pytest.mark.parametrize(("method", "action"), [("GET", "status"), ("POST", "retry")])
async def test_a_path_bounds_the_id(client: Any, check_problem: Any, method: str, action: str, task_id: str) -> None:
    response = await client.request(method, f"/tasks/{task_id}/{action}")
    document = check_problem(response, 400, "invalid-request")
    assert document["errors"][0]["field"] == "task_id"
    assert document["errors"][0]["where"] == "path"


async def test_retry(client: Any) -> None:
    response = await client.post("/tasks/t1/retry")
    assert response.status_code == 202
    assert response.json() == {"task_id": "t1", "status": "received"}


async def test_statistics(client: Any) -> None:
    response = await client.get("/tasks/statistics")
    assert response.json() == {
        "total": 3,
        "by_status": {"completed": 2, "failed": 1},
        "by_topic": {"charge_card": 3},
        "counted_at": None,
    }


async def test_a_listing_is_paged_to_its_end(client: Any, stub: Any, new_task: Callable[..., Any]) -> None:
    born = datetime(2026, 1, 1, tzinfo=UTC)
    stub.reader.tasks = [
        new_task(f"t{number}", created_at=born + timedelta(seconds=number // 2)) for number in range(7)
    ]
    seen: list[str] = []
    query = {"limit": "3", "topic": ["b", "a"]}
    while True:
        page = (await client.get("/tasks", params=query)).json()
        seen += [task["task_id"] for task in page["tasks"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert seen == ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]


async def test_a_listing_parses_its_filter_to_typed_values(client: Any, stub: Any) -> None:
    query = (
        "status=failed&status=queued&topic=$ne&source=pushed&business_key=$where&process_instance_id=p1"
        "&since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00%2B01:00"
    )
    response = await client.get(f"/tasks?{query}")
    assert response.status_code == 200, response.text
    (wanted,) = stub.reader.asked
    assert wanted.states == (State.FAILED, State.QUEUED)
    assert wanted.topics == ("$ne",)
    assert wanted.source is Source.PUSHED
    assert wanted.business_key == "$where"
    assert wanted.process_instance_id == "p1"
    assert wanted.since == datetime(2026, 1, 1, tzinfo=UTC)
    assert wanted.until == datetime(2026, 1, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=lost", "status"),
        ("status[$ne]=failed", "status[$ne]"),
        ("sort=id", "sort"),
        ("wanted=1", "wanted"),
        ("dependencies=1", "dependencies"),
        ("source=mail", "source"),
        ("source=pushed&source=polled", "source"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("since=2026-01-01T00:00:00", "since"),
        ("until=yesterday", "until"),
        ("until=0.5", "until"),
        ("since=1767225600", "since"),
        ("since=1e10", "since"),
        ("business_key=" + "k" * 256, "business_key"),
        ("after=nonsense", "after"),
        ("&".join(["topic=a"] * 51), "topic"),
    ],
)
async def test_a_listing_names_the_parameter_at_fault(
    client: Any, stub: Any, check_problem: Any, query: str, field: str
) -> None:
    document = check_problem(await client.get(f"/tasks?{query}"), 400, "invalid-request")
    assert [(error["field"], error["where"]) for error in document["errors"]] == [(field, "query")]
    assert all(error["code"] for error in document["errors"])
    assert stub.reader.asked == []


async def test_a_cursor_holds_for_its_filter_only(
    client: Any, stub: Any, check_problem: Any, new_task: Callable[..., Any]
) -> None:
    stub.reader.tasks = [new_task("t1"), new_task("t2")]
    cursor = (await client.get("/tasks", params={"limit": 1, "status": "received"})).json()["next"]
    response = await client.get("/tasks", params={"limit": 1, "status": "failed", "after": cursor})
    document = check_problem(response, 400, "invalid-request")
    assert "another filter" in document["errors"][0]["message"]
    assert document["errors"][0]["code"] == "parameter.other_cursor"


async def audited_retry(stub: Stub, lab: AccessLab, task_id: str = "t1") -> tuple[int, list[AuditEntry]]:
    entries: list[AuditEntry] = []

    async def audit(entry: AuditEntry) -> None:
        entries.append(entry)

    key = await lab.key(Scope.OPERATE)
    app = create_app(stub.dependencies(replace(lab.dependencies, audit=audit)))
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        response = await client.post(f"/tasks/{task_id}/retry", headers={"x-api-key": key})
    return response.status_code, entries


async def test_a_retry_by_key_is_written_down(stub: Stub) -> None:
    status, (entry,) = await audited_retry(stub, AccessLab())
    assert status == 202
    assert entry.who.startswith("courier (")
    assert (entry.role, entry.action, entry.target) == ("key", "task.retry", "task:t1")
    assert entry.after == {}


async def test_a_retry_by_key_that_is_refused_is_written_down_with_that(stub: Stub) -> None:
    stub.fail(TaskConflict("it is completed"))
    status, entries = await audited_retry(stub, AccessLab())
    assert status == 409
    assert [entry.after for entry in entries] == [{}, {"not done": "TaskConflict"}]


async def test_a_retry_that_can_not_be_written_down_is_not_made(stub: Stub) -> None:
    async def audit(entry: AuditEntry) -> None:
        raise StoreUnavailable("the audit is away")

    app = create_app(stub.dependencies(replace(open_access(), audit=audit)))
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        assert (await client.post("/tasks/t1/retry")).status_code == 503
    assert stub.retried == []


async def test_half_of_a_surrogate_pair_in_a_result_is_replaced(client: Any, stub: Any, new_task: Any) -> None:
    """The engine gives such JSON out; no answer of ours can carry it."""
    outcome = Completion({"a": TypedValue("Json", r'{"\ud800": ["\udfff", "\ud83d\ude00"]}')})
    stub.reader.tasks.append(new_task(state=State.COMPLETED, outcome=outcome))
    answer = await client.get("/tasks/t1/status")
    assert answer.status_code == 200
    assert answer.json()["result"] == {"a": {"\ufffd": ["\ufffd", "\U0001f600"]}}
