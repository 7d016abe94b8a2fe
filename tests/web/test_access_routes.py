"""Every route times everybody who could ask, and no route that says nothing of who may use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from litestar import Litestar, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.testing import AsyncTestClient

from bridge.access import SCOPES, ApiKey, Role, Scope
from bridge.errors import TopicNotWorked
from tests.web.access_lab import PASSWORD, AccessLab, browser, with_token
from tests.web.desk_lab import DeskLab
from tests.web.operations_lab import OPERATION, OperationsLab
from web.app import create_app
from web.dashboard import dashboard_router
from web.desk_pages import operations_desk_routes
from web.guard import need_of
from web.live import Pace
from web.pages_of_tasks import task_pages

PREVIEW = "/dashboard/operations/preview"
BODY = {"task_id": "t1", "worker_id": "w1", "topic": "charge_card"}


class Asked(NamedTuple):
    """A route, a request that it grants whoever may, and the scope that it needs (None: open to everybody)."""

    route: str
    method: str
    path: str
    scope: Scope | None
    body: dict[str, str] | None = None
    page: bool = False


TOPIC, ONE = "/dashboard/topics/{name:str}", "/dashboard/operations/{operation_id:str}"
CARD, BEGUN = "/dashboard/topics/charge_card", f"/dashboard/operations/{OPERATION}"
SENT_AGAIN = {"q": "state:failed", "token": OPERATION, "expected": "1"}
OPERATION_PAGES = [
    Asked("/dashboard/topics", "GET", "/dashboard/topics", Scope.READ, page=True),
    Asked(TOPIC, "GET", CARD, Scope.READ, page=True),
    Asked(f"{TOPIC}/pause", "POST", f"{CARD}/pause", Scope.OPERATE, {"reason": "x"}, page=True),
    Asked(f"{TOPIC}/resume", "POST", f"{CARD}/resume", Scope.OPERATE, {"reason": "x"}, page=True),
    Asked("/dashboard/workers", "GET", "/dashboard/workers", Scope.READ, page=True),
    Asked("/dashboard/operations", "GET", "/dashboard/operations", Scope.READ, page=True),
    Asked("/dashboard/operations", "POST", "/dashboard/operations", Scope.OPERATE, SENT_AGAIN, page=True),
    Asked(PREVIEW, "GET", f"{PREVIEW}?q=state:failed", Scope.OPERATE, page=True),
    Asked(PREVIEW, "POST", PREVIEW, Scope.OPERATE, {"q": "state:failed"}, page=True),
    Asked(ONE, "GET", BEGUN, Scope.READ, page=True),
    Asked(f"{ONE}/pause", "POST", f"{BEGUN}/pause", Scope.OPERATE, {"reason": "x"}, page=True),
    Asked(f"{ONE}/resume", "POST", f"{BEGUN}/resume", Scope.OPERATE, {"reason": "x"}, page=True),
    Asked(f"{ONE}/cancel", "POST", f"{BEGUN}/cancel", Scope.OPERATE, {"reason": "x"}, page=True),
    Asked("/dashboard/audit", "GET", "/dashboard/audit", Scope.ADMIN, page=True),
    Asked("/dashboard/audit/export", "POST", "/dashboard/audit/export", Scope.ADMIN, {"who": "x"}, page=True),
]
TASK, T1 = "/dashboard/tasks/{task_id:str}", "/dashboard/tasks/t1"
SEEN = {"state": "failed", "epoch": "1", "updated_at": "2026-01-31T07:59:00+00:00", "reason": "x"}
EDITED = {**SEEN, "variables": '{"amount_cents": 1}'}
LATER = {**SEEN, "at": "2027-01-01T00:00"}
TASK_PAGES = [
    Asked("/dashboard/tasks", "GET", "/dashboard/tasks", Scope.READ, page=True),
    Asked("/dashboard/tasks/columns", "POST", "/dashboard/tasks/columns", Scope.READ, {"query": ""}, page=True),
    Asked("/dashboard/tasks/export", "POST", "/dashboard/tasks/export", Scope.READ, {"format": "csv"}, page=True),
    Asked("/dashboard/tasks/views", "POST", "/dashboard/tasks/views", Scope.OPERATE, {"name": "x"}, page=True),
    Asked(
        "/dashboard/tasks/views/delete", "POST", "/dashboard/tasks/views/delete", Scope.OPERATE, {"id": "x"}, page=True
    ),
    Asked(TASK, "GET", T1, Scope.READ, page=True),
    Asked(f"{TASK}/retry", "POST", f"{T1}/retry", Scope.OPERATE, SEEN, page=True),
    Asked(f"{TASK}/retry-at", "POST", f"{T1}/retry-at", Scope.OPERATE, LATER, page=True),
    Asked(f"{TASK}/retries", "POST", f"{T1}/retries", Scope.OPERATE, {**SEEN, "retries": "3"}, page=True),
    Asked(f"{TASK}/release", "POST", f"{T1}/release", Scope.OPERATE, SEEN, page=True),
    Asked(f"{TASK}/edit", "GET", f"{T1}/edit", Scope.OPERATE, page=True),
    Asked(f"{TASK}/edit", "POST", f"{T1}/edit", Scope.OPERATE, EDITED, page=True),
    Asked(f"{TASK}/reveal", "POST", f"{T1}/reveal", Scope.ADMIN, {"what": "engine:x", "reason": "x"}, page=True),
    Asked("/dashboard/failures", "GET", "/dashboard/failures", Scope.READ, page=True),
]
PEOPLE, BOB = "/dashboard/settings/people", "/dashboard/settings/people/bob"
PERSON, KEYS, KEY = f"{PEOPLE}/{{name:str}}", "/dashboard/settings/keys", "/dashboard/settings/keys/{prefix:str}"
OWN = {"old": "x", "new": "y", "again": "y"}
PREFIX = "abcdefghijkm"
ACCESS_PAGES = [
    Asked(PEOPLE, "GET", PEOPLE, Scope.ADMIN, page=True),
    Asked(PEOPLE, "POST", PEOPLE, Scope.ADMIN, {"name": "eve", "role": "viewer"}, page=True),
    Asked(PERSON, "GET", BOB, Scope.ADMIN, page=True),
    Asked(f"{PERSON}/role", "POST", f"{BOB}/role", Scope.ADMIN, {"role": "admin", "reason": "x"}, page=True),
    Asked(f"{PERSON}/password", "POST", f"{BOB}/password", Scope.ADMIN, {"reason": "x"}, page=True),
    Asked(f"{PERSON}/disable", "POST", f"{BOB}/disable", Scope.ADMIN, {"reason": "x"}, page=True),
    Asked(f"{PERSON}/enable", "POST", f"{BOB}/enable", Scope.ADMIN, {"reason": "x"}, page=True),
    Asked(KEYS, "GET", KEYS, Scope.ADMIN, page=True),
    Asked(KEYS, "POST", KEYS, Scope.ADMIN, {"label": "x", "scope": "read"}, page=True),
    Asked(KEY, "GET", f"{KEYS}/{PREFIX}", Scope.ADMIN, page=True),
    Asked(f"{KEY}/revoke", "POST", f"{KEYS}/{PREFIX}/revoke", Scope.ADMIN, {"reason": "x"}, page=True),
]
ROUTES = [
    Asked("/tasks/submit", "POST", "/tasks/submit", Scope.SUBMIT, BODY),
    Asked("/tasks/{task_id:str}/status", "GET", "/tasks/t1/status", Scope.READ),
    Asked("/tasks/{task_id:str}/retry", "POST", "/tasks/t1/retry", Scope.OPERATE),
    Asked("/tasks/statistics", "GET", "/tasks/statistics", Scope.READ),
    Asked("/tasks", "GET", "/tasks", Scope.READ),
    Asked("/dead-letters", "GET", "/dead-letters", Scope.READ),
    Asked("/metrics", "GET", "/metrics", None),
    Asked("/health", "GET", "/health", None),
    Asked("/health/live", "GET", "/health/live", None),
    Asked("/health/ready", "GET", "/health/ready", None),
    Asked("/docs", "GET", "/docs", None),
    Asked("/docs/start.js", "GET", "/docs/start.js", None),
    Asked("/docs/assets/{name:str}", "GET", "/docs/assets/swagger-ui.css", None),
    Asked("/schema", "GET", "/schema", None),
    Asked("/schema/openapi.json", "GET", "/schema/openapi.json", None),
    Asked("/schema/{path:str}", "GET", "/schema/other", None),
    Asked("/dashboard/login", "GET", "/dashboard/login", None, page=True),
    Asked("/dashboard/login", "POST", "/dashboard/login", None, {"name": "x", "password": "y"}, page=True),
    Asked("/dashboard/logout", "POST", "/dashboard/logout", Scope.READ, page=True),
    Asked("/dashboard", "GET", "/dashboard", Scope.READ, page=True),
    Asked("/dashboard/static/{mark:str}/{name:str}", "GET", "/dashboard/static/x/app.css", None, page=True),
    Asked("/dashboard/settings", "GET", "/dashboard/settings", Scope.READ, page=True),
    Asked("/dashboard/settings", "POST", "/dashboard/settings", Scope.READ, {"theme": "dark"}, page=True),
    Asked("/dashboard/settings/sessions", "POST", "/dashboard/settings/sessions", Scope.READ, {"id": "x"}, page=True),
    Asked("/dashboard/settings/password", "POST", "/dashboard/settings/password", Scope.READ, OWN, page=True),
    Asked("/dashboard/{rest:path}", "GET", "/dashboard/no/such/page", Scope.READ, page=True),
    Asked("/dashboard/events", "GET", "/dashboard/events", Scope.READ, page=True),
    *ACCESS_PAGES,
    *OPERATION_PAGES,
    *TASK_PAGES,
]
NOWHERE = "/dashboard/{rest:path}"
"""Who is logged in is told in a page that there is nothing; a stranger must log in first, and learns nothing."""

GUARDED = [asked for asked in ROUTES if asked.scope is not None]
IDS = [f"{asked.method} {asked.path}" for asked in ROUTES]
GUARDED_IDS = [f"{asked.method} {asked.path}" for asked in GUARDED]


@pytest.fixture
def lab() -> AccessLab:
    return AccessLab()


async def dashboard(lab: AccessLab) -> Router:
    """Return all pages; there is an operation that they can show, a task that failed, a person and a key."""
    operations, tasks = OperationsLab(lab), DeskLab(lab)
    await operations.begin(OPERATION)
    await tasks.failed("t1")
    await lab.accounts.add_user("bob", Role.VIEWER, PASSWORD)
    await lab.store.add_key(ApiKey(PREFIX, "", "x", frozenset({Scope.READ}), lab.clock.now()))
    at_once = Pace(lifetime=timedelta(0))  # a stream of events would be read to its end
    pages = [*task_pages(tasks.door), *operations_desk_routes(operations.door)]
    return dashboard_router(lab.door, pace=at_once, mounted=pages)


@pytest.fixture
async def app(lab: AccessLab, stub: Any, new_task: Any) -> Litestar:
    stub.reader.tasks = [new_task("t1")]
    return create_app(stub.doors(lab.door), [await dashboard(lab)])


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[AsyncTestClient[Litestar]]:
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        client.follow_redirects = False
        yield client


def handlers(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    """Give every route with its path, but for the answers to OPTIONS that Litestar adds."""
    for route in app.routes:
        assert isinstance(route, HTTPRoute), "another kind of route: have the guard and this test learn of it"
        for handler in route.route_handlers:
            if handler.http_methods != {"OPTIONS"}:
                yield route.path, handler


async def send(client: AsyncTestClient[Litestar], asked: Asked, **headers: str) -> Any:
    options: dict[str, Any] = {"data" if asked.page else "json": asked.body} if asked.body else {}
    return await client.request(asked.method, asked.path, headers=headers, **options)


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

    app = create_app(stub.doors(lab.door), [forgotten])
    assert [path for path, handler in handlers(app) if need_of(handler) is None] == ["/forgotten"]
    key = await lab.key(Scope.ADMIN)
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        for headers in ({}, {"x-api-key": key}):
            check_problem(await client.get("/forgotten", headers=headers), 403, "forbidden")


@pytest.mark.parametrize("asked", ROUTES, ids=IDS)
async def test_nobody(client: Any, asked: Asked) -> None:
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
async def test_every_scope(client: Any, lab: AccessLab, check_problem: Any, asked: Asked, scope: Scope) -> None:
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
async def test_every_role(app: Litestar, lab: AccessLab, asked: Asked, role: Role) -> None:
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
    async with AsyncTestClient(create_app(stub.doors(lab.door)), raise_server_exceptions=False) as client:
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
    lab = AccessLab(open_api=True)
    stub.reader.tasks = [new_task("t1")]
    app = create_app(stub.doors(lab.door), [await dashboard(lab)])
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
    app = create_app(stub.doors(lab.door), api=False)
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
