"""Every route times everybody who could ask, and no route that says nothing of who may use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.testing import AsyncTestClient

from bridge.domain.access import SCOPES, Role, Scope
from bridge.domain.errors import TopicNotWorked
from tests.web.auth.access_lab import AccessLab, browser, company_login, with_token
from tests.web.auth.access_matrix import BODY, NOWHERE, ROUTES, RouteAccess, dashboard, handlers, send
from web.app import create_app
from web.auth.guard import need_of

GUARDED = [asked for asked in ROUTES if asked.scope is not None]
IDS = [f"{asked.method} {asked.path}" for asked in ROUTES]
GUARDED_IDS = [f"{asked.method} {asked.path}" for asked in GUARDED]


@pytest.fixture
def lab() -> AccessLab:
    return AccessLab(openid=company_login())


@pytest.fixture
async def app(lab: AccessLab, stub: Any, new_task: Any) -> Litestar:
    stub.reader.tasks = [new_task("t1")]
    pages = await dashboard(lab, stub)
    return create_app(stub.dependencies(lab.dependencies), [pages])


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[AsyncTestClient[Litestar]]:
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        client.follow_redirects = False
        yield client


def test_every_route_says_what_it_needs_and_is_tested_here(app: Litestar) -> None:
    found = {(path, method) for path, handler in handlers(app) for method in handler.http_methods}
    assert {(asked.route, asked.method) for asked in ROUTES} == found
    for path, handler in handlers(app):
        need = need_of(handler)
        assert need is not None, f"{path} has no opt=needs(…)"


async def test_a_route_that_says_nothing_opens_to_nobody(lab: AccessLab, stub: Any, check_problem: Any) -> None:
    @get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    app = create_app(stub.dependencies(lab.dependencies), [forgotten])
    assert [path for path, handler in handlers(app) if need_of(handler) is None] == ["/forgotten"]
    key = await lab.key(Scope.ADMIN)
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        for headers in ({}, {"x-api-key": key}):
            check_problem(await client.get("/forgotten", headers=headers), 403, "forbidden")


@pytest.mark.parametrize("asked", ROUTES, ids=IDS)
async def test_nobody(client: Any, asked: RouteAccess) -> None:
    response = await send(client, asked, **{"sec-fetch-site": "same-origin"})
    if asked.scope is None:
        assert response.status_code not in {303, 403}
    elif asked.page:
        assert response.status_code == 303
        assert response.headers["location"].partition("?")[0] == "/dashboard/login"
    else:
        assert response.status_code == 401


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("asked", GUARDED, ids=GUARDED_IDS)
async def test_every_scope(client: Any, lab: AccessLab, check_problem: Any, asked: RouteAccess, scope: Scope) -> None:
    response = await send(client, asked, authorization=f"Bearer {await lab.key(scope)}")
    if asked.page:
        assert response.status_code in {303, 403}, "a key opens no page"
        assert "csrf_token" not in response.text
    elif scope in {asked.scope, Scope.ADMIN}:
        assert response.status_code < 300
    else:
        detail = check_problem(response, 403, "forbidden")["detail"]
        assert str(asked.scope) in detail
        assert "courier" in detail


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("asked", GUARDED, ids=GUARDED_IDS)
async def test_every_role(app: Litestar, lab: AccessLab, asked: RouteAccess, role: Role) -> None:
    secret = await lab.session(role)
    async with browser(app, secret) as client:
        client.headers["x-csrf-token"] = with_token(secret)["csrf_token"]
        response = await send(client, asked)
    if asked.scope in SCOPES[role]:
        assert response.status_code == 404 if asked.route == NOWHERE else response.status_code < 400
    else:
        assert response.status_code == 403
        assert role.value in response.text


@pytest.mark.parametrize("how", ["x-api-key", "authorization"])
async def test_a_key_that_is_no_good_is_told_what_to_do(
    client: Any, lab: AccessLab, check_problem: Any, how: str
) -> None:
    key = await lab.key(Scope.READ)
    headers = {how: key if how == "x-api-key" else f"bearer {key}"}
    assert (await client.get("/tasks", headers=headers)).status_code == 200
    await lab.accounts.revoke_key(key.split("_")[1])
    response = await client.get("/tasks", headers=headers)
    assert "gateway keys create" in check_problem(response, 401, "not-signed-in")["detail"]
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_who_asks_is_looked_at_before_the_request_is(client: Any, check_problem: Any) -> None:
    check_problem(await client.post("/tasks/submit?$where=1", json={"x": {"$ne": 1}}), 401, "not-signed-in")
    check_problem(await client.get("/tasks/a%20b/status"), 401, "not-signed-in")


async def test_a_key_of_one_topic_meets_no_other(
    client: Any, lab: AccessLab, stub: Any, new_task: Any, check_problem: Any
) -> None:
    stub.reader.tasks = [new_task("mine"), new_task("theirs", topic="ship")]
    key = await lab.key(Scope.SUBMIT, Scope.READ, Scope.OPERATE, topics=["charge_card"])
    headers = {"x-api-key": key}
    assert (await client.post("/tasks/submit", json=BODY, headers=headers)).status_code == 202
    foreign = await client.post("/tasks/submit", json=BODY | {"topic": "ship"}, headers=headers)
    assert "ship" in check_problem(foreign, 403, "forbidden")["detail"]
    assert [submission.topic for submission in stub.submitted] == ["charge_card"]
    assert (await client.get("/tasks/mine/status", headers=headers)).status_code == 200
    assert (await client.post("/tasks/mine/retry", headers=headers)).status_code == 202
    for method, path in (("GET", "/tasks/theirs/status"), ("POST", "/tasks/theirs/retry")):
        hidden = check_problem(await client.request(method, path, headers=headers), 404, "unknown-task")
        absent = await client.request(method, path.replace("theirs", "absent"), headers=headers)
        assert hidden["detail"].replace("theirs", "absent") == absent.json()["detail"]
    await client.get("/tasks", headers=headers)
    await client.get("/tasks?topic=charge_card", headers=headers)
    assert [wanted.topics for wanted in stub.reader.asked] == [("charge_card",), ("charge_card",)]
    check_problem(await client.get("/tasks?topic=charge_card&topic=ship", headers=headers), 403, "forbidden")
    check_problem(await client.get("/tasks/statistics", headers=headers), 403, "forbidden")


async def test_metrics_ask_where_they_are_to(stub: Any, check_problem: Any) -> None:
    lab = AccessLab(open_metrics=False)
    async with AsyncTestClient(
        create_app(stub.dependencies(lab.dependencies)), raise_server_exceptions=False
    ) as client:
        check_problem(await client.get("/metrics"), 401, "not-signed-in")
        key = await lab.key(Scope.READ)
        assert (await client.get("/metrics", headers={"authorization": f"Bearer {key}"})).status_code == 200
        bound = await lab.key(Scope.READ, topics=["charge_card"])
        refused = await client.get("/metrics", headers={"authorization": f"Bearer {bound}"})
        check_problem(refused, 403, "forbidden")


async def test_a_topic_that_is_not_worked_tells_a_bound_key_of_no_other(
    client: Any, lab: AccessLab, stub: Any, check_problem: Any
) -> None:
    stub.fail(TopicNotWorked("charge_card", ["ship", "mail"]))
    details = []
    for topics in (["charge_card"], None):
        key = await lab.key(Scope.SUBMIT, topics=topics)
        response = await client.post("/tasks/submit", json=BODY, headers={"x-api-key": key})
        details.append(check_problem(response, 422, "unacceptable-task")["detail"])
    assert details == [
        "topic 'charge_card' is not worked here",
        "topic 'charge_card' is not worked here; these are: mail, ship",
    ]


async def test_an_open_api_asks_nobody_but_the_dashboard_does(stub: Any, new_task: Any, check_problem: Any) -> None:
    lab = AccessLab(open_api=True, openid=company_login())
    stub.reader.tasks = [new_task("t1")]
    pages = await dashboard(lab, stub)
    app = create_app(stub.dependencies(lab.dependencies), [pages])
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        client.follow_redirects = False
        for asked in GUARDED:
            response = await send(client, asked)
            assert response.status_code in ({303, 403} if asked.page else {200, 202}), asked
        wrong = await client.get("/tasks", headers={"x-api-key": "wag_x_y"})
        check_problem(wrong, 401, "not-signed-in")
        for foreign in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            check_problem(await client.post("/tasks/t1/retry", headers=foreign), 403, "forbidden")


async def test_the_probes_of_a_worker_have_the_same_guard(lab: AccessLab, stub: Any) -> None:
    app = create_app(stub.dependencies(lab.dependencies), api=False)
    assert all(need_of(handler) is not None for _, handler in handlers(app))
    async with AsyncTestClient(app) as client:
        assert (await client.get("/health/live")).status_code == 200


async def test_options_tells_the_methods_and_nothing_else(client: Any) -> None:
    response = await client.options("/tasks/submit")
    assert (response.status_code, response.text) == (204, "")
    assert "POST" in response.headers["allow"]


async def test_what_is_refused_to_a_page_is_told_in_a_page(app: Litestar, lab: AccessLab) -> None:
    async with browser(app, await lab.session(Role.VIEWER)) as client:
        response = await client.post("/dashboard/logout", data={})
    assert response.status_code == 403
    assert response.headers["content-type"].startswith("text/html")
    assert "Not allowed" in response.text
