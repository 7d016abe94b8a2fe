"""Searches by the API: the dashboard's grammar, its faults by code, one task with its runs, and failures by cause."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from bridge.domain.access import Scope
from bridge.domain.message_texts import TEXTS
from bridge.domain.statistics import Failures
from bridge.domain.task import Completion, State, TypedValue
from bridge.ports.dashboard import TooSlow
from tests.web.auth.access_lab import AccessLab
from tests.web.conftest import Stub
from tests.web.dashboard.dashboard_lab import LOCK, DashboardLab
from web.app import create_app


@pytest.fixture
def lab() -> DashboardLab:
    return DashboardLab(AccessLab())


def app_on(lab: DashboardLab) -> Litestar:
    """Return the API on what is behind the dashboard."""
    parts = lab.dependencies
    stub = Stub(store=lab.dashboard_store, bulk=parts.bulk).dependencies(lab.access.dependencies)
    return create_app(replace(stub, reader=lab.store, now=lab.clock.now, secrets_of=parts.secrets_of))


@pytest.fixture
async def client(lab: DashboardLab) -> AsyncIterator[AsyncTestClient[Litestar]]:
    key = await lab.access.key(Scope.READ)
    async with AsyncTestClient(app_on(lab), raise_server_exceptions=False) as client:
        client.headers["x-api-key"] = key
        yield client


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [task["task_id"] for task in answer.json()["tasks"]]


async def test_the_search_of_the_dashboard_finds_the_same_tasks(client: Any, lab: DashboardLab) -> None:
    await lab.failed("f1", error="password=s3cret", attempts=4)
    await lab.failed("f2", topic="ship")
    lab.task("done", state=State.COMPLETED)
    assert ids(await client.get("/tasks/search", params={"q": "state:failed topic:charge_card"})) == ["f1"]
    assert set(ids(await client.get("/tasks/search", params={"q": "(topic:ship OR state:completed)"}))) == {
        "f2",
        "done",
    }
    (task,) = (await client.get("/tasks/search", params={"q": "id:f1"})).json()["tasks"]
    assert (task["status"], task["error_type"], task["attempts"]) == ("failed", "ConnectTimeout", 4)
    assert (task["error"], task["process_definition_key"]) == ("password=***", "payment")


async def test_pages_follow_each_other_in_the_order_that_is_asked_for(client: Any, lab: DashboardLab) -> None:
    for number in range(5):
        lab.task(f"t{number}", attempts=number)
    wanted = {"q": "topic:charge_card", "sort": "attempts", "limit": "2"}
    found, after = [], None
    while True:
        answer = await client.get("/tasks/search", params=wanted if after is None else {**wanted, "after": after})
        found += ids(answer)
        after = answer.json()["next"]
        if after is None:
            break
    assert found == ["t0", "t1", "t2", "t3", "t4"]


@pytest.mark.parametrize(
    ("query", "code", "position"),
    [
        ("staet:failed", "query.unknown_field", 0),
        ("topic:a state:lost", "query.choice", 14),
        ("(topic:a", "query.no_closing", 0),
        ('key:"a', "query.open_quote", 4),
        ("x" * 2001, "query.too_long", 2000),
    ],
)
async def test_a_search_that_can_not_be_read_is_told_with_code_and_place(
    client: Any, check_problem: Any, query: str, code: str, position: int
) -> None:
    (fault,) = check_problem(await client.get("/tasks/search", params={"q": query}), 400, "invalid-request")["errors"]
    assert (fault["field"], fault["where"], fault["code"], fault["position"]) == ("q", "query", code, position)
    assert code in TEXTS


async def test_an_order_or_a_cursor_that_there_is_not_is_told(
    client: Any, lab: DashboardLab, check_problem: Any
) -> None:
    for number in range(2):
        lab.task(f"t{number}")
    after = (await client.get("/tasks/search?limit=1")).json()["next"]
    for query, field, code in (
        ("sort=age", "sort", "parameter.choice"),
        ("after=x", "after", "parameter.no_cursor"),
        (f"q=state:failed&after={after}", "after", "parameter.other_cursor"),
    ):
        document = check_problem(await client.get(f"/tasks/search?{query}"), 400, "invalid-request")
        assert [(error["field"], error["code"]) for error in document["errors"]] == [(field, code)]


async def test_a_search_that_takes_too_long_says_how_to_narrow_it(
    client: Any, lab: DashboardLab, check_problem: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: Any, **__: Any) -> TooSlow:
        return TooSlow(timedelta(seconds=5))

    monkeypatch.setattr(lab.dashboard_store, "search", slow)
    document = check_problem(await client.get("/tasks/search"), 422, "search-too-slow")
    assert document["code"] == "query.too_slow"
    assert "5 s" in document["detail"]


async def test_a_key_of_one_topic_finds_no_other(lab: DashboardLab, check_problem: Any) -> None:
    lab.task("mine")
    lab.task("theirs", topic="ship")
    key = await lab.access.key(Scope.READ, topics=["charge_card"])
    async with AsyncTestClient(app_on(lab), raise_server_exceptions=False) as client:
        client.headers["x-api-key"] = key
        assert ids(await client.get("/tasks/search")) == ["mine"]
        assert ids(await client.get("/tasks/search?q=topic:ship")) == []
        check_problem(await client.get("/tasks/theirs"), 404, "unknown-task")
        assert (await client.get("/tasks/mine")).status_code == 200
        check_problem(await client.get("/failures?topic=ship"), 403, "forbidden")


async def test_one_task_has_its_runs_with_secrets_masked(client: Any, lab: DashboardLab, check_problem: Any) -> None:
    attempts = (
        lab.attempt(1, lab.clock.now() - LOCK, message="card_code=4711", details="Authorization: Bearer abcdefgh1"),
    )
    result = Completion({"receipt": TypedValue("String", "R-1")})
    lab.task("t1", state=State.COMPLETED, outcome=result, history=attempts, attempts=2)
    task = (await client.get("/tasks/t1")).json()
    (run,) = task["runs"]
    assert (run["number"], run["ended"], run["error"]) == (1, "failed", "ConnectTimeout")
    assert (run["message"], run["details"]) == ("card_code=***", "Authorization: ***")
    assert (task["result"], task["status"]) == ({"receipt": "R-1"}, "completed")
    check_problem(await client.get("/tasks/t2"), 404, "unknown-task")


async def test_failures_are_told_by_cause(client: Any, lab: DashboardLab, check_problem: Any) -> None:
    now = lab.clock.now()
    rows = [
        Failures("f1", "charge_card", "ConnectTimeout", "old", now - 100 * LOCK, now - 100 * LOCK, 9),
        Failures("f1", "charge_card", "ConnectTimeout", "card_code=4711", now - LOCK, now - LOCK, 3),
        Failures("f2", "ship", "ValueError", "no", now, now, 1),
    ]
    await lab.dashboard_store.add({}, rows)
    answer = (await client.get("/failures?range=1h")).json()
    assert answer["range"] == "1h"
    assert [(group["fp"], group["count"], group["new"]) for group in answer["failures"]] == [
        ("f1", 3, False),
        ("f2", 1, True),
    ]
    assert "4711" not in str(answer)
    assert [group["fp"] for group in (await client.get("/failures?sort=last")).json()["failures"]] == ["f2", "f1"]
    assert [group["fp"] for group in (await client.get("/failures?topic=ship")).json()["failures"]] == ["f2"]
    assert len((await client.get("/failures?limit=1")).json()["failures"]) == 1
    for query, field in (("range=2h", "range"), ("sort=age", "sort")):
        document = check_problem(await client.get(f"/failures?{query}"), 400, "invalid-request")
        assert [(error["field"], error["code"]) for error in document["errors"]] == [(field, "parameter.choice")]
